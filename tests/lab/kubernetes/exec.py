"""``pods/exec``: commands in containers, answered by what tests have arranged, over Kubernetes' channels.

A command is answered by text, by an ``Executed``, or by a function of the ``Session``. Spoken are
``v4.channel.k8s.io`` and ``v5.channel.k8s.io`` (websocket); the older SPDY is not.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lab.kubernetes.errors import ApiError, bad_request
from lab.kubernetes.kinds import Object
from lab.kubernetes.logs import container_of
from lab.kubernetes.request import Request
from lab.kubernetes.server import Connection, Reply
from lab.kubernetes.websocket import WebSocket

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDIN, _STDOUT, _STDERR, _ERROR, _CLOSE = 0, 1, 2, 3, 255


@dataclass(frozen=True)
class Executed:
    """How a command ended."""

    stdout: str = ""
    stderr: str = ""
    code: int = 0


class Session:
    """One command that runs: what it was given, and what it says meanwhile."""

    def __init__(self, command: list[str], container: str, socket: WebSocket, wants: frozenset[str]) -> None:
        self.command = command
        self.container = container
        self._socket = socket
        self._wants = wants

    def write(self, text: str) -> None:
        self._send(_STDOUT, text, "stdout")

    def error(self, text: str) -> None:
        self._send(_STDERR, text, "stderr")

    def _send(self, channel: int, text: str, name: str) -> None:
        if text and name in self._wants:
            self._socket.send(bytes([channel]) + text.encode())

    def input(self) -> Iterator[str]:
        """Standard input, piece by piece, until the client closes it."""
        while "stdin" in self._wants:
            message = self._socket.receive()
            if message is None or message[:2] == bytes([_CLOSE, _STDIN]):
                return
            if message[:1] == bytes([_STDIN]) and len(message) > 1:
                yield message[1:].decode(errors="replace")

    def end(self, code: int) -> None:
        status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        if code:
            causes = [{"reason": "ExitCode", "message": str(code)}]
            message = f"command terminated with non-zero exit code: command terminated with exit code {code}"
            status |= {"status": "Failure", "message": message, "reason": "NonZeroExitCode"}
            status["details"] = {"causes": causes}
        self._socket.send(bytes([_ERROR]) + json.dumps(status).encode())
        self._socket.close()


Answer = str | Executed | Mapping[str, Any] | Callable[[Session], Any]


@dataclass(frozen=True)
class _Rule:
    namespace: str
    pod: str
    container: str
    answer: Answer


class Executions:
    """What commands in which pods do; the rule given last wins."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []

    def add(self, namespace: str, pod: str, answer: Answer, container: str = "*") -> None:
        self._rules.insert(0, _Rule(namespace, pod, container, answer))

    def reply(self, pod: Object, request: Request) -> Reply:
        """Take the connection over; what cannot run is refused before."""
        command = [value for name, value in request.pairs if name == "command"]
        container = container_of(pod, request.query.get("container", ""))
        if not command:
            raise bad_request("you must specify at least one command for the container")
        if request.headers.get("upgrade", "").lower() != "websocket":
            raise bad_request("Upgrade request required: the emulator speaks websocket, not SPDY")
        if not pod["spec"].get("nodeName"):
            raise bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
        if not _runs(pod, container):
            raise ApiError(500, f'unable to upgrade connection: container not found ("{container}")')
        offered = [each.strip() for each in request.headers.get("sec-websocket-protocol", "").split(",")]
        protocol = next((each for each in PROTOCOLS if each in offered), None)
        if protocol is None:
            raise bad_request(f"unable to upgrade: unable to negotiate protocol: client supports {offered}")
        wants = frozenset(name for name in ("stdin", "stdout", "stderr") if request.flag(name))
        answer = self._answer(pod, container)

        def talk(connection: Connection) -> None:
            socket = WebSocket(connection.rfile, connection.wfile)
            socket.shake_hands(request.headers, protocol)
            session = Session(command, container, socket, wants)
            result = _executed(answer(session) if callable(answer) else answer)
            session.write(result.stdout)
            session.error(result.stderr)
            session.end(result.code)

        return Reply(talk=talk)

    def _answer(self, pod: Object, container: str) -> Answer:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        for rule in self._rules:
            patterns = ((namespace, rule.namespace), (name, rule.pod), (container, rule.container))
            if all(fnmatch.fnmatchcase(text, pattern) for text, pattern in patterns):
                return rule.answer
        return lambda session: Executed(
            stderr=f'OCI runtime exec failed: exec: "{session.command[0]}": executable file not found in $PATH\n',
            code=126,
        )


def _executed(result: Any) -> Executed:
    if isinstance(result, Executed):
        return result
    if isinstance(result, Mapping):
        return Executed(**result)
    if isinstance(result, int):
        return Executed(code=result)
    return Executed(stdout=str(result or ""))


def _runs(pod: Object, container: str) -> bool:
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        if status["name"] == container:
            return "running" in (status.get("state") or {})
    return False
