# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs whose exit status is an answer: run without a shell, for a limited time, with what they wrote kept."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import clean_environment

# An account that is not root's often has no sbin in its PATH, and the programs are there all the same.
PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Answer:
    """What a program gave. C(code) is null when it could not be started or did not end; C(reason) says why."""

    code: Optional[int]
    out: str = ""
    err: str = ""
    reason: str = ""
    is_missing: bool = False

    @property
    def words(self) -> str:
        """Why there is no good answer, in one line."""
        said = " ".join((self.reason or self.err or self.out).split())
        return said[:300] or f"it ended with status {self.code}"


Runner = Callable[[Sequence[str]], Answer]


def search_path() -> str:
    """The caller's PATH, and then the usual places that it may lack."""
    own = os.environ.get("PATH", "")
    return f"{own}:{PLACES}" if own else PLACES


def ask(
    argv: Sequence[str],
    *,
    seconds: float = 30.0,
    cwd: Optional[str] = None,
    text_in: str = "",
    more: Optional[Mapping[str, str]] = None,
) -> Answer:
    """Run a program; any exit status is an answer, and so is that it is not there."""
    environment = {**clean_environment(), "PATH": search_path(), **(more or {})}
    try:
        process = subprocess.Popen(
            list(argv),
            env=environment,
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except FileNotFoundError:
        return Answer(None, reason=f"{argv[0]} is not installed", is_missing=True)
    except OSError as error:
        return Answer(None, reason=f"{argv[0]} cannot be started: {error.strerror or error}")
    try:
        out, err = process.communicate(text_in.encode(), timeout=seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Answer(None, reason=f"{argv[0]} did not end within {seconds:g} s and was stopped")
    return Answer(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))
