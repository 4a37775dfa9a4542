"""An incident as the engineer on call answers it: the playbook, an inventory, and real sessions that are at fault."""

from __future__ import annotations

import datetime as dt
import json
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2.extras
import pytest
from lab.clients import PASSWORD, Clients, roles
from lab.pgbouncer import STATS_PASSWORD, STATS_USER, PgBouncer
from lab.play import ansible_playbook
from lab.postgresql import PostgresServer

REPOSITORY = Path(__file__).resolve().parents[3]
# What takes minutes in a real incident must do with a second in a test.
QUICK = {
    "incident.lock_root": {"warning": "> 0.1 s", "critical": "> 0.5 s"},
    "incident.leak": {"warning": "> 0.1 s", "critical": "> 0.5 s"},
}
SHEETS = REPOSITORY / "roles" / "incident_response" / "files" / "incidents"
KNOWN = ", ".join(sorted(each.stem for each in SHEETS.glob("*.yml")))
QUICK_REMEDIES = {"db_locks": {"min_state_age": "1s"}, "db_connections": {"min_state_age": "1s"}}


@dataclass(frozen=True)
class Answer:
    """What a run of the playbook left."""

    output: str
    folder: Path | None
    findings: list[dict[str, Any]]

    def read(self, name: str) -> dict[str, Any]:
        assert self.folder is not None
        return json.loads((self.folder / f"{name}-db1.json").read_text(encoding="utf-8"))

    def severities(self) -> dict[str, str]:
        return {each["id"]: each["severity"] for each in self.findings}


Respond = Callable[..., Answer]


@pytest.fixture
def respond(tmp_path: Path) -> Respond:
    """Run the playbook against one server; C(expect) is the exit status."""

    def run(login: dict[str, Any], *arguments: str, expect: int = 0, **variables: Any) -> Answer:
        host = {f"postgresql_{name}": value for name, value in login.items()}
        local = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "runbook_system": "shop",
            "incident_response_rule_overrides": QUICK,
            "incident_response_remedy_options": QUICK_REMEDIES,
        }
        inventory = {"postgresql": {"hosts": {"db1": {**local, **host, **variables}}}}
        (tmp_path / "inventory.yml").write_text(json.dumps(inventory), encoding="utf-8")
        kept = tmp_path / "runbook-incidents"
        known = set(kept.iterdir()) if kept.exists() else set()
        report = tmp_path / "runbook-report-incident" / "findings.json"
        report.unlink(missing_ok=True)
        completed = ansible_playbook(tmp_path, "-i", "inventory.yml", "runbook.ops.respond_incident", *arguments)
        print(completed.stdout)
        assert completed.returncode == expect
        assert "Traceback" not in completed.stdout
        new = set(kept.iterdir()) - known if kept.exists() else set()
        found = json.loads(report.read_text(encoding="utf-8")) if report.exists() else []
        return Answer(completed.stdout, new.pop() if new else None, found)

    return run


@pytest.fixture
def clients(postgresql_server: PostgresServer, postgresql_database: str) -> Iterator[Clients]:
    roles(postgresql_server)
    made = Clients(postgresql_server, postgresql_database)
    yield made
    made.close()


@pytest.fixture
def queue(clients: Clients) -> Clients:
    """Three sessions in a chain, and two that have nothing to do with it."""
    clients.server.execute(
        "CREATE TABLE orders (id int PRIMARY KEY, mail text); GRANT ALL ON orders TO app; "
        "INSERT INTO orders VALUES (1, 'x')",
        db=clients.database,
    )
    clients.leak("root", "UPDATE orders SET mail = 'kim@example.com' WHERE id = 1", user="app")
    clients.waiter("second", "UPDATE orders SET mail = 'lee@example.com' WHERE id = 1", user="app")
    clients.waiter("third", "SELECT * FROM orders WHERE id = 1 FOR UPDATE", user="app")
    clients.leak("bystander", "SELECT 1", user="app")
    clients.idle("pooled", user="app")
    clients.aged()
    return clients


def login(clients: Clients) -> dict[str, Any]:
    return clients.server.login(clients.database, user="operator", password=PASSWORD)


def only(clients: Clients) -> dict[str, Any]:
    """Remedies for the test's own database."""
    return {name: {**options, "database": [clients.database]} for name, options in QUICK_REMEDIES.items()}


LOCKS = ("-e", "incident=db_locks")
APPLY = ("-e", "incident_response_apply=true")
CONFIRM = ("-e", "confirm=shop")


