"""Playbooks over machines, as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.hosts.fleet import Fleet
from lab.plays import COLLECTIONS, Played

SETTINGS = {
    "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_PIPELINING": "1",
    "ANSIBLE_GATHERING": "explicit",
    "ANSIBLE_RETRY_FILES_ENABLED": "0",
    "ANSIBLE_FORKS": "10",
    "COLUMNS": "100",
}


def play_on(
    fleet: Fleet,
    playbook: str | Sequence[Mapping[str, Any]],
    *arguments: str,
    groups: Mapping[str, Sequence[str]] | None = None,
    variables: Mapping[str, Any] | None = None,
    place: Path | None = None,
    timeout: float = 600,
) -> Played:
    """Run a playbook over the machines.

    Args:
        fleet: The machines, which are in the inventory by their names.
        playbook: A playbook's FQCN or path; or the plays themselves, as lists and dictionaries.
        arguments: More arguments of C(ansible-playbook), such as C(--check).
        groups: Groups of the inventory with their members.
        variables: Variables of all hosts. They do not have the strength of C(--extra-vars).
        place: A directory for the report and the inventory; a new temporary one by default.
        timeout: Seconds until it is given up.

    """
    place = place or Path(tempfile.mkdtemp(prefix="runbook-play-"))
    inventory = fleet.inventory(place / "machines.json", groups, **(variables or {}))
    command = [
        *(str(Path(sys.executable).with_name("ansible-playbook")), _playbook(playbook, place), "-i", str(inventory)),
        *("-e", f"report_destination={place / 'report'}", *arguments),
    ]
    ended = subprocess.run(
        command,
        env={**os.environ, **SETTINGS, "ANSIBLE_HOME": str(place / "ansible")},
        cwd=place,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Played(ended.returncode, ended.stdout, place / "report")


def _playbook(playbook: str | Sequence[Mapping[str, Any]], place: Path) -> str:
    if isinstance(playbook, str):
        return playbook
    path = place / "play.yml"
    path.write_text(json.dumps(list(playbook)), encoding="utf-8")
    return str(path)
