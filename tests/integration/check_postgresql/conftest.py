"""The role as a user runs it: ansible-playbook, an inventory, a real server."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab.play import ansible_playbook

REPOSITORY = Path(__file__).resolve().parents[3]

PLAYBOOK = """
- name: Check
  hosts: all
  gather_facts: false
  roles:
    - role: runbook.ops.check_postgresql
  post_tasks:
    - name: Hand the outcome to the test
      ansible.builtin.copy:
        dest: "{{ outcome }}"
        mode: "0600"
        content: >-
          {{ {'findings': check_postgresql_findings, 'facts': check_postgresql_facts,
              'query_facts': check_postgresql_query_facts | default(none)} | to_json }}
      check_mode: false
"""


@dataclass(frozen=True)
class Run:
    """What a run of the role gave."""

    returncode: int
    output: str
    outcome: dict[str, Any]

    @property
    def findings(self) -> list[dict[str, Any]]:
        return self.outcome["findings"]

    def of(self, *severities: str) -> list[tuple[str, str, str]]:
        """Findings of these severities as (severity, id, object)."""
        return [
            (each["severity"], each["id"], each["object"]) for each in self.findings if each["severity"] in severities
        ]

    def finding(self, rule: str) -> dict[str, Any]:
        [found] = [each for each in self.findings if each["id"] == rule]
        return found


CheckRole = Callable[..., Run]


@pytest.fixture
def check_role(tmp_path: Path) -> CheckRole:
    """Run the role with a module's login options and role variables; C(expect) is the exit status."""

    def run(login: dict[str, Any], *arguments: str, expect: int = 0, **variables: Any) -> Run:
        host = {f"postgresql_{name}": value for name, value in login.items()}
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        (tmp_path / "inventory.json").write_text(
            json.dumps({"all": {"hosts": {"db1": {**local, **host, **variables}}}}), encoding="utf-8"
        )
        (tmp_path / "inventory.json").rename(tmp_path / "inventory.yml")
        (tmp_path / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
        outcome = tmp_path / "outcome.json"
        outcome.unlink(missing_ok=True)
        completed = ansible_playbook(
            tmp_path, "-i", "inventory.yml", "play.yml", "-e", f"outcome={outcome}", *arguments, timeout=300
        )
        assert completed.returncode == expect, completed.stdout
        found = json.loads(outcome.read_text(encoding="utf-8")) if outcome.exists() else {}
        return Run(completed.returncode, completed.stdout, found)

    return run
