"""Roles and row level security of a real PostgreSQL: what a list of attributes does not show."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lab.play import ansible_playbook, run_role
from lab.postgresql import PostgresServer


def test_grants_and_policies_are_findings(
    postgresql_server: PostgresServer, postgresql_database: str, tmp_path: Path
) -> None:
    server, database = postgresql_server, postgresql_database
    boss, staff, tool = (f"{database}_{name}" for name in ("boss", "staff", "tool"))
    server.execute(
        f"CREATE ROLE {boss} LOGIN SUPERUSER; CREATE ROLE {staff} LOGIN PASSWORD 'x' VALID UNTIL '2020-01-01'"
    )
    server.execute(f"CREATE ROLE {tool} LOGIN BYPASSRLS; GRANT pg_execute_server_program TO {staff}")
    try:
        server.execute(
            "CREATE TABLE orders (id int); CREATE TABLE invoices (id int); CREATE TABLE notes (id int);"
            "ALTER TABLE orders ENABLE ROW LEVEL SECURITY; ALTER TABLE notes ENABLE ROW LEVEL SECURITY;"
            "CREATE POLICY own ON orders USING (id = 1); CREATE POLICY open ON notes USING (true);"
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {staff}",
            db=database,
        )
        # The manual's list of roles, by its query: it connects elsewhere, and knows neither grants nor policies.
        manual = server.psql("SELECT rolname, rolsuper FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%'", db="postgres")
        assert "invoices" not in manual
        assert "pg_execute_server_program" not in manual
        variables = {f"postgresql_{name}": value for name, value in server.login(database).items()}
        role = run_role(
            *(tmp_path, "security_audit"),
            {**variables, "security_audit_machine": False, "security_audit_postgresql": True},
        )
        bad = {(each["id"], each["object"]): each["severity"] for each in role.findings if each["severity"] != "ok"}
        assert bad["database.superuser", boss] == "warning"
        assert bad["database.bypass_rls", tool] == "warning"
        assert bad["database.membership", f"{staff} in pg_execute_server_program"] == "warning"
        assert bad["database.expired", staff] == "warning"
        assert bad["database.rls_missing", "public.invoices"] == "critical"
        assert bad["database.rls_always_true", "public.notes.open"] == "warning"
        assert ("database.rls_missing", "public.orders") not in bad
        # Nothing of the machine was asked for, and nothing of it is said.
        assert {each["id"].split(".")[0] for each in role.findings[1:]} == {"database"}
        lost = {
            **variables,
            "postgresql_login_port": 9,
            "security_audit_machine": False,
            "security_audit_postgresql": True,
        }
        down = run_role(tmp_path, "security_audit", lost)
        assert {each["id"]: each["severity"] for each in down.findings} == {
            "security.available": "critical",
            "security.not_judged": "unknown",
        }
    finally:
        server.execute(f"DROP OWNED BY {staff}", db=database)
        server.execute(f"DROP ROLE {boss}; DROP ROLE {staff}; DROP ROLE {tool}")


def test_the_playbook_reports_what_does_not_answer(tmp_path: Path) -> None:
    """A machine and a server that are down are findings, and the run goes on to its report."""
    gone = {"ansible_host": "127.0.0.1", "ansible_port": 9, "ansible_ssh_common_args": "-o BatchMode=yes"}
    database = {"postgresql_login_host": "127.0.0.1", "postgresql_login_port": 9, "ansible_connection": "local"}
    database["ansible_python_interpreter"] = sys.executable
    # A machine that is its own database server.
    both = {**database, "security_audit_become": False, "security_audit_sections": ["kernel"]}
    inventory = {
        "servers": {"hosts": {"gone": gone, "both": both}},
        "postgresql": {"hosts": {"db": database, "both": {}}},
    }
    (tmp_path / "inventory.yml").write_text(json.dumps(inventory), encoding="utf-8")
    ended = ansible_playbook(tmp_path, "runbook.ops.audit_security", "-i", "inventory.yml")
    assert ended.returncode == 2, ended.stdout
    report = tmp_path / "runbook-report-security" / "findings.json"
    found = {(each["host"], each["id"]): each for each in json.loads(report.read_text(encoding="utf-8"))}
    for host in ("gone", "db"):
        assert found[host, "security.available"]["severity"] == "critical", found
        assert found[host, "security.not_judged"]["severity"] == "unknown"
    assert found["both", "security.available"]["severity"] == "ok"
    assert ("both", "security.kernel_aslr") in found
    assert found["both", "database.superuser"]["severity"] == "unknown"
    assert "Connection refused" in found["gone", "security.available"]["summary"]
