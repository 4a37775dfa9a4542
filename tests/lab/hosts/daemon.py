"""A Docker daemon: the machine's, if it has one that answers, else one of our own with its data in the build folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from lab.errors import LabError, MissingServer
from lab.paths import BUILD

SOCKET = Path("/run/runbook-docker.sock")
DATA = BUILD / "docker"
_SYSTEM_SOCKET = Path("/var/run/docker.sock")
_START_SECONDS = 60.0


def docker_environment() -> dict[str, str]:
    """The environment in which C(docker), Compose and Ansible's connection find the daemon; starts it when needed."""
    return {**os.environ, "DOCKER_HOST": f"unix://{daemon_socket()}", "PATH": f"/usr/bin:{os.environ['PATH']}"}


def daemon_socket() -> Path:
    """The socket of a daemon that answers. One that we start goes on running: images and layers are its cache."""
    for socket in (SOCKET, _SYSTEM_SOCKET):
        if _answers(socket):
            return socket
    if shutil.which("dockerd") is None:
        raise MissingServer("There is no dockerd. Install the package docker.io (Debian, Ubuntu).")
    if os.geteuid() != 0:
        raise MissingServer("No Docker daemon answers, and only root can start one.")
    with _alone():
        if not _answers(SOCKET):
            _start()
    return SOCKET


def docker(*arguments: str, check: bool = True, text_in: str | None = None, timeout: float = 300) -> str:
    """Run C(docker) and give what it wrote; LabError with its words when it fails."""
    ended = subprocess.run(
        ["docker", *arguments],
        env=docker_environment(),
        input=text_in,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    if check and ended.returncode:
        raise LabError(f"docker {' '.join(arguments[:3])}: {(ended.stderr or ended.stdout).strip()[-2000:]}")
    return ended.stdout.strip()


def _answers(socket: Path) -> bool:
    if not socket.exists() or shutil.which("docker") is None:
        return False
    ended = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"],
        env={**os.environ, "DOCKER_HOST": f"unix://{socket}"},
        capture_output=True,
        timeout=30,
        check=False,
    )
    return ended.returncode == 0


def _start() -> None:
    DATA.mkdir(parents=True, exist_ok=True)
    log = DATA / "dockerd.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                "dockerd",
                *("--data-root", str(DATA / "data"), "--exec-root", "/run/runbook-docker"),
                *("--pidfile", "/run/runbook-docker.pid", "--host", f"unix://{SOCKET}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(SOCKET):
        if process.poll() is not None or time.monotonic() > deadline:
            words = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise LabError(f"dockerd did not start. The end of {log}:\n{words}")
        time.sleep(0.2)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One starter at a time, whatever the number of test workers."""
    DATA.mkdir(parents=True, exist_ok=True)
    with (DATA / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
