"""Which mounts are real: tables of a machine, of a Docker host, and of a container."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.host import mounts

MACHINE = """\
22 28 0:21 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
23 28 0:22 / /proc rw,relatime shared:14 - proc proc rw
25 28 0:6 / /dev rw,nosuid,relatime shared:2 - devtmpfs udev rw,size=1k
27 28 0:24 / /run rw,nosuid,nodev shared:5 - tmpfs tmpfs rw,size=201468k
28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
30 28 254:2 / /var/lib/my\\040data rw,relatime - xfs /dev/vdb rw
31 28 254:1 /srv/www /srv/chroot/www rw,relatime - ext4 /dev/vda1 rw
32 28 7:0 / /snap/core/1 ro,nodev - squashfs /dev/loop0 ro
33 28 0:45 / /mnt/share rw - nfs4 server:/export rw,hard
34 28 0:50 / /var/lib/docker/overlay2/abc/merged rw - overlay overlay rw,lowerdir=a
35 28 254:3 / /opt rw - ext4 /dev/vdc rw
36 35 254:4 / /opt rw - ext4 /dev/vdd ro,errors=remount-ro
"""
CONTAINER = """\
100 50 0:60 / / rw,relatime - overlay overlay rw,lowerdir=a
101 100 0:61 / /proc rw - proc proc rw
102 100 254:1 /var/lib/docker/containers/x/hosts /etc/hosts rw - ext4 /dev/vda1 rw
103 100 254:1 /data /data rw - ext4 /dev/vda1 rw
"""


def points(text: str, ignore: tuple[str, ...] = ()) -> dict[str, str]:
    return {each.point: each.kind for each in mounts.real_mounts(mounts.read_mountinfo(text), ignore)}


def test_each_file_system_once() -> None:
    assert points(MACHINE) == {
        "/run": "memory",
        "/": "disk",
        "/var/lib/my data": "disk",
        "/snap/core/1": "image",
        "/mnt/share": "network",
        "/opt": "disk",
    }
    root = next(each for each in mounts.real_mounts(mounts.read_mountinfo(MACHINE)) if each.point == "/")
    assert root.also_at == ("/srv/chroot/www",)
    # What was mounted over cannot be reached.
    assert next(each.device for each in mounts.real_mounts(mounts.read_mountinfo(MACHINE)) if each.point == "/opt") == (
        "254:4"
    )
    assert "/run" not in points(MACHINE, ("/ru*",))


def test_a_containers_root_stands_for_the_disk_below() -> None:
    assert points(CONTAINER)["/"] == "overlay"
    rooms = {"used": mounts.Room(4096, 1000, 500, 450, 100, 90)}
    entries = [
        mounts.disk_facts(each, rooms["used"], {}) for each in mounts.real_mounts(mounts.read_mountinfo(CONTAINER))
    ]
    (left,) = mounts.without_shadows(entries)
    assert left["mount"] == "/"
    assert set(left["also_at"]) == {"/data", "/etc/hosts"}


@pytest.mark.parametrize(
    ("line", "fstab", "expected"),
    [
        ("28 1 254:1 / / rw - ext4 /dev/vda1 rw", "/dev/vda1 / ext4 defaults 0 1", False),
        ("28 1 254:1 / / ro - ext4 /dev/vda1 ro", "/dev/vda1 / ext4 defaults 0 1", True),
        ("28 1 254:1 / / ro - ext4 /dev/vda1 ro", "/dev/vda1 / ext4 ro 0 1", False),
        ("28 1 254:1 / / ro - ext4 /dev/vda1 ro,errors=remount-ro", "", True),
        ("28 1 254:1 / /boot ro - ext4 /dev/vda1 ro", "#/dev/vda1 /boot ext4 rw 0 1", False),
        ("28 1 0:9 / /usr ro - squashfs /dev/loop1 ro", "/dev/loop1 /usr squashfs defaults 0 0", False),
    ],
)
def test_read_only_against_what_was_wanted(line: str, fstab: str, expected: bool) -> None:
    (mount,) = mounts.read_mountinfo(line)
    assert mounts.is_unexpectedly_read_only(mount, mounts.read_fstab(fstab)) is expected


def test_figures_are_those_of_df() -> None:
    (mount,) = mounts.read_mountinfo("28 1 254:1 / / rw - ext4 /dev/vda1 rw")
    # 50 of the free blocks are reserved for root: df says 53 percent, not 50.
    facts = mounts.disk_facts(mount, mounts.Room(4096, 1000, 500, 450, 100, 40), {})
    assert (facts["used_percent"], facts["inodes_used_percent"], facts["available_bytes"]) == (52.6, 60.0, 450 * 4096)
    btrfs = mounts.disk_facts(mount, mounts.Room(4096, 1000, 500, 500, 0, 0), {})
    assert (btrfs["inodes_used_percent"], btrfs["has_inode_limit"]) == (None, False)
    gone = mounts.disk_facts(mount, None, {}, "it did not answer")
    assert (gone["used_percent"], gone["has_inode_limit"], gone["reason"]) == (None, None, "it did not answer")
