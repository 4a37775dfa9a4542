"""A small application, deployed as Rails ones are: archives, migrations, a service whose reload drops nothing.

systemd owns the listening socket, so that connections wait while the service begins anew. A reload (SIGHUP) ends the
request in hand and executes the release that C(current) leads to then.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.hosts.machine import Host

PORT = 8080
HOME = "/srv/shop"
# Where archives lie on a machine.
STORE = "/var/lib/shop"
APP = """
import json, os, select, signal, socket, sys

here = os.path.dirname(os.path.realpath(__file__))
release = os.path.basename(here)
healthy = not os.path.exists(os.path.join(here, "unhealthy"))
again = []
signal.signal(signal.SIGHUP, lambda *_: again.append(1))
signal.signal(signal.SIGTERM, lambda *_: again.append(0))
listener = socket.socket(fileno=3)


def answer(connection):
    connection.settimeout(5)
    head = b""
    while b"\\r\\n\\r\\n" not in head:
        piece = connection.recv(4096)
        if not piece:
            return
        head += piece
    path = head.split(b" ")[1].decode()
    status = "200 OK" if healthy else "500 Broken"
    body = json.dumps({"release": release}) if path == "/health" else "page of " + release
    with open(os.path.join(here, "log", "access.log"), "a") as log:
        log.write(path + "\\n")
    text = "HTTP/1.1 %s\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n%s" % (status, len(body), body)
    connection.sendall(text.encode())


while not again:
    if select.select([listener], [], [], 0.05)[0]:
        connection, _ = listener.accept()
        with connection:
            try:
                answer(connection)
            except OSError:
                pass
os.set_inheritable(3, True)
if again[0]:
    os.execv(sys.executable, [sys.executable, "CURRENT/app.py"])
"""
# What stands for rails db:migrate: the versions that a database has are lines of a file that outlives releases.
MIGRATE = """
for file in db/migrate/*.rb; do
    version=$(basename "$file" | cut -d_ -f1)
    grep -qx "$version" ../../shared/migrated || echo "$version" >>../../shared/migrated
done
"""
UNITS = {
    "shop.socket": f"""[Socket]
ListenStream={PORT}
Backlog=512
TriggerLimitIntervalSec=0
[Install]
WantedBy=sockets.target
""",
    "shop.service": f"""[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/bin/python3 {HOME}/current/app.py
ExecReload=/bin/kill -HUP $MAINPID
""",
}


@dataclass(frozen=True)
class Archive:
    """A release's archive, here and where it is on machines."""

    id: str
    path: Path
    sha256: str

    @property
    def remote(self) -> str:
        return f"{STORE}/{self.path.name}"

    def variables(self) -> dict[str, Any]:
        """What the role is told of it."""
        return {
            "deploy_release_id": self.id,
            "deploy_release_archive": self.remote,
            "deploy_release_sha256": self.sha256,
        }


def archive(
    directory: Path, name: str, *, healthy: bool = True, migrations: Mapping[str, str] | None = None
) -> Archive:
    """Make a release's archive; migrations are lines of Ruby by their version."""
    files = {"app.py": APP.replace("CURRENT", f"{HOME}/current"), "bin/migrate": MIGRATE, "log/.keep": ""}
    if not healthy:
        files["unhealthy"] = ""
    for version, line in (migrations or {"20260101": "create_table :jobs"}).items():
        files[f"db/migrate/{version}_change.rb"] = f"class Change\n  def change\n    {line}\n  end\nend\n"
    path = directory / f"shop-{name}.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for file, text in files.items():
            entry = tarfile.TarInfo(file)
            entry.size, entry.mode = len(text.encode()), 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
    return Archive(name, path, hashlib.sha256(path.read_bytes()).hexdigest())


def install(host: Host, archives: Sequence[Archive]) -> None:
    """Put archives, units and what is shared on a machine; nothing is served yet."""
    shared = f"{HOME}/shared"
    script = f"mkdir -p {STORE} {shared}/config; touch {shared}/migrated {shared}/config/master.key\n"
    script += "".join(f"cat >/etc/systemd/system/{name} <<'END'\n{text}END\n" for name, text in UNITS.items())
    host.shell(script + "systemctl daemon-reload; systemctl enable -q --now shop.socket")
    for each in archives:
        host.copy_in(each.path, each.remote)


def variables() -> dict[str, Any]:
    """What the role is told of the application, on every host."""
    return {
        "deploy_release_path": HOME,
        "deploy_release_shared_directories": ["log"],
        "deploy_release_shared_files": ["config/master.key"],
        "deploy_release_environment": {"RAILS_ENV": "production"},
        "deploy_release_required_environment": ["RAILS_ENV"],
        "deploy_release_migrations": {
            "kind": "rails",
            "applied_command": ["cat", f"{HOME}/shared/migrated"],
            "command": ["sh", "bin/migrate"],
        },
        "deploy_release_migrates": True,
        "deploy_release_units": [{"name": "shop.service"}],
        "deploy_release_probes": [{"name": "health", "url": f"http://127.0.0.1:{PORT}/health"}],
        "deploy_release_version": {"url": f"http://127.0.0.1:{PORT}/health", "json": "release"},
        "deploy_release_health_attempts": 8,
        "deploy_release_health_delay": 0.5,
        "deploy_release_keep": 2,
    }
