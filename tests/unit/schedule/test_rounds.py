"""Rounds as data: what they become, what is refused, and what has to change."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.schedule.crontab import normalised, parse_crontab
from ansible_collections.runbook.ops.plugins.module_utils.schedule.environment_files import wrong_line
from ansible_collections.runbook.ops.plugins.module_utils.schedule.plan import make_plan
from ansible_collections.runbook.ops.plugins.module_utils.schedule.render import crontab_text, marked_set, unit_texts
from ansible_collections.runbook.ops.plugins.module_utils.schedule.rounds import rounds_from, set_name
from ansible_collections.runbook.ops.plugins.module_utils.schedule.timers import lint_timer, timer_entry
from ansible_collections.runbook.ops.plugins.plugin_utils.playbook_rounds import playbook_rounds

ROUND: dict[str, Any] = {
    "name": "nightly",
    "at": "0 2 * * mon-fri",
    "command": ["/bin/sh", "-c", 'echo "50%" > $HOME/a b'],
    "user": "ops",
    "description": "100% of it",
    "directory": "/srv/shop",
    "environment": {"A": "x y%"},
    "timeout": "2h",
}
CRON = """\
# Managed by runbook.ops.schedule, set shop
# Written by Ansible: changes made here are lost.
SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
MAILTO=""

