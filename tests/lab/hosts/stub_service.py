"""A small web service under systemd, whose version is in a file: C(/health), C(/version), and any other page."""

from __future__ import annotations

from lab.hosts.machine import Host

PORT = 8080
# A release that cannot start has this version.
BROKEN = "broken"
SERVER = f'''
import http.server, mmap, os, signal, sys
home = sys.argv[1]
mapped = []


def read(*_):
    global version
    with open(os.path.join(home, "version")) as file:
        version = file.read().strip()
    if version.endswith("{BROKEN}"):
        sys.exit("this release cannot start")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = {{"/health": "ok", "/version": version}}.get(self.path, "page of " + version).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


read()
signal.signal(signal.SIGHUP, read)
data = os.path.join(home, "data")
if os.path.exists(data):
    # As a library would be: an update of its package leaves the old one in use.
    with open(data, "rb") as file:
        mapped.append(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_EXEC))
server = http.server.ThreadingHTTPServer(("", int(sys.argv[2])), Handler)
server.daemon_threads = True
server.serve_forever()
'''


def unit(home: str, port: int = PORT) -> str:
    """The text of its systemd unit."""
    return f"""[Unit]
Description=A shop's pages
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/bin/python3 {home}/server.py {home} {port}
ExecReload=/bin/kill -HUP $MAINPID
Restart=no
[Install]
WantedBy=multi-user.target
"""


def install(host: Host, version: str = "1.0", *, name: str = "shop", port: int = PORT) -> None:
    """Put it into C(/srv/NAME) of a machine, start it and wait until it answers."""
    home = f"/srv/{name}"
    host.write(f"{home}/server.py", SERVER)
    host.write(f"{home}/version", version)
    host.write(f"/etc/systemd/system/{name}.service", unit(home, port))
    host.shell(f"systemctl daemon-reload; systemctl enable --now -q {name}.service")
    wait_for(host, port)


def wait_for(host: Host, port: int = PORT) -> None:
    """Until the service of a machine answers."""
    host.run("curl", "-sSf", "-o", "/dev/null", "--retry", "240", "--retry-delay", "1", "--retry-connrefused",
             f"http://127.0.0.1:{port}/health")  # fmt: skip
