"""A project whose api runs twice, blue and green, behind a haproxy: what releases are tried on."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.compose_project import IS_WELL, PORT, SERVES, ComposeProject
from lab.errors import MissingServer
from lab.ports import LOOPBACK, accepts, free_port
from lab.process import eventually

ENV_FILE = ".env.production"
COLOURS = ("api_blue", "api_green")
SECRET = "Zx8-qLw2_vTn5RbYc7Km"
GOOD, BETTER, SICK, CRASHES = "1", "2", "sick", "crashes"
_CONFIGURATION = """global
    stats socket {socket} mode 600 level admin
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend site
    bind {address}:{port}
    default_backend api
backend api
    balance roundrobin
    option httpchk GET /health
    default-server check inter 200ms fall 2 rise 1
{servers}
"""
# Takes a server out and waits until nobody is on it, or puts it back and waits until it serves.
_HOOK = """
import socket, sys, time
path, server, state = sys.argv[1:]
def ask(command):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(command.encode() + b"\\n")
        return b"".join(iter(lambda: client.recv(65536), b"")).decode()
ask(f"set server api/{server} state {state}")
for _look in range(2000):
    [row] = [line.split(",") for line in ask("show stat").splitlines() if line.startswith(f"api,{server},")]
    if state == "drain" and row[17].startswith("DRAIN") and row[4] == "0": break
    if state == "ready" and row[17].startswith("UP"): break
    time.sleep(0.1)
else:
    sys.exit(f"{server} is not {state}: {row[17]}")
"""


@dataclass
class Colours:
    """The running project. C(url) is the balancer's."""

    project: ComposeProject
    url: str
    hooks: dict[str, Any]

    def set(self, tag: str, note: str, worker: str = GOOD) -> None:
        """Say in the environment file which release is wanted."""
        path = self.project.directory / ENV_FILE
        lines = {"TAG": tag, "WORKER_TAG": worker, "NOTE": note, "SIGNING_KEY": SECRET}
        path.write_text("".join(f"{key}={value}\n" for key, value in lines.items()), encoding="utf-8")
        path.chmod(0o600)

    def options(self, **more: Any) -> dict[str, Any]:
        """What compose_release is told."""
        common = {"env_files": [ENV_FILE], "obtain": "present", "settle_seconds": 0.5, "wait_timeout": 60}
        return self.project.options(**{**common, **self.hooks, **more})

    def hooks_as_variables(self) -> dict[str, Any]:
        """The hooks and files as an inventory says them."""
        hooks = {f"deploy_compose_{name}": hook for name, hook in self.hooks.items()}
        return {**hooks, "compose_files": [self.project.file.name]}

    def images(self) -> dict[str, str]:
        """The tags that run, as Docker itself tells them by the images' ids."""
        ids = {}
        for name in ("api", "worker"):
            for tag in (GOOD, BETTER, SICK, CRASHES):
                with contextlib.suppress(Exception):
                    ids[self.project.id_of(f"{self.project.name}/{name}:{tag}")] = tag
        return {each: ids[self.project.inspect(each)["Image"]] for each in (*COLOURS, "worker")}

    def status_of(self, service: str) -> str:
        """What haproxy's own table shows of a colour: UP, DOWN or DRAIN."""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.project.directory / "haproxy.sock"))
            client.sendall(b"show stat\n")
            table = b"".join(iter(lambda: client.recv(65536), b"")).decode()
        [row] = [line.split(",") for line in table.splitlines() if line.startswith(f"api,{service},")]
        return row[17].split(" ")[0]

    def environment_of(self, service: str) -> dict[str, str]:
        """The environment of a container, as Docker tells it."""
        pairs = (each.partition("=") for each in self.project.inspect(service)["Config"]["Env"])
        return {name: value for name, _sign, value in pairs}


@contextlib.contextmanager
def colours(directory: Path) -> Iterator[Colours]:
    """The project, released by hand in its first version, behind a balancer that sees both colours."""
    with ComposeProject(directory) as project:
        make_images(project)
        ports = {colour: free_port() for colour in COLOURS}
        make_services(project, ports)
        hook = directory / "hook.py"
        hook.write_text(_HOOK, encoding="utf-8")
        control = directory / "haproxy.sock"
        command = [sys.executable, str(hook), str(control)]
        hooks = {
            "drain": {each: [*command, each, "drain"] for each in COLOURS},
            "undrain": {each: [*command, each, "ready"] for each in COLOURS},
        }
        made = Colours(project, "", hooks)
        made.set(GOOD, "first")
        project.compose("--env-file", ENV_FILE, "up", "--detach", "--wait")
        with _balancer(directory, control, ports) as port:
            made.url = f"http://{LOOPBACK}:{port}/version"
            for each in COLOURS:
                subprocess.run([*command, each, "ready"], check=True, timeout=300)
            yield made


def make_images(project: ComposeProject) -> None:
    """Two versions that work, one whose health check fails, and a worker that ends at once."""
    for tag in (GOOD, BETTER):
        project.image("api", tag, {"/www/health": "ok\n", "/www/version": f"{tag}\n"})
    project.image("api", SICK, {"/www/version": "sick\n"})
    project.image("worker", GOOD, {"/work": "exec sleep 100000\n"})
    project.image("worker", CRASHES, {"/work": "echo no database password=hunter2hunter2; exit 3\n"})
    project.image("postgres", "14", {"/www/health": "ok\n"})


def make_services(project: ComposeProject, ports: dict[str, int]) -> None:
    """The Compose file: the api twice, a worker without a health check, a database."""
    note = {"NOTE": "${NOTE}", "SIGNING_KEY": "${SIGNING_KEY}"}
    for colour, port in ports.items():
        project.services[colour] = {
            "image": f"{project.name}/api:${{TAG}}",
            "command": SERVES,
            "healthcheck": IS_WELL,
            "environment": note,
            "ports": [f"{LOOPBACK}:{port}:{PORT}"],
            "depends_on": ["database"],
        }
    project.services["worker"] = {
        "image": f"{project.name}/worker:${{WORKER_TAG}}",
        "command": ["sh", "/work"],
        "environment": note,
        "restart": "unless-stopped",
    }
    project.services["database"] = {
        "image": f"{project.name}/postgres:14",
        "command": SERVES,
        "environment": note,
        "volumes": ["data:/data"],
    }
    project.extra = {"volumes": {"data": {}}}
    project.write()


@contextlib.contextmanager
def _balancer(directory: Path, control: Path, ports: dict[str, int]) -> Iterator[int]:
    program = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if program is None:
        raise MissingServer("There is no haproxy. Install the package haproxy.")
    port = free_port()
    servers = "\n".join(f"    server {name} {LOOPBACK}:{number}" for name, number in ports.items())
    configuration = directory / "haproxy.cfg"
    text = _CONFIGURATION.format(socket=control, address=LOOPBACK, port=port, servers=servers)
    configuration.write_text(text, encoding="utf-8")
    process = subprocess.Popen(
        [program, "-db", "-f", str(configuration)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: accepts(port) and control.exists(), "haproxy listens")
        yield port
    finally:
        process.terminate()
        process.wait(timeout=300)
