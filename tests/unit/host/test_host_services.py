"""systemd's units, clocks, kernels and kills, by what their tools and the kernel say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.host import cgroups, clocks, kills, reboots, sections, units
from ansible_collections.runbook.ops.plugins.module_utils.host.reading import Machine

# systemd 247 says infinity, 252 and later say it as well or with the largest number.
UNITS = """\
Id=ssh.service
Description=OpenBSD Secure Shell server
LoadState=loaded
ActiveState=active
SubState=running
NRestarts=0
MainPID=40
MemoryCurrent=1540096
MemoryMax=infinity
StateChangeTimestampMonotonic=5000000

Id=app.service
Description=The application = all of it
LoadState=loaded
ActiveState=activating
SubState=auto-restart
Result=exit-code
NRestarts=41
MemoryCurrent=[not set]
MemoryMax=18446744073709551615
StateChangeTimestampMonotonic=999000000

Id=flapping.service
ActiveState=active
SubState=running
NRestarts=5
MemoryCurrent=95
MemoryMax=100
StateChangeTimestampMonotonic=999000000

Id=settled.service
ActiveState=active
SubState=running
NRestarts=5
StateChangeTimestampMonotonic=1000000

Id=backup.service
ActiveState=failed
SubState=failed
Result=oom-kill
NRestarts=0
ExecMainStatus=9

