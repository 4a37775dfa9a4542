"""One contradiction after another, and a policy without any."""

from __future__ import annotations

import copy
import datetime as dt
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.runbook.ops.plugins.filter.policy_lint import FilterModule

policy_lint = FilterModule().filters()["policy_lint"]
NOW = "2026-01-31T09:00:00+09:00"

SOUND: dict[str, Any] = {
    "timezone": "Asia/Seoul",
    "objectives": {"rpo": "1h", "rto": "2h"},
    "batch_windows": [{"name": "bulk work", "window": "00:00-06:00", "timezone": "Asia/Seoul"}],
    "components": [
        {
            "name": "database",
            "backups": [
                {"name": "base", "method": "pg_basebackup", "schedule": "0 7 * * *", "retention": "14d",
                 "offsite": True},
                {"name": "WAL", "method": "wal_archive", "schedule": "5m", "retention": "14d", "offsite": True},
                {"name": "dump", "method": "pg_dump", "schedule": "30 7 * * *", "retention": "30d", "format": "custom",
                 "writes": "shop-%Y%m%d.dump", "offsite": True},
            ],
            "restores": [
                {"name": "point in time", "promises": "any moment"},
                {"name": "dump", "reads": "shop-20260131.dump", "format": "custom"},
            ],
            "steps": [{"name": "find", "minutes": 10}, {"name": "restore", "minutes": 60}],
            "drills": [{"on": "2025-12-01", "rto": "70m", "rpo": "6m"}],
        }
    ],
    "scenarios": [{"name": "rows deleted", "component": "database", "rto": "2h", "answer": "the WAL archive",
                   "steps": [{"name": "recover", "minutes": 90}]}],
}  # fmt: skip


def changed(path: str, value: Any) -> dict[str, Any]:
    """The sound policy with one thing changed; None takes it away. ``components.0.backups.+`` adds."""
    policy: Any = copy.deepcopy(SOUND)
    *parents, last = path.split(".")
    place = policy
    for part in parents:
        place = place[int(part) if part.isdigit() else part]
    if last == "+":
        place.append(value)
    elif value is None:
        del place[int(last) if last.isdigit() else last]
    else:
        place[int(last) if last.isdigit() else last] = value
    return policy


def test_a_policy_that_can_be_kept() -> None:
    found = policy_lint(SOUND, NOW)
    assert found["problems"] == []
    assert (found["component_count"], found["backup_count"], found["scenario_count"]) == (1, 3, 1)
    assert found["problem_count"] == 0
    unseen = [topic for topic, entries in found["checks"].items() if not entries]
    assert unseen == ["copies"], "each topic was looked at, but for the spread that nobody asks for"
    assert found["check_count"] == sum(map(len, found["checks"].values()))


BACKUPS = "components.0.backups"


