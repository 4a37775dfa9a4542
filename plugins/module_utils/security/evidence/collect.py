# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an intrusion leaves behind and an answer to it destroys, read in one pass and taken of secrets."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import stat
import time
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso_of
from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text
from ansible_collections.runbook.ops.plugins.module_utils.host.commandline import shown_command
from ansible_collections.runbook.ops.plugins.module_utils.security.accounts import keys_of
from ansible_collections.runbook.ops.plugins.module_utils.security.evidence.records import records_of
from ansible_collections.runbook.ops.plugins.module_utils.security.logins import failed_logins
from ansible_collections.runbook.ops.plugins.module_utils.security.machine import BECOME, Machine, expand

_PROC = Path("/proc")
_UTMP = ("/run/utmp", "/var/run/utmp")
_WTMP = ("/var/log/wtmp", "/var/log/wtmp.1")
_BTMP = ("/var/log/btmp",)
_MAX_BYTES = 64 << 20
_MAX_HASHED_BYTES = 16 << 20
_CRON = ["/etc/crontab", "/etc/cron.d/*", "/var/spool/cron/crontabs/*", "/var/spool/cron/*", "/etc/anacrontab"]
# Where everybody may write, and nobody installs a program.
_TEMPORARY = ("/tmp/", "/var/tmp/", "/dev/shm/")  # noqa: S108 - looked for, not used
# Files by which one comes in, becomes root, or comes back.
_DOORS = (
    *("/etc/passwd", "/etc/shadow", "/etc/group", "/etc/sudoers", "/etc/sudoers.d/*", "/etc/ssh/*", "/etc/pam.d/*"),
    *("/etc/cron*", "/var/spool/cron/*", "/etc/systemd/system/*", "/etc/ld.so.preload", "/etc/profile*", "/etc/rc*"),
    *("*/.ssh/authorized_keys*", "/usr/local/sbin/*", "/usr/local/bin/*"),
)
_CRON_SKIPPED = (".placeholder", ".seq")


def collect(options: Mapping[str, Any]) -> dict[str, Any]:
    """All of it; raises InvalidOption before anything is read."""
    for name in ("max_entries", "max_files", "timeout"):
        if options[name] < 1:
            raise InvalidOption(name, options[name], "1 or more")
    window = parse_seconds(options["since"], "since")
    machine = Machine({**options, "logins_since": options["since"], "top": options["max_entries"]})
    if os.geteuid() != 0:
        machine.gap("evidence", "only part of it can be seen", BECOME)
    evidence = _Evidence(machine, options, time.time() - window)
    parts: dict[str, Callable[[], Any]] = {
        "sessions": evidence.sessions,
        "last_logins": evidence.last_logins,
        "failed_logins": lambda: failed_logins(machine),
        "processes": evidence.processes,
        "sockets": evidence.sockets,
        "authorized_keys": evidence.authorized_keys,
        "changed_files": evidence.changed_files,
        "cron": evidence.cron,
    }
    found = {name: parts[name]() for name in parts}
    missing = [gap for gap in machine.gaps if gap.section in ("last_logins", "logins")]
    found["suspect_logins"] = suspects(found["last_logins"], found["failed_logins"]["by_address"], is_known=not missing)
    if found["suspect_logins"] is None:
        machine.gap("suspect_logins", "; ".join(each.reason for each in missing), missing[0].remedy)
    return {
        "available": True,
        "reason": None,
        "skipped_sections": [gap.as_dict() for gap in machine.gaps],
        "truncated": sorted(evidence.cut),
        "evidence": found,
    }


def suspects(
    logins: list[dict[str, Any]], failed: list[dict[str, Any]], *, is_known: bool
) -> Optional[list[dict[str, Any]]]:
    """Who came in from an address from which others had failed: perhaps a guess that was right.

    None where nobody is found and not all logins and failures are known: that is not nobody.
    """
    failures = {each["address"]: each["count"] for each in failed}
    found = {}
    for each in logins:
        if each["kind"] == "session" and each["from"] in failures:
            entry = {"user": each["user"], "from": each["from"], "at": each["at"]}
            found[each["user"], each["from"]] = {**entry, "failed_count": failures[each["from"]]}
    return list(found.values()) if found or is_known else None


