"""StoreBridge's business figures as its inventory asks for them, beside what the manual's commands say."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.postgresql import PostgresServer
from lab.storebridge.database import DATABASE, populate_postgresql
from lab.storebridge.sessions import LEAKING, hold_sessions
from lab.storebridge.settings import lab_variables

from ansible_collections.runbook.ops.plugins.plugin_utils.judging.judge import judge

CheckRole = Callable[..., Any]
RunModule = Callable[..., dict[str, Any]]

REPOSITORY = Path(__file__).resolve().parents[3]
INVENTORY: dict[str, Any] = yaml.safe_load(
    (REPOSITORY / "inventories/storebridge/group_vars/postgresql/check_postgresql.yml").read_text(encoding="utf-8")
)
SYSTEM = {"runbook_system": "storebridge", "runbook_timezone": "Asia/Seoul"}
# Half past eight in the morning in Seoul is the evening before in UTC, where the servers live.
MORNING = "2026-01-31T08:30:00+09:00"

SUCCESS, REVIEW = "business.registration_success", "business.manual_review"

# What the manual prescribes for 09:00.
MANUAL_SUCCESS = """
    SELECT DATE(created_at) AS date,
           COUNT(*) FILTER (WHERE state = 'COMPLETED') AS success,
           COUNT(*) FILTER (WHERE state = 'FAILED') AS failed,
           ROUND(COUNT(*) FILTER (WHERE state = 'COMPLETED')::NUMERIC / COUNT(*) * 100, 2) AS success_rate
      FROM product_registrations
     WHERE created_at >= {today} - INTERVAL '1 day' AND created_at < {today}
     GROUP BY DATE(created_at)
"""


@pytest.fixture
def empty(postgresql_server: PostgresServer, postgresql_database: str) -> Iterator[tuple[PostgresServer, str]]:
    """StoreBridge's tables without a row."""
    schema = files("lab.storebridge").joinpath("schema.sql").read_text(encoding="utf-8")
    postgresql_server.execute(schema, db=postgresql_database)
    postgresql_server.execute(
        "INSERT INTO products VALUES (%s, 'DG1', 'n', 'c', 1, 'ACTIVE', now(), now())",
        ("00000000-0000-0000-0000-000000000001",),
        db=postgresql_database,
    )
    yield postgresql_server, postgresql_database


def register(server: PostgresServer, database: str, *rows: tuple[str, str, str | None]) -> None:
    """Registrations as (state, created_at, error_code)."""
    with closing(server.connect(database)) as connection, connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO product_registrations (product_id, state, created_at, updated_at, error_code)
            VALUES ('00000000-0000-0000-0000-000000000001', %s, %s, now(), %s)
            """,
            rows,
        )


def figures(
    empty: tuple[PostgresServer, str], run_module: RunModule, which: str = "check_postgresql"
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """What the inventory's queries and rules make of the database: findings by id, and the facts."""
    server, database = empty
    facts = run_module(
        "postgresql_query_info",
        {
            **server.login(database),
            "queries": INVENTORY[f"{which}_queries"],
            "timezone": "Asia/Seoul",
            "reference_time": MORNING,
        },
    )
    found = judge(facts, INVENTORY[f"{which}_query_rules"])
    return {each["id"]: each for each in found}, facts


@pytest.mark.parametrize(
    ("completed", "failed", "severity", "value", "priority"),
    [
        (85, 15, "ok", 85.0, None),
        (84, 15, "warning", 84.85, "P2"),
        (70, 30, "warning", 70.0, "P2"),
        (69, 31, "critical", 69.0, "P1"),
        (0, 5, "critical", 0.0, "P1"),
    ],
)
def test_the_success_ladder(
    empty: tuple[PostgresServer, str],
    run_module: RunModule,
    completed: int,
    failed: int,
    severity: str,
    value: float,
    priority: str | None,
) -> None:
    register(
        *empty,
        *[("COMPLETED", "2026-01-30 12:00+09", None)] * completed,
        *[("FAILED", "2026-01-30 12:00+09", "NAVER_5XX")] * failed,
    )
    found, _facts = figures(empty, run_module)
    success = found[SUCCESS]
    assert (success["severity"], success["value"], success["priority"]) == (severity, value, priority)
    assert success["ladder"] == {"warning": "< 85 %", "critical": "< 70 %"}
    assert (
        f"of the registrations of 2026-01-30 succeeded ({completed} of {completed + failed} finished)"
        in (success["summary"])
    )


