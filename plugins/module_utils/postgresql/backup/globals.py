# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles, memberships and tablespaces: what a dump of one database refers to and does not hold."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import SUFFIXES, Encryption
from ansible_collections.runbook.ops.plugins.module_utils.common.children import ChildFailed, run
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.dump import explained
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import GLOBALS_SUFFIX
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation

_SECONDS = 600.0
# The last line of pg_dumpall (pg_dumpall.c).
_MARKER = "-- PostgreSQL database cluster dump complete"


def globals_name(artefact: str, encryption: Encryption | None) -> str:
    """Where the globals of an artefact lie."""
    return artefact + GLOBALS_SUFFIX + ("" if encryption is None else SUFFIXES[encryption.method])


def globals_argv(installation: Installation, database: str, *, passwords: bool) -> list[str]:
    """pg_dumpall's arguments. It takes a connection string, so that a database may be called anything."""
    quoted = database.replace("\\", "\\\\").replace("'", "\\'")
    return [
        installation.program("pg_dumpall"),
        "--globals-only",
        "--no-password",
        f"--database=dbname='{quoted}'",
        *([] if passwords else ["--no-role-passwords"]),
    ]


def read_globals(
    installation: Installation, database: str, environment: Mapping[str, str], *, passwords: bool
) -> bytes:
    """The SQL of roles and tablespaces, complete; raises RunbookError."""
    argv = globals_argv(installation, database, passwords=passwords)
    try:
        text = run(argv, environment=environment, seconds=_SECONDS)
    except ChildFailed as error:
        raise explained(error) from None
    if _MARKER not in text:
        raise RunbookError(
            "pg_dumpall ended without an error and without its last line. Nothing was published. Run the task again."
        )
    return text.encode("utf-8", "surrogateescape")
