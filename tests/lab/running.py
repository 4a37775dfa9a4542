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
def running_lab(system: str, scenario: str, directory: Path) -> Iterator[Running]:
    """The smallest lab of a system, and afterwards nothing of it."""
    where = [system, "--directory", str(directory)]
    up = lab_command("up", *where, "--scenario", scenario, "--size", "small")
    assert up.returncode == 0, up.stdout + up.stderr
    try:
        inventories = ["-i", str(INVENTORIES / system), "-i", str(directory / "inventory")]
        listed = subprocess.run(
            [str(Path(sys.executable).with_name("ansible-inventory")), *inventories, "--list"],
            capture_output=True,
            text=True,
            check=True,
        )
        yield Running(directory, scenario, json.loads(listed.stdout)["_meta"]["hostvars"])
    finally:
        down = lab_command("down", *where)
    assert down.returncode == 0, down.stderr
    assert [each for each in process.with_variable(MARK, str(directory)) if each.alive()] == []
    assert not directory.exists()
