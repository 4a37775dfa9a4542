# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking Redis Sentinels who the master is, and making sure that it is one."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.info import parse_info
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import Settings, show_address

# A failover takes about as long; after it the sentinels name the new master.
FAILOVER_PAUSE_SECONDS = 2.0
# What a sentinel says about a master that it is not content with.
TROUBLE = frozenset({"s_down", "o_down", "failover_in_progress", "disconnected"})


@dataclass(frozen=True)
class Master:
    """What a sentinel says: where the master is, and C(trouble) it sees with it (C(o_down)…)."""

    host: str
    port: int
    sentinel: str
    trouble: tuple[str, ...] = ()


@dataclass
class _Search:
    """What became of asking one sentinel after the other."""

    failures: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)


def open_master(settings: Settings) -> RedisClient:
    """An open connection to the master that the sentinels name; raises Unavailable.

    Its role is verified. Where it is not the master (any more), or is down and the sentinels know it, they are asked
    once more a little later.
    """
    found = find_master(settings)
    try:
        client = _open(settings, found)
    except Unavailable:
        if not found.trouble:
            raise
        client = None
    if client is None:
        time.sleep(FAILOVER_PAUSE_SECONDS)
        found = find_master(settings)
        client = _open(settings, found)
    if client is None:
        place = show_address(found.host, found.port)
        raise Unavailable(
            f"The sentinel at {found.sentinel} calls {place} the master of {settings.sentinel_master!r}, but that "
            "server is a replica: a failover is going on. Wait until it is over, then run again."
        )
    return client


def find_master(settings: Settings) -> Master:
    """Ask one sentinel after the other until one knows the master; raises Unavailable naming what each said."""
    search = _Search()
    for host, port in settings.sentinels:
        found = _ask(replace_login(settings, host, port), search)
        if found is not None:
            return found
    name = settings.sentinel_master
    if search.strangers:
        raise Unavailable(f"No sentinel watches a master of the name {name!r}. {' '.join(search.strangers)}")
    raise Unavailable(f"No sentinel could be asked for the master of {name!r}. {' '.join(search.failures)}")


def replace_login(settings: Settings, host: str, port: int) -> Settings:
    """The settings for a sentinel: its own address and login."""
    return replace(
        settings, host=host, port=port, db=0, user=settings.sentinel_user, password=settings.sentinel_password
    )


def _ask(settings: Settings, search: _Search) -> Optional[Master]:
    name = settings.sentinel_master
    try:
        with RedisClient(settings) as client:
            address, state = client.pipeline(
                [("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name), ("SENTINEL", "MASTER", name)]
            )
            if isinstance(address, Refusal):
                search.failures.append(_refused(address, client))
                return None
            if not address:
                known = masters(client)
                search.strangers.append(f"The one at {client.where} watches {known[2:] if known else 'none'}.")
                return None
    except Unavailable as error:
        search.failures.append(_of_sentinel(error.message, settings))
        return None
    flags = b"" if isinstance(state, Refusal) else _pairs(state).get(b"flags", b"")
    trouble = tuple(flag for flag in flags.decode("ascii", "replace").split(",") if flag in TROUBLE)
    host, port = address
    return Master(host.decode("utf-8", "replace"), int(port), client.where, trouble)


def _refused(refusal: Refusal, client: RedisClient) -> str:
    if refusal.code == "UNKNOWN":
        return f"The server at {client.where} is no Redis Sentinel; is it the master's own port?"
    return f"The sentinel at {client.where} does not tell: {refusal.reason}. {refusal.remedy(client.user)}"


def _of_sentinel(message: str, settings: Settings) -> str:
    """A connection error in the words of the options that matter for a sentinel."""
    for option in ("user", "password"):
        message = message.replace(f"login_{option}", f"sentinel_{option}")
    return (
        message.replace("login_host and login_port", "sentinels")
        .replace("login_host", "sentinels")
        .replace(f"Redis at {settings.address}", f"The sentinel at {settings.address}")
    )


def _open(settings: Settings, found: Master) -> Optional[RedisClient]:
    """The connection, or None if the server is no master; raises Unavailable."""
    own = replace(settings, host=found.host, port=found.port, sentinels=(), sentinel_master="")
    try:
        client = RedisClient(own).open()
    except Unavailable as error:
        trouble = f", and sees it as {', '.join(found.trouble)}" if found.trouble else ""
        raise Unavailable(
            f"{error.message} The sentinel at {found.sentinel} calls it the master of "
            f"{settings.sentinel_master!r}{trouble}."
        ) from None
    role, info = client.pipeline([("ROLE",), ("INFO", "replication")], tolerant=True)
    # An ACL may grant the one without the other; where it grants neither, the preflight names what is missing.
    if isinstance(role, Refusal):
        is_master = isinstance(info, Refusal) or parse_info(info).get("role") == "master"
    else:
        is_master = role[0] == b"master"
    if is_master:
        return client
    client.close()
    return None


def masters(client: RedisClient) -> str:
    """The masters a Sentinel watches, as a clause with their addresses; empty if it does not say."""
    reply = client.ask("SENTINEL", "MASTERS")
    if isinstance(reply, Refusal):
        return ""
    found = []
    for entry in reply:
        pairs = _pairs(entry)
        name, address, port = (pairs.get(key, b"?").decode("utf-8", "replace") for key in (b"name", b"ip", b"port"))
        found.append(f"{name} at {show_address(address, int(port) if port.isdigit() else 0)}")
    return f": {', '.join(found)}" if found else ""


def _pairs(reply: Any) -> dict[bytes, bytes]:
    return dict(zip(reply[::2], reply[1::2]))