@pytest.mark.parametrize(
    ("path", "value", "problems"),
    [
        # --- RPO
        (f"{BACKUPS}.1.schedule", "4h", [
            ("rpo", "database", False, "up to 4h may be lost (WAL), and at most 1h may be"),
        ]),
        (BACKUPS, [], [
            ("rpo", "database", False, "nothing backs it up: all of it may be lost, and at most 1h may be"),
            ("any_moment", "database: point in time", False,
             "any moment is promised, and nothing records the changes between backups: there is nothing"),
            ("procedure", "database", False, "nothing backs it up"),
        ]),
        (f"{BACKUPS}.1.schedule", None, [
            ("rpo", "database", None, "nobody says when WAL is made, and at most 1h may be lost"),
            ("schedule", "database: WAL", False, "nobody says when it is made: by hand?"),
        ]),
        ("objectives", {"rto": "2h"}, [
            ("rpo", "database", None, "nobody says how much may be lost (RPO)"),
        ]),
        # --- RTO
        ("components.0.rto", "1h", [
            ("rto", "database", False, "its steps take 1h10m (find 10m, restore 1h), and 1h is promised"),
            ("contradiction", "rows deleted", False, "2h is promised here, and 1h for database"),
            ("drill", "database", False, "RTO 1h10m was measured on 2025-12-01, and 1h is promised"),
        ]),
        ("components.0.steps.1.minutes", 111, [
            ("rto", "database", False, "its steps take 2h1m (find 10m, restore 1h51m), and 2h is promised"),
        ]),
        ("components.0.steps.+", {"name": "tell people"}, [
            ("rto", "database", None, "2h is promised, and nobody says how long it takes to tell people"),
        ]),
        ("components.0.steps", None, [
            ("rto", "database", None, "2h is promised, and no steps with their durations are written down"),
        ]),
        ("scenarios.0.steps.0.minutes", 190, [
            ("rto", "rows deleted", False, "its steps take 3h10m (recover 3h10m), and 2h is promised"),
        ]),
        ("objectives", {"rpo": "1h"}, [
            ("rto", "database", None, "nobody says how long a recovery may take (RTO)"),
        ]),
        # --- promises against each other
        ("scenarios.0.rto", "4h", [
            ("contradiction", "rows deleted", False, "4h is promised here, and 2h for database"),
        ]),
        ("components.0.rpo", "4h", [
            ("contradiction", "database: RPO", False, "RPO 4h, and the whole system has 1h"),
        ]),
        ("scenarios.0.exists", False, [
            ("procedure", "rows deleted", False, "its answer (the WAL archive) does not exist"),
        ]),
        # --- recovery to any moment without a record of the changes
        (f"{BACKUPS}.1", None, [
            ("rpo", "database", False, "up to 1d may be lost (base), and at most 1h may be"),
            ("any_moment", "database: point in time", False,
             "any moment is promised, and nothing records the changes between backups: there is pg_basebackup, "
             "pg_dump"),
        ]),
        # A WAL archive on top of nothing: a dump cannot be rolled forward.
        (f"{BACKUPS}.0.method", "pg_dump", [
            ("rpo", "database", False,
             "up to 1d may be lost (base), and at most 1h may be; WAL needs pg_basebackup or pgBackRest to be "
             "replayed on"),
            ("any_moment", "database: point in time", False,
             "any moment is promised, and WAL needs pg_basebackup or pgBackRest to be replayed on"),
            ("method", "database: WAL", False, "WAL needs pg_basebackup or pgBackRest to be replayed on"),
        ]),
        (f"{BACKUPS}.1.exists", False, [
            ("rpo", "database", False,
             "up to 1d may be lost (base), and at most 1h may be; WAL does not exist"),
            ("any_moment", "database: point in time", False, "any moment is promised, and WAL does not exist"),
            ("procedure", "database: WAL", False, "it is promised, and nothing carries it out"),
        ]),
        # --- methods
        (f"{BACKUPS}.2.method", "supabase_db_dump", [
            ("method", "database: dump", False, "dump (supabase db dump) holds schema only"),
        ]),
        (f"{BACKUPS}.2.contents", ["roles"], [
            ("method", "database: dump", False, "dump (pg_dump) holds roles only"),
        ]),
        (f"{BACKUPS}.+", {"name": "files", "method": "rsync", "schedule": "1h", "retention": "7d",
                          "target": "s3://bucket/files"}, [
            ("method", "database: files", False,
             "rsync knows no addresses such as s3://bucket/files: it asks ssh for a host s3"),
        ]),
        (f"{BACKUPS}.+", {"name": "cache", "method": "elasticache_snapshot", "schedule": "4h", "retention": "7d"}, [
            ("method", "database: cache", False,
             "the automatic ElastiCache snapshot is made at most once in 1d, and 4h is promised"),
        ]),
        # --- retention
        (f"{BACKUPS}.2.retention", None, [
            ("retention", "database: dump", False, "nobody says how long it is kept"),
        ]),
        (f"{BACKUPS}.1.retention", "1m", [
            ("retention", "database: WAL", False, "it is kept for 1m, and the next is made after 5m"),
        ]),
        (f"{BACKUPS}.+", {"name": "RDS", "method": "rds_snapshot", "schedule": "daily", "retention": "90d"}, [
            ("retention", "database: RDS", False,
             "90d is promised, and the automated RDS snapshot is kept for 35d at most"),
        ]),
        # --- places, formats, names
        ("components.0.restores.1.format", "plain", [
            ("format", "database: dump", False, "it takes plain, and what is written is custom"),
        ]),
        ("components.0.restores.1.reads", "latest.sql.gz", [
            ("name", "database: dump", False,
             "it takes latest.sql.gz, and what is written is named shop-%Y%m%d.dump"),
        ]),
        # --- clocks
        (f"{BACKUPS}.2.schedule", "0 2 * * *", [
            ("batch_window", "database: dump", False, "02:00 lies in the hours of bulk work (00:00-06:00)"),
        ]),
        # 17:00 in UTC is 02:00 in Seoul.
        (f"{BACKUPS}.2", {"name": "dump", "method": "pg_dump", "schedule": "0 17 * * *", "timezone": "UTC",
                          "retention": "30d", "format": "custom", "writes": "shop-%Y%m%d.dump"}, [
            ("batch_window", "database: dump", False, "17:00 lies in the hours of bulk work (00:00-06:00)"),
        ]),
        (f"{BACKUPS}.2", {"name": "dump", "method": "pg_dump", "schedule": "30 2 * * *", "timezone": "Europe/Berlin",
                          "retention": "30d", "format": "custom", "writes": "shop-%Y%m%d.dump"}, [
            ("daylight", "database: dump", False,
             "the clocks of Europe/Berlin leave out or repeat 2026-03-29 02:30: no backup, or two"),
        ]),
        ("timezone", None, [
            ("timezone", "database: base", False,
             "'0 7 * * *' names a time of day and no time zone; in a container it is UTC"),
            ("timezone", "database: dump", False,
             "'30 7 * * *' names a time of day and no time zone; in a container it is UTC"),
        ]),
        (f"{BACKUPS}.+", {"name": "cron.d", "method": "pg_dump", "schedule": "30 7 * * 1", "retention": "30d"}, [
            ("collision", "database", False, "dump and cron.d both run at 22:30 (pg_dump)"),
        ]),
        # --- drills
        ("components.0.drills", None, [
            ("drill", "database", False, "no recovery was ever measured"),
        ]),
        ("components.0.drills.0", {"on": dt.date(2025, 10, 1), "rto": "70m"}, [
            ("drill", "database", False,
             "the last recovery was measured on 2025-10-01, and one is due every 90d"),
        ]),
        ("components.0.drills.+", {"on": "2026-01-15", "rto": "3h"}, [
            ("drill", "database", False, "RTO 3h was measured on 2026-01-15, and 2h is promised"),
        ]),
        ("components.0.drills.+", {"on": "2026-01-15", "rto": "1h", "rpo": "2h"}, [
            ("drill", "database", False, "RPO 2h was measured on 2026-01-15, and 1h is promised"),
        ]),
        ("components.0.drills.+", {"on": "2026-01-15"}, [
            ("drill", "database", False, "the drill of 2026-01-15 measured no RTO"),
        ]),
    ],
)  # fmt: skip
def test_contradictions(path: str, value: Any, problems: list[tuple[str, str, bool | None, str]]) -> None:
    found = policy_lint(changed(path, value), NOW)["problems"]
    assert [(each["topic"], each["name"], each["holds"], each["reason"]) for each in found] == problems


