# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking a program: what it wrote, what it said, and how it ended, each of them kept."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.runbook.ops.plugins.module_utils.common.children import clean_environment, first_words

NOT_THERE = 127
TOO_SLOW = 124


@dataclass(frozen=True)
class Answer:
    """What a program answered. C(code) is its exit status; 127 when it is not there, 124 when it took too long."""

    code: int
    output: str
    words: str

    @property
    def reason(self) -> str:
        """Its last words as one clause."""
        return first_words(self.words or self.output) or f"it ended with status {self.code}"


def ask(argv: Sequence[str], seconds: float, **environment: str) -> Answer:
    """Run a program to its end; its failure is an answer, too."""
    try:
        ended = subprocess.run(
            list(argv),
            env=clean_environment(SYSTEMD_COLORS="0", SYSTEMD_LOG_COLOR="0", **environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(TOO_SLOW, "", f"{argv[0]} did not answer within {seconds:g} s")
    except OSError as error:
        return Answer(NOT_THERE, "", f"{argv[0]} cannot be started: {error.strerror or error}")
    return Answer(ended.returncode, *(text.decode("utf-8", "replace") for text in (ended.stdout, ended.stderr)))
