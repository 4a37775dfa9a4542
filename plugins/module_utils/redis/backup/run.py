# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of redis_backup to its result: look, guard, save, prove, publish."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.verdict import VERIFIED, Verification
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import is_young, iso, iso_of
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, free_bytes, locked
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import check_guards, window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused, outcome
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.object_store.client import connect as connect_store
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.census import count_queues, keys_of
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.figures import exact
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.headroom import (
    Memory,
    check_disk,
    check_fork,
    expected_bytes,
    memory_here,
    memory_of_server,
    missing_memory,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.levels import verification
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.manifest import Manifest, path_of, written
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.publish import (
    STAMP,
    SUFFIX,
    Bucket,
    newest,
    publish,
    shown,
    upload,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.request import (
    FILE,
    BackupRequest,
    request_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.snapshot import Queues, Saver, Snapshot
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.source import (
    check_permissions,
    check_role,
    dump_file,
    is_append_only,
    last_dump,
    needed_commands,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.stream import Receiver
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.verify import Verifier
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient, require_library
from ansible_collections.runbook.ops.plugins.module_utils.redis.connection import connect_server
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint, survey
from ansible_collections.runbook.ops.plugins.module_utils.redis.info import integer
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import Settings, settings_from


def take_backup(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The module's result; raises RunbookError."""
    settings = settings_from(params)
    check_guards(params)
    request = request_from(params)
    require_library()
    bucket = None
    if request.bucket:
        bucket = Bucket(connect_store(params["s3"] or {}), request.bucket, request.prefix)
    progress = Progress(params["progress_path"])
    with progress.stoppable():
        return _Run(settings, request, bucket, progress).run(params, check_mode=check_mode)


@dataclass
class _Run:
    settings: Settings
    request: BackupRequest
    bucket: Optional[Bucket]
    progress: Progress
    notes: list[str] = field(default_factory=list)

    def run(self, params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
        request = self.request
        last = newest(request.dest, request.name)
        if self._is_young(last):
            return self._result(False, [], last, last)
        with connect_server(self.settings) as client:
            endpoint = survey(client, needed_commands(request))
            self.notes += endpoint.notes()
            source = self._guard(client, endpoint, last)
            actions = self._actions(client.where)
            if refusal := window_refusal(params):
                raise Refused(f"No backup was taken: {refusal[0]}. {refusal[1]}", changed=False, actions=actions)
            if check_mode:
                return self._result(True, actions, last, None)
            with explained("create", request.dest):
                request.dest.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(request.dest / f".{request.name}.lock", f"backing up {request.name} to {request.dest}"):
                return self._backup(client, endpoint, source, actions, last)

    def _is_young(self, last: Optional[tuple[Path, Manifest]]) -> bool:
        """Whether there is a backup that makes another one superfluous."""
        if self.request.max_age is None or last is None or last[1].verdict != VERIFIED:
            return False
        is_where_it_should = self.bucket is None or any(
            each.get("address") == self.bucket.address(last[0].name) for each in last[1].entry.get("objects") or []
        )
        taken_at = dt.datetime.fromtimestamp(last[1].taken_at, dt.timezone.utc)
        return is_where_it_should and is_young(taken_at, self.request.now, self.request.max_age)

    def _guard(self, client: RedisClient, endpoint: Endpoint, last: Optional[tuple[Path, Manifest]]) -> Optional[Path]:
        """Everything that speaks against it, before anything is touched; the server's dump file, if it is needed."""
        request, info = self.request, endpoint.info
        check_role(endpoint, request)
        check_permissions(client, request)
        source, memory = None, memory_of_server(info)
        known: tuple[int | None, int | None] = (None, None)
        if last is not None:
            known = (last[1].bytes, integer(last[1].entry, "used_memory_bytes"))
        if request.method == FILE:
            source, memory = dump_file(client, request), memory_here()
            known = last_dump(source)
        expected = expected_bytes(info, *known)
        if source is not None:
            check_disk(str(source.parent), free_bytes(source.parent), expected, "the server's new dump")
        self._check_place(expected)
        if note := check_fork(info, memory, request.copy_on_write_percent):
            self.notes.append(note)
        if request.verify:
            self._check_proof(info)
        return source

    def _check_place(self, expected: int) -> None:
        dest, scratch = self.request.dest, self.request.workshop.place
        copies = 1
        if self.request.verify and _device(dest) == _device(scratch):
            copies = 2
        elif self.request.verify:
            check_disk(str(scratch), free_bytes(scratch), expected, "the copy that is loaded for proof")
        check_disk(str(dest), free_bytes(dest), copies * expected, "the backup")

    def _check_proof(self, info: Mapping[str, str]) -> None:
        self.request.workshop.program()
        memory: Memory = memory_here()
        if short := missing_memory(integer(info, "used_memory") or 0, memory):
            raise Refused(
                f"The backup could not be proven here: {short} (verify=false here, and redis_backup_verify there). "
                "Nothing was touched."
            )

    def _actions(self, where: str) -> list[dict[str, Any]]:
        request = self.request
        target = f"{request.dest}/{request.name}"
        actions = [
            {"action": "save", "object": where, "statement": "BGSAVE" if request.method == FILE else "SYNC"},
            {"action": "copy", "object": target, "reason": f"to {request.dest}, with its SHA-256"},
        ]
        if request.verify:
            what = "checked, loaded and counted, with its queues" if request.queues else "checked, loaded and counted"
            actions.append({"action": "verify", "object": target, "reason": what})
        if self.bucket is not None:
            address = f"s3://{self.bucket.name}/{self.bucket.prefix}{request.name}"
            actions.append({"action": "upload", "object": target, "reason": f"to {address}"})
        return actions

    def _backup(
        self,
        client: RedisClient,
        endpoint: Endpoint,
        source: Optional[Path],
        actions: list[dict[str, Any]],
        last: Optional[tuple[Path, Manifest]],
    ) -> dict[str, Any]:
        request = self.request
        with self._partial() as partial:
            snapshot = self._save(client, source, partial)
            entry = self._entry(client, endpoint, snapshot)
            verification, snapshot = self._verified(partial, snapshot, entry)
            entry["verification"] = verification.as_dict()
            if request.verify and verification.verdict != VERIFIED:
                raise RunbookError(
                    f"The backup of {client.where} was taken and is not proven ({verification.verdict}): "
                    f"{verification.reason}. It was not kept. Run this again; if it stays so, look at the server's "
                    "disk and memory.",
                    changed=False,
                    actions=actions,
                    verification=verification.as_dict(),
                )
            target = self._free_name(snapshot.taken_at)
            entry["objects"] = (
                []
                if self.bucket is None
                else [
                    {"address": self.bucket.address(target.name)},
                    {"address": self.bucket.address(path_of(target).name)},
                ]
            )
            publish(partial, target, written(entry, snapshot.figures))
        objects = []
        if self.bucket is not None:
            objects = upload(self.bucket, target, snapshot.sha256, self.progress)
        return self._result(
            True,
            actions,
            last,
            newest(request.dest, request.name),
            backup=self._facts(target, entry, objects, snapshot),
        )

    @contextlib.contextmanager
    def _partial(self) -> Iterator[Path]:
        """A name for the file until it is proven; whatever is there is gone afterwards."""
        path = self.request.dest / f".{self.request.name}.partial"
        try:
            yield path
        finally:
            with contextlib.suppress(OSError):
                path.unlink()

    def _save(self, client: RedisClient, source: Optional[Path], partial: Path) -> Snapshot:
        self.progress.phase("save", client.where, unit="keys")

        def count(info: Mapping[str, str]) -> Queues:
            if not self.request.queues:
                return {}
            return count_queues(self.settings, sorted(keys_of(info)[0]), self.request.workshop.budget, self.request.now)

        if source is not None:
            saver = Saver(client, source, count, self.request.save_seconds, self.progress)
            return saver.save_to(partial, has_queues=self.request.queues)
        return Receiver(client, count, self.progress).save_to(partial, has_queues=self.request.queues)

    def _entry(self, client: RedisClient, endpoint: Endpoint, snapshot: Snapshot) -> dict[str, Any]:
        info = endpoint.info
        facts = endpoint.facts()
        return {
            "name": self.request.name,
            "taken_at": iso_of(snapshot.taken_at),
            "counted_at": iso(self.request.now),
            "bytes": snapshot.bytes,
            "sha256": snapshot.sha256,
            "method": self.request.method,
            "address": client.where,
            "version": facts["version"],
            "role": facts["role"],
            "append_only": is_append_only(endpoint),
            "used_memory_bytes": integer(info, "used_memory"),
        }

    def _verified(self, partial: Path, snapshot: Snapshot, entry: Mapping[str, Any]) -> tuple[Verification, Snapshot]:
        """The verification, and the snapshot with the figures of the loaded copy, which leave nothing open."""
        request = self.request
        if not request.verify:
            seen = verification()
            seen.passed("exists")
            seen.undecided("check", "not asked for (verify=false)")
            return seen, snapshot
        manifest = Manifest(
            snapshot.bytes, snapshot.sha256, snapshot.taken_at, request.now, None, snapshot.figures, entry
        )
        verifier = Verifier(partial, manifest, request.workshop, self.progress, queues=request.queues)
        seen = verifier.run("queues")
        self.notes += seen.notes
        if verifier.found is None or seen.verdict != VERIFIED:
            return seen, snapshot
        figures = exact(verifier.found, has_queues=request.queues)
        return seen, Snapshot(snapshot.bytes, snapshot.sha256, snapshot.taken_at, figures)

    def _free_name(self, taken_at: float) -> Path:
        """A name of a second in which there is no backup yet."""
        moment = dt.datetime.fromtimestamp(taken_at, dt.timezone.utc)
        while True:
            target = self.request.dest / f"{self.request.name}-{moment.strftime(STAMP)}{SUFFIX}"
            if not target.exists():
                return target
            moment += dt.timedelta(seconds=1)
            self.progress.check()

    def _facts(
        self, target: Path, entry: Mapping[str, Any], objects: list[dict[str, Any]], snapshot: Snapshot
    ) -> dict[str, Any]:
        return {
            **entry,
            "objects": objects,
            "path": str(target),
            "manifest": str(path_of(target)),
            **snapshot.figures.as_dict(),
        }

    def _result(
        self,
        changed: bool,
        actions: list[dict[str, Any]],
        before: Optional[tuple[Path, Manifest]],
        after: Optional[tuple[Path, Manifest]],
        backup: Optional[Mapping[str, Any]] = None,
    ) -> dict[str, Any]:
        is_planned = changed and backup is None
        told = None if is_planned else shown(after)
        return outcome(
            changed=changed,
            actions=actions,
            before=shown(before),
            after=told,
            backup=None if backup is None else dict(backup),
            notes=list(dict.fromkeys(self.notes)),
            diff={"before": _line(shown(before)), "after": _line(told) if told else "a new backup\n"},
        )


def _line(backup: Mapping[str, Any]) -> str:
    if backup["path"] is None:
        return "no backup\n"
    return f"{backup['path']} ({backup['verdict']}, {backup['taken_at']})\n"


def _device(path: Path) -> int:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path.stat().st_dev
