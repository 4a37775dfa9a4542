# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that must come to its end: it lives on when we are killed, and what it says is in a file."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError


def run_to_end(argv: Sequence[str], environment: Mapping[str, str], log: Path, seconds: float) -> tuple[int, str]:
    """Run it in a session of its own: its exit status and what it said.

    A package manager that is ended in the middle leaves packages by half. A lost connection ends us, but not it: the
    next run waits for its lock. After so many seconds we stop waiting, and it goes on.
    """
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with log.open("ab") as output:
        began = output.tell()
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={
                    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                    "HOME": "/root",
                    **environment,
                },
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise RunbookError(f"{argv[0]} cannot be started: {error.strerror or error}.") from None
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise RunbookError(
            f"{argv[0]} still works after {seconds:g} s and was left to it. See {log}; run this again when it "
            "has ended."
        ) from None
    with log.open("rb") as said:
        said.seek(began)
        return code, said.read().decode("utf-8", "replace")
