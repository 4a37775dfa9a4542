"""The collection's modules inside a machine, without Ansible: what a module costs, and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import ansible.module_utils

from lab.hosts.daemon import HOSTS
from lab.hosts.machine import Host
from lab.paths import REPOSITORY

LIBRARY = "/opt/runbook-lab"


def mounts() -> tuple[str, ...]:
    """What C(docker run) mounts, for reading only: the collection's plugins and what modules use of ansible-core."""
    core = Path(next(iter(ansible.module_utils.__path__))).parent
    # The package's own needs the controller's parts.
    package = HOSTS / "ansible_package.py"
    if not package.exists():
        HOSTS.mkdir(parents=True, exist_ok=True)
        write_whole(package, "from ansible.release import __author__, __version__  # noqa: F401\n")
    return (
        *("--volume", f"{package}:{LIBRARY}/ansible/__init__.py:ro"),
        *("--volume", f"{core / 'release.py'}:{LIBRARY}/ansible/release.py:ro"),
        *("--volume", f"{core / 'module_utils'}:{LIBRARY}/ansible/module_utils:ro"),
        *("--volume", f"{REPOSITORY / 'plugins'}:{LIBRARY}/ansible_collections/runbook/ops/plugins:ro"),
    )


def write_whole(path: Path, text: str) -> None:
    """Write a file that others may be reading at this moment."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.rename(path)


def run_module(
    host: Host, name: str, args: dict[str, Any], *, check_mode: bool = False, diff: bool = False, timeout: float = 300
) -> dict[str, Any]:
    """Run one of our modules in a machine with the machine's own Python; a traceback fails the test."""
    payload = {"ANSIBLE_MODULE_ARGS": {**args, "_ansible_check_mode": check_mode, "_ansible_diff": diff}}
    program = f"ansible_collections.runbook.ops.plugins.modules.{name}"
    ended = host.process(
        *("env", f"PYTHONPATH={LIBRARY}", "PYTHONDONTWRITEBYTECODE=1", "python3", "-m", program),
        text_in=json.dumps(payload),
        timeout=timeout,
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.stdout, f"{name} gave no result (exit code {ended.returncode}): {ended.stderr}"
    result: dict[str, Any] = json.loads(ended.stdout)
    return result
