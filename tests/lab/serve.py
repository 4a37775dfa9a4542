"""Servers of ours that run as processes of their own: ``python -m lab serve KIND --specification FILE``.

Such a process binds a free port itself, so nothing can take it in between, and then writes the port into its
ready file.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from lab import process
from lab.errors import LabError
from lab.paths import PACKAGE_PARENT
from lab.ports import LOOPBACK
from lab.server import Server


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
        # The process runs elsewhere, so relative places would not be found.
        given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        search = os.pathsep.join([str(PACKAGE_PARENT), *(str(Path(each).absolute()) for each in given)])
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
    announce(ready_file, server.server_port)
    server.serve_forever()


def run_http(settings: dict[str, Any], ready_file: Path) -> None:
    """A stub whose routes the named function returns."""
    from lab.http_stub import HttpStub

    routes = call(settings["function"], settings["arguments"])
    stub = HttpStub(routes, token=settings.get("token"), open_paths=settings.get("open_paths", ()), keep_requests=False)
    with stub:
        announce(ready_file, stub.port)
        wait_for_the_end()


def run_exporter(settings: dict[str, Any], ready_file: Path) -> None:
    """Metrics in Prometheus' text format, made anew by the named function for every scrape."""
    from lab.http_stub import HttpStub, Reply

    content = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}

    def metrics(_ignored: object) -> Reply:
        return Reply(200, str(call(settings["function"], settings["arguments"])), content)

    with HttpStub({"/metrics": metrics}, keep_requests=False) as stub:
        announce(ready_file, stub.port)
        wait_for_the_end()


def run_sessions(settings: dict[str, Any], ready_file: Path) -> None:
    """Whatever must be held open while the lab runs: the named function returns it, and it is kept."""
    held = call(settings["function"], settings["arguments"])
    announce(ready_file, 0)
    wait_for_the_end()
    del held


def call(function: str, arguments: dict[str, Any]) -> Any:
    """Call ``package.module:function``; ``now`` travels as text and arrives as a moment."""
    module, _ignored, name = function.partition(":")
    if isinstance(arguments.get("now"), str):
        arguments = {**arguments, "now": datetime.fromisoformat(arguments["now"])}
    return getattr(importlib.import_module(module), name)(**arguments)


def wait_for_the_end() -> None:
    """Until the process is told to stop."""
    threading.Event().wait()


def run_kubernetes(settings: dict[str, Any], ready_file: Path) -> None:
    from lab.kubernetes.running import run_kubernetes as run

    run(settings, ready_file)


Runner = Callable[[dict[str, Any], Path], None]
RUNNERS: dict[str, Runner] = {
    "s3": run_s3,
    "http": run_http,
    "exporter": run_exporter,
    "sessions": run_sessions,
    "kubernetes": run_kubernetes,
}


class StubProcess(ServedProcess):
    """An HTTP stub in a process of its own; ``function`` ("package.module:name") returns its routes."""

    kind: ClassVar[str] = "http"

    def __init__(
        self,
        name: str,
        function: str,
        arguments: Mapping[str, Any],
        base: Path | None = None,
        *,
        token: str | None = None,
        open_paths: Sequence[str] = (),
        detached: bool = False,
        on_spawn: Callable[[Server], None] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        super().__init__(base, detached=detached, on_spawn=on_spawn, environment=environment)
        self.label = name  # type: ignore[misc]  # one class, several names in messages and logs
        self.token = token
        now = arguments.get("now")
        self.specification = {
            "function": function,
            "arguments": {**arguments, **({"now": now.isoformat()} if isinstance(now, datetime) else {})},
            "token": token,
            "open_paths": list(open_paths),
        }

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


class ExporterProcess(StubProcess):
    kind: ClassVar[str] = "exporter"


class SessionsProcess(StubProcess):
    kind: ClassVar[str] = "sessions"
