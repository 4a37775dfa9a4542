"""Backups as the collection publishes them, without the minutes that real ones take: bytes, manifests, records."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import random
from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot, open_depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.looked import look_at_artefact
from ansible_collections.runbook.ops.plugins.module_utils.backup.record import Record, record_name
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import (
    Manifest,
    Part,
    manifest_bytes,
    manifest_name,
    members_sha256,
)

UTC = dt.timezone.utc


def bytes_of(name: str, size: int) -> bytes:
    """So many bytes that no other name has."""
    return random.Random(name).randbytes(size)


def write(depot: Depot, name: str, data: bytes) -> Part:
    """A file in a repository, as writers put it there."""
    with depot.create(name) as sink:
        sink.write(data)
        stored = sink.commit()
    return Part(name, stored.bytes, stored.sha256, stored.version_id)


def plant_backup(
    options: Mapping[str, Any],
    name: str,
    taken_at: dt.datetime,
    *,
    size: int = 1000,
    members: int = 0,
    **more: Any,
) -> Manifest:
    """A dump with its globals, published; with C(members) a directory of so many files beside its table of contents."""
    depot = open_depot(options)
    depot.prepare()
    inside: dict[str, Part] = {}
    if members:
        for member in ["toc.dat", *(f"{1000 + number}.dat.gz" for number in range(members))]:
            part = write(depot, f"{name}/{member}", bytes_of(f"{name}/{member}", size))
            inside[member] = Part(member, part.bytes, part.sha256, part.version_id)
        whole = Part(name, sum(part.bytes for part in inside.values()), members_sha256(inside))
    else:
        whole = write(depot, name, bytes_of(name, size))
    globals_part = write(depot, f"{name}.globals.sql", f"CREATE ROLE {name.partition('-')[0]};".encode())
    moment = taken_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    manifest = Manifest(
        name=name,
        method="dump",
        taken_at=moment,
        started_at=moment,
        finished_at=moment,
        bytes=whole.bytes,
        sha256=whole.sha256,
        version_id=whole.version_id,
        members=inside,
        globals=globals_part,
        dump={"format": "directory" if members else "custom"},
        **more,
    )
    depot.put(manifest_name(name), manifest_bytes(manifest))
    return manifest


def plant_record(options: Mapping[str, Any], name: str, verdict: str = "verified") -> None:
    """What postgresql_backup_verify leaves beside a backup."""
    depot = open_depot(options)
    looked = look_at_artefact(depot, name)
    raw = depot.get(manifest_name(name))
    assert looked.stat is not None and raw is not None
    record = Record(
        artefact=name,
        size_bytes=looked.stat.bytes,
        sha256=json.loads(raw)["sha256"],
        identity=looked.identity,
        verdict=verdict,
        level="semantics",
        wanted_level="semantics",
        reason=None if verdict == "verified" else "semantics: public.orders has 0 rows",
        verified_at="2026-01-31T05:00:00Z",
        manifest_sha256=hashlib.sha256(raw).hexdigest(),
    )
    depot.put(record_name(name), record.as_bytes())
