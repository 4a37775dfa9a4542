"""What every system's manual promises for its recovery, as it is: what cannot be kept is found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from lab.inventories import SYSTEMS
from lab.paths import REPOSITORY

from ansible_collections.runbook.ops.plugins.filter.policy_lint import FilterModule

policy_lint = FilterModule().filters()["policy_lint"]
Inventories = dict[str, dict[str, dict[str, Any]]]
NOW = "2026-01-31T09:00:00+09:00"

# The contradictions that every manual is known for: topic, object, and words of the reason.
KNOWN = {
    "storebridge": [
        ("batch_window", "database: nightly dump", "02:00 lies in the hours of bulk registration"),
        ("timezone", "database: nightly dump", "names a time of day and no time zone"),
        ("name", "database: monthly test on staging", "it takes latest.sql.gz"),
        ("procedure", "product pictures", "nothing backs it up"),
        ("retention", "database: nightly dump", "nobody says how long"),
    ],
    "stockboom": [
        ("collision", "database", "crontab and cron.d both run at 02:00"),
        ("timezone", "database: crontab", "in a container it is UTC"),
        ("format", "database: from an archive", "it takes custom, and what is written is plain"),
        ("location", "database", "every copy lies on the machine that it protects"),
        ("schedule", "queues and cache: SAVE and copy", "by hand?"),
    ],
    "autoclip": [
        ("rpo", "Redis", "up to 1d may be lost (snapshot), and at most 1h may be"),
        ("rpo", "MongoDB", "up to 1d may be lost (Atlas), and at most 1h may be"),
        ("method", "Redis: snapshot", "made at most once in 1d, and 4h is promised"),
        ("retention", "database: RDS snapshot and RDS point in time", "30d and RDS point in time 7d: not both"),
        ("retention", "content: versions", "nobody says how long"),
        ("drill", "database", "no recovery was ever measured"),
    ],
    "duly": [
        ("rpo", "database", "at most 15m may be: full (supabase db dump) holds schema only"),
        ("rpo", "file storage", "by the schedules it would be 1d"),
        ("rto", "database", "its steps take 3h10m"),
        ("rto", "DDoS", "and 15m is promised"),
        ("contradiction", "data are lost", "4h is promised here, and 2h for database"),
        ("contradiction", "file storage: RPO", "RPO 4h, and the whole system has 1h"),
        ("method", "database: full", "holds schema only"),
        ("format", "database: test of the archive", "it takes custom, and what is written is plain"),
        ("name", "database: restore", "it takes backup_20250127.sql"),
        ("procedure", "Supabase fails", "the standby database"),
        ("drill", "file storage", "no recovery was ever measured"),
    ],
    "excelapp": [
        ("any_moment", "database: point in time", "nothing records the changes between backups: there is pg_dump"),
        ("method", "uploaded files: copy", "rsync knows no addresses such as s3://excelapp-backups/files/"),
        ("procedure", "database: weekly full", "nothing carries it out"),
        ("name", "database: restore", "it takes backup_file.sql.gz"),
    ],
}
COUNTS = {
    "storebridge": {"rpo": 1, "rto": 1, "procedure": 2, "retention": 2, "name": 1, "schedule": 1, "batch_window": 1,
                    "timezone": 1},
    "stockboom": {"rpo": 1, "rto": 1, "retention": 1, "location": 2, "format": 1, "name": 1, "schedule": 1,
                  "timezone": 2, "collision": 1},
    "autoclip": {"rpo": 2, "rto": 4, "method": 1, "retention": 2, "drill": 4},
    "duly": {"rpo": 2, "rto": 6, "contradiction": 2, "procedure": 6, "method": 1, "retention": 1, "format": 1,
             "name": 1, "timezone": 1, "drill": 3},
    "excelapp": {"rpo": 1, "rto": 1, "any_moment": 1, "procedure": 1, "method": 1, "retention": 2, "name": 1,
                 "schedule": 2, "timezone": 2},
}  # fmt: skip


@pytest.mark.parametrize("system", SYSTEMS)
def test_known_contradictions_are_found(system: str, inventories: Inventories) -> None:
    policy = next(iter(inventories[system].values()))["recovery_policy"]
    problems = policy_lint(policy, NOW)["problems"]
    for topic, name, words in KNOWN[system]:
        reasons = [each["reason"] for each in problems if (each["topic"], each["name"]) == (topic, name)]
        assert any(words in reason for reason in reasons), (topic, name, problems)
    assert Counter(each["topic"] for each in problems) == COUNTS[system]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The findings in the reports of ``check_daily --tags policy``, by system; nothing is connected to."""
    found = {}
    for system in ("storebridge", "duly"):
        place = tmp_path_factory.mktemp(system)
        completed = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")), "runbook.ops.check_daily", "--tags", "policy",
                "-i", str(REPOSITORY / "inventories" / system), "-e", f"report_destination={place}",
                "-e", "report_history_directory=", "-e", f"runbook_reference_time={NOW}",
            ],
            cwd=place,
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "build" / "collections"),
                "ANSIBLE_HOME": str(place / "ansible"),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )  # fmt: skip
        assert completed.returncode == 0, completed.stdout
        found[system] = json.loads((place / "findings.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("system", ["storebridge", "duly"])
def test_they_are_in_the_report(system: str, reports: dict[str, list[dict[str, Any]]]) -> None:
    bad = [each for each in reports[system] if each["severity"] != "ok"]
    assert Counter(each["id"].removeprefix("policy.") for each in bad) == COUNTS[system]
    assert {each["severity"] for each in bad} <= {"warning", "unknown"}
    assert {each["host"] for each in reports[system]} == {system}
    # Once for the system, not once for each of its hosts.
    assert len({(each["id"], each["object"]) for each in reports[system]}) == len(reports[system])
