# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""logrotate itself: asked what it would do, or made to do it, and what it said."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.runbook.ops.plugins.module_utils.common.children import clean_environment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.files import private_directory

_PLACES = ("/usr/sbin", "/sbin", "/usr/bin")
_RUNNING = re.compile(r"\s*running (?:shared )?postrotate script", re.IGNORECASE)
_ERROR = re.compile(r"^\s*error:\s*(.*)$")


@dataclass(frozen=True)
class Spoken:
    """How a run of logrotate ended, and what it said."""

    code: int
    lines: list[str]

    @property
    def errors(self) -> list[str]:
        """Its complaints, each once. A file that it ignores is one, although it ends with the status 0."""
        found = [match.group(1).strip() for line in self.lines if (match := _ERROR.match(line))]
        if self.code and not found:
            found.append(f"it ended with status {self.code} and gave no reason")
        return list(dict.fromkeys(found))

    @property
    def postrotate_count(self) -> int:
        """How many times it started a postrotate script."""
        return sum(1 for line in self.lines if _RUNNING.match(line))


class Logrotate:
    """The program. Raises Unavailable when it is not there."""

    def __init__(self) -> None:
        found = shutil.which("logrotate") or shutil.which("logrotate", path=":".join(_PLACES))
        if found is None:
            raise Unavailable("logrotate is not installed on this host. Install the package logrotate.")
        self._program = found

    def version(self) -> str | None:
        """Such as C(3.21.0)."""
        match = re.search(r"logrotate (\S+)", "\n".join(self._run(["--version"], 30.0).lines))
        return match.group(1) if match else None

    def try_out(self, configuration: Path, seconds: float = 120.0) -> Spoken:
        """What it says of a configuration, with a state file that is thrown away; it changes nothing."""
        with private_directory("runbook-logrotate-") as place:
            state = place / "state"
            # logrotate 3.18 calls it an error when there is none.
            state.write_text("logrotate state -- version 2\n", encoding="ascii")
            return self._run(["-d", "-s", str(state), str(configuration)], seconds)

    def force(self, configuration: Path, state: Path | None, seconds: float) -> Spoken:
        """Rotate everything that a configuration names, now."""
        where = ["-s", str(state)] if state else []
        return self._run(["-v", "-f", *where, str(configuration)], seconds)

    def _run(self, arguments: Sequence[str], seconds: float) -> Spoken:
        # A file and not a pipe: what a postrotate script leaves running would keep a pipe open.
        output = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
        try:
            ended = subprocess.run(
                [self._program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Its postrotate scripts expect the time zone that cron gives them, so that is not set.
                env={key: value for key, value in clean_environment().items() if key != "TZ"},
                timeout=seconds,
                check=False,
            )
            output.seek(0)
            said = output.read().decode("utf-8", "replace")
        except OSError as error:
            raise RunbookError(f"{self._program} cannot be started: {error.strerror or error}.") from None
        except subprocess.TimeoutExpired:
            raise RunbookError(
                f"logrotate did not end within {seconds:g} s. Look for a postrotate script that hangs."
            ) from None
        finally:
            output.close()
        return Spoken(ended.returncode, said.splitlines())