Id=gone.service
LoadState=not-found
ActiveState=inactive
SubState=dead
"""


def test_units() -> None:
    facts = units.unit_facts(units.read_units(UNITS), 1000.0, ["ssh", "gone.service", "never-heard-of"])
    assert [(each["name"], each["result"]) for each in facts["failed"]] == [("backup.service", "oom-kill")]
    # One waits for its next start, another has just made it once more; one has not needed it for a while.
    assert [each["name"] for each in facts["restarting"]] == ["app.service", "flapping.service"]
    assert [each["name"] for each in facts["restarted"]] == ["app.service", "flapping.service", "settled.service"]
    assert [(each["name"], each["memory_used_percent"]) for each in facts["memory"]] == [
        ("ssh.service", None),
        ("flapping.service", 95.0),
    ]
    assert [(each["name"], each["is_active"]) for each in facts["expected"]] == [
        ("ssh.service", True),
        ("gone.service", False),
        ("never-heard-of.service", False),
    ]


CHRONY = "A29FC87B,time.example.com,3,1795983119.1,-0.000012345,0.0001,0.0002,1.2,0.0,0.1,0.01,0.002,64.2,Normal\n"
NTPQ = """associd=0 status=0615 leap_none, sync_ntp, 1 event, clock_sync,
version="ntpd 4.2.8p15", stratum=3, precision=-24, refid=10.0.0.1,
offset=250.5, sys_jitter=0.1
"""


@pytest.mark.parametrize(
    ("client", "synchronized", "offset"),
    [
        (clocks.read_chrony(CHRONY), True, 0.000012345),
        (clocks.read_chrony(CHRONY.replace("Normal", "Not synchronised")), False, 0.000012345),
        (clocks.read_chrony("506 Cannot talk to daemon"), None, None),
        (clocks.read_ntpq(NTPQ), True, 0.2505),
        (clocks.read_ntpq(NTPQ.replace("leap_none", "leap_alarm").replace("stratum=3", "stratum=16")), False, 0.2505),
        (clocks.read_ntpq("ntpq: read: Connection refused"), None, None),
    ],
)
def test_clients_of_the_clock(client: Any, synchronized: bool | None, offset: float | None) -> None:
    facts = clocks.clock_facts(None, {}, client, "")
    assert (facts["is_synchronized"], facts["offset_abs_seconds"]) == (synchronized, offset)


def test_the_kernel_knows_better_than_a_setting() -> None:
    kernel = {"is_synchronized": False, "offset_seconds": 0.0, "max_error_seconds": 16.0}
    facts = clocks.clock_facts(kernel, {"NTP": "yes", "NTPSynchronized": "yes", "Timezone": "UTC"}, None, "docker")
    assert (facts["is_synchronized"], facts["offset_seconds"]) == (False, None)
    assert (facts["service"], facts["is_own_clock"]) == ("systemd-timesyncd", False)
    assert clocks.clock_facts(None, {"NTPSynchronized": "yes"}, None, "")["is_synchronized"] is True


@pytest.mark.parametrize(
    ("running", "installed", "newest"),
    [
        ("6.1.0-9-amd64", ["6.1.0-9-amd64", "6.1.0-10-amd64"], "6.1.0-10-amd64"),
        ("6.1.0-10-amd64", ["6.1.0-9-amd64", "6.1.0-10-amd64", "6.5.0-1-cloud-amd64"], "6.1.0-10-amd64"),
        ("5.14.0-362.8.1.el9_3.x86_64", ["5.14.0-427.el9_4.x86_64"], "5.14.0-427.el9_4.x86_64"),
        ("6.1.0-9-amd64", [], None),
        # Debian 13, backports, and Raspberry Pi OS before and after their names changed.
        ("6.12.43+deb13-amd64", ["6.12.43+deb13-amd64", "6.12.48+deb13-amd64"], "6.12.48+deb13-amd64"),
        ("6.12.48+deb13-amd64", ["6.12.48+deb13-amd64", "6.16.3+deb13-cloud-amd64"], "6.12.48+deb13-amd64"),
        ("6.1.0-39-amd64", ["6.1.0-39-amd64", "6.12.9+bpo-amd64"], "6.12.9+bpo-amd64"),
        ("5.10.0-30-amd64", ["6.1.0-0.deb11.7-amd64", "5.10.0-30-amd64"], "6.1.0-0.deb11.7-amd64"),
        ("6.1.0-rpi8-rpi-v8", ["6.6.20+rpt-rpi-v8", "6.6.20+rpt-rpi-2712"], "6.6.20+rpt-rpi-v8"),
    ],
)
def test_newest_kernel(running: str, installed: list[str], newest: str | None) -> None:
    assert reboots.newest_kernel(running, installed) == newest


NEWER = "kernel 6.1.0-10-amd64 is installed, 6.1.0-9-amd64 runs"


@pytest.mark.parametrize(
    ("arguments", "needed", "reason"),
    [
        (("6.1.0-9-amd64", ["6.1.0-10-amd64"], None, [], None, ""), True, NEWER),
        (("6.1.0-9-amd64", [], True, ["libc6"], None, ""), True, "asked for by libc6"),
        (("6.1.0-9-amd64", ["6.1.0-9-amd64"], None, [], None, ""), False, None),
        (("5.14.0-1.el9.x86_64", [], None, [], (True, "it says so"), ""), True, "it says so"),
        (("5.14.0-1.el9.x86_64", [], None, [], (False, ""), ""), False, None),
        # A container has no kernel of its own; a machine that says nothing is unknown.
        (("6.1.0-9-amd64", ["6.1.0-10-amd64"], None, [], None, "docker"), False, None),
        (("6.1.0-9-amd64", [], None, [], None, ""), None, None),
    ],
)  # fmt: skip
def test_reboot(arguments: Any, needed: bool | None, reason: str | None) -> None:
    facts = reboots.reboot_facts(*arguments)
    assert (facts["is_needed"], facts["reason"]) == (needed, reason)


CAUSE = (
    "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/system.slice/app.service,"
    "task_memcg=/system.slice/app.service,task=ruby,pid=812,uid=1000"
)
KILLED = "Memory cgroup out of memory: Killed process 812 (ruby) total-vm:900kB, anon-rss:24192kB, file-rss:8kB, UID:0"
GLOBAL = (
    "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,"
    "task_memcg=/user.slice/user-0.slice/session-1.scope,task=stress,pid=99,uid=0"
)


def test_kills() -> None:
    messages: list[kills.Message] = [
        (1.0, "unrelated", ""),
        (2.0, CAUSE, ""),
        (2.0, KILLED, ""),
        (2.0, "app.service: A process of this unit has been killed by the OOM killer.", "app.service"),
        (3.0, GLOBAL, ""),
        (3.0, "Out of memory: Killed process 99 (stress) total-vm:1kB, anon-rss:5kB, UID:0", ""),
        # Where the kernel's own messages are not to be had.
        (4.0, "db.service: A process of this unit has been killed by the OOM killer.", "db.service"),
    ]
    found = kills.find_kills(messages)
    assert [(each["unit"], each["scope"], each["pid"], each["resident_bytes"]) for each in found] == [
        ("app.service", "limit", 812, 24192 * 1024),
        ("session-1.scope", "machine", 99, 5 * 1024),
        ("db.service", "unknown", None, None),
    ]
    assert found[0]["limited_by"] == "/system.slice/app.service"
    assert found[0]["at"] == "1970-01-01T00:00:02Z"


def test_where_kills_are_read() -> None:
    records = ["6,339,5140900,-;" + KILLED + "\n SUBSYSTEM=x", "no record", "6,340,x,-;odd"]
    assert kills.read_kmsg(records, 1000.0) == [(1005.1409, KILLED, "")]
    journal = (
        '{"__REALTIME_TIMESTAMP":"2000000","MESSAGE":"m","UNIT":"a.service","MESSAGE_ID":"' + kills.UNIT_KILLED + '"}\n'
        '{"__REALTIME_TIMESTAMP":"3000000","MESSAGE":[104,105]}\nnot json\n{"MESSAGE":"no moment"}\n'
    )
    assert kills.read_journal(journal) == [(2.0, "m", "a.service"), (3.0, "hi", "")]


class TellingMachine(Machine):
    """A machine whose journal says this."""

    journal = ""

    def answer(self, argv: Sequence[str]) -> tuple[int, str] | None:
        return (0, self.journal) if argv[0] == "journalctl" else None


@pytest.mark.parametrize(
    ("lines", "counter", "uptime", "count"),
    [
        (10, "oom_kill 3", 1e6, 0),
        (kills.MOST_MESSAGES, "oom_kill 3", 1e6, None),
        # Nobody was killed since the machine booted, which was before the window.
        (kills.MOST_MESSAGES, "oom_kill 0", 1e6, 0),
        (kills.MOST_MESSAGES, "oom_kill 0", 60, None),
        (kills.MOST_MESSAGES, "", 1e6, None),
    ],
)
def test_a_flood_of_messages_is_no_sign_of_health(
    tmp_path: Path, lines: int, counter: str, uptime: float, count: int | None
) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/vmstat").write_text(f"{counter}\n", encoding="utf-8")
    (tmp_path / "proc/uptime").write_text(f"{uptime} 1\n", encoding="utf-8")
    machine = TellingMachine({"oom_seconds": 86400, "oom_since": "24h"}, tmp_path)
    machine.journal = '{"__REALTIME_TIMESTAMP":"2000000000000000","MESSAGE":"[UFW BLOCK]"}\n' * lines
    assert sections.oom(machine, 2e9)["recent_count"] == count
    told = ["the newest messages of the kernel that were read do not reach back over 24h"] if count is None else []
    assert [each["reason"] for each in machine.skipped] == told
    machine.journal += '{"__REALTIME_TIMESTAMP":"2000000000000000","MESSAGE":"' + KILLED + '"}\n'
    assert sections.oom(machine, 2e9)["recent_count"] == 1


@pytest.mark.parametrize(
    ("record", "since", "overwritten"),
    [("6,0,5,-;first", 0.0, False), ("6,9,5,-;later", 0.0, True), ("6,9,5,-;later", 2000.0, False)],
)
def test_the_kernels_ring_has_an_end(record: str, since: float, overwritten: bool) -> None:
    told = kills.read_kmsg([record], 1000.0)
    assert kills.is_overwritten([record], told, since) is overwritten


@pytest.mark.parametrize(
    ("files", "membership", "version", "limit", "killed"),
    [
        (
            {
                "cgroup.controllers": "memory", "memory.max": "max", "memory.current": "5",
                "system.slice/app.service/memory.events": "low 0\noom 1\noom_kill 9\n",
                "system.slice/app.service/memory.events.local": "low 0\noom 1\noom_kill 3\n",
                "system.slice/app.service/memory.max": "100", "system.slice/app.service/memory.current": "50",
                "system.slice/memory.events": "oom_kill 3\n", "system.slice/memory.events.local": "oom_kill 0\n",
            },
            "0::/init.scope\n", 2, None, [("app.service", 3, 50.0)],
        ),
        (
            {
                "memory/docker/x/memory.usage_in_bytes": "10", "memory/docker/x/memory.limit_in_bytes": "20",
                "memory/docker/x/system.slice/app.service/memory.oom_control": "under_oom 0\noom_kill 2\n",
                "memory/docker/other/app.service/memory.oom_control": "oom_kill 7\n",
            },
            "4:memory:/docker/x\n9:name=systemd:/docker/x/init.scope\n0::/\n", 1, 20, [("app.service", 2, None)],
        ),
        (
            {"memory/memory.usage_in_bytes": "10", "memory/memory.limit_in_bytes": "9223372036854771712"},
            "4:memory:/docker/not/here\n", 1, None, [],
        ),
    ],
)  # fmt: skip
def test_control_groups(
    tmp_path: Path, files: dict[str, str], membership: str, version: int, limit: int | None, killed: list[Any]
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    own = cgroups.memory_root(tmp_path, membership)
    assert own is not None
    assert own[1] == version
    assert cgroups.limit_facts(*own)["limit_bytes"] == limit
    found = cgroups.killed_groups(*own)
    assert [(each["unit"], each["oom_kills_count"], each["limit_used_percent"]) for each in found] == killed


def test_no_group_for_memory(tmp_path: Path) -> None:
    assert cgroups.memory_root(tmp_path, "0::/\n") is None
    assert cgroups.memory_root(tmp_path, "") is None
