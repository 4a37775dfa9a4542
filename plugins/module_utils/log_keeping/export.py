# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotated logs sent to an object store, read back, and recorded."""

from __future__ import annotations

import datetime as dt
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, reference_moment, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import (
    explained,
    locked,
    private_directory,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import (
    Refusal,
    Refused,
    check_refusals,
    outcome,
)
from ansible_collections.runbook.ops.plugins.module_utils.log_keeping.classes import (
    RetentionClass,
    class_argument_spec,
    retention_classes,
)
from ansible_collections.runbook.ops.plugins.module_utils.log_keeping.files import (
    Kept,
    content_digest,
    figures,
    object_key,
    packed,
    rotated_files,
    split_written,
)
from ansible_collections.runbook.ops.plugins.module_utils.log_keeping.ledger import Ledger, Record
from ansible_collections.runbook.ops.plugins.module_utils.log_keeping.store import (
    MOST_BYTES,
    LogStore,
    store_argument_spec,
)

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def keeping_argument_spec() -> dict[str, dict[str, Any]]:
    """The options that log_export and log_retention share."""
    return {
        **store_argument_spec(),
        "classes": {"type": "list", "elements": "dict", "options": class_argument_spec(), "required": True},
        "state_directory": {"type": "path", "default": "/var/lib/runbook/logs"},
        "quiet_seconds": {"type": "float", "default": 60},
        "reference_time": {"type": "str"},
        "on_refusal": {"type": "str", "choices": ["fail", "report"], "default": "fail"},
    }


def export_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of log_export."""
    return {
        **keeping_argument_spec(),
        "bucket": {"type": "str", "required": True},
        "prefix": {"type": "str", "default": "logs"},
        "host": {"type": "str"},
        "max_bytes": {"type": "int", "default": 50 * 1024**3},
    }


def export(options: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Plan, guard, send, read back, record; one file after the other, each whole.

    Raises:
        InvalidOption: a class or a name that cannot be.
        Refused: more than max_bytes, or another run; with on_refusal=fail also for files that were left alone, such as
            damaged ones. The others were exported.
        RunbookError: a file could not be sent or was not there as it should be; what was done is in the result.

    """
    classes = [each for each in retention_classes(options["classes"]) if each.is_exported]
    host = _check(options)
    directory = Path(options["state_directory"])
    now = reference_moment(options["reference_time"])
    with private_directory("runbook-logs-") as place:
        if check_mode:
            return _export(options, classes, now, host, Ledger(directory), place, check_mode=True)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(directory / "lock", "exporting or deleting logs"):
            return _export(options, classes, now, host, Ledger(directory), place, check_mode=False)


def _check(options: Mapping[str, Any]) -> str:
    host = options["host"] or platform.node()
    if not _BUCKET.fullmatch(options["bucket"]):
        raise InvalidOption("bucket", options["bucket"], "the name of a bucket")
    if not _HOST.fullmatch(host):
        raise InvalidOption("host", host, "letters, digits, dots, dashes and underscores")
    return str(host)


def _export(
    options: Mapping[str, Any],
    classes: Sequence[RetentionClass],
    now: dt.datetime,
    host: str,
    ledger: Ledger,
    place: Path,
    *,
    check_mode: bool,
) -> dict[str, Any]:
    store = LogStore(options)
    finished, refused = split_written(rotated_files(classes), now, options["quiet_seconds"])
    due: list[tuple[Kept, str]] = []
    for kept in finished:
        try:
            digest = ledger.digest(kept.log) or content_digest(kept)
        except RunbookError as error:
            refused.append(_left(kept, error))
            continue
        ledger.remember(kept.log, digest)
        record = ledger.of(digest, kept.of.name)
        if record is None or not is_there(store, record):
            due.append((kept, digest))
    total = sum(kept.log.size_bytes for kept, _digest in due)
    if total > options["max_bytes"]:
        raise Refused(
            f"{total} bytes in {len(due)} files are due, more than max_bytes ({options['max_bytes']}). "
            "Nothing was sent. Look at what has grown, and raise max_bytes."
        )
    actions: list[dict[str, Any]] = []
    failed: Optional[RunbookError] = None
    for kept, digest in due:
        key = object_key(options["prefix"], host, kept, digest)
        action = _action(kept, digest, f"s3://{options['bucket']}/{key}")
        if check_mode:
            actions.append(action)
            continue
        try:
            made = _packed(kept, place)
        except RunbookError as error:
            refused.append(_left(kept, error))
            continue
        try:
            record = _send(store, options["bucket"], key, kept, digest, made)
        except RunbookError as error:
            # The others are not begun: a store that fails once would fail for each of them.
            failed = error
            refused.append(Refusal(kept.log.path, error.message.rstrip("."), "Run it again; what was sent stays sent."))
            break
        ledger.add(record)
        actions.append({**action, "sha256": record.sha256, "sent_bytes": record.size_bytes})
    if not check_mode:
        ledger.save()
    left = len(due) - len(actions)
    sums = {name: dict(each) for name, each in figures([kept for kept, _digest in due]).items()}
    result = outcome(
        changed=bool(actions),
        actions=actions,
        refused=refused,
        before={"due_count": len(due), "due_bytes": total, "classes": sums},
        after=None if check_mode else {"due_count": left},
    )
    if failed:
        raise RunbookError(failed.message, **result)
    check_refusals(result, options["on_refusal"])
    return result


def is_there(store: LogStore, record: Record) -> bool:
    """Whether the store still has what was exported."""
    there = store.look(record.bucket, record.key)
    return there is not None and (there.size_bytes, there.metadata.get("sha256")) == (record.size_bytes, record.sha256)


def _action(kept: Kept, digest: str, address: str) -> dict[str, Any]:
    return {
        "action": "export",
        "object": kept.log.path,
        "reason": f"{kept.of.name} logs are exported",
        "class": kept.of.name,
        "address": address,
        "bytes": kept.log.size_bytes,
        "content_sha256": digest,
        "sha256": None,
        "sent_bytes": None,
        "redacted": kept.of.is_redacted,
    }


def _left(kept: Kept, error: RunbookError) -> Refusal:
    """The trouble is this file's own: it does not keep the others here."""
    reason = error.message.rstrip(".")
    return Refusal(kept.log.path, reason, "The others are exported. Correct this one, and run it again.")


@dataclass(frozen=True)
class _Packed:
    """A file as it is sent."""

    path: Path
    sha256: str
    size_bytes: int


def _packed(kept: Kept, place: Path) -> _Packed:
    """The file as it is sent; raises RunbookError for one that cannot be."""
    path, sha256 = packed(kept, place)
    with explained("read", path):
        size = path.stat().st_size
    if size > MOST_BYTES:
        raise RunbookError(f"{kept.log.path} is larger than one upload may be (5 GiB). Rotate it by size (max_size).")
    return _Packed(path, sha256, size)


def _send(store: LogStore, bucket: str, key: str, kept: Kept, digest: str, made: _Packed) -> Record:
    """Send a file unless it is there, read it back, and give its record."""
    size, sha256 = made.size_bytes, made.sha256
    metadata = {"sha256": sha256, "content-sha256": digest, "class": kept.of.name}
    there = store.look(bucket, key)
    # One that was sent before the run was killed, or by a host whose records were lost, is not sent again.
    if there is None or (there.size_bytes, there.metadata.get("sha256")) != (size, sha256):
        with explained("read", made.path):
            store.put(bucket, key, made.path, sha256, metadata)
    if store.digest(bucket, key) != sha256:
        raise RunbookError(f"s3://{bucket}/{key} does not hold what was sent. Nothing is recorded; run it again.")
    return Record(digest, kept.of.name, bucket, key, sha256, size, kept.of.is_redacted, iso(utc_now()))
