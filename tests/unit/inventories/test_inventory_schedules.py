"""Rounds and windows know of each other: what changes something is started when it may."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from typing import Any

import pytest
import yaml
from lab.paths import REPOSITORY

from ansible_collections.runbook.ops.plugins.filter.cron_jobs import cron_jobs
from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import timezone
from ansible_collections.runbook.ops.plugins.module_utils.common.windows import in_window
from ansible_collections.runbook.ops.plugins.module_utils.schedule.expression import parse_expression
from ansible_collections.runbook.ops.plugins.module_utils.schedule.rounds import rounds_from
from ansible_collections.runbook.ops.plugins.plugin_utils.playbook_rounds import playbook_rounds

SCHEDULED = sorted(path.parents[2].name for path in REPOSITORY.glob("inventories/*/group_vars/schedules/schedule.yml"))
BEGIN, YEARS = dt.datetime(2026, 1, 1), 3
PREFIX = "runbook.ops."


def read(path: str) -> Any:
    return yaml.safe_load(REPOSITORY.joinpath(path).read_text(encoding="utf-8"))


@cache
def variables(system: str) -> list[dict[str, Any]]:
    """The files of an inventory, group by group and host by host."""
    folder = REPOSITORY / "inventories" / system
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*_vars/*/*.yml"))]


def windows_of(system: str, role: str) -> Iterator[tuple[list[str], list[str]]]:
    """The window and the hours kept free of a role, for each place that says any."""
    names = (f"{role}_window", f"{role}_blocked_window")
    for each in variables(system):
        if any(name in each for name in names):
            # All of them are on Seoul's clock, whether they say so or leave it to the system's.
            zone = each.get(f"{role}_timezone", "{{ runbook_timezone }}")
            assert zone in ("Asia/Seoul", "{{ runbook_timezone }}"), (role, zone)
            yield each.get(names[0], []), each.get(names[1], [])


def schedule(system: str) -> dict[str, Any]:
    found: dict[str, Any] = read(f"inventories/{system}/group_vars/schedules/schedule.yml")
    return found


def driven(playbook: str, tags: list[str] | None = None) -> set[str]:
    """The roles of a playbook, or of the plays that a round's tags choose."""
    plays = read(f"playbooks/{playbook.removeprefix(PREFIX)}.yml")
    chosen = [play for play in plays if not tags or {*tags, "always"} & set(play.get("tags", []))]
    return {each["role"].removeprefix(PREFIX) for play in chosen for each in play["roles"]}


def starts(each: dict[str, Any], zone: str) -> list[dt.datetime]:
    found = parse_expression(each["at"]).starts(BEGIN, 365 * YEARS)
    return [at.replace(tzinfo=timezone(each.get("timezone", zone))) for at in found]


def closed(at: dt.datetime, window: list[str], blocked: list[str], zone: str = "Asia/Seoul") -> bool:
    return bool((window and not in_window(at, window, zone)) or (blocked and in_window(at, blocked, zone)))


@pytest.mark.parametrize("system", SCHEDULED)
def test_every_round_starts_in_the_windows_of_the_roles_that_it_drives(system: str) -> None:
    """A monthly round at 03:00 on the 1st met its role's window, Sunday from 03:30, in none of 36 months."""
    schedules = schedule(system)
    for each in schedules["schedule_rounds"]:
        moments = starts(each, schedules["schedule_timezone"])
        assert moments, each["name"]
        for role in sorted(driven(each["playbook"], each.get("tags"))):
            for window, blocked in windows_of(system, role):
                outside = [at.isoformat() for at in moments if closed(at, window, blocked)]
                assert outside == [], (each["name"], role, window, blocked, outside[:3])