def test_one_retention_for_two_things() -> None:
    policy = changed(f"{BACKUPS}.+", {"name": "snapshot", "method": "rds_snapshot", "schedule": "daily",
                                      "retention": "30d"})  # fmt: skip
    policy["components"][0]["backups"].append(
        {"name": "PITR", "method": "rds_pitr", "schedule": "continuous", "retention": "7d"}
    )
    [found] = policy_lint(policy, NOW)["problems"]
    assert (found["topic"], found["name"]) == ("retention", "database: snapshot and PITR")
    assert found["reason"] == (
        "snapshot 30d and PITR 7d: not both, because the automated backups of RDS have one retention for snapshots and "
        "point-in-time recovery"
    )
    policy["components"][0]["backups"][-1]["retention"] = "30d"
    assert policy_lint(policy, NOW)["problems"] == []


def test_every_copy_on_the_same_machine() -> None:
    policy = copy.deepcopy(SOUND)
    for backup in policy["components"][0]["backups"]:
        backup["offsite"] = False
    [found] = policy_lint(policy, NOW)["problems"]
    assert (found["topic"], found["reason"]) == ("location", "every copy lies on the machine that it protects")


def test_figures_of_an_rpo() -> None:
    [found] = policy_lint(changed(f"{BACKUPS}.1.schedule", "4h"), NOW)["problems"]
    assert (found["value_seconds"], found["limit_seconds"]) == (14400.0, 3600.0)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("no", "policy: 'str' is not accepted. Accepted: a mapping with timezone, objectives, batch_windows, "
         "components, scenarios, steps, drill_every."),
        ({"component": []}, "policy.component: [] is not accepted. Accepted: one of the keys timezone, objectives, "
         "batch_windows, components, scenarios, steps, drill_every."),
        ({"timezone": "Asia/Seul"}, "timezone: 'Asia/Seul' is not accepted. Accepted: the name of a timezone, such as "
         "Asia/Seoul, Europe/Berlin or UTC; did you mean Asia/Seoul?."),
        ({"components": [{"name": "a", "backups": [{"name": "b", "method": "prayer"}]}]},
         "policy.components[0].backups[0].method: 'prayer' is not accepted. Accepted: pg_dump, pg_dumpall, "),
        ({"components": [{"name": "a", "backups": [{"name": "b", "method": "other", "retension": "7d"}]}]},
         "policy.components[0].backups[0].retension: '7d' is not accepted. Accepted: one of the keys name, method, "),
        ({"components": [{"rpo": "1h"}]}, "policy.components[0].name: None is not accepted. Accepted: text."),
        ({"components": [{"name": "a"}, {"name": "a"}]},
         "policy.components: 'a' is not accepted. Accepted: different names."),
        ({"components": [{"name": "a", "rpo": "soon"}]}, "policy.components[0].rpo: 'soon' is not accepted."),
        ({"components": [{"name": "a", "steps": [{"name": "b", "minutes": "10"}]}]},
         "policy.components[0].steps[0].minutes: '10' is not accepted. Accepted: a number of minutes, or null when "),
        ({"components": [{"name": "a", "drills": [{"on": "lately"}]}]},
         "policy.components[0].drills.on: 'lately' is not accepted. Accepted: the day of the drill, such as "
         "2026-01-31."),
        ({"scenarios": [{"name": "a", "component": "b"}]},
         "policy.scenarios[0].component: 'b' is not accepted. Accepted: the name of one of the components."),
        ({"components": [{"name": "a", "restores": [{"name": "b", "promises": "all"}]}]},
         "policy.components[0].restores[0].promises: 'all' is not accepted. Accepted: latest, any moment."),
    ],
)  # fmt: skip
def test_policies_that_cannot_be_read(policy: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        policy_lint(policy, NOW)
    assert str(caught.value).startswith(f"policy_lint: {message}")


def test_nothing_is_no_policy() -> None:
    assert policy_lint({}, NOW)["component_count"] == 0
