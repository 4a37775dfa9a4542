"""What users reach: an HTTP server that routes as an ingress controller does, by the Ingresses that are there.

The longest path wins; of two rules with the same host and path the older one. As in ingress-nginx, a
``server-snippet`` with ``location <path> { return <status>; }`` answers before everything else.

The answer is that of a pod of the Service, by its environment: ``ANSWER`` is its status, and with ``CLOSED_BY`` of
``<config map>/<key>`` it is 503 while that key is ``true``, as of an application that reads a mounted flag.
"""

from __future__ import annotations

import json
import re
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from lab.kubernetes.api import KubernetesApi
from lab.kubernetes.kinds import Object
from lab.ports import LOOPBACK

_SNIPPET = "nginx.ingress.kubernetes.io/server-snippet"
_LOCATION = re.compile(r"location\s+(\S+)\s*\{\s*return\s+(\d+);\s*\}")


class IngressFront:
    """``with IngressFront(api, "shop") as front:`` — the Ingresses of a namespace at ``front.url``."""

    def __init__(self, api: KubernetesApi, namespace: str) -> None:
        front = self
        self._api, self._namespace = api, namespace

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = front.answer(str(self.headers["Host"]).partition(":")[0], self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://localhost:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def status(self, path: str, host: str = "localhost") -> int:
        """The status that a user gets for a path."""
        return self.answer(host, path)[0]

    def answer(self, host: str, path: str) -> tuple[int, bytes]:
        """Status and body."""
        ingresses = sorted(
            self._api.list("Ingress", self._namespace),
            key=lambda each: (each["metadata"]["creationTimestamp"], int(each["metadata"]["resourceVersion"])),
        )
        for ingress in ingresses:
            snippet = (ingress["metadata"].get("annotations") or {}).get(_SNIPPET, "")
            for location, status in _LOCATION.findall(snippet):
                if path.startswith(location) and host in _hosts(ingress):
                    return int(status), b"snippet"
        best: tuple[int, str] | None = None
        for ingress in ingresses:
            for rule in ingress["spec"].get("rules") or []:
                for each in rule["http"]["paths"] if rule.get("host", host) == host else []:
                    prefix = each["path"].rstrip("/")
                    fits = path == prefix or path.startswith(f"{prefix}/")
                    if fits and (best is None or len(prefix) > best[0]):
                        best = len(prefix), each["backend"]["service"]["name"]
        return (404, b"no rule") if best is None else self._ask(best[1])

    def _ask(self, service: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(self._api.serve(self._namespace, service), timeout=30) as response:
                body = response.read()
        except urllib.error.HTTPError as error:
            return error.code, b"nobody is ready"
        environment = json.loads(body)["env"]
        name, _slash, key = environment.get("CLOSED_BY", "").partition("/")
        if name and self._api.get("ConfigMap", self._namespace, name)["data"].get(key) == "true":
            return 503, body
        return int(environment.get("ANSWER", "200")), body


def _hosts(ingress: Object) -> set[str]:
    return {rule.get("host", "") for rule in ingress["spec"].get("rules") or []}
