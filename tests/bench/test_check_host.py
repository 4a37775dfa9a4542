"""Checking many hosts: one module call a host, beside the same facts gathered task by task.

C(BENCH_HOSTS) (30) is the number of hosts, which are this machine under many names; C(BENCH_ROUNDS) (3) that of rounds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.bench import alternate, median, ratio
from lab.paths import REPOSITORY

HOSTS = int(os.environ.get("BENCH_HOSTS", "30"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
# Both look for as long: waiting is no work.
SAMPLE_SECONDS = 0.2
MODULE = {
    "runbook.ops.host_health_info": {"sample_seconds": SAMPLE_SECONDS, "expected_ports": []},
    "register": "measured",
}


def test_check_host(tmp_path: Path, table: Callable[..., Any]) -> None:
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "sample_seconds": str(SAMPLE_SECONDS),
        "check_host_become": False,
        "check_host_sample_seconds": SAMPLE_SECONDS,
        "check_host_expected_ports": [],
        "check_host_history_directory": str(tmp_path / "figures"),
    }
    hosts = {f"host-{number:02d}": {} for number in range(HOSTS)}
    inventory = tmp_path / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": variables}}), encoding="utf-8")
    plays = {
        "module.yml": {"hosts": "all", "gather_facts": False, "tasks": [MODULE]},
        "role.yml": {"hosts": "all", "gather_facts": False, "roles": ["runbook.ops.check_host"]},
    }
    for name, play in plays.items():
        (tmp_path / name).write_text(json.dumps([play]), encoding="utf-8")
    baseline = str(REPOSITORY / "tests" / "bench" / "baseline" / "check_host.yml")
    taken = alternate(
        {
            name: ["ansible-playbook", "-i", str(inventory), playbook]
            for name, playbook in (("tasks", baseline), ("module", "module.yml"), ("role", "role.yml"))
        },
        tmp_path,
        ROUNDS,
    )
    rows = table(f"Checking {HOSTS} hosts", "what", "median wall time", "task by task takes")
    rows.add("facts, task by task (ansible.builtin)", median(taken["tasks"]), "1")
    rows.add("facts, host_health_info", median(taken["module"]), ratio(taken["tasks"], taken["module"]))
    rows.add("facts, history, findings: role check_host", median(taken["role"]), ratio(taken["tasks"], taken["role"]))
