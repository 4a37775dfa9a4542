"""What a Service's clients reach: a listener per Service, answered by a pod that is ready at that moment.

A pod answers with its name, image, labels and environment as JSON. ``?delay=2`` makes it take that many seconds, so
that something is under way when it is asked to end: it ends only after that.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lab.kubernetes.environment import Missing, environment_of
from lab.kubernetes.images import behaviour_of
from lab.kubernetes.kinds import Key, Object
from lab.kubernetes.pods import is_ready
from lab.kubernetes.server import QuietServer
from lab.kubernetes.store import Store
from lab.ports import LOOPBACK

UNAVAILABLE: Object = {"error": "no endpoint of the service is ready"}


def backends(store: Store, service: Object) -> list[Object]:
    """The pods that get a Service's requests now."""
    selector = (service.get("spec") or {}).get("selector")
    if not selector:
        return []
    pods = store.look("pods", service["metadata"]["namespace"], selector)
    ready = [each for each in pods if is_ready(each) and "deletionTimestamp" not in each["metadata"]]
    return [each for each in ready if each["spec"].get("containers")]


def _answering(pod: Object, service: Object) -> Object:
    """The container that listens where the Service sends its requests; where none says so, the first."""
    containers: list[Object] = pod["spec"]["containers"]
    targets = [each.get("targetPort", each.get("port")) for each in service["spec"].get("ports") or []]
    for container in containers:
        for port in container.get("ports") or []:
            if port.get("containerPort") in targets or port.get("name") in targets:
                return container
    return next((each for each in containers if each.get("ports")), containers[0])


@dataclass(frozen=True)
class Taken:
    """A request a pod has taken on: its answer, and how long it takes."""

    uid: str
    status: int
    document: Object
    seconds: float


class DataPlane:
    """The listeners of all Services that were asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listeners: dict[Key, _Listener] = {}
        self._turns = itertools.count()
        self._answers: Counter[str] = Counter()

    def serve(self, namespace: str, service: str) -> str:
        """The address of a Service; it may be made later, and until then nothing is ready."""
        key = self._store.key("services", namespace, service)
        with self._store.lock:
            listener = self._listeners.get(key)
            if listener is None:
                listener = self._listeners[key] = _Listener(self, key)
        return f"http://{LOOPBACK}:{listener.server_address[1]}"

    def stop(self) -> None:
        for listener in self._listeners.values():
            listener.shutdown()
            listener.server_close()

    def take(self, key: Key) -> Taken | None:
        """Choose a pod for a request, the ready ones by turns."""
        with self._store.lock:
            service = self._store.peek(key)
            ready = backends(self._store, service) if service else []
            if service is None or not ready:
                return None
            pod = ready[next(self._turns) % len(ready)]
            note = self._store.note(pod)
            note["serving"] = note.get("serving", 0) + 1
            uid = pod["metadata"]["uid"]
            container = _answering(pod, service)
            behaviour = behaviour_of(container.get("image", ""))
            self._answers[uid] += 1
            failed = behaviour.status != 200 and self._answers[uid] % behaviour.failing == 0
            return Taken(
                uid, behaviour.status if failed else 200, self._answer(pod, container), behaviour.answers_after
            )

    def done(self, taken: Taken) -> None:
        with self._store.lock:
            note = self._store.notes.get(taken.uid)
            if note is not None:
                note["serving"] -= 1

    def _answer(self, pod: Object, container: Object) -> Object:
        metadata = pod["metadata"]
        environment = (self._store.note(pod).get("env") or {}).get(container["name"])
        if environment is None:  # planted: nobody has started it
            try:
                environment = environment_of(self._store, pod, container)
            except Missing:
                environment = {}
        return {
            "pod": metadata["name"],
            "image": container.get("image", ""),
            "env": environment,
            "labels": metadata.get("labels") or {},
        }


class _Listener(QuietServer):
    def __init__(self, plane: DataPlane, key: Key) -> None:
        self.plane = plane
        self.key = key
        super().__init__(_Handler)
        threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, name="kubernetes-service", daemon=True
        ).start()


class _Handler(BaseHTTPRequestHandler):
    """One request per connection: a connection stays with the pod it was made to."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length:
            self.rfile.read(length)
        taken = self.server.plane.take(self.server.key)
        if taken is None:
            self._send(503, UNAVAILABLE)
            return
        try:
            delay = float(parse_qs(urlsplit(self.path).query).get("delay", ["0"])[0])
            if delay or taken.seconds:
                time.sleep(delay + taken.seconds)
            self._send(taken.status, taken.document)
        finally:
            self.server.plane.done(taken)

    do_HEAD = do_POST = do_PUT = do_GET

    def _send(self, status: int, document: Object) -> None:
        payload = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(payload)