@pytest.mark.parametrize("system", SCHEDULED)
def test_what_was_agreed_about_times_is_kept_and_is_what_the_roles_say(system: str) -> None:
    schedules = schedule(system)
    agreed = [entry for each in variables(system) for entry in each.get("schedule_windows", [])]
    for entry in agreed:
        for each in schedules["schedule_rounds"]:
            if not any(fnmatch(text, entry["match"]) for text in (each["name"], each.get("playbook", ""))):
                continue
            limits = (entry.get("window", []), entry.get("blocked_window", []))
            assert not [
                at for at in starts(each, schedules["schedule_timezone"]) if closed(at, *limits, entry["timezone"])
            ]
    for each in schedules["schedule_rounds"]:
        has_window = any(window for role in driven(each["playbook"]) for window, _blocked in windows_of(system, role))
        is_agreed = any(fnmatch(each["playbook"], entry["match"]) for entry in agreed if "window" in entry)
        assert is_agreed or not has_window, each["name"]


@pytest.mark.parametrize("system", SCHEDULED)
def test_the_rounds_can_be_written(system: str) -> None:
    """As the role hands them on: nothing is refused, and whatever asks for consent has it, or changes nothing."""
    schedules = schedule(system)
    backend = schedules.get("schedule_backend", "systemd")
    defaults = {
        "user": schedules.get("schedule_user", ""),
        "directory": schedules.get("schedule_directory", ""),
        "timeout": schedules["schedule_timeout"],
        "timezone": schedules["schedule_timezone"],
        "environment": schedules.get("schedule_variables", {}),
        "environment_file": schedules.get("schedule_environment_file", ""),
    }
    job = schedules.get("schedule_kubernetes_job", {})
    made = playbook_rounds(
        schedules["schedule_rounds"], "ansible-playbook", schedules["schedule_inventory"], {**defaults, **job}
    )
    if backend == "kubernetes":
        image = f"registry.example.com/runbook@sha256:{'0' * 64}"
        plan = cron_jobs([{**each, "image": image} for each in made], system, system)
        assert (plan["refused"], plan["problems"], len(plan["manifests"])) == ([], [], len(made))
    else:
        assert len(rounds_from(made, backend)) == len(made)
    for each in schedules["schedule_rounds"]:
        text = REPOSITORY.joinpath("playbooks", f"{each['playbook'].removeprefix(PREFIX)}.yml").read_text(
            encoding="utf-8"
        )
        asks = "without it only --check is possible" in text.split("\n- name:")[0]
        consents = each.get("extra_vars", {}).get("confirm") == system
        assert consents or not asks or "--check" in each.get("arguments", []), each["name"]


def test_who_has_rounds() -> None:
    """AutoClip's and StoreBridge's are their clusters' own CronJobs."""
    assert SCHEDULED == ["autoclip", "duly", "excelapp", "stockboom", "storebridge"]
    assert {system for system in SCHEDULED if schedule(system).get("schedule_backend") == "kubernetes"} == {
        "autoclip",
        "storebridge",
    }


def test_stockboom_is_looked_at_every_five_minutes_while_the_exchange_is_open() -> None:
    """And then only what cannot wait; the manual's own check ran once an hour, or rather never."""
    rounds = [each for each in schedule("stockboom")["schedule_rounds"] if each.get("tags") == ["pulse"]]
    day = [at for each in rounds for at in starts(each, "Asia/Seoul") if at.date() == dt.date(2026, 1, 5)]
    first = dt.datetime(2026, 1, 5, 9, tzinfo=timezone("Asia/Seoul"))
    assert sorted(day) == [first + dt.timedelta(minutes=5 * step) for step in range(79)]
    assert not [at for each in rounds for at in starts(each, "Asia/Seoul") if at.weekday() > 4]
    assert driven("check_daily", ["pulse"]) == {"check_redis", "check_queues", "check_compose", "check_http", "report"}


def test_nothing_of_storebridge_starts_while_it_works_in_bulk() -> None:
    """Its manual dumps the database at 02:00, in the middle of the bulk registration."""
    assert closed(dt.datetime(2026, 1, 2, 2, tzinfo=timezone("Asia/Seoul")), [], ["00:00-09:00"])
    for each in schedule("storebridge")["schedule_rounds"]:
        assert not [at for at in starts(each, "Asia/Seoul") if closed(at, [], ["00:00-09:00"])], each["name"]
