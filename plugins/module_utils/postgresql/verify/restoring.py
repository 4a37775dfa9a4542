# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring a backup for proof, and what its problems say about it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.load import COLLECT, load, load_globals
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.model import Loaded, LoadProblem
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.findings import Report
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import LEVEL_OF
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.target import Target

with contextlib.suppress(ImportError):
    # The client says what is missing.
    from psycopg2 import sql

# Damage of the artefact itself: what else went wrong follows from it.
_OF_THE_BYTES = ("empty_artefact", "decode_failed", "decode_truncated", "marker_missing")
# Codes that a finding has, too; about the server or the host.
_OF_THE_HOST = ("server_too_old", "client_too_old", "extension_missing", "preload_missing", "no_space")
# In an empty database nothing exists, and nothing is missing that the dump itself should bring.
_OF_THE_DUMP = ("exists", "missing")


def make_roles(target: Target, names: Iterable[str]) -> None:
    """Make roles without any right, so that what belongs to them can be restored."""
    with connect(target.options, statement_timeout_seconds=60, read_only=False) as session:
        for name in names:
            with contextlib.suppress(QueryError):
                session.query(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))


def restore_globals(target: Target, text: str, report: Report, progress: Progress) -> None:
    """Make the roles that lie beside the backup."""
    loaded = load_globals(target.options, text.encode(), installation=target.installation, progress=progress)
    for each in loaded.problems:
        report.noted("role_missing", f"the globals: {each.message}", object_=each.object)


def restore(
    target: Target,
    content: Iterator[bytes],
    kind: str,
    *,
    jobs: int,
    progress: Progress,
    directory: Optional[Path] = None,
    on_rows_loaded: Callable[[], None] = lambda: None,
) -> Loaded:
    """Load all of it, going on after problems; raises what C(content) raises."""
    return load(
        target.options,
        content,
        kind,
        installation=target.installation,
        jobs=jobs,
        progress=progress,
        directory=directory,
        on_error=COLLECT,
        analyze=False,
        throwaway=target.throwaway,
        on_rows_loaded=on_rows_loaded,
    )


def report_problems(problems: Sequence[LoadProblem], report: Report, *, ignore_roles: bool, owns_server: bool) -> None:
    """Put the problems of loading into findings.

    Args:
        problems: In order.
        report: Where to.
        ignore_roles: Whether roles are kept elsewhere.
        owns_server: Whether the server is ours alone, so that what it lacks the dump should have brought.

    """
    damage = [each for each in problems if each.code in _OF_THE_BYTES]
    for each in damage or problems:
        if each.code == "role_missing" and ignore_roles:
            report.leave_open("owners and privileges: the roles that the dump names are kept elsewhere")
            continue
        _report(each, report, owns_server=owns_server)


def _report(problem: LoadProblem, report: Report, *, owns_server: bool) -> None:
    code = problem.code
    where = f"{problem.object}: " if problem.object else ""
    message = f"{where}{problem.message}"
    if code == "preload_missing":
        message += ". Name its library in preload"
    if code in _OF_THE_HOST:
        report.undecided(code, message, object_=problem.object)
    elif code == "role_missing":
        report.failed(code, message, object_=problem.object)
    elif problem.is_of_the_artefact or (owns_server and code in _OF_THE_DUMP):
        report.failed(
            code if code in LEVEL_OF and code != "missing" else "restore_failed", message, object_=problem.object
        )
    else:
        report.undecided("restore_error", message, object_=problem.object)
