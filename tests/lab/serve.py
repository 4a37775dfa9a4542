"""Servers of ours that run as processes of their own: ``python -m lab serve KIND --specification FILE``.

Such a process binds a free port itself, so nothing can take it in between, and then writes the port into its
ready file.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from lab import process
from lab.errors import LabError
from lab.ports import LOOPBACK
from lab.server import Server

PACKAGE_PARENT = Path(__file__).resolve().parents[1]


class ServedProcess(Server):
    """The parent's side: start the process, wait for its ready file, talk to its control path."""

    kind: ClassVar[str] = ""
    specification: dict[str, Any]

    @property
    def _ready_file(self) -> Path:
        return self.base / f"{self.label.lower()}.ready"

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._ready_file.unlink(missing_ok=True)
        specification = self.base / f"{self.label.lower()}.json"
        specification.touch(mode=0o600)
        specification.write_text(json.dumps({**self.specification, "control": self._control_key()}), encoding="utf-8")
        search = os.pathsep.join(filter(None, [str(PACKAGE_PARENT), os.environ.get("PYTHONPATH", "")]))
        return process.spawn(
            [
                *(sys.executable, "-m", "lab", "serve", self.kind),
                *("--specification", specification, "--ready-file", self._ready_file),
            ],
            log=self.log,
            env={"PYTHONPATH": search, "PYTHONUNBUFFERED": "1", **self.environment},
            dies_with_parent=not self.detached,
        )

    def _control_key(self) -> str:
        import secrets

        if not hasattr(self, "_key"):
            self._key = secrets.token_urlsafe(16)
        return self._key

    def _is_ready(self) -> bool:
        try:
            ready = json.loads(self._ready_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        self.port = ready["port"]
        return True

    def control(self, action: str, **arguments: Any) -> Any:
        """Have the process do something that its protocol has no words for."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(
                "POST",
                f"/.lab/{action}",
                body=json.dumps(arguments),
                headers={"X-Lab-Control": self._control_key(), "Content-Type": "application/json"},
            )
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status != 200:
            raise LabError(f"{self.label}: {action} failed: {text}")
        return json.loads(text)


# --- the process's side


def announce(ready_file: Path, port: int) -> None:
    """Write the port, whole or not at all."""
    partial = ready_file.with_name(f"{ready_file.name}.partial")
    partial.write_text(json.dumps({"port": port, "pid": os.getpid()}), encoding="utf-8")
    partial.rename(ready_file)


def serve(kind: str, specification: Path, ready_file: Path) -> int:
    """Run one of the servers until SIGTERM."""
    settings = json.loads(specification.read_text(encoding="utf-8"))
    runner = RUNNERS.get(kind)
    if runner is None:
        raise LabError(f"There is no server {kind!r}. There are: {', '.join(sorted(RUNNERS))}.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with contextlib.suppress(KeyboardInterrupt):
        runner(settings, ready_file)
    return 0


def run_s3(settings: dict[str, Any], ready_file: Path) -> None:
    from lab.s3_process import make_application

    _run_wsgi(make_application(settings["access_key"], settings["control"]), ready_file)


def _run_wsgi(application: Any, ready_file: Path) -> None:
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        # Kept-alive connections make a populated store twice as fast to fill and to list.
        protocol_version = "HTTP/1.1"

        def log_request(self, *_: Any) -> None:
            """Only errors are worth a line."""

    server = make_server(LOOPBACK, 0, application, threaded=True, request_handler=Quiet)
    server.daemon_threads = True
    announce(ready_file, server.server_port)
    server.serve_forever()


def wait_for_the_end() -> None:
    """Until the process is told to stop."""
    threading.Event().wait()


Runner = Callable[[dict[str, Any], Path], None]
RUNNERS: dict[str, Runner] = {"s3": run_s3}