def test_what_has_not_ended_is_no_failure(empty: tuple[PostgresServer, str], run_module: RunModule) -> None:
    """One success, one failure, one waiting, one in review: the manual's command says 25 %."""
    server, database = empty
    noon = "2026-01-30 12:00+09"
    register(*empty, *((state, noon, None) for state in ("COMPLETED", "FAILED", "PENDING", "MANUAL_REVIEW")))
    manual = server.psql(MANUAL_SUCCESS.format(today="DATE '2026-01-31'"), db=database)
    assert manual.split("|")[3] == "25.00"
    found, facts = figures(empty, run_module)
    assert found[SUCCESS]["value"] == 50.0
    assert facts["queries"]["registrations_yesterday"]["row"] == {
        "day": "2026-01-30",
        "total": 4,
        "completed": 1,
        "failed": 1,
        "finished": 2,
        "success_percent": 50.0,
    }


def test_a_day_without_registrations_is_not_passed_over(
    empty: tuple[PostgresServer, str], run_module: RunModule
) -> None:
    """The manual's command prints nothing and exits with 0."""
    server, database = empty
    assert server.psql(MANUAL_SUCCESS.format(today="DATE '2026-01-31'"), db=database) == ""
    found, _facts = figures(empty, run_module)
    assert found[SUCCESS]["severity"] == "unknown"
    assert found[SUCCESS]["priority"] == "P2"
    assert "was not measured (null)" in found[SUCCESS]["summary"]


def test_the_day_is_seouls(empty: tuple[PostgresServer, str], run_module: RunModule) -> None:
    """All of Seoul's yesterday succeeded. The manual's command, in a session in UTC, looks at another day."""
    server, database = empty
    register(
        *empty,
        ("FAILED", "2026-01-29 23:59:59+09", "RATE_LIMIT"),
        ("COMPLETED", "2026-01-30 00:00:00+09", None),
        ("COMPLETED", "2026-01-30 23:59:59+09", None),
        ("FAILED", "2026-01-31 00:00:00+09", "RATE_LIMIT"),
    )
    # CURRENT_DATE at that moment, on a server in UTC.
    manual = server.psql(MANUAL_SUCCESS.format(today="DATE '2026-01-30'"), db=database)
    assert manual == "2026-01-29|1|1|50.00"
    found, _facts = figures(empty, run_module)
    assert (found[SUCCESS]["severity"], found[SUCCESS]["value"]) == ("ok", 100.0)