class _Evidence:
    def __init__(self, machine: Machine, options: Mapping[str, Any], begin: float) -> None:
        self._machine = machine
        self._options = options
        self._most = int(options["max_entries"])
        self._begin = begin
        self.cut: set[str] = set()

    def _some(self, name: str, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if len(entries) > self._most:
            self.cut.add(name)
        return entries[: self._most]

    def _records(self, name: str, paths: tuple[str, ...]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        read = False
        for path in reversed(paths):
            try:
                with Path(path).open("rb") as stream:
                    stream.seek(max(0, os.fstat(stream.fileno()).st_size - _MAX_BYTES // 384 * 384))
                    found += [each.facts() for each in records_of(stream.read()) if each.seconds >= 0]
                read = True
            except OSError:
                continue
        if not read or not found:
            # Debian 13 writes other files; without even a boot in it, a file is not the one that is written.
            reason = f"{paths[0]} {'holds no record' if read else 'cannot be read'}"
            self._machine.gap(name, reason, "See loginctl, wtmpdb or the journal by hand.")
        return found[::-1]

    def sessions(self) -> list[dict[str, Any]]:
        """Who is logged in, of those whose process still lives."""
        alive = [
            each
            for each in self._records("sessions", _UTMP[:1])
            if each["kind"] == "session" and (_PROC / str(each["pid"])).exists()
        ]
        listed = self._machine.run(["loginctl", "--no-legend", "--no-pager", "list-sessions"])
        known = {each["pid"] for each in alive}
        for line in listed.out.splitlines() if listed.code == 0 else ():
            told = self._machine.run(["loginctl", "show-session", line.split()[0]]).out
            session = dict(each.split("=", 1) for each in told.splitlines() if "=" in each)
            leader = session.get("Leader", "")
            if leader.isdigit() and int(leader) not in known:
                alive.append(
                    {
                        "kind": "session",
                        "user": session.get("Name", ""),
                        "terminal": session.get("TTY", ""),
                        "from": session.get("RemoteHost", ""),
                        "pid": int(leader),
                        "at": session.get("Timestamp", ""),
                    }
                )
        return self._some("sessions", alive)

    def last_logins(self) -> list[dict[str, Any]]:
        """Logins, boots and ends, the newest first."""
        return self._some("last_logins", self._records("last_logins", _WTMP))

    def processes(self) -> list[dict[str, Any]]:
        """Everything that runs, the youngest first; a program whose file is gone is marked."""
        ticks = os.sysconf("SC_CLK_TCK")
        boot = _boot_seconds()
        found = []
        for place in _PROC.iterdir():
            if not place.name.isdigit():
                continue
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = (place / "stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()
                argv = (place / "cmdline").read_bytes().decode("utf-8", "replace").rstrip("\0").split("\0")
                if argv == [""] and fields[1] in ("0", "2"):
                    continue  # a thread of the kernel
                program = ""
                with contextlib.suppress(OSError):
                    program = os.readlink(place / "exe")  # noqa: PTH115 - it may end in " (deleted)"
                found.append(
                    {
                        "pid": int(place.name),
                        "parent": int(fields[1]),
                        "user": _name(place.stat().st_uid),
                        "started_at": iso_of(boot + int(fields[19]) / ticks),
                        "program": program.replace(" (deleted)", ""),
                        "is_deleted": program.endswith(" (deleted)"),
                        "is_temporary": program.startswith(_TEMPORARY),
                        "command": shown_command(argv),
                    }
                )
        return self._some("processes", sorted(found, key=lambda each: each["started_at"], reverse=True))

    def sockets(self) -> list[dict[str, Any]]:
        """What listens, and who is connected."""
        return self._some(
            "sockets",
            [
                {**each.facts(), "state": each.state, "peer": each.peer, "peer_port": each.peer_port}
                for each in self._machine.sockets
            ],
        )

    def authorized_keys(self) -> list[dict[str, Any]]:
        """Files with keys: digest, moment, and the fingerprints in them."""
        found = []
        for account in self._machine.accounts:
            for name in (".ssh/authorized_keys", ".ssh/authorized_keys2"):
                path = Path(account.home or "/nonexistent") / name
                described = _described(path)
                if described:
                    keys = keys_of(path.read_text(encoding="utf-8", errors="replace"))
                    fingerprints = [key["fingerprint"] for key in keys]
                    found.append({**described, "account": account.name, "fingerprints": fingerprints})
        return self._some("authorized_keys", found)

    def changed_files(self) -> list[dict[str, Any]]:
        """Files under the roots whose content or mode was changed in the window, by ctime, which nobody can set."""
        found: list[tuple[float, Path]] = []
        seen = 0
        until = time.monotonic() + float(self._options["timeout"])
        for root in self._options["roots"]:
            for place, directories, names in os.walk(root):
                directories.sort()
                for name in names:
                    seen += 1
                    path = Path(place, name)
                    with contextlib.suppress(OSError):
                        status = path.lstat()
                        if max(status.st_ctime, status.st_mtime) >= self._begin:
                            found.append((status.st_ctime, path))
                if seen > self._options["max_files"] or time.monotonic() > until:
                    reason = f"stopped after {seen} files, in {place}"
                    self._machine.gap("changed_files", reason, "Name narrower roots, or raise max_files.")
                    self.cut.add("changed_files")
                    return self._changed(found)
        return self._changed(found)

    def _changed(self, found: list[tuple[float, Path]]) -> list[dict[str, Any]]:
        if len(found) > self._most:
            self.cut.add("changed_files")
        newest = sorted(found, reverse=True)[: self._most]
        return [
            {
                "path": str(path),
                "changed_at": iso_of(changed),
                **(_described(path) or _linked(path)),
                "opens_doors": any(fnmatch(str(path), pattern) for pattern in _DOORS),
            }
            for changed, path in newest
        ]

    def cron(self) -> list[dict[str, Any]]:
        """The tables of cron with their lines, secrets taken out."""
        found = {}
        for pattern in _CRON:
            for name in expand(pattern):
                described = None if Path(name).name in _CRON_SKIPPED else _described(Path(name))
                if described:
                    lines = Path(name).read_text(encoding="utf-8", errors="replace").splitlines()
                    kept = [redact_text(each)[:300] for each in lines if each.strip() and not each.startswith("#")]
                    found[name] = {**described, "lines": kept[:100]}
        return self._some("cron", list(found.values()))


def _described(path: Path) -> dict[str, Any]:
    """A regular file with its digest; empty when it is none, or cannot be read."""
    with contextlib.suppress(OSError):
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            return {}
        digest = None
        if status.st_size <= _MAX_HASHED_BYTES:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return {
            "path": str(path),
            "owner": _name(status.st_uid),
            "mode": f"{stat.S_IMODE(status.st_mode):04o}",
            "size_bytes": status.st_size,
            "modified_at": iso_of(status.st_mtime),
            "changed_at": iso_of(status.st_ctime),
            "sha256": digest,
        }
    return {}


def _linked(path: Path) -> dict[str, Any]:
    """A symbolic link with where it leads; other things have an owner at most."""
    with contextlib.suppress(OSError):
        target = str(path.readlink()) if path.is_symlink() else None
        return {"owner": _name(path.lstat().st_uid), "target": target}
    return {}


def _boot_seconds() -> float:
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = (_PROC / "stat").read_text(encoding="ascii").splitlines()
        return float(next(line for line in lines if line.startswith("btime ")).split()[1])
    return 0.0


def _name(uid: int) -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)
