# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server taken out of a balancer and put back, with proof."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused, outcome
from ansible_collections.runbook.ops.plugins.module_utils.haproxy.stats import (
    MAINT,
    READY,
    Server,
    find,
    others_with_traffic,
    read_servers,
)

_SOCKET_SECONDS = 10.0
_LOOK_SECONDS = 0.2


class Balancer:
    """haproxy's stats socket: a path, or host:port."""

    def __init__(self, address: str) -> None:
        self.address = address

    def servers(self) -> list[Server]:
        """All servers of all backends."""
        return read_servers(self.ask("show servers state"), self.ask("show stat"))

    def set_state(self, server: Server, state: str) -> None:
        """Tell haproxy the administrative state of a server; its answer to a command that worked is empty."""
        said = self.ask(f"set server {server.backend}/{server.name} state {state}").strip()
        if said:
            raise RunbookError(
                f"haproxy does not set {server.backend}/{server.name} to {state}: {said} The socket in haproxy.cfg "
                "needs 'level admin'."
            )

    def ask(self, command: str) -> str:
        """What it says to one command."""
        try:
            with self._connected() as connection:
                connection.sendall(command.encode() + b"\n")
                pieces = []
                while piece := connection.recv(65536):
                    pieces.append(piece)
        except OSError as error:
            raise RunbookError(
                f"haproxy's socket {self.address} does not answer: {error.strerror or error}. It is set in haproxy.cfg "
                "with 'stats socket <path> level admin', and this needs the right to write to it."
            ) from None
        return b"".join(pieces).decode("utf-8", "replace")

    def _connected(self) -> socket.socket:
        if self.address.startswith("/"):
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(_SOCKET_SECONDS)
            connection.connect(self.address)
            return connection
        host, _separator, port = self.address.rpartition(":")
        if not port.isdigit() or not host:
            raise InvalidOption("socket", self.address, "the path of a socket, or host:port")
        return socket.create_connection((host, int(port)), timeout=_SOCKET_SECONDS)


def control(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring a server to a state and prove it: the result of C(haproxy_server)."""
    wait = parse_seconds(str(params["wait"]), "wait")
    balancer = Balancer(params["socket"])
    servers = balancer.servers()
    server = find(servers, params["backend"], params["server"])
    if server is None:
        known = ", ".join(sorted(f"{each.backend}/{each.name}" for each in servers)) or "none at all"
        raise RunbookError(f"haproxy has no server {params['backend']}/{params['server']}; it has {known}.")
    wanted = params["state"]
    actions = [] if server.admin == wanted else [_action(server, wanted)]
    others = others_with_traffic(servers, server)
    if actions and wanted != READY and others < params["min_others"]:
        raise Refused(
            f"Without {server.backend}/{server.name} only {others} servers would take traffic, and min_others is "
            f"{params['min_others']}. Nothing was changed. Bring the other servers back first."
        )
    after: Optional[Server] = None
    if not check_mode:
        if actions:
            balancer.set_state(server, wanted)
        after = _proven(balancer, server, wanted, wait)
    return outcome(
        changed=bool(actions),
        actions=actions,
        before=server.facts(),
        after=after.facts() if after else None,
        others=others,
    )


def _action(server: Server, wanted: str) -> dict[str, Any]:
    return {
        "action": wanted,
        "object": f"{server.backend}/{server.name}",
        "state_before": server.admin,
        "state_after": wanted,
    }


def _proven(balancer: Balancer, server: Server, wanted: str, wait: float) -> Server:
    """Look until the state is really there."""
    done: Callable[[Server], bool] = (
        (lambda now: now.takes_traffic) if wanted == READY else (lambda now: now.admin == wanted and now.is_idle)
    )
    deadline = time.monotonic() + wait
    while True:
        now = find(balancer.servers(), server.backend, server.name)
        if now is None:
            raise RunbookError(f"{server.backend}/{server.name} is not there any more: haproxy was configured anew.")
        if done(now):
            return now
        if time.monotonic() > deadline:
            what = (
                f"is {now.status}, so that no traffic reaches it: look at its health check"
                if wanted == READY
                else f"still has {now.sessions} sessions: wait longer, or end them with state={MAINT} and haproxy's "
                "'shutdown sessions server'"
            )
            raise RunbookError(f"{now.backend}/{now.name} was set to {wanted} and after {wait:g} s {what}.")
        time.sleep(_LOOK_SECONDS)
