"""ExcelApp's queues lie in PostgreSQL: the same look, the same rules, the same table."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lab.databases import MONITOR, populate
from lab.postgresql import PostgresServer
from lab.running import Running


def test_queues_that_no_workers_list_names(postgresql_server: PostgresServer, play: Any, tmp_path: Path) -> None:
    server = postgresql_server
    name = populate(server, "excelapp", database="excelapp_queues")
    host = {
        "ansible_python_interpreter": sys.executable,
        **{f"postgresql_{key}": value for key, value in server.login(name, MONITOR, server.password).items()},
    }
    place = tmp_path / "lab"
    (place / "inventory").mkdir(parents=True)
    groups = {"postgresql": {"hosts": {"excelapp-postgres": host}}}
    (place / "inventory" / "hosts.json").write_text(json.dumps({"all": {"children": groups}}), encoding="utf-8")
    lab = Running(place, "degraded", {}, "excelapp")
    run = play(lab, "inspect_queues", "-e", "seconds=0", "-e", f"inspect_queues_destination={tmp_path / 'report'}")
    assert run.returncode == 0, run.output
    assert {(finding["severity"], finding["id"], finding["object"]) for finding in run.bad()} == {
        ("critical", "queue.unconsumed", ""),
        ("critical", "queue.oldest", "excelapp_production_default"),
        ("critical", "queue.oldest", "excelapp_production_mailers"),
        ("warning", "queue.failed", "excelapp_production_default"),
    }
    assert [finding["id"] for finding in run.findings() if finding["severity"] == "unknown"] == []
    table = run.output[run.output.index("WHY JOBS FAIL") :].splitlines()
    assert table[2].strip().startswith("14  excelapp_production_default: Net::ReadTimeout")
    # Active Job's jobs are retried by the application, and no command is printed that could not.
    assert "retry_jobs" not in run.output