def test_without_apply_the_plan_is_shown_and_nothing_is_changed(queue: Clients, respond: Respond) -> None:
    answer = respond(login(queue), *LOCKS, expect=2, incident_response_remedy_options=only(queue))
    assert queue.alive() == set(queue.pids)
    assert answer.folder is not None
    assert answer.folder.name.startswith("db_locks-shop-")
    evidence, told = answer.read("evidence"), answer.read("timeline")
    assert [root["pid"] for root in evidence["health"]["locks"]["roots"]] == [queue.pids["root"]]
    assert set(evidence["health"]) >= {"locks", "sessions", "connections", "statements", "settings"}
    assert told["is_applied"] is False
    assert [each["pid"] for each in told["remedy"]["actions"]] == [queue.pids["root"]]
    assert [each["phase"] for each in told["timeline"]] == ["evidence", "evidence", "diagnosis", "remedy", "record"]
    assert answer.severities()["incident.lock_root"] == "critical"
    assert "Carry it out with -e incident_response_apply=true -e confirm=shop" in answer.output
    assert "planned end session" in answer.output or "planned terminate" in answer.output


def test_applied_it_ends_exactly_the_root(queue: Clients, respond: Respond) -> None:
    answer = respond(login(queue), *LOCKS, *APPLY, *CONFIRM, incident_response_remedy_options=only(queue))
    assert queue.alive() == {"second", "third", "bystander", "pooled"}
    # The others went on.
    psycopg2.extras.wait_select(queue.connections["second"])
    evidence, told = answer.read("evidence"), answer.read("timeline")
    assert [root["pid"] for root in evidence["health"]["locks"]["roots"]] == [queue.pids["root"]]
    assert told["is_applied"] is True
    assert told["remedy"]["outcomes"] == [{"pid": queue.pids["root"], "outcome": "terminated", "detail": ""}]
    compared = {each["id"]: each["outcome"] for each in told["compared"]}
    assert compared["incident.lock_root"] == "cured"
    assert [each["phase"] for each in told["timeline"]] == [
        "evidence", "evidence", "diagnosis", "remedy", "verify", "record",
    ]  # fmt: skip
    moments = [each["at"] for each in told["timeline"]]
    assert moments == sorted(moments)
    # A second time there is nothing to end.
    again = respond(login(queue), *LOCKS, *APPLY, *CONFIRM, incident_response_remedy_options=only(queue))
    assert again.read("timeline")["remedy"]["actions"] == []
    assert queue.alive() == {"second", "third", "bystander", "pooled"}


def test_the_evidence_is_older_than_the_act(queue: Clients, respond: Respond) -> None:
    """F75: by the server's own log, the session was ended after the evidence was complete on the disk."""
    answer = respond(login(queue), *LOCKS, *APPLY, *CONFIRM, incident_response_remedy_options=only(queue))
    assert answer.folder is not None
    kept = (answer.folder / "evidence-db1.json").stat().st_mtime
    (line,) = [
        line
        for line in queue.server.log.read_text(encoding="utf-8", errors="replace").splitlines()
        if f"[{queue.pids['root']}]" in line and "terminating connection due to administrator command" in line
    ]
    ended = dt.datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=dt.timezone.utc)
    assert kept < ended.timestamp()


def test_files_are_for_their_owner_and_hold_no_secrets(queue: Clients, respond: Respond) -> None:
    answer = respond(login(queue), *LOCKS, "-vvv", expect=2, incident_response_remedy_options=only(queue))
    assert answer.folder is not None
    assert stat.S_IMODE(answer.folder.stat().st_mode) == 0o750
    files = sorted(answer.folder.iterdir())
    assert [each.name for each in files] == ["evidence-db1.json", "timeline-db1.json", "timeline-db1.md"]
    for each in files:
        assert stat.S_IMODE(each.stat().st_mode) == 0o640
        text = each.read_text(encoding="utf-8")
        for secret in (PASSWORD, json.dumps(PASSWORD)[1:-1], "kim@example.com", "lee@example.com"):
            assert secret not in text
    assert PASSWORD not in answer.output
    page = (answer.folder / "timeline-db1.md").read_text(encoding="utf-8")
    assert page.startswith("# Sessions wait for locks: db1 (shop)\n")
    assert f"- pid {queue.pids['root']} (root, app@{queue.database}), idle in transaction:" in page


