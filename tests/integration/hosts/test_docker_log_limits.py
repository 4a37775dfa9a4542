"""Limits merged into the file of a real dockerd of our own, beside the machine's; the engine says what came of them."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.hosts.daemon import ensure_engine

pytestmark = pytest.mark.xdist_group("docker_log_limits")

PATIENCE_SECONDS = 240
Module = Callable[..., dict[str, Any]]
# As an operations manual has it.
MANUAL = """\
// /etc/docker/daemon.json
{
  "log-driver": "json-file",
  "log-opts": {
    "max-size": "10m",
    "max-file": "3",
    "compress": "true"
  }
}
"""
# Starts the daemon anew and waits until it is on its way; its containers live on.
RESTART = """\
pid=$(cat {place}/pid) && kill "$pid" && while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done; rm -f {place}/pid
setsid {command} >{place}/log 2>&1 </dev/null &
"""


class Engine:
    """A dockerd with its own data, socket and file."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.file = place / "daemon.json"
        self.host = f"unix://{place}/s.sock"
        self.argv = [
            *("dockerd", "--config-file", str(self.file), "--data-root", str(place / "data")),
            *("--exec-root", str(place / "exec"), "--pidfile", str(place / "pid"), "--host", self.host),
            *("--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"),
        ]

    def start(self) -> None:
        subprocess.run(["sh", "-c", RESTART.format(place=self.place, command=" ".join(self.argv))], check=True)
        self.wait()

    def wait(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.docker("version", check=False) is None:
            log = (self.place / "log").read_text(encoding="utf-8", errors="replace") if self.file.exists() else ""
            assert time.monotonic() < deadline, log
            time.sleep(0.1)

    def docker(self, *arguments: str, check: bool = True, data: bytes | None = None) -> str | None:
        ended = subprocess.run(["docker", "-H", self.host, *arguments], input=data, capture_output=True, check=False)
        assert not check or ended.returncode == 0, ended.stderr
        return ended.stdout.decode().strip() if ended.returncode == 0 else None

    def run(self, name: str) -> None:
        self.docker("run", "--detach", "--network=none", "--name", name, "sleeper", "/bin/sleep", "1000")

    def limits(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.docker("inspect", "-f", "{{json .HostConfig.LogConfig}}", name) or "{}")
        return found

    def end(self) -> None:
        for name in (self.docker("ps", "-aq", check=False) or "").split():
            self.docker("rm", "-f", name, check=False)
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.place / "pid").read_text(encoding="ascii"))
            subprocess.run(["kill", f"-{signal.SIGTERM.value}", str(pid)], check=False)
            deadline = time.monotonic() + PATIENCE_SECONDS
            while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
                time.sleep(0.1)
        # It mounts its data's directory over itself, and leaves that behind.
        for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
            if line.split()[1].startswith(f"{self.place}/"):
                subprocess.run(["umount", "--lazy", line.split()[1]], check=False)


def sleeper() -> bytes:
    """An image's file system: sleep and what it is linked with."""
    linked = subprocess.run(["ldd", "/bin/sleep"], capture_output=True, text=True, check=True).stdout.split()
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for path in ["/bin/sleep", *(each for each in linked if each.startswith("/"))]:
            tar.add(Path(path).resolve(), arcname=path)
    return made.getvalue()


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    # The machine's own engine answers beside ours, so that there is a choice.
    ensure_engine()
    place = tmp_path_factory.mktemp("d")
    made = Engine(place)
    made.file.write_text(json.dumps({"labels": ["keep=me"], "log-opts": {"tag": "{{.Name}}"}}), encoding="utf-8")
    try:
        made.start()
        yield made
    finally:
        made.end()
        shutil.rmtree(place, ignore_errors=True)


def test_limits_are_merged_and_containers_live_on(engine: Engine, run_module: Module) -> None:
    engine.docker("import", "-", "sleeper", data=sleeper())
    engine.run("before")
    options: dict[str, Any] = {
        "docker_host": engine.host, "compress": True, "backup_directory": str(engine.place / "backup"),
        "restart_command": ["sh", "-c", RESTART.format(place=engine.place, command=" ".join(engine.argv))],
    }  # fmt: skip

    # F49: dockerd does not start with the manual's file; we say why, and do not write over it.
    original = engine.file.read_text(encoding="utf-8")
    engine.file.write_text(MANUAL, encoding="utf-8")
    other = [*engine.argv, "--pidfile", str(engine.place / "other.pid")]
    ended = subprocess.run(other, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode != 0
    assert "invalid character '/'" in ended.stderr
    broken = run_module("docker_log_limits", options)
    assert "is no valid JSON" in broken["msg"]
    assert "JSON has no comments" in broken["msg"]
    assert engine.file.read_text(encoding="utf-8") == MANUAL
    engine.file.write_text(original, encoding="utf-8")

    # It is this engine's file, found by its data, and no other.
    mistaken = run_module("docker_log_limits", {**options, "config_file": "/etc/docker/daemon.json"})
    assert f"Accepted: {engine.file}, which the engine that answers reads" in mistaken["msg"]
    assert "would stop 1 containers (before)" in run_module("docker_log_limits", {**options, "restart": True})["msg"]
    assert "such as 10m" in run_module("docker_log_limits", {**options, "max_size": "10 MB"})["msg"]
    assert engine.file.read_text(encoding="utf-8") == original

    planned = run_module("docker_log_limits", options, check_mode=True)
    done = run_module("docker_log_limits", options)
    assert planned["diff"] == done["diff"]
    wanted = {"tag": "{{.Name}}", "max-size": "10m", "max-file": "3", "compress": "true"}
    written = json.loads(engine.file.read_text(encoding="utf-8"))
    assert written == {"labels": ["keep=me"], "log-driver": "json-file", "log-opts": wanted}
    assert Path(done["actions"][0]["backup"]).read_text(encoding="utf-8") == original
    assert (done["restart_needed"], done["unlimited"]) == (True, ["before"])
    assert "Remove and create it again" in done["containers"][0]["remedy"]
    assert not run_module("docker_log_limits", options)["changed"]

    # Only with live-restore it is restarted, and the container does not notice.
    engine.file.write_text(json.dumps({**written, "live-restore": True}), encoding="utf-8")
    pid = int((engine.place / "pid").read_text(encoding="ascii"))
    subprocess.run(["kill", "-HUP", str(pid)], check=True)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while engine.docker("info", "-f", "{{.LiveRestoreEnabled}}") != "true":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    started = engine.docker("inspect", "-f", "{{.State.StartedAt}} {{.State.Pid}}", "before")
    restarted = run_module("docker_log_limits", {**options, "restart": True})
    assert [each["action"] for each in restarted["actions"]] == ["restart"], restarted
    assert engine.docker("inspect", "-f", "{{.State.StartedAt}} {{.State.Pid}}", "before") == started
    assert not run_module("docker_log_limits", {**options, "restart": True})["changed"]
    # A new container has the limits, the old one does not.
    engine.run("after")
    assert engine.limits("after")["Config"] == wanted
    assert "max-size" not in engine.limits("before")["Config"]
