"""Roles as a user runs them: ansible-playbook, an inventory, and what the role left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.paths import REPOSITORY

_HAND_OVER = """
  post_tasks:
    - name: Hand the outcome to the test
      ansible.builtin.copy:
        dest: "{{ outcome }}"
        mode: "0600"
        content: "{{ {'findings': %(role)s_findings, 'facts': %(role)s_facts} | to_json }}"
      check_mode: false
"""


@dataclass(frozen=True)
class RoleRun:
    """What a run of a role gave: its exit status, what was printed, its findings and facts."""

    returncode: int
    output: str
    findings: list[dict[str, Any]]
    facts: dict[str, Any]

    def of(self, *severities: str) -> list[tuple[str, str]]:
        """Findings of these severities as (id, object), in their order."""
        return [(each["id"], each["object"]) for each in self.findings if each["severity"] in severities]

    def finding(self, rule: str, name: str = "") -> dict[str, Any]:
        """The one finding of a rule, of one object where there are several."""
        found = [each for each in self.findings if each["id"] == rule and name in (each["object"], "")]
        assert len(found) == 1, f"{rule}: {len(found)} findings among {[each['id'] for each in self.findings]}"
        return found[0]


def ansible_playbook(
    directory: Path, *arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run C(ansible-playbook) in a directory, with Ansible's own things kept there; what it prints is in C(stdout)."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), *arguments],
        cwd=directory,
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "build" / "collections"),
            "ANSIBLE_HOME": str(directory / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            **(environment or {}),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )


def run_role(
    directory: Path,
    role: str,
    variables: Mapping[str, Any],
    *arguments: str,
    group: str = "endpoints",
    host: str = "endpoint",
    inventories: Sequence[Path] = (),
    environment: Mapping[str, str] | None = None,
    expect: int = 0,
) -> RoleRun:
    """Run a check role of the collection for one host of a temporary inventory.

    ``inventories`` go before it, such as a system's own; ``group`` and ``host`` are then names of theirs.
    """
    play = directory / "play.yml"
    text = f"- name: Check\n  hosts: {host}\n  gather_facts: false\n  roles:\n    - role: runbook.ops.{role}\n"
    play.write_text(text + _HAND_OVER % {"role": role}, encoding="utf-8")
    # YAML reads JSON; the interpreter is this one, as it is on a controller.
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = {"all": {"children": {group: {"hosts": {host: {**local, **variables}}}}}}
    (directory / "inventory.yml").write_text(json.dumps(inventory), encoding="utf-8")
    outcome = directory / "outcome.json"
    outcome.unlink(missing_ok=True)
    sources = [part for path in (*inventories, directory / "inventory.yml") for part in ("-i", str(path))]
    completed = ansible_playbook(
        directory, *sources, str(play), "-e", f"outcome={outcome}", *arguments, environment=environment
    )
    assert completed.returncode == expect, completed.stdout
    found = json.loads(outcome.read_text(encoding="utf-8")) if outcome.exists() else {"findings": [], "facts": {}}
    return RoleRun(completed.returncode, completed.stdout, found["findings"], found["facts"])
