"""The monthly care cures what the daily check found, and the daily check agrees."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any
from zoneinfo import ZoneInfo

import psycopg2
import pytest

pytestmark = pytest.mark.xdist_group("maintain_monthly")

SEOUL = ZoneInfo("Asia/Seoul")
CURED = {
    "business.jobs_overdue",
    "business.audit_logs_overdue",
    "postgresql.idle_in_transaction",
    "postgresql.dead_rows",
    "postgresql.index_unused",
    "postgresql.index_invalid",
}


def next_time(hour: int, minute: int) -> str:
    """When the clocks in Seoul next show this time. StoreBridge may be changed at 22:30, and not at 12:00."""
    now = dt.datetime.now(SEOUL)
    moment = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (moment if moment > now else moment + dt.timedelta(days=1)).isoformat()


def rows(lab: Any, statement: str) -> list[tuple[Any, ...]]:
    login = lab.hosts["storebridge-postgres"]
    connection = psycopg2.connect(
        host=login["postgresql_login_host"],
        port=login["postgresql_login_port"],
        user=login["lab_superuser"],
        password=login["lab_superuser_password"],
        dbname=login["postgresql_login_db"],
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()
    finally:
        connection.close()


EVERYTHING = "SELECT 'job ' || id FROM jobs UNION ALL SELECT 'job ' || id FROM jobs_archive"
ITEMS = "SELECT 'item ' || id FROM job_items UNION ALL SELECT 'item ' || id FROM job_items_archive"


def test_maintain_monthly_cures_what_check_daily_found(to_maintain: Any, play: Any, tmp_path: Any) -> None:
    lab = to_maintain
    export = tmp_path / "export"
    consent = ("-e", "confirm=storebridge", "-e", f"data_retention_export_directory={export}")
    options = (*consent, "-e", f"runbook_reference_time={next_time(22, 30)}")
    before = {each["id"] for each in play(lab, "check_daily").bad()}
    assert before >= CURED
    jobs, items = sorted(rows(lab, EVERYTHING)), sorted(rows(lab, ITEMS))
    [(audited,)] = rows(lab, "SELECT count(*) FROM audit_logs")

    outside = play(lab, "maintain_monthly", *consent, "-e", f"runbook_reference_time={next_time(12, 0)}")
    assert "outside the window (22:15-23:45)" in " ".join(each["summary"] for each in outside.bad())
    assert not [each for each in json.loads((outside.folder / "changes.json").read_text()) if each["status"] == "done"]
    planned = play(lab, "maintain_monthly", "--check", *options)
    assert planned.returncode == 0, planned.output
    assert not export.exists()
    assert rows(lab, "SELECT count(*) FROM jobs_archive") == [(0,)]
    assert sorted(rows(lab, EVERYTHING)) == jobs

    done = play(lab, "maintain_monthly", *options)
    assert done.returncode == 0, done.output
    assert done.bad() == [], done.output
    changes = json.loads((done.folder / "changes.json").read_text(encoding="utf-8"))
    assert {each["action"] for each in changes} >= {"terminate", "archive", "vacuum", "drop index"}
    assert {each["status"] for each in changes} == {"done"}
    page = (done.folder / "report.html").read_text(encoding="utf-8")
    assert "public.audit_logs" in page
    assert "idx_audit_logs_detail" in page

    after = {each["id"] for each in play(lab, "check_daily").bad()}
    assert before - after == CURED
    assert after - before == set()

    # Nothing was lost, and nothing is there twice.
    assert sorted(rows(lab, EVERYTHING)) == jobs
    assert sorted(rows(lab, ITEMS)) == items
    assert rows(lab, "SELECT count(*) > 0 FROM job_items_archive") == [(True,)]
    [(left,)] = rows(lab, "SELECT count(*) FROM audit_logs")
    assert exported_lines(export) == audited - left > 0

    again = play(lab, "maintain_monthly", *options)
    assert again.returncode == 0, again.output
    assert "changed=0" in again.output.split("PLAY RECAP")[1].split("storebridge-postgres")[1].splitlines()[0]


def exported_lines(folder: Any) -> int:
    """Counted with zcat and wc, as a person would."""
    import subprocess

    files = sorted(str(path) for path in folder.rglob("*.jsonl.gz"))
    assert files
    text = subprocess.run(["zcat", *files], check=True, capture_output=True).stdout
    return text.count(b"\n")


def test_no_secret_of_the_maintenance_login(to_maintain: Any, play: Any) -> None:
    inside = ("-e", f"runbook_reference_time={next_time(22, 30)}")
    run = play(to_maintain, "maintain_monthly", "-vvvv", "--diff", "--check", *inside)
    secrets = to_maintain.secrets()
    written = "".join(path.read_text(encoding="utf-8") for path in run.folder.parent.rglob("*.*") if path.is_file())
    for secret in secrets:
        assert secret not in run.output
        assert secret not in written
