# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One command with secrets that are never part of its command line, and what became of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import clean_environment, end_with_parent
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.masking import MASK, mask_secrets

_SHORT = 4


@dataclass(frozen=True)
class Command:
    """What to run. C(codes) maps the exit statuses that are answers to what they mean."""

    argv: Sequence[str]
    cwd: Optional[str] = None
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    stdin: Optional[str] = None
    codes: Mapping[int, str] = field(default_factory=lambda: {0: "done"})
    seconds: float = 300.0
    max_bytes: int = 65536

    @property
    def hidden(self) -> list[str]:
        """Every value that nobody may see."""
        return [value for value in [*self.secrets.values(), self.stdin or ""] if value.strip()]

    def mask(self, text: str) -> str:
        """A text without them, also without the lines of a secret of several lines."""
        lines = [line for value in self.hidden for line in value.splitlines() if len(line.strip()) >= _SHORT]
        return mask_secrets(text, [*self.hidden, *lines])


def command_from(params: Mapping[str, Any]) -> Command:
    """The command that the options give; raises InvalidOption, without a secret in its message."""
    argv = [str(word) for word in params["argv"]]
    if not argv or not argv[0]:
        raise InvalidOption("argv", argv, "a list of words: the program and its arguments")
    codes = {}
    for code, meaning in params["codes"].items():
        if not str(code).isdigit() or int(code) > 255:
            raise InvalidOption("codes", code, "exit statuses from 0 to 255, each with what it means")
        codes[int(code)] = str(meaning)
    if params["timeout"] <= 0:
        raise InvalidOption("timeout", params["timeout"], "a number of seconds above 0")
    secrets = {name: str(value) for name, value in params["secrets"].items()}
    for name in [*secrets, *params["environment"]]:
        if not name or "=" in name or "\0" in name:
            raise InvalidOption("environment and secrets", name, "names of environment variables")
    empty = sorted(name for name, value in secrets.items() if not value)
    if empty:
        raise InvalidOption(
            "secrets", empty, "names with a value; an empty one lets many tools ask for it or use another account"
        )
    command = Command(
        argv,
        params["chdir"],
        {name: str(value) for name, value in params["environment"].items()},
        secrets,
        params["stdin"],
        codes,
        params["timeout"],
        params["max_output_bytes"],
    )
    for number, word in enumerate(argv):
        if any(value in word for value in command.hidden if len(value) >= _SHORT):
            raise InvalidOption(
                f"argv[{number}]", MASK, "words without secrets, which everybody on the host can read in ps"
            )
    return command


def run_command(command: Command) -> dict[str, Any]:
    """Run it to its end: its exit status, what it wrote, and how long it took, without a secret.

    Raises:
        RunbookError: it cannot be started, or did not end in time. It was stopped then.

    """
    environment = {**clean_environment(), **command.environment, **command.secrets}
    name = command.argv[0]
    program = shutil.which(name, path=environment.get("PATH"))
    if program is None and not (Path(command.cwd or ".") / name).is_file():
        raise RunbookError(f"{name} cannot be started: there is no such program. Install it, or give its path.")
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            list(command.argv),
            executable=program,
            env=environment,
            cwd=command.cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=end_with_parent(),  # noqa: PLW1509 - it makes one system call and touches no lock
        )
    except OSError as error:
        raise RunbookError(f"{name} cannot be started: {error.strerror or error}.") from None
    with process:
        try:
            stdout, stderr = process.communicate((command.stdin or "").encode(), command.seconds)
        except subprocess.TimeoutExpired:
            # With everything that it started: nobody waits for that any more.
            os.killpg(process.pid, signal.SIGKILL)
            raise RunbookError(f"{name} did not end within {command.seconds:g} s and was stopped.") from None
    out, cut_out = _shown(command, stdout)
    err, cut_err = _shown(command, stderr)
    return {
        "exit_status": process.returncode,
        "stdout": out,
        "stderr": err,
        "truncated": cut_out or cut_err,
        "outcome": command.codes.get(process.returncode),
        "duration_seconds": round(time.monotonic() - began, 3),
    }


def _shown(command: Command, output: bytes) -> tuple[str, bool]:
    """What it wrote, masked and then cut to its end, where the reason of a failure stands."""
    text = command.mask(output.decode("utf-8", "replace"))
    if len(text) <= command.max_bytes:
        return text, False
    return text[-command.max_bytes :], True


def failure_of(command: Command, ended: Mapping[str, Any]) -> Optional[str]:
    """Why the command did not do what was wanted; None where its exit status is one of the answers."""
    if ended["exit_status"] in command.codes:
        return None
    said = " ".join((ended["stderr"] or ended["stdout"]).split())[-500:]
    how = (
        f"was ended by signal {-ended['exit_status']}"
        if ended["exit_status"] < 0
        else f"failed with status {ended['exit_status']}"
    )
    return f"{' '.join(command.argv)} {how}: {said or 'it said nothing'}"


def checked(command: Command) -> dict[str, Any]:
    """Run it, and raise RunbookError, with what it wrote, where its exit status is none of the answers."""
    ended = run_command(command)
    failure = failure_of(command, ended)
    if failure:
        raise RunbookError(failure, **ended)
    return ended
