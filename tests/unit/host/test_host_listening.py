"""Sockets of /proc/net, and a declared list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.runbook.ops.plugins.module_utils.host import listening
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.judge import judge

REPOSITORY = Path(__file__).resolve().parents[3]

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   110        0 31337 1 0 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 31338 1 0 100 0 0 10 0
   2: 0A00000A:0016 0B00000A:C350 01 00000000:00000000 02:00000000 00000000     0        0 31339 1 0 100 0 0 10 0
"""
UDP = """\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  7: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 22222 2 0 0
  8: 0A00000A:8000 08080808:0035 01 00000000:00000000 00:00000000 00000000     0        0 22223 2 0 0
"""

ELSEWHERE = "it listens on 0.0.0.0, declared is 10.0.0.0/8"
ELSEWHERE_6 = "it listens on ::, declared is 0.0.0.0"


def test_listening_sockets() -> None:
    assert [(each.address, each.port) for each in listening.read_sockets(TCP, "tcp")] == [
        ("127.0.0.1", 5432),
        ("0.0.0.0", 22),
    ]
    assert [(each.address, each.port) for each in listening.read_sockets(UDP, "udp")] == [("0.0.0.0", 68)]


@pytest.mark.parametrize(
    ("text", "order", "address", "reach"),
    [
        ("0100007F", "little", "127.0.0.1", "local"),
        ("7F000001", "big", "127.0.0.1", "local"),
        ("00000000", "little", "0.0.0.0", "any"),
        ("00000000000000000000000000000000", "little", "::", "any"),
        ("00000000000000000000000001000000", "little", "::1", "local"),
        ("0000000000000000FFFF00000100007F", "little", "127.0.0.1", "local"),
        ("B80D0120000000000000000001000000", "little", "2001:db8::1", "address"),
    ],
)
def test_addresses(text: str, order: str, address: str, reach: str) -> None:
    assert listening.read_address(text, order) == address
    assert listening.reach(address) == reach


def port(number: int, address: str = "0.0.0.0", **more: Any) -> dict[str, Any]:
    return {"port": number, "protocol": "tcp", "address": address, "process": "sshd", "unit": "ssh.service", **more}


def declared(number: int, **more: Any) -> dict[str, Any]:
    base = {"port": number, "protocol": "tcp", "address": [], "process": None, "unit": None, "required": True}
    return {**base, "name": None, **more}


@pytest.mark.parametrize(
    ("ports", "wanted", "undeclared", "exposed", "missing"),
    [
        ([port(22)], [declared(22)], [], [], []),
        ([port(22)], [], [(22, "it is not declared")], [], []),
        ([port(22)], [declared(22, process="nginx")], [(22, "the process is sshd, declared is nginx")], [], []),
        ([port(22, unit=None)], [declared(22, unit="ssh.service")], [], [], []),
        ([port(22)], [declared(22, address=["10.0.0.0/8"])], [], [(22, ELSEWHERE)], []),
        ([port(22)], [declared(22, address=["0.0.0.0/0"])], [], [], []),
        ([port(22, "10.1.1.1")], [declared(22, address=["10.0.0.0/8"])], [], [], []),
        ([port(22, "::")], [declared(22, address=["0.0.0.0"])], [], [(22, ELSEWHERE_6)], []),
        # One of two declarations is enough.
        ([port(22, "::")], [declared(22, address=["0.0.0.0"]), declared(22, address=["::"])], [], [], []),
        ([], [declared(22), declared(80, required=False)], [], [], [22]),
    ],
)  # fmt: skip
def test_against_the_declared_list(
    ports: list[dict[str, Any]], wanted: Any, undeclared: Any, exposed: Any, missing: Any
) -> None:
    found = listening.compare(ports, wanted)
    assert [(each["port"], each["reason"]) for each in found["undeclared"]] == undeclared
    assert [(each["port"], each["reason"]) for each in found["exposed"]] == exposed
    assert [each["port"] for each in found["missing"]] == missing


@pytest.mark.parametrize(("pids", "pid"), [([], None), ([1], 1), ([1, 812, 900], 812), ([812], 812)])
def test_a_service_answers_and_not_systemd_that_keeps_its_socket(pids: list[int], pid: int | None) -> None:
    assert listening.holder(pids) == pid


@pytest.mark.parametrize(
    ("address", "severity"), [("127.0.0.1", "ok"), ("::1", "ok"), ("0.0.0.0", "critical"), ("10.0.0.1", "critical")]
)
def test_what_listens_for_itself_is_exposed_to_nobody(address: str, severity: str) -> None:
    rules = yaml.safe_load((REPOSITORY / "roles/check_host/defaults/main.yml").read_text(encoding="utf-8"))
    rule = next(each for each in rules["check_host_rules"] if each["id"] == "host.ports_exposed")
    found = listening.compare(
        [port(22, address, reach=listening.reach(address))], [declared(22, address=["10.9.0.0/16"])]
    )
    assert len(found["exposed"]) == 1
    assert [each["severity"] for each in judge({"health": {"ports": found}}, [rule])] == [severity]


def test_without_a_list_nothing_is_compared() -> None:
    assert listening.compare([port(22)], None)["is_compared"] is False
