# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines that may be shown: what looks like a secret is taken out. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import HIDDEN, redact_text

_MOST_CHARACTERS = 300
_TELLING = re.compile(
    r"--?[\w.-]*(?:passw(?:or)?d|passwd|pwd|passphrase|secret|token|api[-_]?key|access[-_]?key|credential|auth)[\w-]*|"
    r"--?[\w.-]*pass",
    re.IGNORECASE,
)
# Programs whose short options carry a password: as the next word, or attached.
_NEXT = {"redis-cli": "-a", "curl": "-u", "wget": "--user", "sshpass": "-p", "ldapsearch": "-w", "smbclient": "-U"}
_ATTACHED = {
    "mysql": "-p",
    "mysqldump": "-p",
    "mysqladmin": "-p",
    "mariadb": "-p",
    "mariadb-dump": "-p",
    "sshpass": "-p",
}


def shown_command(argv: Sequence[str]) -> str:
    """The command line on one line, without secrets, cut to 300 characters."""
    program = PurePosixPath(argv[0].split(" ", 1)[0]).name if argv else ""
    words: list[str] = []
    hide_next = False
    for word in argv:
        if hide_next and not word.startswith("-"):
            words.append(HIDDEN)
            hide_next = False
            continue
        attached = _ATTACHED.get(program)
        if words and attached and word.startswith(attached) and len(word) > len(attached) and not word.startswith("--"):
            words.append(attached + HIDDEN)
        else:
            words.append(redact_text(word))
        hide_next = bool(words[1:]) and (_TELLING.fullmatch(word) is not None or word == _NEXT.get(program))
    # Once more as a whole: a title such as "postgres: password=x" is one text that a program wrote over its words.
    text = redact_text(" ".join(" ".join(words).split()))
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"
