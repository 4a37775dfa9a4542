"""Plants the shop's packages: plant.py first|bad NAME=CONTAINER…, the balancer first."""

from __future__ import annotations

import sys

from lab.hosts import Host, shop
from lab.hosts.apt_repository import publish
from lab.hosts.balancer import balance
from lab.hosts.daemon import docker

ADDRESS = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"


def main(what: str, *words: str) -> None:
    """Build the packages and put them where the hosts look."""
    hosts = {}
    for word in words:
        name, container = word.split("=")
        hosts[name] = Host(name, container, address=docker("inspect", "--format", ADDRESS, container))
    balancer, *web = hosts.values()
    if what == "first":
        shop.install(web, [shop.web("1.0"), shop.data("1.0"), shop.database("15.1")])
        balance(balancer, {host.name: host for host in web})
    works = what == "first"
    version = "1.1" if works else "1.2"
    for host in web:
        publish(host, [shop.web(version, works=works), shop.data(version), shop.database("15.2")])


if __name__ == "__main__":
    main(*sys.argv[1:])
