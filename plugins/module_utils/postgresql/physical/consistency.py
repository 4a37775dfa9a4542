# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking into a recovered cluster: amcheck in every database, and the checksum of every page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import ChildFailed, first_words, run
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.questions import databases
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.recover import Recovered
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.telling import failed, noted, undecided
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.findings import Report
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import CONSISTENCY

_CHECKS_SECONDS = 86400.0
_BAD_BLOCK = re.compile(r'checksum verification failed in file "([^"]+)", block (\d+)')
_RELATIONS = """
SELECT c.oid, c.oid::regclass::text AS name, c.relkind AS kind
FROM pg_class c LEFT JOIN pg_am a ON a.oid = c.relam
LEFT JOIN pg_index i ON i.indexrelid = c.oid
WHERE c.relpersistence = 'p'
  AND (c.relkind IN ('r', 't', 'm') AND a.amname = 'heap'
       OR c.relkind = 'i' AND a.amname = 'btree' AND i.indisready AND i.indisvalid)
ORDER BY c.relpages DESC
"""
_HEAP = "SELECT blkno, msg FROM {schema}.verify_heapam(relation => %s::oid::regclass) LIMIT 3"
_INDEX = "SELECT {schema}.bt_index_check(index => %s::oid::regclass, heapallindexed => %s)"


def look_inside(
    report: Report,
    state: Recovered,
    params: Mapping[str, Any],
    data: Path,
    progress: Progress,
    *,
    checksums: Optional[bool],
) -> None:
    """Tell what is wrong with pages and indexes; the server is shut down by it."""
    names = list(databases(state))
    checked = 0
    if params.get("amcheck", True):
        for number, name in enumerate(names):
            progress.phase("amcheck", name, total=len(names), unit="databases")
            progress.at(number)
            with state.connect(name, read_only=False) as session:
                checked += _amcheck(report, session, name, progress, heapallindexed=bool(params.get("heapallindexed")))
    if checksums is None:
        checksums = _has_checksums(state)
    if checksums:
        _checksums(report, state, data, progress)
    else:
        noted(report, "checksums_off", "The cluster has no data checksums: only amcheck looked at its pages")
    report.passed(CONSISTENCY, f"amcheck of {checked} relations" + (", checksums of all pages" if checksums else ""))


def _has_checksums(state: Recovered) -> bool:
    with state.connect() as session:
        return str(session.query("SHOW data_checksums")[0]["data_checksums"]) == "on"


def _amcheck(report: Report, session: Session, database: str, progress: Progress, *, heapallindexed: bool) -> int:
    try:
        session.query("CREATE EXTENSION IF NOT EXISTS amcheck")
        schema = session.query(
            "SELECT quote_ident(n.nspname) AS schema FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace "
            "WHERE extname = 'amcheck'"
        )[0]["schema"]
    except QueryError as error:
        noted(report, "checksums_off", f"amcheck is not there for {database}: {error.message}")
        return 0
    relations = session.query(_RELATIONS)
    for relation in relations:
        progress.check()
        try:
            if relation["kind"] == "i":
                session.query(_INDEX.format(schema=schema), (relation["oid"], heapallindexed))
                continue
            for row in session.query(_HEAP.format(schema=schema), (relation["oid"],)):
                failed(
                    report,
                    "page_corruption",
                    f"{database}: {relation['name']}, block {row['blkno']}: {row['msg']}",
                    relation["name"],
                )
        except QueryError as error:
            # XX001 and XX002 are data_corrupted and index_corrupted.
            if error.sqlstate in ("XX001", "XX002"):
                failed(report, "page_corruption", f"{database}: {relation['name']}: {error.message}", relation["name"])
            else:
                undecided(
                    report, "assertion_error", f"{database}: {relation['name']} could not be checked: {error.message}"
                )
    return len(relations)


def _checksums(report: Report, state: Recovered, data: Path, progress: Progress) -> None:
    progress.phase("checksums", str(data))
    state.shut_down()
    installation, account = state.server.installation, state.server.place.account.ids
    try:
        argv = [installation.program("pg_checksums"), "--check", "-D", str(data)]
        run(argv, seconds=_CHECKS_SECONDS, account=account, cwd="/")
    except ChildFailed as error:
        blocks = _BAD_BLOCK.findall(error.words)
        for file, block in blocks[:5]:
            relative = file.removeprefix(f"{data}/")
            failed(report, "page_corruption", f"{relative}, block {block}: its checksum is wrong", relative)
        if not blocks:
            undecided(report, "assertion_error", f"pg_checksums failed: {first_words(error.words)}")
    except RunbookError as error:
        noted(report, "checksums_off", f"pg_checksums was not run: {error.message}")
