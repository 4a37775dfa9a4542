# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of redis_restore to its result: prove, make sure that nobody is at work, build, place."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.verdict import VERIFIED, Verification
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.files import (
    copy_file,
    explained,
    free_bytes,
    private_directory,
    write_file,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import check_guards, window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused, outcome
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.headroom import check_disk
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.levels import LEVELS
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.program import Program
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.prove import Chosen, choose
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.publish import STAMP
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.verify import (
    SCRATCH_PREFIX,
    Verifier,
    Workshop,
    compare_live,
    workshop_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import require_library
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import Settings, settings_from
from ansible_collections.runbook.ops.plugins.module_utils.redis.restore.append_only import build, start_normally
from ansible_collections.runbook.ops.plugins.module_utils.redis.restore.config import Config, read_config, value_of
from ansible_collections.runbook.ops.plugins.module_utils.redis.restore.layout import (
    Layout,
    aside,
    layout_from,
    undo_commands,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.restore.place import (
    give_to,
    ownership_of,
    rename_all,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.restore.stopped import check_stopped
from ansible_collections.runbook.ops.plugins.module_utils.redis.sentinel import find_master

# What was placed last, so that a second run knows that there is nothing to do.
MARKER = ".runbook-restore.json"
_DEFAULT_PORT = "6379"
_MARGIN = 1.1


def restore_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of redis_restore beside connection, guards and workshop."""
    return {
        "path": {"type": "path"},
        "directory": {"type": "path"},
        "name": {"type": "str"},
        "manifest": {"type": "path"},
        "level": {"type": "str", "default": LEVELS[-1], "choices": list(LEVELS[2:])},
        "config_file": {"type": "path"},
        "data_directory": {"type": "path"},
        "dbfilename": {"type": "str"},
        "appendonly": {"type": "bool"},
        "appendfilename": {"type": "str"},
        "appenddirname": {"type": "str"},
        "pidfile": {"type": "path"},
        "check_running": {"type": "bool", "default": True},
    }


def restore(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The module's result; raises RunbookError."""
    settings = settings_from(params)
    check_guards(params)
    workshop = workshop_from(params)
    config = read_config(Path(params["config_file"])) if params["config_file"] else {}
    program = workshop.program()
    layout = layout_from(params, config, int(program.version.split(".")[0]), program.flavour)
    if not layout.directory.is_dir():
        raise InvalidOption("data_directory", str(layout.directory), "a directory that exists on the host")
    chosen = choose(params["path"], params["directory"], params["name"], params["manifest"])
    require_library()
    progress = Progress(params["progress_path"])
    with progress.stoppable():
        run = _Run(settings, workshop, program, layout, config, chosen, progress, params)
        return run.run(check_mode=check_mode)


@dataclass
class _Run:
    settings: Settings
    workshop: Workshop
    program: Program
    layout: Layout
    config: Config
    chosen: Chosen
    progress: Progress
    params: Mapping[str, Any]
    stamp: str = ""
    notes: list[str] = field(default_factory=list)

    def run(self, *, check_mode: bool) -> dict[str, Any]:
        self.stamp = dt.datetime.now(dt.timezone.utc).strftime(STAMP)
        self._check_server(is_stopped=not check_mode or self.params["check_running"])
        verifier, seen = self._prove()
        if self._is_there(verifier.sha256):
            return self._result(False, [], seen)
        actions = self._actions()
        if refusal := window_refusal(self.params):
            raise Refused(f"Nothing was restored: {refusal[0]}. {refusal[1]}", changed=False, actions=actions)
        size = verifier.bytes or 0
        needed = int(size * _MARGIN * len(self.layout.placed))
        check_disk(str(self.layout.directory), free_bytes(self.layout.directory), needed, "what is restored")
        if check_mode:
            return self._result(True, actions, seen)
        with private_directory(SCRATCH_PREFIX, self.layout.directory) as staging:
            digest = copy_file(self.chosen.path, staging / self.layout.dbfilename, self.progress)[1]
            if digest != verifier.sha256:
                raise RunbookError(
                    f"{self.chosen.path} changed while it was read. Nothing was touched. Run this again."
                )
            if self.layout.append_only:
                self._build(staging)
            moved = self._place(staging, digest)
        return self._result(True, actions, seen, moved)

    def _check_server(self, *, is_stopped: bool = True) -> None:
        """Raise Refused unless the server is going to read what is restored and, if it must be, is stopped."""
        master = self.config.get("replicaof") or self.config.get("slaveof")
        if master:
            raise Refused(
                f"The server is configured as a replica of {':'.join(master)}: it would throw the restored data away "
                "and fetch its master's. Nothing was touched. Restore the master, or take replicaof out of its "
                "configuration."
            )
        if not is_stopped:
            return
        settings = self.settings
        addresses, sockets = [], [settings.unix_socket] if settings.unix_socket else []
        if settings.sentinels:
            addresses.append(self._master_of_sentinels())
        elif not settings.unix_socket:
            addresses.append((settings.host, settings.port))
        if self.config:
            port = int(value_of(self.config, "port", _DEFAULT_PORT) or 0)
            addresses += [("127.0.0.1", port)] if port else []
            sockets += [each for each in [value_of(self.config, "unixsocket")] if each]
        pidfiles = [each for each in (self.params["pidfile"], value_of(self.config, "pidfile")) if each]
        check_stopped(self.layout.directory, addresses, sockets, pidfiles)

    def _master_of_sentinels(self) -> tuple[str, int]:
        """Where sentinels see the master: after a failover another server, whose replica the restored one would be."""
        try:
            found = find_master(self.settings)
        except Unavailable as error:
            raise Refused(
                f"{error.message} So nobody knows whether another server has become the master, whose data would "
                "replace what is restored. Nothing was touched. Start a sentinel, or leave sentinels out when all of "
                "them are stopped on purpose."
            ) from None
        return found.host, found.port

    def _prove(self) -> tuple[Verifier, Verification]:
        verifier = Verifier(
            self.chosen.path, self.chosen.manifest, self.workshop, self.progress, queues=self.params["queue_counts"]
        )
        seen = verifier.run(self.params["level"])
        if seen.verdict != VERIFIED:
            because = f" ({self.chosen.problem})" if self.chosen.problem else ""
            raise Refused(
                f"{self.chosen.path} is not verified ({seen.verdict}): {seen.reason}{because}. Nothing was touched. "
                "Take another backup.",
                changed=False,
                verification=seen.as_dict(),
            )
        self.notes += seen.notes
        return verifier, seen

    def _is_there(self, sha256: str | None) -> bool:
        """Whether the last restore was of this backup and nothing has changed since."""
        try:
            marker = json.loads((self.layout.directory / MARKER).read_text(encoding="utf-8"))
            return bool(
                marker["sha256"] == sha256
                and marker["append_only"] == self.layout.append_only
                and marker["files"] == self._state()
            )
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _state(self) -> dict[str, list[int]]:
        """Size and moment of every file that a restore places."""
        files: list[Path] = []
        for name in self.layout.placed:
            path = self.layout.directory / name
            files += sorted(path.iterdir()) if path.is_dir() else [path]
        return {
            str(each.relative_to(self.layout.directory)): [each.stat().st_size, each.stat().st_mtime_ns]
            for each in files
        }

    def _present(self) -> list[str]:
        return [name for name in self.layout.readable if (self.layout.directory / name).exists()]

    def _actions(self) -> list[dict[str, Any]]:
        directory = self.layout.directory
        actions = [
            {"action": "move_aside", "object": str(directory / name), "reason": f"to {aside(name, '<moment>')}"}
            for name in self._present()
        ]
        source = f"from {self.chosen.path}"
        actions.append({"action": "place", "object": str(self.layout.dump), "reason": source})
        if self.layout.append_only:
            name = str(directory / self.layout.append_only_name)
            actions.append(
                {"action": "place", "object": name, "reason": f"made {source}, because the server reads only it"}
            )
        return actions

    def _build(self, staging: Path) -> None:
        more, seconds = self.workshop.arguments, self.workshop.seconds
        build(staging, self.layout, self.program, more, seconds, self.progress)
        with start_normally(staging, self.layout, self.program, more, seconds, self.progress) as server:
            if self.chosen.manifest is None:
                return
            seen, _found = compare_live(
                self.chosen.manifest, server.settings, self.workshop.budget, queues=self.params["queue_counts"]
            )
        if seen.verdict != VERIFIED:
            raise RunbookError(
                f"A server that starts with the append-only file made from {self.chosen.path} does not hold what it "
                f"should ({seen.reason}). Nothing was touched.",
                verification=seen.as_dict(),
            )

    def _place(self, staging: Path, digest: str) -> list[dict[str, str]]:
        directory = self.layout.directory
        owner = ownership_of(directory, self.layout.dump)
        for name in self.layout.placed:
            give_to(staging / name, owner)
        self._check_server()
        steps = [(directory / name, directory / aside(name, self.stamp)) for name in self._present()]
        moved = [{"from": str(source), "to": str(target)} for source, target in steps]
        rename_all([*steps, *((staging / name, directory / name) for name in self.layout.placed)])
        marker = {
            "sha256": digest,
            "backup": str(self.chosen.path),
            "restored_at": iso(dt.datetime.now(dt.timezone.utc)),
            "append_only": self.layout.append_only,
            "files": self._state(),
            "moved": moved,
        }
        # The restore is done; a marker that cannot be written only means that a second run does it again.
        with contextlib.suppress(RunbookError), explained("write", directory / MARKER):
            write_file(directory / MARKER, json.dumps(marker, indent=2, sort_keys=True).encode("utf-8"))
            give_to(directory / MARKER, owner)
        return moved

    def _result(
        self,
        changed: bool,
        actions: list[dict[str, Any]],
        seen: Verification,
        moved: Optional[list[dict[str, str]]] = None,
    ) -> dict[str, Any]:
        placed = [str(self.layout.directory / name) for name in self.layout.placed]
        before = {"files": [name for name in self._present() if moved is None or not changed]}
        if moved is not None:
            before = {"files": [Path(each["from"]).name for each in moved]}
        is_planned = changed and moved is None
        after = None if is_planned else {"files": self._present()}
        return outcome(
            changed=changed,
            actions=actions,
            before=before,
            after=after,
            backup=str(self.chosen.path),
            data_directory=str(self.layout.directory),
            append_only=self.layout.append_only,
            placed=[] if moved is None else placed,
            moved=moved or [],
            undo=undo_commands(moved or [], placed, self.stamp) if moved is not None else [],
            verification=seen.as_dict(),
            notes=list(dict.fromkeys(self.notes)),
            diff={
                "before": "".join(f"{name}\n" for name in before["files"]),
                "after": "".join(
                    [f"{each['reason'].removeprefix('to ')}\n" for each in actions if each["action"] == "move_aside"]
                    + [f"{name} ({self.chosen.path})\n" for name in self.layout.placed]
                ),
            },
        )
