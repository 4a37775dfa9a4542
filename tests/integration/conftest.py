"""Shared fixtures: modules are run as Ansible runs them, in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
COLLECTIONS = REPOSITORY / "build" / "collections"

ModuleRunner = Callable[..., dict[str, Any]]


def run_module_process(
    name: str, args: dict[str, Any], *, check_mode: bool = False, diff: bool = False, timeout: float = 300
) -> dict[str, Any]:
    """Run one module of the collection and return its result; a traceback or a non-JSON answer fails the test."""
    payload = {"ANSIBLE_MODULE_ARGS": {**args, "_ansible_check_mode": check_mode, "_ansible_diff": diff}}
    completed = subprocess.run(
        [sys.executable, "-m", f"ansible_collections.runbook.ops.plugins.modules.{name}"],
        input=json.dumps(payload),
        env={**os.environ, "PYTHONPATH": str(COLLECTIONS)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert "Traceback" not in completed.stderr, completed.stderr
    return json.loads(completed.stdout)


@pytest.fixture(scope="session")
def run_module() -> ModuleRunner:
    return run_module_process