# Round nightly: 100% of it
0 2 * * mon-fri ops systemd-cat --identifier=runbook-shop-nightly flock --nonblock --verbose --conflict-exit-code=75 \
/run/lock/runbook-shop-nightly.lock timeout --kill-after=60 7200 env --chdir=/srv/shop 'A=x y\\%' /bin/sh -c \
'echo "50\\%" > $HOME/a b'
"""
SERVICE = """\
[Service]
Type=oneshot
User=ops
WorkingDirectory=/srv/shop
Environment="A=x y%%"
ExecStart=/bin/sh -c "echo \\"50%%\\" > $$HOME/a b"
TimeoutStartSec=7200
SyslogIdentifier=runbook-shop-nightly
"""


def test_a_crontab_is_what_it_says() -> None:
    text = crontab_text("shop", rounds_from([ROUND], "cron"), log="journal", mail_to="", locks="/run/lock")
    assert text == CRON
    found = parse_crontab(text, "/etc/cron.d/runbook-shop", known_users=frozenset(("ops",)))
    assert [(each.name, each.set, each.user) for each in found.entries] == [("nightly", "shop", "ops")]
    assert not found.problems
    assert marked_set(text) == "shop"
    syslog = crontab_text("shop", rounds_from([ROUND], "cron"), log="syslog", mail_to="a@b", locks="/l")
    assert syslog.endswith("2>&1 | logger --tag runbook-shop-nightly\n")
    assert 'MAILTO="a@b"' in syslog


def test_units_are_what_they_say() -> None:
    (nightly,) = rounds_from([{**ROUND, "timezone": "Asia/Seoul"}], "systemd")
    texts = unit_texts("shop", nightly)
    assert sorted(texts) == ["runbook-shop-nightly.service", "runbook-shop-nightly.timer"]
    assert texts["runbook-shop-nightly.service"].endswith(SERVICE)
    assert "Description=100%% of it\n" in texts["runbook-shop-nightly.timer"]
    assert "\nOnCalendar=Mon,Tue,Wed,Thu,Fri *-*-* 02:00:00 Asia/Seoul\n" in texts["runbook-shop-nightly.timer"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"name": "Nightly"}, "rounds[0].name: 'Nightly' is not accepted. Accepted: small letters"),
        ({"command": []}, "rounds[0].command: [] is not accepted. Accepted: a list of words without line breaks."),
        ({"command": ["a\nb"]}, "rounds[0].command: "),
        ({"environment": {"a-b": "c"}}, "rounds[0].environment: 'a-b' is not accepted"),
        ({"directory": "srv"}, "rounds[0].directory: 'srv' is not accepted. Accepted: an absolute path."),
        ({"description": "a\nb"}, "rounds[0].description: "),
        (
            {"environment_file": "shop.env"},
            "rounds[0].environment_file: 'shop.env' is not accepted. Accepted: an absolute",
        ),
        ({"environment_file": "/etc/*.env"}, "rounds[0].environment_file: '/etc/*.env' is not accepted"),
        ({"timezone": "Asia/Seul"}, "timezone: 'Asia/Seul' is not accepted"),
        (
            {"timezone": "Asia/Seoul"},
            "rounds[0].timezone: 'Asia/Seoul' is not accepted. Accepted: nothing with backend",
        ),
        ({"timeout": "soon"}, "rounds[0].timeout: 'soon' is not accepted"),
        ({"at": "@reboot"}, "rounds[0].at: '@reboot' is not accepted"),
    ],
)
def test_what_cannot_be_a_round(more: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as raised:
        rounds_from([{**ROUND, **more}], "cron")
    assert raised.value.message.startswith(message)


@pytest.mark.parametrize(
    ("text", "by_cron", "by_systemd"),
    [
        ("# a note\n;another\n\nA=\nB_1=$(x) `y` $HOME #z=*\n", "", ""),
        ("A=x", "", ""),
        ("A=1\nexport B=s3cr3t", "line 2 is not NAME=value", "line 2 is not NAME=value"),
        ("A-B=s3cr3t", "line 1 is not NAME=value", "line 1 is not NAME=value"),
        (" A=1", "line 1 is not NAME=value", "line 1 is not NAME=value"),
        ("A=s3cr3t\r\n", "line 1 is not NAME=value", "line 1 is not NAME=value"),
        ('A="s3 cr3t"', "line 1 has a value with quotes, backslashes or spaces at its ends, which only systemd", ""),
        ("A=s3cr3t ", "line 1 has a value with quotes", ""),
    ],
)
def test_environment_files(text: str, by_cron: str, by_systemd: str) -> None:
    for backend, expected in (("cron", by_cron), ("systemd", by_systemd)):
        said = wrong_line(text, backend)
        assert said.startswith(expected)
        assert bool(said) == bool(expected)
        assert "s3" not in said


def test_a_command_with_an_environment_file_is_the_same_work() -> None:
    (nightly,) = rounds_from([{**ROUND, "environment": {"A": "x%"}, "environment_file": "/etc/shop.env"}], "systemd")
    text = crontab_text("shop", [nightly], log="journal", mail_to="", locks="/run/lock")
    (entry,) = parse_crontab(text, "/etc/cron.d/runbook-shop", known_users=frozenset(("ops",))).entries
    assert normalised(entry.command) == normalised(nightly.words)
    service = unit_texts("shop", nightly)["runbook-shop-nightly.service"]
    assert "Environment=A=x%%\nEnvironmentFile=/etc/shop.env\nExecStart=" in service


def test_names_and_lengths() -> None:
    with pytest.raises(InvalidOption, match="a name that only one of the rounds has"):
        rounds_from([ROUND, ROUND], "cron")
    with pytest.raises(InvalidOption, match="small letters"):
        set_name("../x")
    long = rounds_from([{**ROUND, "command": ["a" * 1000]}], "cron")
    with pytest.raises(InvalidOption, match="at most 990 with backend=cron"):
        crontab_text("shop", long, log="mail", mail_to="", locks="/run/lock")


def test_a_plan_changes_what_differs_and_touches_only_ours() -> None:
    (nightly,) = rounds_from([ROUND], "systemd")
    wanted = {f"/u/{name}": text for name, text in unit_texts("shop", nightly).items()}
    fresh = make_plan("shop", wanted, {}, {})
    assert [f"{each['action']} {each['object']}" for each in fresh.actions()] == [
        "write /u/runbook-shop-nightly.service",
        "write /u/runbook-shop-nightly.timer",
        "read again systemd",
        "switch on runbook-shop-nightly.timer",
    ]
    name = "runbook-shop-nightly.timer"
    running = {name: {"ActiveState": "active", "UnitFileState": "enabled", "NeedDaemonReload": "no"}}
    assert make_plan("shop", wanted, wanted, running).is_empty
    stopped = make_plan("shop", wanted, wanted, {name: {**running[name], "ActiveState": "inactive"}})
    assert stopped.switched_on == [name]
    # Killed between writing and reading again.
    stale = make_plan("shop", wanted, wanted, {name: {**running[name], "NeedDaemonReload": "yes"}})
    assert (stale.reloads, stale.restarted, stale.is_empty) == (True, [name], False)
    old = {"/u/runbook-shop-old.timer": wanted[f"/u/{name}"], "/u/runbook-shop-b.timer": CRON.replace("shop", "other")}
    gone = make_plan("shop", wanted, {**wanted, **old}, running)
    assert (gone.removals, gone.switched_off) == (["/u/runbook-shop-old.timer"], ["runbook-shop-old.timer"])
    foreign = make_plan("shop", wanted, {f"/u/{name}": "[Timer]\n"}, running)
    assert foreign.is_empty
    assert [each.object for each in foreign.refused] == [f"/u/{name}"]


def test_rounds_of_playbooks() -> None:
    rounds = [
        {"name": "a", "at": "@daily", "playbook": "runbook.ops.check_daily", "tags": ["morning", "policy"],
         "limit": "db", "extra_vars": {"x": 1}, "arguments": ["--forks", 2], "environment": {"B": "2"}, "user": "root"},
        {"name": "b", "at": "@daily", "command": ["true"]},
    ]  # fmt: skip
    defaults = {"user": "ops", "directory": "", "environment": {"A": "1"}, "timeout": "1h"}
    assert playbook_rounds(rounds, "ansible-playbook", "inventories/shop", defaults) == [
        {"name": "a", "at": "@daily", "user": "root", "timeout": "1h", "environment": {"A": "1", "B": "2"},
         "command": ["ansible-playbook", "runbook.ops.check_daily", "--inventory", "inventories/shop", "--tags",
                     "morning,policy", "--limit", "db", "--extra-vars", '{"x": 1}', "--forks", "2"]},
        {"name": "b", "at": "@daily", "command": ["true"], "user": "ops", "environment": {"A": "1"}, "timeout": "1h"},
    ]  # fmt: skip
    for bad, message in (
        ({"name": "a", "at": "x"}, "exactly one of command and playbook"),
        ({"name": "a", "playbok": "x"}, "'playbok' is not accepted"),
        ("a", "a mapping with name"),
    ):
        with pytest.raises(InvalidOption, match=message):
            playbook_rounds([bad], "ansible-playbook", "", {})


def test_timers() -> None:
    timer = {
        "Id": "a.timer", "Unit": "a.service", "ActiveState": "active", "UnitFileState": "enabled",
        "TimersCalendar": "{ OnCalendar=*-*-* 06:00:00 ; next_elapse=Mon 2026-11-30 06:00:00 UTC }",
        "TimersMonotonic": "{ OnBootUSec=15min ; next_elapse=0 }", "Persistent": "yes",
        "NextElapseUSecRealtime": "Mon 2026-11-30 06:00:00 UTC", "LastTriggerUSec": "Sun 2026-11-29 06:00:00 UTC",
    }  # fmt: skip
    unit = {
        "Id": "a.service", "LoadState": "loaded", "Result": "exit-code", "ExecMainStatus": "3",
        "ExecMainExitTimestamp": "Sun 2026-11-29 06:00:01 UTC",
        "ExecStart": "{ path=/bin/a ; argv[]=/bin/a -x ; ignore_errors=no ; start_time=[n/a] }",
    }  # fmt: skip
    entry = timer_entry(timer, unit)
    assert (entry.schedule, entry.command) == ("*-*-* 06:00:00, OnBootUSec=15min", "/bin/a -x")
    facts = entry.facts
    assert (facts["next_at"], facts["last_at"]) == ("2026-11-30T06:00:00Z", "2026-11-29T06:00:00Z")
    assert [each.message for each in lint_timer(entry, unit)] == ["its last run ended with exit-code (status 3)"]
    dead = timer_entry({**timer, "ActiveState": "inactive"}, None)
    assert [each.code for each in lint_timer(dead, None)] == ["missing_unit", "timer_stopped"]
    # As Ubuntu's snapd.snap-repair.timer and ua-timer.timer are, where there is nothing for them to do.
    for result, looked, expected in (("no", "5123456", []), ("yes", "5123456", ["timer_stopped"]),
                                     ("no", "0", ["timer_stopped"])):  # fmt: skip
        states = {"ActiveState": "inactive", "ConditionResult": result, "ConditionTimestampMonotonic": looked}
        good = {**unit, "Result": "success"}
        assert [each.code for each in lint_timer(timer_entry({**timer, **states}, good), good)] == expected