def test_check_mode_writes_and_changes_nothing(queue: Clients, respond: Respond, tmp_path: Path) -> None:
    answer = respond(
        login(queue),
        *LOCKS,
        *APPLY,
        *CONFIRM,
        "--check",
        "--diff",
        expect=2,
        incident_response_remedy_options=only(queue),
    )
    assert queue.alive() == set(queue.pids)
    assert answer.folder is None
    assert not (tmp_path / "runbook-incidents").exists()
    assert not (tmp_path / "runbook-report-incident").exists()
    assert "not kept in check mode" in answer.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*LOCKS, *APPLY), "confirm with -e confirm=shop"),
        ((*LOCKS, *APPLY, "-e", "confirm=other"), "confirm with -e confirm=shop"),
        (
            (),
            f"Which incident? Say it with -e incident=<name>; known are {KNOWN}.",
        ),
        (("-e", "incident=db_lost"), "Unknown incident db_lost?"),
        (
            ("-e", "incident=crash"),
            f"known are {KNOWN}.",
        ),
        ((*LOCKS, "-e", '{"incident_response_rule_overrides": {"incident.lok": {}}}'), "incident.lok"),
        ((*LOCKS, "-e", '{"incident_response_remedy_options": {"db_lock": {}}}'), "db_lock"),
    ],
)
def test_mistakes_are_one_message_before_anything_is_touched(
    clients: Clients, respond: Respond, arguments: tuple[str, ...], message: str
) -> None:
    answer = respond(login(clients), *arguments, expect=2)
    assert message in " ".join(answer.output.split())
    assert answer.folder is None


def test_a_system_that_is_not_in_production_needs_no_consent(queue: Clients, respond: Respond) -> None:
    respond(login(queue), *LOCKS, *APPLY, runbook_environment="staging", incident_response_remedy_options=only(queue))
    assert "root" not in queue.alive()


def test_what_is_protected_stays_and_the_play_fails(queue: Clients, respond: Respond) -> None:
    answer = respond(
        login(queue), *LOCKS, *APPLY, *CONFIRM, expect=2,
        incident_response_protect_users=["app"], incident_response_remedy_options=only(queue),
    )  # fmt: skip
    assert queue.alive() == set(queue.pids)
    told = answer.read("timeline")
    assert [each["reason"] for each in told["remedy"]["protected"]] == ["user app is protected (protect_users)"]
    assert {each["id"]: each["outcome"] for each in told["compared"]}["incident.lock_root"] == "same"
    assert answer.severities()["incident.lock_root"] == "critical"


def test_a_remedy_that_is_refused_is_in_the_record(queue: Clients, respond: Respond) -> None:
    """More sessions than it may end: nothing is ended, the record is written, the play fails."""
    options = {"db_connections": {"min_state_age": "1s", "database": [queue.database], "max_sessions": 1}}
    answer = respond(
        login(queue), "-e", "incident=db_connections", *APPLY, *CONFIRM, expect=2,
        incident_response_remedy_options=options,
    )  # fmt: skip
    assert queue.alive() == set(queue.pids)
    told = answer.read("timeline")
    assert told["failures"][0]["phase"] == "remedy"
    assert told["failures"][0]["message"].startswith("2 sessions match and max_sessions is 1")
    assert answer.severities()["incident.failed"] == "critical"
    assert (answer.folder / "evidence-db1.json").exists() if answer.folder else False


def test_a_leak_is_found_and_ended_and_the_pool_lives(clients: Clients, respond: Respond) -> None:
    """ST-68: the manual restarts the server; the cause is two sessions of one application."""
    started = clients.server.psql("SELECT pg_postmaster_start_time()")
    for number in range(2):
        clients.leak(f"leak {number}", "SELECT 1", user="app", application="shop-worker")
    for number in range(4):
        clients.idle(f"pooled {number}", user="app", application="shop-web")
    clients.busy("report", user="app")
    clients.aged()
    answer = respond(
        login(clients),
        "-e",
        "incident=db_connections",
        *APPLY,
        *CONFIRM,
        incident_response_remedy_options=only(clients),
    )
    told = answer.read("timeline")
    leaks = [each for each in told["found"] if each["id"] == "incident.leak" and each["severity"] == "critical"]
    assert [each["object"] for each in leaks] == [f"shop-worker (app@{clients.database})"]
    assert "2 of 2 sessions idle in a transaction" in leaks[0]["summary"]
    assert clients.alive() == {"report", *(f"pooled {number}" for number in range(4))}
    assert {each["object"]: each["outcome"] for each in told["compared"]} == {leaks[0]["object"]: "cured"}
    assert clients.server.psql("SELECT pg_postmaster_start_time()") == started
    before, after = told["remedy"]["before"], told["remedy"]["after"]
    assert (before["idle_in_transaction"] - after["idle_in_transaction"], before["used"] - after["used"]) == (2, 2)


