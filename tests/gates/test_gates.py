"""Every gate that is a tool of its own, so that one run and one summary line cover them all."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

# The long ones first: workers take tests in this order.
LINTERS = ["sanity", "ansible-lint", "importer", "mypy", "docs-lint", "ruff", "changelog-lint"]
SCENARIOS = sorted(path.parent.name for path in REPOSITORY.glob("molecule/*/molecule.yml"))


def make(*arguments: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PYTEST"))}
    completed = subprocess.run(
        ["make", *arguments],
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, (
        f"make {' '.join(arguments)}\n{completed.stdout[-12000:]}{completed.stderr[-6000:]}"
    )


# What a linter says does not depend on the moment, so it is not asked twice.
@pytest.mark.flaky(reruns=0)
@pytest.mark.parametrize("gate", LINTERS)
def test_gate(gate: str) -> None:
    make(gate)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str) -> None:
    # A home each: scenarios run side by side, and each installs the collection into its own.
    make("molecule", f"S={scenario}", f"ANSIBLE_HOME={REPOSITORY}/build/molecule/{scenario}")


def test_there_are_scenarios() -> None:
    assert SCENARIOS
