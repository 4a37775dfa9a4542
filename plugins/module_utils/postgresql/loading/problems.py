# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server, or a program, says when a dump does not load, and what that means."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.model import LoadProblem

# SQLSTATEs by their meaning for a load (appendix A of the manual); a class of two characters stands for all of it.
_BY_STATE = {
    "42501": "permission",
    "42P04": "exists",
    "42P06": "exists",
    "42P07": "exists",
    "42701": "exists",
    "42710": "exists",
    "42723": "exists",
    "23505": "exists",
    "42601": "syntax",
    "21": "rejected",
    "22021": "encoding_mismatch",
    "22P05": "encoding_mismatch",
    "22": "rejected",
    "23": "rejected",
    "53100": "no_space",
    "53200": "no_memory",
    "42704": "missing",
    "42883": "missing",
    "42P01": "missing",
    "42703": "missing",
    "3F000": "missing",
    "3D000": "missing",
    "08": "lost",
    "57P01": "lost",
    "57P02": "lost",
    "57P03": "lost",
}
_ROLE = re.compile(r'role "(?P<name>[^"]*)" does not exist')
_EXTENSION = re.compile(
    r'extension "(?P<name>[^"]*)" is not available|'
    r'could not open extension control file "[^"]*/(?P<file>[^"/]*)\.control"|'
    r'could not access file "(?P<library>[^"]*)"'
)
# As pg_stat_statements and pg_cron say it, and timescaledb.
_PRELOAD = re.compile(
    r'\b(?:must|can only) be (?:preloaded|loaded (?:via|using|with) "?shared_preload_libraries)', re.I
)
_FULL = re.compile(r"No space left on device|could not extend file|disk full", re.I)
_PROGRAMS = (
    (re.compile(r"unsupported version \(([\d.]+)\) in file header"), "client_too_old"),
    (
        re.compile(r"not support compression|compression is not supported|unrecognized compression", re.I),
        "client_too_old",
    ),
    (re.compile(r"invalid command \\(?:un)?restrict"), "client_too_old"),
    (re.compile(r"did not find magic string|does not appear to be a valid|not a tar", re.I), "decode_failed"),
    (
        re.compile(r"end of file|unexpected end|too short|could not find block ID|corrupt tar|incomplete tar", re.I),
        "decode_truncated",
    ),
)

# After these nothing can go on, whatever was wished for.
_FINAL = ("lost", "no_space", "no_memory")
# "current transaction is aborted": only a consequence.
_CONSEQUENCE = "25P02"
_MOST = 200


class Problems:
    """What did not work, in order; what is said of many objects is kept once. May be used by several threads.

    Args:
        stops: Whether the first one ends everything.

    """

    def __init__(self, *, stops: bool) -> None:
        self._stops = stops
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], LoadProblem] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def add(self, problem: LoadProblem) -> None:
        """Note a problem; raises it (Damaged or Undecided) when it ends everything."""
        if problem.sqlstate == _CONSEQUENCE:
            return
        key = (problem.code, problem.message)
        with self._lock:
            if key in self._found or len(self._found) < _MOST:
                self._found.setdefault(key, problem)
                self._counts[key] = self._counts.get(key, 0) + 1
        if self._stops or problem.code in _FINAL:
            raise problem.error()

    def all(self) -> list[LoadProblem]:
        """All of them; where one was met more than once its message says how often."""
        with self._lock:
            return [
                replace(problem, message=f"{problem.message} ({self._counts[key]} times)")
                if self._counts[key] > 1
                else problem
                for key, problem in self._found.items()
            ]


def problem_of_statement(
    sqlstate: Optional[str], message: str, what: str, *, is_extension: bool = False
) -> LoadProblem:
    """A statement of the dump that the server refused.

    Args:
        sqlstate: None when the connection broke.
        message: The server's words.
        what: The entry, or the first words of the statement.
        is_extension: Whether the statement makes an extension.

    """
    code = _code(sqlstate, message, is_extension=is_extension)
    return LoadProblem(code, what, message.strip().rstrip("."), sqlstate)


def problem_of_program(words: str, what: str) -> LoadProblem:
    """pg_restore does not read an archive; C(words) are what it says."""
    code = next((code for pattern, code in _PROGRAMS if pattern.search(words)), "decode_failed")
    return LoadProblem(code, what, words)


def _code(sqlstate: Optional[str], message: str, *, is_extension: bool) -> str:
    if _FULL.search(message):
        return "no_space"
    if _ROLE.search(message):
        return "role_missing"
    if (is_extension and sqlstate in ("0A000", "58P01")) or _EXTENSION.search(message):
        return "extension_missing"
    if _PRELOAD.search(message):
        return "preload_missing"
    if sqlstate is None:
        return "lost"
    return _BY_STATE.get(sqlstate) or _BY_STATE.get(sqlstate[:2]) or "rejected"
