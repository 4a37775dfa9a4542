# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves a backup of a cluster's objects without a cluster, and remembers it beside the backup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import (
    decryption_argument_spec,
    decryption_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.record import Record, parse_record, record_name
from ansible_collections.runbook.ops.plugins.module_utils.backup.verdict import ERROR, Verification
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import (
    iso,
    parse_moment,
    reference_moment,
    utc_now,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import outcome
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.objects_backup import (
    ObjectsBackup,
    find_backup,
    source_argument_spec,
)

LEVELS = ("fresh", "bytes", "objects")


def verify_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of k8s_backup_verify."""
    return {
        **decryption_argument_spec(),
        **source_argument_spec(),
        "timezone": {"type": "str", "default": "UTC"},
        "max_age": {"type": "str"},
        "reference_time": {"type": "str"},
    }


def verify_objects(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The module's result; raises RunbookError."""
    decryption = decryption_from(params)
    most = parse_seconds(params["max_age"], "max_age") if params["max_age"] else None
    now = reference_moment(params["reference_time"])
    backup = find_backup(params)
    age = int((now - parse_moment(backup.entry["taken_at"])).total_seconds())
    seen = Verification(LEVELS)
    try:
        documents = backup.documents(decryption)
    except Damaged as error:
        seen.failed("bytes", error.message, code="damaged")
    except Undecided as error:
        seen.undecided("objects", error.message, code=str(error.details.get("code") or "unreadable"))
    else:
        seen.passed("bytes", f"SHA-256 {backup.entry['sha256']}")
        seen.passed("objects", f"{len(documents)} objects, each as it can be applied")
    # How old it is says nothing about its bytes: the record must not.
    record = _record(backup, seen)
    told = Verification(LEVELS, levels=list(seen.levels))
    if most is not None and age > most:
        stale = {"level": "fresh", "outcome": "failed", "detail": f"it is {age} seconds old", "code": "stale"}
        told.levels.insert(0, stale)
    else:
        told.levels.insert(0, {"level": "fresh", "outcome": "passed", "detail": f"it is {age} seconds old"})
    known = parse_record(backup.depot.get(record_name(backup.name)))
    changed = record is not None and not _says_the_same(known, record)
    if changed and record is not None and not check_mode:
        backup.depot.put(record_name(backup.name), record.as_bytes())
    artefact = {
        "name": backup.name,
        "address": backup.address,
        "taken_at": backup.entry["taken_at"],
        "age_seconds": age,
        "objects": backup.entry["objects"],
        **told.as_dict(),
    }
    address = backup.depot.address(record_name(backup.name))
    actions = [{"action": "record", "object": address, "reason": seen.verdict}] if changed else []
    before = {"verdict": known.verdict if known else None}
    after = {"verdict": record.verdict if record else before["verdict"]}
    return outcome(
        changed=changed,
        actions=actions,
        before=before,
        after=None if check_mode and changed else after,
        artefact=artefact,
        diff={"before": before, "after": after},
    )


def _record(backup: ObjectsBackup, seen: Verification) -> Optional[Record]:
    """What is to be remembered; None when nothing is known for sure."""
    complete = Verification(LEVELS[1:], levels=seen.levels)
    if complete.verdict == ERROR:
        return None
    return Record(
        artefact=backup.name,
        size_bytes=backup.stat.bytes,
        sha256=backup.entry["sha256"],
        identity=backup.stat.identity,
        verdict=complete.verdict,
        level=complete.level,
        wanted_level=complete.wanted,
        reason=complete.reason,
        verified_at=iso(utc_now()),
        manifest_sha256=backup.manifest_sha256,
        content_at=backup.entry["taken_at"],
        levels=tuple(complete.levels),
    )


def _says_the_same(known: Optional[Record], record: Record) -> bool:
    """Whether the same was found of the same bytes; when does not count, so that it is not written again."""
    return known is not None and (known.sha256, dict(known.identity), known.verdict, known.reason) == (
        record.sha256,
        dict(record.identity),
        record.verdict,
        record.reason,
    )
