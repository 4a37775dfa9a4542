"""A Redis Cluster on loopback: primaries, their replicas, and slots that move while somebody looks."""

from __future__ import annotations

import contextlib
import hashlib
import random
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from lab.errors import LabError
from lab.ports import LOOPBACK
from lab.process import wait_until
from lab.redis import RedisServer, Setting, in_quotes

if TYPE_CHECKING:
    import redis as redis_library

SLOTS = 16384
# A node's own port for the others is so much higher.
BUS_OFFSET = 10000


class RedisCluster:
    """``primaries`` nodes that share the slots, each with ``replicas`` of its own.

    The nodes do not meet: each starts with a file in which all of them stand, which takes no time. ``tls`` are the
    lines of redis.conf for TLS without a port; the nodes then also talk TLS with each other.
    """

    def __init__(
        self,
        primaries: int = 3,
        replicas: int = 1,
        *,
        password: str | None = None,
        settings: Mapping[str, Setting | Sequence[Setting]] | None = None,
        tls: Mapping[str, Setting] | None = None,
        binary: Path | str | None = None,
    ) -> None:
        self.password = password
        self.tls_ports: list[int] = []
        self.nodes: list[RedisServer] = []
        shared: dict[str, Setting | Sequence[Setting]] = {
            "cluster-enabled": True,
            "cluster-config-file": "nodes.conf",
            "cluster-node-timeout": 5000,
            # A cluster of three on a busy machine must not begin elections by itself.
            "cluster-replica-no-failover": True,
            "repl-diskless-sync-delay": 0,
            **(settings or {}),
        }
        if password:
            shared["masterauth"] = in_quotes(password)
        ports = _ports()
        for position in range(primaries * (1 + replicas)):
            own = dict(shared)
            if tls:
                self.tls_ports.append(next(ports))
                own |= {"tls-port": self.tls_ports[position], "tls-cluster": True, "tls-replication": True, **tls}
            node = RedisServer(password=password, settings=own, binary=binary)
            node.port = next(ports)
            self.nodes.append(node)
        self.primaries = self.nodes[:primaries]
        self.replicas = self.nodes[primaries:]

    def __enter__(self) -> Self:
        try:
            for position, node in enumerate(self.nodes):
                (node.base / "nodes.conf").write_text(self._nodes_file(position), encoding="ascii")
            for node in self.nodes:
                node.__enter__()
            self.wait_until_ok()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.nodes:
            node.__exit__()

    def wait_until_ok(self) -> None:
        """Wait until every node calls the cluster whole.

        A primary does not trust what it finds at its start for two seconds (CLUSTER_WRITABLE_DELAY).
        """
        if not wait_until(lambda: all(self.info(node)["cluster_state"] == "ok" for node in self.nodes), 60, 0.05):
            raise LabError(f"The cluster did not come up:\n{self.nodes[0].log_tail()}")

    def login(self, **extra: Any) -> dict[str, Any]:
        """The connection options of the collection's modules, with the first node as the one to ask."""
        return self.nodes[0].login(**extra)

    def client(self) -> redis_library.RedisCluster:
        """The redis library's own client for clusters."""
        import redis

        return redis.RedisCluster(host=self.nodes[0].host, port=self.nodes[0].port, password=self.password)

    def info(self, node: RedisServer) -> dict[str, str]:
        """CLUSTER INFO of a node, read with redis-cli."""
        return dict(line.split(":", 1) for line in node.cli("CLUSTER", "INFO").splitlines() if ":" in line)

    def owner(self, slot: int) -> RedisServer:
        """The primary that serves a slot, by what the first node says."""
        client: Any = self.nodes[0].client()
        for start, end, (_host, port, *_more), *_replicas in client.execute_command("CLUSTER SLOTS"):
            if start <= slot <= end:
                return next(node for node in self.nodes if node.port == port)
        raise LabError(f"Nobody serves slot {slot}.")

    def replica_of(self, primary: RedisServer) -> RedisServer:
        """A node that follows this one, by its own word."""
        place = f"master_port:{primary.port}"
        return next(node for node in self.nodes if place in node.cli("INFO", "replication").split())

    def id_of(self, node: RedisServer) -> str:
        """A node's name in the cluster."""
        return node.cli("CLUSTER", "MYID")

    def begin_move(self, slot: int, target: RedisServer) -> RedisServer:
        """Open a slot's way to another primary; its keys stay where they are. Returns where they are."""
        source = self.owner(slot)
        target.cli("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        source.cli("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(target))
        return source

    def move_keys(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        """Carry a slot's keys to the target, so that the source answers ASK."""
        client: Any = source.client()
        while names := client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            login = ("AUTH", self.password) if self.password else ()
            client.execute_command(
                "MIGRATE", target.host, target.port, "", 0, 5000, *login, "KEYS", *names
            )  # fmt: skip

    def finish_move(self, slot: int, target: RedisServer) -> None:
        """Give the slot to the target, for good."""
        name = self.id_of(target)
        for node in [target, *(each for each in self.primaries if each is not target)]:
            node.cli("CLUSTER", "SETSLOT", slot, "NODE", name)

    def move(self, slot: int, target: RedisServer) -> None:
        """Move a slot with its keys."""
        source = self.begin_move(slot, target)
        self.move_keys(slot, source, target)
        self.finish_move(slot, target)

    def _nodes_file(self, myself: int) -> str:
        """What node number ``myself`` would have written down at its last stop (cluster.c, clusterLoadConfig)."""
        count = len(self.primaries)
        lines = []
        for position, node in enumerate(self.nodes):
            primary = position % count
            is_primary = position < count
            flags = [*(["myself"] if position == myself else []), "master" if is_primary else "slave"]
            port = self.tls_ports[position] if self.tls_ports else node.port
            place = f"{node.host}:{port}@{port + BUS_OFFSET}"
            master = "-" if is_primary else _name(primary)
            slots = f" {primary * SLOTS // count}-{(primary + 1) * SLOTS // count - 1}" if is_primary else ""
            lines.append(f"{_name(position)} {place} {','.join(flags)} {master} 0 0 {primary + 1} connected{slots}\n")
        return "".join(lines) + f"vars currentEpoch {count} lastVoteEpoch 0\n"


def _name(position: int) -> str:
    return hashlib.sha1(f"node {position}".encode(), usedforsecurity=False).hexdigest()


def _ports() -> Iterator[int]:
    """Free ports whose bus ports are free as well, each once.

    Nodes name each other before they start, so none of them can move to another port. They lie below those that the
    system hands out (Linux: from 32768), and so do the bus ports.
    """
    for port in random.sample(range(12_000, 22_000), 10_000):
        with contextlib.suppress(OSError):
            for taken in (port, port + BUS_OFFSET):
                socket.create_server((LOOPBACK, taken)).close()
            yield port
