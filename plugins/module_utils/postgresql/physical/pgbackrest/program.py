# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calling pgBackRest: as the account that owns its repository, without a shell, its own words kept."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.children import (
    Child,
    ChildFailed,
    clean_environment,
    first_words,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.pgbackrest.answers import (
    Stanza,
    parse_info,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.account import Account, choose_account

_PLACES = "/usr/bin:/usr/local/bin:/opt/pgbackrest/bin"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_NOISE = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ P\d+\s+")
_NOT_FOUND = 55


@dataclass(frozen=True)
class Rest:
    """pgBackRest for one stanza; C(seconds) is how long a single run may take."""

    program: str
    stanza: str
    config: Optional[str]
    repo: Optional[int]
    account: Account
    seconds: float

    @property
    def base(self) -> list[str]:
        """The command line's beginning."""
        argv = [self.program, f"--stanza={self.stanza}"]
        if self.config:
            argv.append(f"--config={self.config}")
        return argv

    def command(self, *arguments: str) -> list[str]:
        """A whole command line, with the repository where one was chosen."""
        return [*self.base, *([f"--repo={self.repo}"] if self.repo else []), *arguments]

    def environment(self) -> dict[str, str]:
        """What it is told by its environment: where its account is at home (C(.pgpass)), and no secret."""
        try:
            home = pwd.getpwuid(self.account.uid).pw_dir
        except KeyError:
            home = "/"
        return clean_environment(HOME=home)

    def child(self, *arguments: str) -> Child:
        """Start it."""
        return Child(self.command(*arguments), environment=self.environment(), account=self.account.ids, cwd="/")

    def run(self, *arguments: str, on_line: Callable[[str], None] = lambda _line: None) -> str:
        """Run it to its end: what it wrote.

        Raises:
            ChildFailed: it failed; its message are its own words without their timestamps.

        """
        with self.child(*arguments) as child:
            watch = threading.Timer(self.seconds, child.stop)
            watch.daemon = True
            watch.start()
            text = ""
            rest = ""
            try:
                for chunk in child.chunks():
                    piece = chunk.decode("utf-8", "replace")
                    text += piece
                    *lines, rest = (rest + piece).split("\n")
                    for line in lines:
                        on_line(line)
            except ChildFailed as error:
                raise ChildFailed(words_of(text + "\n" + error.words), code=error.code, words=error.words) from None
            finally:
                watch.cancel()
            return text

    def info(self) -> Stanza:
        """What it knows of the stanza.

        Raises:
            Undecided: it cannot say.

        """
        try:
            return parse_info(self.run("--output=json", "--log-level-console=off", "info"), self.stanza)
        except ChildFailed as error:
            raise Undecided(f"pgbackrest info failed: {error.message}", code="pgbackrest_unknown") from None

    def text(self, path: str) -> str:
        """A file of the repository; raises Undecided."""
        return b"".join(self.chunks(path)).decode("utf-8", "replace")

    def chunks(self, path: str) -> Iterator[bytes]:
        """The bytes of a file of the repository, decrypted where the repository is encrypted; raises Undecided."""
        with self.child("--log-level-console=off", "repo-get", path) as child:
            try:
                yield from child.chunks()
            except ChildFailed as error:
                raise Undecided(f"pgbackrest repo-get {path} failed: {first_words(error.words)}") from None

    def files(self, path: str) -> dict[str, int]:
        """The files below a directory of the repository, with their bytes; raises Undecided."""
        try:
            listed: Mapping[str, Any] = json.loads(
                self.run("--log-level-console=off", "--output=json", "--recurse", "repo-ls", path)
            )
        except (ChildFailed, ValueError) as error:
            raise Undecided(f"pgbackrest repo-ls {path} failed: {error}") from None
        return {name: int(each.get("size", 0)) for name, each in listed.items() if each.get("type") == "file"}


def words_of(text: str) -> str:
    """The errors in what pgBackRest said; everything, if it named none."""
    lines = [_NOISE.sub("", line).strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return first_words("\n".join(errors or lines), 5)


def rest_from(params: Mapping[str, Any]) -> Rest:
    """The option C(pgbackrest), checked; raises InvalidOption, and RunbookError where it is not installed."""
    given = params.get("pgbackrest")
    if not given:
        raise InvalidOption("pgbackrest", "", "a dictionary with the stanza at least, for method=pgbackrest")
    if not _NAME.fullmatch(given["stanza"]):
        raise InvalidOption("pgbackrest.stanza", given["stanza"], "the name of a stanza, such as main")
    for option in ("config", "program"):
        if given.get(option) and not Path(given[option]).is_file():
            raise InvalidOption(f"pgbackrest.{option}", given[option], "a file that exists on the host")
    if given.get("label") and not _NAME.fullmatch(given["label"]):
        raise InvalidOption("pgbackrest.label", given["label"], "a label such as 20260131-020003F")
    if given.get("repo") is not None and given["repo"] < 1:
        raise InvalidOption("pgbackrest.repo", given["repo"], "the number of a repository, 1 or more")
    if not given["timeout"] > 0:
        raise InvalidOption("pgbackrest.timeout", given["timeout"], "a number of seconds greater than 0")
    program = given.get("program") or shutil.which("pgbackrest", path=_PLACES)
    if program is None:
        raise RunbookError(
            "The host has no pgbackrest. Install the package pgbackrest, name it in pgbackrest.program, or run the "
            "task "
            "where the repository is."
        )
    account = choose_account(given["account"] if os.geteuid() == 0 else None)
    return Rest(program, given["stanza"], given.get("config") or None, given.get("repo"), account, given["timeout"])
