"""The main job, end to end: the daily round of a StoreBridge on real servers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from lab.kubernetes.systems.storebridge import SECRET_VALUES
from lab.storebridge.conditions import conditions

pytestmark = pytest.mark.xdist_group("storebridge")

REPOSITORY = Path(__file__).resolve().parents[3]
SHAPE = {
    "id", "system", "host", "object", "severity", "value", "unit", "threshold", "summary", "remedy", "priority",
    "source", "measured_at", "ladder",
}  # fmt: skip


def test_every_planted_condition_is_found_once_and_nothing_else(degraded: Any, play: Any) -> None:
    run = play(degraded, "check_daily")
    assert run.returncode == 0, run.output
    found = Counter((finding["id"], finding["object"]) for finding in run.bad())
    now = datetime.now(timezone.utc)
    planted = Counter((condition["finding_id"], condition["object"]) for condition in conditions(now))
    assert found == planted
    assert all(set(finding) == SHAPE for finding in run.findings())
    assert [finding["id"] for finding in run.findings() if finding["severity"] == "unknown"] == []
    # What is in no report: the values of the Secrets that the pods use.
    written = "".join(path.read_text(encoding="utf-8") for path in run.folder.rglob("*.*") if path.is_file())
    assert [value for value in SECRET_VALUES.values() if value in written + run.output] == []


def test_pages_are_written(degraded: Any, play: Any) -> None:
    run = play(degraded, "check_daily")
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "https://" not in page.split("</style>")[0], "the page must work offline"
    suite = ElementTree.parse(run.folder / "findings.xml").getroot()
    failures = suite.findall(".//failure")
    assert len(failures) >= sum(finding["severity"] == "critical" for finding in run.findings())
    assert (run.folder / "report.md").read_text(encoding="utf-8").startswith("#")
    assert len(list((run.folder.parent / "history").glob("*.json"))) == 1


def test_a_healthy_system_gives_no_warning(healthy: Any, play: Any) -> None:
    run = play(healthy, "check_daily", fail_on=None)
    assert run.returncode == 0, run.output
    assert run.bad() == []
    assert [finding["id"] for finding in run.findings() if finding["severity"] == "unknown"] == []
    # And it was looked at: beat is one, and the pods of last night's backup have done their work.
    measured = {
        finding["id"]: finding["severity"] for finding in run.findings() if finding["host"] == "storebridge-prod"
    }
    assert measured["kubernetes.replicas_not_exact"] == measured["kubernetes.cronjob_late"] == "ok"


def test_critical_findings_fail_the_play_with_one_sentence(degraded: Any, play: Any) -> None:
    run = play(degraded, "check_daily", fail_on=None)
    assert run.returncode == 2
    [line] = [line for line in run.output.splitlines() if line.startswith("fatal: ")]
    assert "StoreBridge" in line
    assert " critical, " in line
    assert "Traceback" not in run.output


def test_rounds_expect_what_they_measure(degraded: Any, play: Any) -> None:
    run = play(degraded, "check_daily", "--tags", "afternoon")
    domains = {finding["id"].split(".")[0] for finding in run.findings()}
    assert {"quota", "object_store"} <= domains
    assert "logs" not in domains
    assert not [finding for finding in run.findings() if finding["severity"] == "unknown"]


def test_check_mode_measures_and_writes_nothing(degraded: Any, play: Any) -> None:
    run = play(degraded, "check_daily", "--check")
    assert run.returncode == 0, run.output
    assert not run.folder.exists()


def test_no_secret_at_any_verbosity(degraded: Any, play: Any) -> None:
    run = play(degraded, "check_daily", "-vvvv", "--diff")
    secrets = degraded.secrets()
    assert len(secrets) >= 4
    written = "".join(path.read_text(encoding="utf-8") for path in run.folder.parent.rglob("*.*") if path.is_file())
    for secret in secrets:
        assert secret not in run.output
        assert secret not in written


def test_runner_publishes_the_totals(degraded: Any, tmp_path: Path) -> None:
    import ansible_runner

    result = ansible_runner.run(
        private_data_dir=str(tmp_path),
        playbook="runbook.ops.check_daily",
        cmdline=f"-i {REPOSITORY / 'inventories' / 'storebridge'} -i {degraded.inventory}",
        extravars={"report_destination": str(tmp_path / "report"), "report_fail_on": "never"},
        envvars={
            "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "build" / "collections"),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        },
        quiet=True,
    )
    assert result.status == "successful", result.stdout.read()[-3000:]
    published: dict[str, Any] = {}
    for event in result.events:
        published |= event.get("event_data", {}).get("artifact_data", {})
    assert published["runbook_findings_critical"] >= 1
    assert published["runbook_worst_severity"] == "critical"


def test_the_weekly_review_runs(degraded: Any, play: Any) -> None:
    run = play(degraded, "review_weekly")
    assert run.returncode == 0, run.output
    assert any(finding["id"].startswith("business.") for finding in run.findings())


def test_a_misspelled_override_is_one_clear_message(degraded: Any, play: Any, tmp_path: Path) -> None:
    run = play(
        degraded, "check_daily", "-e", '{"check_redis_rule_overrides": {"redis.memory_usd": {"warning": "> 1"}}}'
    )
    assert run.returncode != 0
    assert "redis.memory_usd" in run.output
    assert "Traceback" not in run.output


def test_the_demo_command(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "MAKE"))}
    completed = subprocess.run(
        ["make", "demo"],
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout[-4000:] + completed.stderr[-2000:]
    for name in ("report.html", "findings.json", "findings.xml"):
        assert (REPOSITORY / "build" / "demo" / name).stat().st_size > 1000
