"""haproxy on a machine, before others: with a stats socket that may change servers, and a map for maintenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lab.hosts.machine import Host
from lab.hosts.stub_service import PORT

SOCKET = "/run/haproxy/admin.sock"
MAP = "/etc/haproxy/maintenance.map"
CONFIGURATION = """global
    stats socket {socket} mode 660 level admin
    stats timeout 30s
    maxconn 500
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    option redispatch
    retries 3
frontend site
    bind :80
    # A site whose name the map has is closed for maintenance.
    acl closed req.hdr(host),map_str({map}) -m found
    http-request return status 503 content-type text/html lf-string "<h1>maintenance</h1>" if closed
    default_backend {backend}
backend {backend}
    balance roundrobin
    option httpchk GET {health}
    default-server check inter 300ms fall 2 rise 1
{servers}
"""


@dataclass(frozen=True)
class Balancer:
    """A running haproxy. C(site) is what clients ask."""

    host: Host
    backend: str

    @property
    def site(self) -> str:
        return f"http://{self.host.address}/"

    def ask(self, command: str) -> str:
        """What the stats socket says to a command."""
        script = (
            "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
            "s.sendall(sys.argv[2].encode()+b'\\n')\nwhile (d:=s.recv(65536)): sys.stdout.write(d.decode())\n"
        )
        return self.host.run("python3", "-c", script, SOCKET, command)

    def servers(self) -> dict[str, str]:
        """The servers with their state as haproxy's own table names it: UP, DRAIN, MAINT, DOWN."""
        found = {}
        for line in self.ask("show stat").splitlines():
            fields = line.split(",")
            if fields[0] == self.backend and fields[1] not in ("FRONTEND", "BACKEND"):
                found[fields[1]] = fields[17].split(" ")[0]
        return found


def balance(
    host: Host, servers: Mapping[str, Host], *, port: int = PORT, backend: str = "web", health: str = "/health"
) -> Balancer:
    """Start haproxy on a machine of Debian 12, before other machines, and wait until it sees all of them."""
    lines = "\n".join(f"    server {name} {server.address}:{port}" for name, server in servers.items())
    host.write(MAP, "")
    host.write(
        "/etc/haproxy/haproxy.cfg",
        CONFIGURATION.format(socket=SOCKET, map=MAP, backend=backend, servers=lines, health=health),
    )
    host.shell("haproxy -c -q -f /etc/haproxy/haproxy.cfg; systemctl restart haproxy.service")
    started = Balancer(host, backend)
    host.run("curl", "-sSf", "-o", "/dev/null", "--retry", "240", "--retry-delay", "1", "--retry-all-errors",
             "http://127.0.0.1/")  # fmt: skip
    return started