def test_a_failing_command_is_no_success(empty: tuple[PostgresServer, str], run_module: RunModule) -> None:
    """Psql fed by a here-document ends with 0 although its statement failed."""
    server, database = empty
    server.execute("DROP TABLE product_registrations", db=database)
    login = server.login(database)
    manual = subprocess.run(
        [str(server.client("psql")), "-X", "-h", server.host, "-p", str(server.port), "-U", server.superuser, database],
        input=MANUAL_SUCCESS.format(today="CURRENT_DATE") + ";\n",
        env={**os.environ, "PGPASSWORD": login["login_password"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (manual.returncode, manual.stdout) == (0, "")
    found, facts = figures(empty, run_module)
    assert {rule for rule, each in found.items() if each["severity"] == "unknown"} == {
        SUCCESS,
        REVIEW,
        "business.failed_yesterday",
        "business.manual_review_age",
    }
    assert 'relation "product_registrations" does not exist' in found[SUCCESS]["summary"]
    assert [each["section"] for each in facts["skipped_sections"]] == [
        "queries.registrations_yesterday",
        "queries.manual_review",
    ]


@pytest.mark.parametrize(("waiting", "severity"), [(0, "ok"), (50, "ok"), (51, "warning")])
def test_manual_review(empty: tuple[PostgresServer, str], run_module: RunModule, waiting: int, severity: str) -> None:
    register(*empty, *[("MANUAL_REVIEW", "2026-01-24 08:30:00+09", "FORBIDDEN_WORD")] * waiting)
    found, _facts = figures(empty, run_module)
    assert (found[REVIEW]["severity"], found[REVIEW]["value"]) == (severity, waiting)
    age = found["business.manual_review_age"]
    assert (age["severity"], age["value"]) == ("ok", 7 * 86400 if waiting else 0)


def test_an_old_review_is_found_among_few(empty: tuple[PostgresServer, str], run_module: RunModule) -> None:
    register(*empty, ("MANUAL_REVIEW", "2026-01-24 08:29:59+09", None))
    found, _facts = figures(empty, run_module)
    assert found[REVIEW]["severity"] == "ok"
    assert found["business.manual_review_age"]["severity"] == "warning"


def test_what_is_kept_too_long(empty: tuple[PostgresServer, str], run_module: RunModule) -> None:
    server, database = empty
    server.execute(
        """
        INSERT INTO jobs
        SELECT gen_random_uuid(), 'stock_sync', status, now(), timestamptz '2026-01-31 08:30+09' - age
          FROM (VALUES ('COMPLETED', interval '90 days'), ('COMPLETED', interval '95 days'),
                       ('FAILED', interval '95 days'), ('COMPLETED', NULL)) AS t (status, age);
        INSERT INTO audit_logs (actor, action, target, detail, created_at) VALUES
            ('a', 'b', 'c', 'd', timestamptz '2026-01-31 08:30+09' - interval '179 days'),
            ('a', 'b', 'c', 'd', timestamptz '2026-01-31 08:30+09' - interval '181 days')
        """,
        db=database,
    )
    found, _facts = figures(empty, run_module)
    jobs, audit = found["business.jobs_overdue"], found["business.audit_logs_overdue"]
    assert (jobs["severity"], jobs["value"], jobs["priority"]) == ("warning", 1, "P2")
    assert jobs["summary"] == "1 completed jobs are older than 90 days, the oldest 95d"
    assert (audit["severity"], audit["value"]) == ("warning", 1)
    assert audit["remedy"] == "ansible-playbook runbook.ops.enforce_retention --check"


def test_the_weekly_reasons(empty: tuple[PostgresServer, str], run_module: RunModule) -> None:
    """The manual counts what still waits for review; what failed, was retried or has no code is not in its list."""
    monday = "2026-01-26 10:00+09"
    register(
        *empty,
        *[("MANUAL_REVIEW", monday, "CATEGORY_MISMATCH")] * 30,
        *[("COMPLETED", monday, "CATEGORY_MISMATCH")] * 30,
        *[("FAILED", monday, "FORBIDDEN_WORD")] * 25,
        *[("FAILED", monday, None)] * 15,
        *[("COMPLETED", monday, None)] * 500,
        ("FAILED", "2026-01-23 23:59+09", "TOO_OLD"),
        ("FAILED", "2026-01-31 00:00+09", "TODAY"),
    )
    found, facts = figures(empty, run_module, "review_weekly_postgresql")
    assert facts["queries"]["review_reasons"]["rows"] == [
        {"reason": "CATEGORY_MISMATCH", "count": 60, "in_review": 30, "failed": 0, "share_percent": 60.0},
        {"reason": "FORBIDDEN_WORD", "count": 25, "in_review": 0, "failed": 25, "share_percent": 25.0},
        {"reason": "(no code)", "count": 15, "in_review": 0, "failed": 15, "share_percent": 15.0},
    ]
    assert [(each["id"], each["object"]) for each in found.values() if each["severity"] != "ok"] == [
        ("business.category_mismatch", "CATEGORY_MISMATCH")
    ]
    server, database = empty
    manual = server.psql(
        """
        SELECT error_code, COUNT(*) FROM product_registrations WHERE state = 'MANUAL_REVIEW'
        AND created_at >= DATE '2026-01-31' - INTERVAL '7 days' GROUP BY error_code ORDER BY 2 DESC LIMIT 10
        """,
        db=database,
    )
    assert manual == "CATEGORY_MISMATCH|30"


@pytest.fixture(scope="module", params=["healthy", "degraded"])
def lab(request: pytest.FixtureRequest) -> Iterator[tuple[str, PostgresServer, dict[str, Any]]]:
    """The lab's StoreBridge, as its inventory reaches it: by the monitoring role."""
    with PostgresServer() as server:
        server.execute("CREATE ROLE runbook_monitor LOGIN PASSWORD 'm0nitor @:/%'; GRANT pg_monitor TO runbook_monitor")
        server.execute("CREATE ROLE storebridge_app LOGIN PASSWORD 'app'")
        populate_postgresql(server, request.param)
        application = server.login(DATABASE, user="storebridge_app", password="app")
        held = hold_sessions(application, server.login(DATABASE), request.param)
        login = server.login(DATABASE, user="runbook_monitor", password="m0nitor @:/%")
        yield request.param, server, login
        for connection in held:
            connection.close()


PLANTED = {
    "healthy": [],
    "degraded": [
        ("warning", "postgresql.idle_in_transaction", f"{LEAKING} (storebridge_app@storebridge)"),
        ("warning", "postgresql.dead_rows", "public.audit_logs"),
        ("warning", "postgresql.index_unused", "public.idx_audit_logs_detail"),
        ("warning", "postgresql.index_invalid", "public.idx_registrations_naver_product"),
        ("warning", "business.registration_success", ""),
        ("warning", "business.manual_review", ""),
        ("warning", "business.jobs_overdue", ""),
        ("warning", "business.audit_logs_overdue", ""),
    ],
}


def test_the_labs_storebridge(lab: tuple[str, PostgresServer, dict[str, Any]], check_role: CheckRole) -> None:
    scenario, server, login = lab
    short = {**lab_variables(), "storebridge_idle_in_transaction_warning": "> 0.001 s"}
    run = check_role(login, **{**INVENTORY, **SYSTEM, **short})
    assert run.of("warning", "critical") == PLANTED[scenario]
    has_statements = server.installation.has_library("pg_stat_statements")
    assert [rule for _severity, rule, _object in run.of("unknown")] == (
        [] if has_statements else ["postgresql.statements_slowest"]
    )
