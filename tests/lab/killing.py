"""Modules that are killed: after a while, or before a chosen step, the n-th rename or removal in some places."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lab.process import descendants
from lab.redis_backups import eventually, start_module

REPOSITORY = Path(__file__).resolve().parents[2]

# The interpreter tells of these operations before it does them (sys.addaudithook).
_WATCH = """
import os, signal, sys
_places, _number = tuple(sys.argv[1].split(os.pathsep)), int(sys.argv[2])
del sys.argv[1:]
_seen = 0
def _watch(event, arguments):
    global _seen
    if event in ("os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
        if any(isinstance(each, (str, os.PathLike)) and str(each).startswith(_places) for each in arguments):
            _seen += 1
            if _seen == _number:
                os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(_watch)
"""
_MODULE = "import runpy\nrunpy.run_module({module!r}, run_name='__main__', alter_sys=True)\n"


def killed_before(code: str, number: int, places: Sequence[Path], *, stdin: str = "") -> bool:
    """Run Python code that is killed before the n-th step that concerns a path below some places.

    False if it had fewer steps: then it came to its end, which must be a good one.
    """
    done = subprocess.run(
        [sys.executable, "-c", _WATCH + code, os.pathsep.join(map(str, places)), str(number)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "build" / "collections")},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode in (0, -9), done.stdout + done.stderr
    return done.returncode == -9


def module_killed_before(name: str, args: dict[str, Any], number: int, places: Sequence[Path]) -> bool:
    """The same for a module of the collection."""
    module = f"ansible_collections.runbook.ops.plugins.modules.{name}"
    return killed_before(_MODULE.format(module=module), number, places, stdin=json.dumps({"ANSIBLE_MODULE_ARGS": args}))


def usual_seconds(run: Callable[[], dict[str, Any]]) -> float:
    """How long a run takes that is not killed."""
    began = time.monotonic()
    told = run()
    assert not told.get("failed"), told
    return time.monotonic() - began


def kill_after(seconds: float, name: str, args: dict[str, Any]) -> None:
    """Start a module, kill it, and wait for the end of everything that it started."""
    process = start_module(name, args)
    time.sleep(seconds)
    children = descendants(process.pid)
    process.kill()
    process.communicate()
    eventually(lambda: not any(each.alive() for each in children), "its children are gone")
