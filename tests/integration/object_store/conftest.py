"""An S3 server for the folder, buckets for single tests, and the role as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
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
        dest: "{{ outcome }}"
        mode: "0600"
        content: "{{ {'findings': check_object_store_findings, 'facts': check_object_store_facts} | to_json }}"
      check_mode: false
"""


@dataclass(frozen=True)
class Run:
    """What a run of the role gave."""

    returncode: int
    output: str
    outcome: dict[str, Any]

    def not_ok(self) -> list[tuple[str, str, str]]:
        """Findings that are not ok as (severity, id, object)."""
        return [(e["severity"], e["id"], e["object"]) for e in self.outcome["findings"] if e["severity"] != "ok"]

    def summary(self, rule: str) -> str:
        [found] = [each["summary"] for each in self.outcome["findings"] if each["id"] == rule]
        return found


@pytest.fixture(scope="session")
def store() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
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


@pytest.fixture
def check_role(tmp_path: Path) -> Callable[..., Run]:
    """Run the role with a module's login options and role variables."""

    def run(login: dict[str, Any], *arguments: str, expect: int = 0, **variables: Any) -> Run:
        host = {f"aws_{name}": value for name, value in login.items()}
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        inventory = {"all": {"hosts": {"images1": {**local, **host, **variables}}}}
        (tmp_path / "inventory.yml").write_text(json.dumps(inventory), encoding="utf-8")
        (tmp_path / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
        outcome = tmp_path / "outcome.json"
        outcome.unlink(missing_ok=True)
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "inventory.yml", "play.yml"]
        completed = subprocess.run(
            [*command, "-e", f"outcome={outcome}", *arguments],
            cwd=tmp_path,
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "build" / "collections"),
                "ANSIBLE_HOME": str(tmp_path / "ansible"),
                "ANSIBLE_NOCOLOR": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert completed.returncode == expect, completed.stdout
        found = json.loads(outcome.read_text(encoding="utf-8")) if outcome.exists() else {}
        return Run(completed.returncode, completed.stdout, found)

    return run
