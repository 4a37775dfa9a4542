"""An S3 server for the folder, buckets for single tests, and the role as a user runs it."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab.play import ansible_playbook
from lab.s3 import S3Server

REPOSITORY = Path(__file__).resolve().parents[3]

PLAYBOOK = """
- name: Check
  hosts: all
  gather_facts: false
  roles:
    - role: runbook.ops.check_object_store
  post_tasks:
    - name: Hand the outcome to the test
      ansible.builtin.copy:
        dest: "{{ outcome }}/{{ inventory_hostname }}.json"
        mode: "0600"
        content: "{{ {'findings': check_object_store_findings, 'facts': check_object_store_facts} | to_json }}"
      check_mode: false
"""


@dataclass(frozen=True)
class Outcome:
    """What the role found on one host."""

    findings: list[dict[str, Any]]
    facts: dict[str, Any]

    def not_ok(self) -> list[tuple[str, str, str]]:
        """Findings that are not ok as (severity, id, object)."""
        return [(e["severity"], e["id"], e["object"]) for e in self.findings if e["severity"] != "ok"]

    def summary(self, rule: str) -> str:
        [found] = [each["summary"] for each in self.findings if each["id"] == rule]
        return found


@dataclass(frozen=True)
class Run:
    """What a run of the role gave: the text that ansible-playbook printed, and the outcome of every host."""

    output: str
    outcomes: dict[str, Outcome]


@pytest.fixture(scope="session")
def store() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def make_bucket(store: S3Server) -> Callable[..., str]:
    """Make a bucket of the test's own, with or without versions: its name."""
    client = store.client()

    def make(versioning: str | None = None) -> str:
        name = f"test-{uuid.uuid4().hex[:12]}"
        client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": store.region})
        if versioning:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": versioning})
        return name

    return make


CheckRole = Callable[..., Run]


@pytest.fixture(scope="session")
def check_role(tmp_path_factory: pytest.TempPathFactory) -> CheckRole:
    """Run the role over hosts: their role variables by name; C(expect) is the exit status."""

    def run(hosts: dict[str, dict[str, Any]], *arguments: str, expect: int = 0) -> Run:
        place = tmp_path_factory.mktemp("role")
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        inventory = {"all": {"hosts": {name: {**local, **variables} for name, variables in hosts.items()}}}
        (place / "inventory.yml").write_text(json.dumps(inventory), encoding="utf-8")
        (place / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
        (place / "outcome").mkdir()
        outcome = f"outcome={place / 'outcome'}"
        completed = ansible_playbook(place, "-i", "inventory.yml", "play.yml", "-e", outcome, *arguments, timeout=300)
        assert completed.returncode == expect, completed.stdout
        outcomes = {
            path.stem: Outcome(**json.loads(path.read_text(encoding="utf-8"))) for path in (place / "outcome").iterdir()
        }
        return Run(completed.stdout, outcomes)

    return run
