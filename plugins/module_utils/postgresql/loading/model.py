# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes of loading a dump: how much, how long, and what did not work. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError

# What these codes say is a fact about the artefact. All others are about the server, the host or the way between.
OF_THE_ARTEFACT = frozenset(
    {"marker_missing", "decode_failed", "decode_truncated", "empty_artefact", "encoding_mismatch", "syntax", "rejected"}
)
# The first minor release of each major whose psql knows \restrict; all later majors do (release notes of August 2025).
_RESTRICT_SINCE = {13: 22, 14: 19, 15: 14, 16: 10, 17: 6}


def knows_restrict(version_num: int) -> bool:
    """Whether the psql of a version reads dumps with C(\\restrict) lines; this collection's loading always does."""
    major, minor = divmod(version_num, 10000)
    return major > max(_RESTRICT_SINCE) or minor >= _RESTRICT_SINCE.get(major, minor + 1)


@dataclass(frozen=True)
class LoadProblem:
    """One thing that did not work.

    Args:
        code: marker_missing, role_missing, extension_missing, preload_missing, server_too_old, client_too_old,
            encoding_mismatch, exists, missing, permission, no_space, lost, syntax, rejected (data that the server does
            not accept).
        object: What it is about, such as C(TABLE public.orders), as the dump's own comments name it.
        message: What the server or the program said.
        sqlstate: The server's code of it, if it was the server.

    """

    code: str
    object: str
    message: str
    sqlstate: Optional[str] = None

    @property
    def is_of_the_artefact(self) -> bool:
        """Whether it speaks against the artefact; if not, nothing can be said about it."""
        return self.code in OF_THE_ARTEFACT

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        return {"code": self.code, "object": self.object, "message": self.message}

    def error(self) -> RunbookError:
        """The same as an exception: Damaged or Undecided, with C(code) and C(object) in its details."""
        kind = Damaged if self.is_of_the_artefact else Undecided
        where = f"{self.object}: " if self.object else ""
        return kind(f"{where}{self.message}", code=self.code, object=self.object)


@dataclass
class Loaded:
    """What was loaded.

    Args:
        tables: Rows that were loaded into each table, by C(schema.name) as the dump spells it.
        statements: How many statements were run, COPY among them.
        bytes: The size of the decoded dump.
        seconds: Wall seconds by phase: C(pre_data), C(data), C(post_data), C(analyze).
        problems: What did not work, in order.
        notes: What was left out or done otherwise than the dump says, for people.
        source_version: The version of the server that the dump was taken from, as its header says; None if it does not.
        dump_version: The version of the pg_dump that wrote it.
        encoding: The encoding it is in.
        databases: Names in its C(\\connect) lines.
        is_restricted: Whether it has C(\\restrict) lines, which a psql before 13.22, 14.19, 15.14, 16.10, 17.6 refuses.
        is_complete: Whether its end mark was seen.

    """

    tables: dict[str, int] = field(default_factory=dict)
    statements: int = 0
    bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    problems: list[LoadProblem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    source_version: Optional[str] = None
    dump_version: Optional[str] = None
    encoding: Optional[str] = None
    databases: list[str] = field(default_factory=list)
    is_restricted: bool = False
    is_complete: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        return {
            "tables": self.tables,
            "statements": self.statements,
            "bytes": self.bytes,
            "seconds": self.seconds,
            "problems": [problem.as_dict() for problem in self.problems],
            "notes": self.notes,
            "source_version": self.source_version,
            "dump_version": self.dump_version,
        }
