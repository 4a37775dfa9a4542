"""One machine of the lab, and several in a network of their own."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from lab.errors import LabError
from lab.hosts.daemon import docker, docker_environment
from lab.hosts.images import image

_BOOT_SECONDS = 60.0
# systemd as the first process works with these, and not with --privileged.
_BOOT = (
    *("--stop-signal", "SIGRTMIN+3", "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN"),
    *("--security-opt", "seccomp=unconfined", "--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp"),
    *("--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--cgroupns=host"),
)


@dataclass
class Host:
    """A container that has booted. C(run) executes a command in it and gives its output."""

    name: str
    container: str
    address: str = ""

    def run(self, *argv: str, check: bool = True, text_in: str | None = None, timeout: float = 300) -> str:
        """Run a command there; LabError when it fails."""
        interactive = ("--interactive",) if text_in is not None else ()
        return docker("exec", *interactive, self.container, *argv, check=check, text_in=text_in, timeout=timeout)

    def shell(self, script: str, *, check: bool = True, timeout: float = 300) -> str:
        """Run lines of shell there, ending at the first that fails."""
        return self.run("sh", "-euc", script, check=check, timeout=timeout)

    def status(self, *argv: str) -> int:
        """The exit status of a command there."""
        return subprocess.run(
            ["docker", "exec", self.container, *argv], env=docker_environment(), capture_output=True, check=False
        ).returncode

    def write(self, path: str, content: str, mode: str = "0644") -> None:
        """Put a file there."""
        self.run(
            "sh", "-euc", f'mkdir -p "$(dirname "{path}")"; cat > "{path}"; chmod {mode} "{path}"', text_in=content
        )

    def read(self, path: str) -> str:
        """The text of a file there."""
        return self.run("cat", path)

    def variables(self) -> dict[str, Any]:
        """What an inventory says of it: Ansible comes in through the container's own exec."""
        return {
            "ansible_connection": "community.docker.docker",
            "ansible_host": self.container,
            "ansible_python_interpreter": "/usr/bin/python3",
        }

    def wait_for_boot(self) -> None:
        """Until systemd says that everything is up."""
        deadline = time.monotonic() + _BOOT_SECONDS
        while True:
            state = self.run("systemctl", "is-system-running", check=False)
            if state == "running":
                return
            if time.monotonic() > deadline or state == "degraded":
                failed = self.run("systemctl", "--failed", "--no-pager", "--plain", check=False)
                raise LabError(f"{self.name} did not boot: it is {state or 'not there'}. {failed}")
            time.sleep(0.2)


@dataclass
class Fleet:
    """Machines in a network of their own; a context manager that removes them all.

    Args:
        names: The machines, each with its suite, such as C({"web1": "bookworm", "web2": "trixie"}).
        packages: What their images have beside the base.
        publish: Ports of a machine that can be reached from here, on loopback.

    """

    names: Mapping[str, str]
    packages: Sequence[str] = ()
    publish: Mapping[str, Sequence[int]] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict, init=False)
    _network: str = field(default="", init=False)

    def __enter__(self) -> Fleet:
        token = secrets.token_hex(4)
        images = {suite: image(suite, self.packages) for suite in dict.fromkeys(self.names.values())}
        self._network = f"runbook-lab-{token}"
        docker("network", "create", self._network)
        try:
            for name, suite in self.names.items():
                self._boot(name, images[suite], f"runbook-lab-{token}-{name}")
            for host in self.hosts.values():
                host.wait_for_boot()
                host.address = self._address(host)
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def _boot(self, name: str, chosen: str, container: str) -> None:
        ports = [part for port in self.publish.get(name, ()) for part in ("--publish", f"127.0.0.1::{port}")]
        docker(
            *("run", "--detach", "--name", container, "--hostname", name, "--network", self._network),
            *("--network-alias", name, *_BOOT, *ports, chosen, "/sbin/init"),
        )
        self.hosts[name] = Host(name, container)

    def _address(self, host: Host) -> str:
        template = f'{{{{(index .NetworkSettings.Networks "{self._network}").IPAddress}}}}'
        return docker("inspect", "--format", template, host.container)

    def port(self, name: str, port: int) -> int:
        """Where a published port of a machine is on loopback."""
        return int(docker("port", self.hosts[name].container, f"{port}/tcp").splitlines()[0].rpartition(":")[2])

    def inventory(self, groups: Mapping[str, Sequence[str]] | None = None) -> dict[str, Any]:
        """An inventory of the machines, as YAML takes it."""
        children = {group: {"hosts": dict.fromkeys(members)} for group, members in (groups or {}).items()}
        return {"all": {"hosts": {name: host.variables() for name, host in self.hosts.items()}, "children": children}}

    def remove(self) -> None:
        """Stop and remove everything; harmless when it is gone already."""
        for host in self.hosts.values():
            docker("rm", "--force", "--volumes", host.container, check=False)
        self.hosts.clear()
        if self._network:
            docker("network", "rm", self._network, check=False)
            self._network = ""


@contextlib.contextmanager
def one_host(suite: str = "bookworm", packages: Sequence[str] = ()) -> Iterator[Host]:
    """A single machine."""
    with Fleet({"host": suite}, packages) as fleet:
        yield fleet["host"]
