"""A Docker engine: the machine's own if one answers, else one that we start and leave running for those after us."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from lab.errors import LabError, MissingServer
from lab.installations import exclusive
from lab.paths import BUILD

HOSTS = BUILD / "hosts"
PID_FILE = Path("/run/runbook-docker.pid")
_START_SECONDS = 240.0
_answered = False


def docker(*arguments: str, check: bool = True, text_in: str | None = None, timeout: float = 600) -> str:
    """Run C(docker) and give what it wrote; LabError with its words when it fails."""
    ended = docker_process(*arguments, text_in=text_in, timeout=timeout)
    if check and ended.returncode:
        raise LabError(f"docker {' '.join(arguments[:3])}: {(ended.stderr or ended.stdout).strip()[-2000:]}")
    return ended.stdout.strip()


def docker_process(
    *arguments: str, text_in: str | None = None, timeout: float = 600
) -> subprocess.CompletedProcess[str]:
    """Run C(docker); the caller looks at the exit code."""
    ensure_engine()
    return subprocess.run(
        ["docker", *arguments], input=text_in, capture_output=True, text=True, errors="replace",
        stdin=subprocess.DEVNULL if text_in is None else None, check=False, timeout=timeout,
    )  # fmt: skip


def ensure_engine() -> None:
    """Make sure that an engine answers. One that we start goes on running: its images are the cache."""
    global _answered
    if _answered:
        return
    if not _answers():
        _start_one()
    _answered = True


def _start_one() -> None:
    if shutil.which("dockerd") is None:
        raise MissingServer("There is no dockerd. Install the package docker.io (Debian, Ubuntu).")
    if os.geteuid() != 0:
        raise MissingServer("No Docker engine answers, and only root can start one.")
    HOSTS.mkdir(parents=True, exist_ok=True)
    with exclusive(HOSTS / "engine.lock"):
        if not _answers():
            _start()


def _answers() -> bool:
    if shutil.which("docker") is None:
        return False
    asked = ["docker", "version", "--format", "{{.Server.Version}}"]
    return subprocess.run(asked, capture_output=True, timeout=300, check=False).returncode == 0


def _start() -> None:
    log = HOSTS / "dockerd.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["dockerd", "--pidfile", str(PID_FILE)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
        )
    deadline = time.monotonic() + _START_SECONDS
    while not _answers():
        if process.poll() is not None or time.monotonic() > deadline:
            words = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise LabError(f"dockerd did not start. The end of {log}:\n{words}")
        time.sleep(0.2)
