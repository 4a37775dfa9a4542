"""Runs of the collection's modules: within this process, and in one of their own that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from lab.paths import REPOSITORY
from lab.process import eventually


class Module(Protocol):
    """A module of the collection, imported."""

    def argument_spec(self) -> dict[str, dict[str, Any]]:
        """Its options."""


def defaults_of(module: Module) -> dict[str, Any]:
    """Every option with its default, as Ansible fills them in."""
    return {name: option.get("default") for name, option in module.argument_spec().items()}


def run_here(
    function: Callable[..., dict[str, Any]], module: Module, options: Mapping[str, Any], *, check_mode: bool = False
) -> dict[str, Any]:
    """The result of what a module runs, for what does not depend on how a module is started; also a failure."""
    try:
        return function({**defaults_of(module), **options}, check_mode=check_mode)
    except RunbookError as error:
        return {"failed": True, "msg": error.message, **error.details}


def kill_module(
    name: str,
    options: Mapping[str, Any],
    when: Callable[[], bool],
    what: str = "the moment to kill it",
    *,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Start a module as a process of its own, and kill it when something is so."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"ansible_collections.runbook.ops.plugins.modules.{name}"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "build" / "collections"), **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": dict(options)}).encode())
        process.stdin.close()
        eventually(when, what)
        assert process.poll() is None, f"{name} ended before it could be killed"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=300)
