"""What is read of a machine: whose crontabs, which timers, and whose cron."""

from __future__ import annotations

import pwd
from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.schedule import machine
from ansible_collections.runbook.ops.plugins.module_utils.services.commands import TOO_SLOW, Answer

TIMER = "Id=a.timer\nLoadState=loaded\nUnit=a.service\nActiveState=active\nUnitFileState=enabled\n"
SLOW = Answer(TOO_SLOW, "", "systemctl did not answer within 1 s")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("cron.d", "spool"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(machine, "SYSTEM_CRONTAB", tmp_path / "crontab")
    monkeypatch.setattr(machine, "CRON_D", tmp_path / "cron.d")
    monkeypatch.setattr(machine, "SPOOLS", (tmp_path / "spool",))
    monkeypatch.setattr(machine, "PERIODS", ())
    return tmp_path


def test_files_of_users_and_leftovers(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = {"jane.doe": 1, "jane": 1}
    monkeypatch.setattr(pwd, "getpwnam", users.__getitem__)
    # Those without an account and without a dot may be of a directory that does not answer now.
    for name in ("jane.doe", "jane", "jane.bak", "gone", "tmp.XyZ", ".hidden"):
        (place / "spool" / name).write_text("0 2 * * * true\n", encoding="utf-8")
    (place / "cron.d/shop~").write_text("0 2 * * * this is wrong", encoding="utf-8")
    found = machine.read_machine(1, with_timers=False)
    assert [each.user for each in found.entries] == ["gone", "jane", "jane.doe"]
    assert [(each.code, each.level) for each in found.problems] == [("leftover", "notice")]


@pytest.mark.parametrize(
    ("shown", "codes", "skipped"),
    [
        (Answer(0, "Id=a.service\nLoadState=loaded\n", ""), [], []),
        (Answer(0, "Id=a.service\nLoadState=not-found\n", ""), ["missing_unit"], []),
        # What nobody answered is no proof that a unit is missing.
        (SLOW, [], ["what the timers start is not known: systemctl did not answer within 1 s"]),
    ],
)
@pytest.mark.usefixtures("place")
def test_timers_and_what_they_start(
    shown: Answer, codes: list[str], skipped: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(argv: Sequence[str], _seconds: float) -> Answer:
        return Answer(0, TIMER, "") if argv[-1] == "*.timer" else shown

    monkeypatch.setattr(machine, "ask", ask)
    found = machine.read_machine(1)
    assert [each.code for each in found.problems] == codes
    assert [each["reason"] for each in found.skipped] == skipped
    assert [each.source for each in found.entries] == ["a.timer"]


@pytest.mark.parametrize(
    ("name", "namespace", "running"),
    [
        ("cron", "pid:[1]", True),
        ("crond", "pid:[1]", True),
        ("cron", "pid:[2]", False),
        # Who may not look cannot tell.
        ("cron", "", True),
        ("sshd", "pid:[1]", False),
    ],
)
def test_cron_of_a_container_is_not_this_machines(tmp_path: Path, name: str, namespace: str, running: bool) -> None:
    for process, where in (("self", "pid:[1]"), ("812", namespace)):
        (tmp_path / process / "ns").mkdir(parents=True)
        if where:
            (tmp_path / process / "ns/pid").symlink_to(where)
    (tmp_path / "812/comm").write_text(f"{name}\n", encoding="utf-8")
    assert machine.cron_is_running(tmp_path) is running
