"""Playbooks of the collection run over a lab, as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.paths import BUILD, INVENTORIES
from lab.running import Running

COLLECTIONS = BUILD / "collections"


@dataclass(frozen=True)
class Played:
    """What a run of a playbook gave; C(folder) is the report's."""

    returncode: int
    output: str
    folder: Path

    def findings(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((self.folder / "findings.json").read_text(encoding="utf-8"))
        return found

    def bad(self) -> list[dict[str, Any]]:
        return [finding for finding in self.findings() if finding["severity"] in ("warning", "critical")]

    def changes(self) -> list[dict[str, Any]]:
        path = self.folder / "changes.json"
        found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        return found

    def changed_hosts(self) -> set[str]:
        """The hosts on which Ansible counted a change, without the controller that writes the report."""
        return {
            line.split(":", 1)[0].strip()
            for line in self.output.splitlines()
            if " changed=" in line and " changed=0 " not in line and not line.startswith("localhost")
        }


def play(
    lab: Running, playbook: str, *arguments: str, place: Path, fail_on: str | None = "never", folder: str = "report"
) -> Played:
    """Run a playbook by its FQCN over a lab, from the directory ``place``."""
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")),
        f"runbook.ops.{playbook}",
        *("-i", str(INVENTORIES / lab.system), "-i", str(lab.inventory)),
        *("-e", f"report_destination={place / folder}", "-e", f"report_history_directory={place / 'history'}"),
        *(["-e", f"report_fail_on={fail_on}"] if fail_on else []),
        *arguments,
    ]
    completed = subprocess.run(
        command,
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_HOME": str(place / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "COLUMNS": "100",
        },
        cwd=place,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return Played(completed.returncode, completed.stdout, place / folder)