def test_limits_pools_and_who_waits_at_the_pooler_are_named_as_causes(clients: Clients, respond: Respond) -> None:
    """ST-68: with a pooler the server has two sessions that idle; who waits is known to its console only."""
    clients.server.execute("ALTER ROLE other CONNECTION LIMIT 2")
    waiting = {"incident.pooler_waiting": {"warning": "> 0 s", "critical": "> 0.001 s"}}
    with PgBouncer(clients.server, users={"app": PASSWORD}) as pooler, ExitStack() as stack:
        words = {"host": pooler.host, "port": pooler.port, "user": "app", "password": PASSWORD}
        for asynchronous in (0, 0, 1, 1, 1):
            client = psycopg2.connect(**words, dbname=clients.database, async_=asynchronous)
            stack.enter_context(closing(client))
            psycopg2.extras.wait_select(client)
            client.cursor().execute("SELECT 1")
        try:
            for number in range(2):
                clients.idle(f"other {number}", user="other")
            answer, locks = (
                respond(
                    login(clients), "-e", f"incident={incident}", "-vvv", expect=2,
                    incident_response_remedy_options=only(clients),
                    incident_response_rule_overrides={**QUICK, **waiting},
                    postgresql_pools=[{"application": "shop-web", "instances": 10, "pool_size": 20}],
                    postgresql_pgbouncers=[{"name": "bouncer", "login_host": pooler.host, "login_port": pooler.port}],
                    postgresql_pgbouncer_login_user=STATS_USER, postgresql_pgbouncer_login_password=STATS_PASSWORD,
                )
                for incident in ("db_connections", "db_locks")
            )  # fmt: skip
        finally:
            clients.server.execute("ALTER ROLE other CONNECTION LIMIT -1")
        [shown] = [
            line for line in pooler.ask("SHOW POOLS").splitlines() if line.startswith(f"{clients.database}|app|")
        ]
    found = {each["id"]: each for each in answer.findings}
    assert (found["incident.limit"]["severity"], found["incident.limit"]["object"]) == ("critical", "other")
    assert found["incident.pools"]["severity"] == "critical"
    assert "All pools together may open 200 connections" in found["incident.pools"]["summary"]
    assert found["incident.pooler_waiting"]["object"] == f"bouncer {clients.database}/app"
    assert "3 clients wait" in found["incident.pooler_waiting"]["summary"]
    # Whoever waits for a lock holds a connection of the pool, and others wait for that.
    assert [each["object"] for each in locks.findings if each["id"] == "incident.pooler_waiting"] == [
        found["incident.pooler_waiting"]["object"]
    ]
    [kept] = answer.read("evidence")["poolers"]
    [pool] = kept["pooler"]["pools"]
    assert [pool["clients_active"], pool["clients_waiting"]] == [int(each) for each in shown.split("|")[2:4]] == [2, 3]
    assert answer.folder is not None
    written = "".join(each.read_text(encoding="utf-8") for each in answer.folder.iterdir())
    assert STATS_PASSWORD not in written + answer.output


FULL = {"max_connections": 12, "superuser_reserved_connections": 3, "max_wal_senders": 0}


def test_a_full_server_is_reached_through_a_reserved_slot(respond: Respond) -> None:
    with PostgresServer(settings=FULL) as server:
        roles(server)
        clients = Clients(server, "postgres")
        for number in range(9):
            clients.leak(f"leak {number}", "SELECT 1", user="app", application="shop-worker")
        clients.aged()
        run = ("-e", "incident=db_connections", *APPLY, *CONFIRM)
        refused = respond(login(clients), *run, expect=2)
        # The evidence of a server that lets nobody in is what it said.
        assert "every connection slot is taken" in refused.read("evidence")["reason"]
        assert refused.severities()["incident.available"] == "critical"
        assert clients.alive() == set(clients.pids)
        answer = respond(
            login(clients), *run, postgresql_reserved_login_user="postgres",
            postgresql_reserved_login_password=server.password,
        )  # fmt: skip
        told = answer.read("timeline")
        assert answer.read("evidence")["health"]["connections"]["used_percent"] > 100
        assert {each["outcome"] for each in told["remedy"]["outcomes"]} == {"terminated"}
        assert clients.alive() == set()
        assert answer.severities()["incident.connections"] == "ok"
        assert server.password not in answer.output
        clients.close()


def test_nothing_wrong_is_said_so(clients: Clients, respond: Respond) -> None:
    answer = respond(login(clients), *LOCKS, incident_response_remedy_options=only(clients))
    told = answer.read("timeline")
    assert told["remedy"]["actions"] == []
    assert "Nothing was found to be wrong" in answer.output
