"""A whole lab for a test: brought up by its command, seen as Ansible sees it, and gone without a trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import process
from lab.paths import INVENTORIES, PACKAGE_PARENT
from lab.state import MARK


@dataclass(frozen=True)
class Running:
    """A lab that runs; ``hosts`` are the variables of every host of both inventories."""

    directory: Path
    scenario: str
    hosts: dict[str, dict[str, Any]]
    system: str

    @property
    def inventory(self) -> Path:
        """The inventory that the lab wrote, to stand beside the system's own."""
        return self.directory / "inventory"

    def secrets(self) -> set[str]:
        """Every password, key and token of the lab: what must never be printed."""
        return {
            value
            for variables in self.hosts.values()
            for name, value in variables.items()
            if isinstance(value, str) and value and "{{" not in value
            if name.endswith(("_password", "_secret_key", "_token"))
        }

    def status(self) -> dict[str, Any]:
        """What ``lab status`` says of it."""
        answer = lab_command("status", "--directory", str(self.directory), "--json")
        assert answer.returncode == 0, answer.stdout + answer.stderr
        (facts,) = json.loads(answer.stdout)
        return dict(facts)


def lab_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m lab`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "lab", *arguments],
        env={**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@contextmanager
def running_lab(system: str, scenario: str, directory: Path, size: str = "small", *options: str) -> Iterator[Running]:
    """A lab of a system, by default the smallest, and afterwards nothing of it."""
    where = [system, "--directory", str(directory)]
    up = lab_command("up", *where, "--scenario", scenario, "--size", size, *options)
    assert up.returncode == 0, up.stdout + up.stderr
    try:
        inventories = ["-i", str(INVENTORIES / system), "-i", str(directory / "inventory")]
        listed = subprocess.run(
            [str(Path(sys.executable).with_name("ansible-inventory")), *inventories, "--list"],
            capture_output=True,
            text=True,
            check=True,
        )
        yield Running(directory, scenario, json.loads(listed.stdout)["_meta"]["hostvars"], system)
    finally:
        down = lab_command("down", *where)
    assert down.returncode == 0, down.stderr
    assert [each for each in process.with_variable(MARK, str(directory)) if each.alive()] == []
    assert not directory.exists()
