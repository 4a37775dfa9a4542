"""A shop's packages in good and bad versions: a web service, data that it keeps open, a database."""

from __future__ import annotations

from collections.abc import Sequence

from lab.hosts.apt_repository import Package, publish
from lab.hosts.machine import Host
from lab.hosts.stub_service import BROKEN, SERVER, unit, wait_for

HOME = "/usr/lib/shop-web"
CONFIGURATION = "/etc/shop-web.conf"
# An installation of a slow version says that it waits, and waits until it is told to go on.
WAITING, GO_ON = "/run/shop-waits", "/run/shop-goes-on"
_WAIT = f"touch {WAITING}; for n in $(seq 2400); do [ -e {GO_ON} ] && break; sleep 0.1; done; rm -f {WAITING}"
_RESTART = "systemctl daemon-reload; systemctl enable -q shop-web; systemctl restart shop-web || true"


def web(version: str, *, works: bool = True, slow: bool = False) -> Package:
    """The service. A version that does not work is installed well, and then does not start."""
    files = {
        f"{HOME}/server.py": SERVER,
        f"{HOME}/version": version if works else f"{version} {BROKEN}",
        "/lib/systemd/system/shop-web.service": unit(HOME),
        CONFIGURATION: f"version = {version}\n",
    }
    return Package("shop-web", version, files, f"{_WAIT if slow else ':'}\n{_RESTART}", [CONFIGURATION])


def data(version: str) -> Package:
    """What the service has mapped, so that an update of it leaves the old one in use."""
    return Package("shop-data", version, {f"{HOME}/data": version * 1000}, security=True)


def database(version: str) -> Package:
    """A package with the name of a database's."""
    return Package("postgresql-15", version)


def tools(version: str) -> Package:
    """A package that gets a new major version."""
    return Package("shop-tools", version)


def install(hosts: Sequence[Host], packages: Sequence[Package]) -> None:
    """Put the packages on the hosts, with a configuration that somebody changed, and wait for the service."""
    names = " ".join(package.name for package in packages)
    for host in hosts:
        publish(host, packages)
        host.shell(
            f"apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq {names} >/dev/null 2>&1\n"
            f"systemctl restart shop-web; echo '# changed here' >>{CONFIGURATION}"
        )
    for host in hosts:
        wait_for(host)


def versions(host: Host) -> dict[str, str]:
    """What dpkg says is installed of the shop."""
    listed = host.shell("dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\\n' 'shop-*' 'postgresql-*'")
    # What is only known by name has no version.
    rows = (row for row in map(str.split, listed.splitlines()) if len(row) == 3)
    return {name: f"{version} {state}".removesuffix(" ii") for name, version, state in rows}
