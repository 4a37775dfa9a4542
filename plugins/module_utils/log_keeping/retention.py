# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotated logs deleted when their time is over, and records only when the object store has them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import reference_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import locked
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import (
    Refusal,
    Refused,
    check_refusals,
    outcome,
)
from ansible_collections.runbook.ops.plugins.module_utils.log_keeping.classes import RetentionClass, retention_classes
from ansible_collections.runbook.ops.plugins.module_utils.log_keeping.export import is_there, keeping_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.log_keeping.files import (
    Kept,
    check_unchanged,
    content_digest,
    figures,
    rotated_files,
    split_written,
)
from ansible_collections.runbook.ops.plugins.module_utils.log_keeping.ledger import Ledger, Record
from ansible_collections.runbook.ops.plugins.module_utils.log_keeping.store import LogStore
from ansible_collections.runbook.ops.plugins.module_utils.rotation.placing import remove

_DAY = 86400.0


def retention_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of log_retention."""
    return {
        **keeping_argument_spec(),
        "max_files": {"type": "int", "default": 1000},
        "max_bytes": {"type": "int"},
    }


@dataclass(frozen=True)
class Due:
    """A file whose time here is over, and the proof that it lies elsewhere, where it needs one."""

    kept: Kept
    reason: str
    record: Optional[Record]

    def as_dict(self) -> dict[str, Any]:
        """The entry of C(actions)."""
        return {
            "action": "delete",
            "object": self.kept.log.path,
            "reason": self.reason,
            "class": self.kept.of.name,
            "bytes": self.kept.log.size_bytes,
            "address": self.record.address if self.record else None,
        }


def retain(options: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Plan, guard, delete.

    Raises:
        InvalidOption: a class that cannot be.
        Refused: more than a limit; nothing was deleted. With on_refusal=fail also for files that were left alone.

    """
    classes = retention_classes(options["classes"])
    directory = Path(options["state_directory"])
    now = reference_moment(options["reference_time"])
    if check_mode or not directory.is_dir():
        return _retain(options, classes, now, Ledger(directory), check_mode=check_mode)
    with locked(directory / "lock", "exporting or deleting logs"):
        return _retain(options, classes, now, Ledger(directory), check_mode=False)


def _retain(
    options: Mapping[str, Any], classes: Sequence[RetentionClass], now: dt.datetime, ledger: Ledger, *, check_mode: bool
) -> dict[str, Any]:
    files = rotated_files(classes)
    over = [kept for kept in files if _reason(kept, now)]
    finished, refused = split_written(over, now, options["quiet_seconds"])
    prover = _Prover(options, ledger)
    due: list[Due] = []
    for kept in finished:
        record, why = prover.prove(kept) if kept.of.is_exported else (None, None)
        if why:
            refused.append(Refusal(kept.log.path, *why))
        else:
            due.append(Due(kept, _reason(kept, now), record))
    _check_limits(due, options)
    if not check_mode:
        for each in due:
            check_unchanged(each.kept)
            remove(Path(each.kept.log.path))
    remaining = rotated_files(classes)
    result = outcome(
        changed=bool(due),
        actions=[each.as_dict() for each in due],
        refused=refused,
        before={"classes": dict(figures(files))},
        after=None if check_mode else {"classes": dict(figures(remaining))},
        freed_bytes=sum(each.kept.log.size_bytes for each in due),
    )
    check_refusals(result, options["on_refusal"])
    return result


def _reason(kept: Kept, now: dt.datetime) -> str:
    """Why its time here is over; empty while it is not. The age is that of the last line."""
    age = now.timestamp() - kept.log.modified_seconds
    days = f"{age / _DAY:.1f} days old"
    if age > kept.of.keep_seconds:
        return f"{days}, {kept.of.name} logs are kept {kept.of.keep_seconds / _DAY:g} days"
    if kept.of.keep_local_seconds is not None and age > kept.of.keep_local_seconds:
        return f"{days}, {kept.of.name} logs that are exported are kept {kept.of.keep_local_seconds / _DAY:g} days here"
    return ""


def _check_limits(due: list[Due], options: Mapping[str, Any]) -> None:
    total = sum(each.kept.log.size_bytes for each in due)
    if len(due) > options["max_files"]:
        raise Refused(
            f"{len(due)} files would be deleted, more than max_files ({options['max_files']}). Nothing was deleted. "
            "Look at them with check mode, and raise the limit."
        )
    if options["max_bytes"] is not None and total > options["max_bytes"]:
        raise Refused(
            f"{total} bytes would be deleted, more than max_bytes ({options['max_bytes']}). Nothing was deleted. "
            "Look at them with check mode, and raise the limit."
        )


class _Prover:
    """Asks the object store, and does not take the host's own record for it."""

    def __init__(self, options: Mapping[str, Any], ledger: Ledger) -> None:
        self._options = options
        self._ledger = ledger
        self._store: Optional[LogStore] = None

    def prove(self, kept: Kept) -> tuple[Optional[Record], Optional[tuple[str, str]]]:
        """The record of a file that lies in the store, or why that is not proven."""
        try:
            # Read again: what was remembered may be about an older content.
            record = self._ledger.of(content_digest(kept), kept.of.name)
            if record is None:
                return None, ("it was never exported", "Export it with log_export first.")
            if self._store is None:
                self._store = LogStore(self._options)
            proven = is_there(self._store, record)
        except RunbookError as error:
            return None, (f"its export cannot be proven: {error.message.rstrip('.')}", "Correct it, and run it again.")
        if not proven:
            return None, (f"{record.address} is gone, or not what was exported", "Export it again with log_export.")
        return record, None
