# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's own programs: which versions the host has, and an environment that tells them where to log in."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import clean_environment, run
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import private_directory

# Where the packages of distributions and of the PostgreSQL project put their programs.
PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/postgresql/*/bin", "/usr/local/pgsql/bin")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?")


@dataclass(frozen=True)
class Installation:
    """One directory with PostgreSQL's programs. C(version_num) is as the server counts: 150018 is 15.18."""

    directory: Path
    version_num: int

    @property
    def major(self) -> int:
        """Its major version."""
        return self.version_num // 10000

    @property
    def version(self) -> str:
        """Its version for people."""
        return f"{self.major}.{self.version_num % 10000}"

    def has(self, name: str) -> bool:
        """Whether it has a program."""
        return os.access(self.directory / name, os.X_OK)

    def program(self, name: str) -> str:
        """The path of a program; raises RunbookError when it is not there."""
        path = self.directory / name
        if not os.access(path, os.X_OK):
            package = "postgresql-client" if name.startswith(("psql", "pg_dump", "pg_restore")) else "postgresql"
            raise RunbookError(
                f"{path} is missing on this host. Install {package}-{self.major} (Debian, Ubuntu), or name another "
                "directory in bin_directory."
            )
        return str(path)


def installations(bin_directory: str | None = None, program: str = "pg_dump") -> list[Installation]:
    """The installations that have a program, newest first: the named directory's only, or all there are.

    Raises:
        InvalidOption: the named directory has none.

    """
    if bin_directory:
        found = _looked_at(Path(bin_directory), program)
        if found is None:
            raise InvalidOption(
                "bin_directory", bin_directory, f"a directory with PostgreSQL's programs, {program} among them"
            )
        return [found]
    places = [place for pattern in PLACES for place in Path("/").glob(pattern.lstrip("/"))]
    if on_path := shutil.which(program):
        # Debian's is a wrapper that picks one of the places above; elsewhere it leads to the real one.
        places.append(Path(on_path).resolve().parent)
    known = {each.directory.resolve(): each for each in (_looked_at(place, program) for place in places) if each}
    return sorted(known.values(), key=lambda each: each.version_num, reverse=True)


def choose_installation(
    found: Sequence[Installation], server_version_num: int, *, program: str = "pg_dump", exact: bool = False
) -> Installation:
    """The one that fits a server: of its major version if there is one, else the oldest that is newer.

    Args:
        found: What C(installations) gave.
        server_version_num: The server's version, as it counts itself.
        program: What is looked for, for the message.
        exact: Whether only its own major version will do.

    Raises:
        RunbookError: there is none; the message says what to install.

    """
    major = server_version_num // 10000
    fitting = [each for each in found if each.major == major or (each.major > major and not exact)]
    if fitting:
        # Of its major the newest minor version, which comes first.
        return min(fitting, key=lambda each: each.major)
    has = ", ".join(each.version for each in found) or "none"
    package = "postgresql" if program in ("initdb", "postgres") else "postgresql-client"
    raise RunbookError(
        f"The host has no {program} for PostgreSQL {major}{'' if exact else ' or newer'} (found: {has}). "
        f"Install {package}-{major}, or name its directory in bin_directory."
    )


@contextlib.contextmanager
def libpq_environment(options: Mapping[str, Any], *, application_name: str = "runbook.ops") -> Iterator[dict[str, str]]:
    """An environment with which psql, pg_dump, pg_restore and pg_basebackup log in as the module does.

    Arguments and environment can be read by others, so the password lies in a file for its owner only. It has no name
    on any disk: where the system can, it is in memory and ends with this process, even when that is killed. The
    programs must run under the same account. C(options) are those of C(postgresql_argument_spec).
    """
    given = {
        "PGHOST": options.get("login_unix_socket") or options.get("login_host"),
        "PGPORT": options.get("login_port"),
        "PGUSER": options.get("login_user"),
        "PGDATABASE": options.get("login_db"),
        "PGSSLMODE": options.get("ssl_mode"),
        "PGSSLROOTCERT": options.get("ca_cert"),
        "PGSSLCERT": options.get("ssl_cert"),
        "PGSSLKEY": options.get("ssl_key"),
        "PGCONNECT_TIMEOUT": options.get("connect_timeout"),
    }
    environment = clean_environment(PGAPPNAME=application_name, PGCLIENTENCODING="UTF8")
    environment |= {name: str(value) for name, value in given.items() if value not in (None, "")}
    with contextlib.ExitStack() as stack:
        if password := options.get("login_password"):
            environment["PGPASSFILE"] = stack.enter_context(_password_file(str(password)))
        yield environment


@contextlib.contextmanager
def _password_file(password: str) -> Iterator[str]:
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    line = f"*:*:*:*:{escaped}\n".encode()
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("runbook-login")
        try:
            # libpq passes over a file that others could read.
            os.fchmod(descriptor, 0o600)
            os.write(descriptor, line)
            yield f"/proc/{os.getpid()}/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with private_directory("runbook-login-") as directory:
        path = directory / "pgpass"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(line)
        yield str(path)


@lru_cache(maxsize=64)
def _looked_at(directory: Path, program: str) -> Optional[Installation]:
    path = directory / program
    if not os.access(path, os.X_OK):
        return None
    with contextlib.suppress(RunbookError):
        match = _VERSION.search(run([str(path), "--version"], seconds=20))
        if match:
            return Installation(directory, int(match[1]) * 10000 + int(match[2] or 0))
    return None
