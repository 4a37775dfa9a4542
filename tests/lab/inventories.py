"""The inventories of the systems as Ansible reads them: every variable of every host, templates filled in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.paths import REPOSITORY
from lab.play import ansible_playbook

SYSTEMS = ("storebridge", "stockboom", "autoclip", "duly", "excelapp")

# By prefix, because what Ansible adds itself (the whole inventory, once more for every host) is of no interest.
_PLAY = """
- name: Hand the variables to the test
  hosts: %(hosts)s
  gather_facts: false
  tasks:
    - name: Write them down
      ansible.builtin.copy:
        dest: "{{ rendered }}/{{ inventory_hostname }}.json"
        mode: "0600"
        content: "{{ dict(names | zip(query('ansible.builtin.vars', *names))) | to_json }}"
      vars:
        names: "{{ query('ansible.builtin.varnames', wanted) }}"
        wanted: ^(%(wanted)s)_
"""
_WANTED = "(check_)?(postgresql|data_retention|incident|runbook)|recovery"


def rendered(
    system: str,
    directory: Path,
    *,
    hosts: str = "postgresql",
    wanted: str = _WANTED,
    environment: Mapping[str, str] | None = None,
    variables: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """Variables by host. Only what the inventory itself says: no role's defaults are among them.

    ``wanted`` are the prefixes of the variables, a regular expression. ``variables`` win over the inventory's, as on
    the command line.
    """
    (directory / "render.yml").write_text(_PLAY % {"hosts": hosts, "wanted": wanted}, encoding="utf-8")
    target = directory / "rendered"
    target.mkdir(exist_ok=True)
    completed = ansible_playbook(
        directory,
        *("-i", str(REPOSITORY / "inventories" / system), "render.yml"),
        *("-e", json.dumps({**(variables or {}), "rendered": str(target)})),
        environment=environment,
        timeout=300,
    )
    assert completed.returncode == 0, completed.stdout
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in target.glob("*.json")}
    assert found, completed.stdout
    return dict(sorted(found.items()))
