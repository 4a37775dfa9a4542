# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which mounts are real, and what of them may be called full. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.host.kernel import percent

# Kernel interfaces that look like file systems: they hold nothing.
_PSEUDO = frozenset(
    [
        "autofs",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "fusectl",
        "hugetlbfs",
        "mqueue",
        "nsfs",
        "proc",
        "pstore",
        "ramfs",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "smackfs",
        "sysfs",
        "tracefs",
        "fuse.gvfsd-fuse",
        "fuse.lxcfs",
        "fuse.portal",
        "fuse.snapfuse",
    ]
)
# Images are always full: there is nothing to write into.
_IMAGES = frozenset(["squashfs", "iso9660", "udf", "erofs", "cramfs", "romfs"])
_NETWORK = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "glusterfs",
        "ceph",
        "afs",
        "9p",
        "lustre",
        "beegfs",
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.rclone",
    ]
)
_OVERLAYS = frozenset(("overlay", "aufs"))


@dataclass(frozen=True)
class Mount:
    """One line of /proc/self/mountinfo, and where else the same file system is mounted."""

    point: str
    root: str
    device: str
    fstype: str
    source: str
    options: frozenset[str]
    super_options: frozenset[str]
    also_at: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """disk, network, memory, overlay, image, or pseudo."""
        if self.fstype in _PSEUDO:
            return "pseudo"
        if self.fstype in _IMAGES:
            return "image"
        if self.fstype in _OVERLAYS:
            return "overlay"
        if self.fstype == "tmpfs":
            return "memory"
        # What a program serves may not answer either, and need not have a disk of its own.
        return "network" if self.fstype in _NETWORK or self.fstype.startswith("fuse.") else "disk"


def read_mountinfo(text: str) -> list[Mount]:
    """The mounts of /proc/self/mountinfo (proc(5)), in order."""
    found = []
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        before, after = left.split(" "), right.split(" ")
        if not separator or len(before) < 6 or len(after) < 3:
            continue
        found.append(
            Mount(
                point=_unescaped(before[4]),
                root=_unescaped(before[3]),
                device=before[2],
                fstype=after[0],
                source=_unescaped(after[1]),
                options=frozenset(before[5].split(",")),
                super_options=frozenset(after[2].split(",")),
            )
        )
    return found


def real_mounts(mounts: Iterable[Mount], ignore: Sequence[str] = ()) -> list[Mount]:
    """What can become full, each file system once.

    A bind mount is the same file system again, and a container's overlay takes its room from the disk below: both
    would be counted twice. Only where an overlay is the root, in a container, it stands for the disk it hides.
    What is mounted over by a later mount cannot be reached and is left out.
    """
    visible: dict[str, Mount] = {}
    for each in mounts:
        visible.pop(each.point, None)
        visible[each.point] = each
    chosen: dict[str, Mount] = {}
    for each in visible.values():
        if each.kind == "pseudo" or (each.kind == "overlay" and each.point != "/"):
            continue
        if any(fnmatchcase(each.point, pattern) for pattern in ignore):
            continue
        before = chosen.get(each.device)
        if before is None:
            chosen[each.device] = each
            continue
        first, second = (each, before) if _comes_before(each, before) else (before, each)
        chosen[each.device] = replace(first, also_at=(*first.also_at, second.point, *second.also_at))
    return list(chosen.values())


def _comes_before(one: Mount, other: Mount) -> bool:
    """The whole file system before a part of it, then the shorter path."""
    return (one.root != "/", len(one.point), one.point) < (other.root != "/", len(other.point), other.point)


def read_fstab(text: str) -> dict[str, frozenset[str]]:
    """The options that /etc/fstab wants, by mount point."""
    wanted = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 4 and not words[0].startswith("#"):
            wanted[_unescaped(words[1])] = frozenset(words[3].split(","))
    return wanted


def is_unexpectedly_read_only(mount: Mount, fstab: Mapping[str, frozenset[str]]) -> bool:
    """Whether a file system that should be writable is not, as after an error of its disk.

    fstab says what should be; the option C(errors=remount-ro) says how it came about where fstab says nothing.
    """
    if "ro" not in mount.options | mount.super_options or mount.kind != "disk":
        return False
    if mount.point in fstab:
        return "ro" not in fstab[mount.point]
    return "errors=remount-ro" in mount.super_options


@dataclass(frozen=True)
class Room:
    """What statvfs says."""

    block_bytes: int
    blocks: int
    blocks_free: int
    blocks_available: int
    inodes: int
    inodes_free: int


def disk_facts(
    mount: Mount, room: Optional[Room], fstab: Mapping[str, frozenset[str]], reason: str = ""
) -> dict[str, Any]:
    """One entry: sizes as C(df) computes them, where what is reserved for root is not available."""
    read_only = "ro" in mount.options | mount.super_options
    used = available = size = inodes = inodes_used = None
    if room is not None:
        used = (room.blocks - room.blocks_free) * room.block_bytes
        available = room.blocks_available * room.block_bytes
        size = room.blocks * room.block_bytes
        # Some file systems (btrfs, network shares) have no fixed number of inodes and say 0.
        inodes = room.inodes or None
        inodes_used = room.inodes - room.inodes_free if room.inodes else None
    return {
        "mount": mount.point,
        "also_at": list(mount.also_at),
        "kind": mount.kind,
        "fstype": mount.fstype,
        "device": mount.source,
        "size_bytes": size,
        "used_bytes": used,
        "available_bytes": available,
        "used_percent": percent(used, None if used is None or available is None else used + available),
        "inodes_count": inodes,
        "inodes_used_count": inodes_used,
        "inodes_used_percent": percent(inodes_used, inodes),
        "has_inode_limit": bool(inodes) if room is not None else None,
        "is_read_only": read_only,
        "is_unexpectedly_read_only": is_unexpectedly_read_only(mount, fstab),
        # An image is full by nature, and a file system that cannot be written to does not fill.
        "is_judged": mount.kind != "image" and not (read_only and mount.kind != "disk") and size != 0,
        "reason": reason or None,
    }


def without_shadows(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the disk below a container's overlay, where parts of it are mounted into the container.

    The overlay shows that disk's room as its own; nobody wants to hear twice that it is full.
    """
    overlay = next((entry for entry in entries if entry["kind"] == "overlay"), None)
    if overlay is None:
        return list(entries)
    sizes = ("size_bytes", "inodes_count")
    shadows = [
        entry
        for entry in entries
        if entry["kind"] == "disk" and entry["size_bytes"] and all(entry[key] == overlay[key] for key in sizes)
    ]
    overlay["also_at"] = [
        *overlay["also_at"],
        *(place for each in shadows for place in (each["mount"], *each["also_at"])),
    ]
    return [entry for entry in entries if entry not in shadows]


def _unescaped(text: str) -> str:
    """Blanks and backslashes are written as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
