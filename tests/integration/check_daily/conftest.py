"""A running StoreBridge and a way to run playbooks over it as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
COLLECTIONS = REPOSITORY / "build" / "collections"


@dataclass(frozen=True)
class Lab:
    """One lab: where its inventory is and what must never be printed."""

    directory: Path
    scenario: str

    @property
    def inventory(self) -> Path:
        return self.directory / "inventory"

    def variables(self, host: str) -> dict[str, Any]:
        return yaml.load((self.inventory / "host_vars" / host / "lab.yml").read_text(encoding="utf-8"), Loader=_Loader)

    def secrets(self) -> set[str]:
        """Every password, key and token that the lab's inventory holds."""
        found: set[str] = set()
        for path in self.inventory.rglob("*.yml"):
            content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader) or {}
            for name, value in content.items():
                if isinstance(value, str) and value and name.endswith(("_password", "_secret_key", "_token")):
                    found.add(value)
        return found


class _Loader(yaml.SafeLoader):
    pass


_Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


@dataclass(frozen=True)
class Run:
    """What a run of a playbook gave."""

    returncode: int
    output: str
    folder: Path

    def findings(self) -> list[dict[str, Any]]:
        return json.loads((self.folder / "findings.json").read_text(encoding="utf-8"))

    def bad(self) -> list[dict[str, Any]]:
        return [finding for finding in self.findings() if finding["severity"] in ("warning", "critical")]


def lab_command(*arguments: str) -> str:
    completed = subprocess.run(
        [sys.executable, "-m", "lab", *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "tests")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


def _lab(scenario: str, base: Path) -> Iterator[Lab]:
    directory = base / scenario
    lab_command("up", "storebridge", "--scenario", scenario, "--directory", str(directory))
    yield Lab(directory, scenario)
    lab_command("down", "storebridge", "--directory", str(directory))


@pytest.fixture(scope="session")
def degraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from _lab("degraded", tmp_path_factory.mktemp("lab"))


@pytest.fixture
def to_maintain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A degraded lab of a test's own, because it will be changed."""
    yield from _lab("degraded", tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from _lab("healthy", tmp_path_factory.mktemp("lab"))


Player = Callable[..., Run]


@pytest.fixture
def play(tmp_path: Path) -> Player:
    """Run a playbook of the collection by its FQCN over a lab."""

    def run(lab: Lab, playbook: str, *arguments: str, fail_on: str | None = "never") -> Run:
        folder = tmp_path / "report"
        command = [
            str(Path(sys.executable).with_name("ansible-playbook")),
            f"runbook.ops.{playbook}",
            "-i",
            str(REPOSITORY / "inventories" / "storebridge"),
            "-i",
            str(lab.inventory),
            "-e",
            f"report_destination={folder}",
            "-e",
            f"report_history_directory={tmp_path / 'history'}",
            *(["-e", f"report_fail_on={fail_on}"] if fail_on else []),
            *arguments,
        ]
        completed = subprocess.run(
            command,
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
                "ANSIBLE_HOME": str(tmp_path / "ansible"),
                "ANSIBLE_NOCOLOR": "1",
                "COLUMNS": "100",
            },
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        return Run(completed.returncode, completed.stdout, folder)

    return run
