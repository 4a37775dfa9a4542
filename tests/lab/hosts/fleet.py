"""Machines in a network of their own, and their inventory."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from lab.hosts import ssh
from lab.hosts.daemon import docker
from lab.hosts.images import image
from lab.hosts.machine import Host
from lab.hosts.modules import mounts
from lab.process import Identity

LABEL = "runbook.lab.owner"
# systemd as the first process works with these, and not with --privileged.
_BOOT = (
    *("--stop-signal", "SIGRTMIN+3", "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN"),
    *("--security-opt", "seccomp=unconfined", "--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec"),
    *("--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--cgroupns=host"),
)


@dataclass
class Fleet:
    """A context manager that boots machines and removes them all.

    Args:
        names: The machines with their Debian release, such as C({"web1": 12, "web2": 13}), or a number of them
            (C(host1), C(host2), …, all of Debian 12). They know each other by these names.
        options: More arguments for C(docker run) of every machine, such as C(["--memory", "256m"]).
        owner: The process that removes them. When it has died, the next fleet does. None: nobody but C(remove).

    """

    names: Mapping[str, int] | int
    options: Sequence[str] = ()
    owner: int | None = field(default_factory=os.getpid)
    hosts: dict[str, Host] = field(default_factory=dict, init=False)
    token: str = field(default_factory=lambda: secrets.token_hex(4), init=False)

    def __enter__(self) -> Fleet:
        names = {f"host{n + 1}": 12 for n in range(self.names)} if isinstance(self.names, int) else self.names
        images = {release: image(release) for release in sorted(set(names.values()))}
        sweep()
        docker("network", "create", *self._labels(), self.network)
        try:
            for name, release in names.items():
                self._boot(Host(name, f"{self.network}-{name}", release), images[release])
            for host in self.hosts.values():
                host.wait_for_boot()
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

    @property
    def network(self) -> str:
        """Its name begins those of all its containers."""
        return f"runbook-lab-{self.token}"

    @property
    def first(self) -> Host:
        return next(iter(self.hosts.values()))

    def _labels(self) -> tuple[str, str]:
        if self.owner is None:
            return ("--label", f"{LABEL}=")
        identity = Identity.of(self.owner)
        return ("--label", f"{LABEL}={identity.pid} {identity.started} {identity.boot}")

    def _boot(self, host: Host, chosen: str) -> None:
        self.hosts[host.name] = host
        docker(
            *("run", "--detach", "--name", host.container, "--hostname", host.name, "--network", self.network),
            *("--network-alias", host.name, *self._labels(), *_BOOT, *mounts(), *self.options, chosen, "/sbin/init"),
        )
        template = f'{{{{(index .NetworkSettings.Networks "{self.network}").IPAddress}}}}'
        host.address = docker("inspect", "--format", template, host.container)

    def inventory(self, path: Path, groups: Mapping[str, Sequence[str]] | None = None, **variables: Any) -> Path:
        """Write an inventory of the machines (JSON, which is YAML), with groups and variables for all of them."""
        children: dict[str, Any] = {
            group: {"hosts": {name: {} for name in members}} for group, members in (groups or {}).items()
        }
        hosts = {name: host.variables() for name, host in self.hosts.items()}
        content = {"all": {"hosts": hosts, "children": children, "vars": variables}}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2), encoding="utf-8")
        return path

    def remove(self) -> None:
        """Remove everything; harmless when it is gone already."""
        for host in self.hosts.values():
            ssh.hang_up(host.address)
        if self.hosts:
            docker("rm", "--force", "--volumes", *(host.container for host in self.hosts.values()), check=False)
            self.hosts.clear()
            docker("network", "rm", self.network, check=False)


def sweep() -> None:
    """Remove the machines and networks whose owner was killed before it could."""
    for kind, remove in (("container", ("rm", "--force", "--volumes")), ("network", ("network", "rm"))):
        listing = ("ps", "--all") if kind == "container" else ("network", "ls")
        seen = docker(*listing, "--filter", f"label={LABEL}", "--format", f'{{{{.ID}}}}={{{{.Label "{LABEL}"}}}}')
        for line in seen.splitlines():
            number, _separator, owner = line.partition("=")
            if owner and not _alive(owner):
                docker(*remove, number, check=False)


def _alive(owner: str) -> bool:
    pid, started, boot = owner.split(" ")
    return Identity(int(pid), int(started), boot).alive()
