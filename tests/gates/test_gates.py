"""Every gate that is a tool of its own, so that one run and one summary line cover them all."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

# The long ones first: workers take tests in this order.
GATES = ["sanity", "ansible-lint", "importer", "molecule", "mypy", "docs-lint", "ruff", "changelog-lint"]


@pytest.mark.parametrize("gate", GATES)
def test_gate(gate: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PYTEST"))}
    completed = subprocess.run(
        ["make", gate], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, f"make {gate}\n{completed.stdout[-12000:]}\n{completed.stderr[-6000:]}"
