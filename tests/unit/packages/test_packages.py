"""What package managers say, which updates are chosen and approved, what must be restarted."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.packages.apt_output import (
    is_security,
    kernels,
    read_simulation,
    read_versions,
)
from ansible_collections.runbook.ops.plugins.module_utils.packages.apt_repack import control_of
from ansible_collections.runbook.ops.plugins.module_utils.packages.dnf_output import (
    read_check_update,
    read_rpm,
    read_security,
    read_transaction,
)
from ansible_collections.runbook.ops.plugins.module_utils.packages.info import reboot_reasons
from ansible_collections.runbook.ops.plugins.module_utils.packages.model import Installed, Update, newest
from ansible_collections.runbook.ops.plugins.module_utils.packages.plan import check_plan, choose, not_reached
from ansible_collections.runbook.ops.plugins.module_utils.packages.record import Record
from ansible_collections.runbook.ops.plugins.module_utils.packages.stale import (
    refused_in,
    replaced_files,
    stale_units,
    unit_of,
    why_left,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.patch_approval import approved

APT = """\
The following packages have been kept back:
  linux-image-amd64 nginx
The following packages will be upgraded:
  libc6 openssl
Inst libc6 [2.36-9+deb12u13] (2.36-9+deb12u14 Debian:12.12/stable, Debian-Security:12/stable-security [amd64]) []
Inst openssl:amd64 [3.0.15] (3.0.16 Ubuntu:22.04/jammy-updates [amd64])
Inst libnew (1.0 Debian:12.12/stable [all])
Remv oldthing [0.9]
Conf libc6 (2.36-9+deb12u14 Debian:12.12/stable [amd64])
"""


def test_what_apt_would_do():
    found = read_simulation(APT, frozenset({"openssl"}))
    assert [(each.name, each.installed, each.candidate, each.security, each.held) for each in found.installs] == [
        ("libc6", "2.36-9+deb12u13", "2.36-9+deb12u14", True, False),
        ("openssl", "3.0.15", "3.0.16", False, True),
        ("libnew", None, "1.0", False, False),
    ]
    assert found.removals == ["oldthing"]
    assert found.kept_back == ["linux-image-amd64", "nginx"]


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("Debian-Security:12/stable-security", True),
        ("Ubuntu:22.04/jammy-security", True),
        ("Debian:12.12/stable", False),
        ("Ubuntu:22.04/jammy-updates, Ubuntu:22.04/jammy-security", True),
        ("", False),
    ],
)
def test_what_comes_from_a_security_archive(origin, expected):
    assert is_security(origin) is expected


def test_what_dpkg_has():
    text = "ii \tshop\tall\t1.0\niF \tweb\tamd64\t2.0\nrc \tgone\tamd64\t1\nii \tlib\ti386\t3\nun \tnever\tamd64\t\n"
    assert read_versions(text, "amd64") == {"shop": Installed("1.0"), "web": Installed("2.0", whole=False)}


def test_kernels_sort_as_numbers():
    names = [
        "linux-image-6.1.0-9-amd64",
        "linux-image-6.1.0-10-amd64",
        "linux-image-amd64",
        "linux-image-6.1.0-11-amd64-dbg",
    ]
    assert kernels(names) == ["6.1.0-9-amd64", "6.1.0-10-amd64"]
    assert newest(kernels(names)) == "6.1.0-10-amd64"
    assert newest([]) is None


@pytest.mark.parametrize(
    ("installed", "marked", "units", "expected"),
    [
        (None, None, [], []),
        ("6.1.0-9", None, [], []),
        ("6.1.0-10", None, [], ["kernel 6.1.0-10 is installed and 6.1.0-9 runs"]),
        # Booted into a newer one than is installed now, as in a container: nothing to do.
        ("6.1.0-8", None, [], []),
        (None, "", [], ["asked for by an update"]),
        (None, "libc6", ["dbus.service"],
         ["asked for by libc6", "dbus.service uses replaced files and cannot be restarted"]),
    ],
)  # fmt: skip
def test_why_a_reboot_is_needed(installed, marked, units, expected):
    assert reboot_reasons("6.1.0-9", installed, marked, units) == expected


UPDATES = [
    Update("shop", "1.0", "1.1", security=True),
    Update("web", "1.9-1", "2.0-1"),
    Update("postgresql-15", "15.1", "15.2", security=True),
    Update("pinned", "1", "1.1", held=True),
    Update("new", None, "1.0"),
]
ALL = {"packages": ["*"], "hold": ["postgresql*"], "security_only": False, "versions": None}


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({}, {"shop": "1.1", "web": "2.0-1"}),
        ({"security_only": True}, {"shop": "1.1"}),
        ({"packages": ["w*"]}, {"web": "2.0-1"}),
        ({"versions": {"shop": "1.0.5"}}, {"shop": "1.0.5"}),
        # Nothing approved is nothing at all.
        ({"versions": {}}, {}),
        ({"versions": {"postgresql-15": "15.2"}}, {}),
    ],
)
def test_what_is_updated(more, wanted):
    chosen = choose(UPDATES, **{**ALL, **more})
    assert chosen.wanted == wanted
    reasons = {each["object"]: each["reason"] for each in chosen.left}
    assert reasons["postgresql-15"] == "it is on the list of packages that are not updated in passing"
    assert reasons["pinned"] == "it is held on the machine (apt-mark hold)"


@pytest.mark.parametrize(
    ("installs", "removals", "limit", "message"),
    [
        (UPDATES[:2], ["mail"], 9, "The updates would remove mail. Nothing was changed."),
        (UPDATES[:3], [], 9, "The updates would take along postgresql-15, on the list"),
        (UPDATES[:2], [], 1, "2 packages would be changed, and max_packages is 1."),
    ],
)
def test_what_is_refused_as_a_whole(installs, removals, limit, message):
    with pytest.raises(RunbookError, match=message):
        check_plan(installs, removals, {"shop": "1.1", "web": "2.0-1"}, ["postgresql*"], limit)


def test_the_proof():
    there = {"shop": Installed("1.1"), "web": Installed("2.0", whole=False), "old": Installed("1")}
    assert not_reached({"shop": "1.1"}, there, {}) == []
    assert not_reached({"shop": "1.2", "web": "2.0", "old": None, "gone": "1"}, there, {}) == [
        "shop is 1.1 instead of 1.2",
        "web 2.0 is not set up: its script failed",
        "old is still there",
        "gone is not installed instead of 1",
    ]


@pytest.mark.parametrize(
    ("policy", "given", "versions", "reasons"),
    [
        ({"security": {}, "minor": {}, "major": {}}, {}, {"shop", "web"}, []),
        ({"security": {}}, {}, {"shop"}, ["the policy has no rule for major updates"]),
        ({"security": {}, "major": {"requires": ["ticket"]}}, {}, {"shop"}, ["major updates need a ticket"]),
        ({"security": {}, "major": {"requires": ["approver"]}}, {}, {"shop"}, ["major updates need an approver"]),
        ({"security": {}, "major": {"requires": ["ticket"]}}, {"ticket": "C-1"}, {"shop", "web"}, []),
        ({"security": {}, "major": {"approvers": ["cto"]}}, {}, {"shop"}, ["nobody has approved major updates"]),
        ({"security": {}, "major": {"approvers": ["cto"]}}, {"approver": "ops"}, {"shop"},
         ["ops may not approve major updates"]),
        ({"security": {}, "major": {"approvers": ["cto"]}}, {"approver": "cto"}, {"shop", "web"}, []),
        ({"security": {}, "major": {"window": ["Sun 02:00-06:00"]}}, {"moment": "2026-01-30T03:00:00Z"}, {"shop"},
         ["major updates have their window at Sun 02:00-06:00"]),
        ({"security": {}, "major": {"window": ["Sun 02:00-06:00"]}}, {"moment": "2026-02-01T03:00:00Z"},
         {"shop", "web"}, []),
    ],
)  # fmt: skip
def test_what_is_approved(policy, given, versions, reasons):
    decided = approved([each.facts() for each in UPDATES[:2]], policy, **given)
    assert set(decided["versions"]) == versions
    assert [each["reason"] for each in decided["refused"]] == reasons


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"urgent": {}}, "policy: .* Accepted: a mapping with security, minor, major."),
        ({"minor": {"needs": []}}, "policy.minor: .* requires, approvers, window"),
        ({"minor": {"requires": ["luck"]}}, "policy.minor.requires: .* approver, ticket"),
    ],
)
def test_policies_that_cannot_be_read(policy, message):
    with pytest.raises(RunbookError, match=message):
        approved([], policy)


def test_files_that_were_replaced():
    maps = [
        "7f1 r-xp 0000 08:01 12  /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)\n",
        "7f2 r-xp 0000 08:01 13  /usr/lib/x86_64-linux-gnu/libc.so.6\n",
        "7f3 rw-s 0000 00:05 14  /dev/zero (deleted)\n",
        "7f4 rw-s 0000 00:05 15  /memfd:pulse (deleted)\n",
        "7f5 rw-p 0000 00:05 16  /tmp/cache file (deleted)\n",
        "7f6 r--p 0000 00:05 17  /opt/shop/with space.so (deleted)\n",
    ]
    assert replaced_files(maps) == {"/usr/lib/x86_64-linux-gnu/libssl.so.3", "/opt/shop/with space.so"}


@pytest.mark.parametrize(
    ("cgroup", "expected"),
    [
        ("0::/system.slice/ssh.service\n", "ssh.service"),
        ("12:cpu:/x\n1:name=systemd:/docker/abc/system.slice/shop-web.service\n0::/\n", "shop-web.service"),
        ("0::/system.slice/system-postgresql.slice/postgresql@15-main.service\n", "postgresql@15-main.service"),
        ("0::/user.slice/user-1000.slice/session-2.scope\n", "user.slice"),
        ("0::/init.scope\n", "init.scope"),
        ("0::/kubepods/pod1/abc\n", None),
    ],
)
def test_the_unit_of_a_process(cgroup, expected):
    assert unit_of(cgroup) == expected


def test_what_may_be_restarted_in_passing():
    hold = ["postgresql*"]
    shown = "Id=ssh.service\nRefuseManualStart=no\nRefuseManualStop=no\n\nId=guard.service\nRefuseManualStop=yes\n"
    assert refused_in(shown) == {"guard.service"}
    assert [why_left(unit, hold) for unit in ("ssh.service", "init.scope")] == [None, None]
    in_use = ("dbus.service", "user@1000.service", "auditd.service", "serial-getty@ttyS0.service")
    assert {why_left(unit, hold) for unit in in_use} == {"cannot be restarted while the machine is in use"}
    assert [why_left(unit, hold) for unit in ("postgresql@15-main.service", "user.slice", None)] == [
        "is on hold",
        "is no service",
        "belongs to no unit",
    ]
    units = stale_units(
        [(7, "ssh.service", {"/usr/a"}), (9, None, {"/usr/b"}), (8, "ssh.service", {"/usr/c"}),
         (5, "guard.service", {"/usr/a"})],
        hold, lambda _units: refused_in(shown),
    )  # fmt: skip
    assert [(each["unit"], each["may_restart"], each["pids"], each["files_count"]) for each in units] == [
        (None, False, [9], 1),
        ("guard.service", False, [5], 1),
        ("ssh.service", True, [7, 8], 2),
    ]
    assert units[1]["reason"] == "refuses to be restarted by hand (RefuseManualStop, RefuseManualStart)"


def test_a_record_goes_back_to_the_first_version_and_survives(tmp_path):
    record = Record.load(tmp_path / "none")
    run = record.opened("2026-01-31T00:00:00Z")
    run.add({"shop": "1.0"}, {"shop": "1.1"})
    assert record.opened("2026-01-31T01:00:00Z") is run
    run.add({"shop": "1.1", "web": None}, {"shop": "1.2", "web": "3"})
    record.save()
    again = Record.load(tmp_path / "none")
    assert again.last is not None
    assert again.last.packages == {"shop": "1.0", "web": None}
    assert again.facts()["is_open"] is True
    again.last.finished_at = "2026-01-31T02:00:00Z"
    assert again.opened("2026-01-31T03:00:00Z").packages == {}
    (tmp_path / "none" / "updates.json").write_text("[]")
    with pytest.raises(RunbookError, match="is not a record of updates"):
        Record.load(tmp_path / "none")


def test_the_control_file_of_a_package_that_is_made_again():
    status = (
        "Package: shop\nStatus: install ok installed\nVersion: 1.0\nConffiles:\n /etc/shop.conf 0123\n"
        "Description: a shop\n of things\n"
    )
    assert control_of(status) == "Package: shop\nVersion: 1.0\nDescription: a shop\n of things\n"


def test_what_dnf_says():
    installed = read_rpm("shop\t0:1.0-1\tnoarch\nlib\t2:3.1-4.el9\tx86_64\n")
    security = read_security(
        "RHSA-2026:1 Important/Sec. lib-2:3.2-1.el9.x86_64\nRHBA-2026:2 bugfix shop-1.1-1.noarch\n"
    )
    listed = "\nlib.x86_64      2:3.2-1.el9   updates\nshop.noarch   1.1-1   shop\nObsoleting Packages\nx.noarch 1 y\n"
    assert [(each.name, each.installed, each.candidate, each.security) for each in
            read_check_update(listed, installed, security)] == [
        ("lib", "2:3.1-4.el9", "2:3.2-1.el9", True), ("shop", "0:1.0-1", "0:1.1-1", False),
    ]  # fmt: skip
    table = (
        "Dependencies resolved.\n=====\n Package   Architecture Version Repository Size\n=====\nUpgrading:\n"
        " shop  noarch  1.1-1  shop  6.2 k\nInstalling dependencies:\n more  noarch  1-1  shop  6 k\n"
        "Removing:\n old  noarch  1-1  @shop  0\n\nTransaction Summary\n=====\nUpgrade  1 Package\n"
    )
    found = read_transaction(table, installed)
    assert [(each.name, each.installed, each.candidate) for each in found.installs] == [
        ("shop", "0:1.0-1", "0:1.1-1"), ("more", None, "0:1-1"),
    ]  # fmt: skip
    assert found.removals == ["old"]
