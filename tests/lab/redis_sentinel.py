"""A Redis master with replicas, watched by Sentinels, on loopback."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, ClassVar, Self

from lab import process
from lab.errors import LabError
from lab.ports import accepts
from lab.process import wait_until
from lab.redis import RedisServer, Setting, default_binary, in_quotes
from lab.server import Server

NAME = "mymaster"


class RedisSentinel(Server):
    """One Sentinel. ``lines`` go into its configuration as they are."""

    label: ClassVar[str] = "Sentinel"

    def __init__(self, lines: Sequence[str], *, password: str | None = None) -> None:
        super().__init__()
        self.lines = list(lines)
        self.password = password

    def _spawn(self) -> subprocess.Popen[bytes]:
        configuration = self.base / "sentinel.conf"
        lines = [f"port {self.port}", f"bind {self.host}", f'dir "{self.base}"', *self.lines]
        configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return process.spawn([default_binary(), configuration, "--sentinel"], log=self.log, cwd=self.base)

    def _is_ready(self) -> bool:
        return accepts(self.port, self.host)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def cli(self, *args: str | int) -> str:
        """What redis-cli prints for a command."""
        done = process.run_as(
            None,
            ["redis-cli", "-h", self.host, "-p", str(self.port), *map(str, args)],
            env={"REDISCLI_AUTH": self.password} if self.password else {},
        )
        return done.stdout.rstrip("\n")


class SentinelTrio:
    """A master, a replica and three Sentinels that agree by two."""

    def __init__(
        self,
        *,
        password: str | None = None,
        sentinel_password: str | None = None,
        down_after_milliseconds: int = 3000,
        settings: Mapping[str, Setting | Sequence[Setting]] | None = None,
        base_lines: Sequence[str] = (),
    ) -> None:
        self.password = password
        self.sentinel_password = sentinel_password
        self.down_after_milliseconds = down_after_milliseconds
        self.base_lines = list(base_lines)
        own = {
            "repl-diskless-sync-delay": 0,
            **({"masterauth": in_quotes(password)} if password else {}),
            **(settings or {}),
        }
        self.servers = [RedisServer(password=password, settings=dict(own)) for _position in range(2)]
        self.sentinels: list[RedisSentinel] = []

    def __enter__(self) -> Self:
        try:
            first = self.servers[0].__enter__()
            self.servers[1].settings["replicaof"] = f"{first.host} {first.port}"
            self.servers[1].__enter__()
            for _position in range(3):
                self.sentinels.append(RedisSentinel(self._lines(first), password=self.sentinel_password).__enter__())
            self._wait_until_known()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in [*self.sentinels, *self.servers]:
            server.__exit__()

    def _lines(self, master: RedisServer) -> list[str]:
        lines = [
            *self.base_lines,
            f"sentinel monitor {NAME} {master.host} {master.port} 2",
            f"sentinel down-after-milliseconds {NAME} {self.down_after_milliseconds}",
            f"sentinel failover-timeout {NAME} 10000",
        ]
        if self.password:
            lines.append(f"sentinel auth-pass {NAME} {in_quotes(self.password)}")
        if self.sentinel_password:
            secret = in_quotes(self.sentinel_password)
            lines += [f"requirepass {secret}", f"sentinel sentinel-pass {secret}"]
        return lines

    def _wait_until_known(self) -> None:
        if not wait_until(self._know_each_other, 60, 0.05):
            raise LabError(f"The sentinels did not find each other:\n{self.sentinels[0].log_tail()}")

    def _know_each_other(self) -> bool:
        states = [self.state(sentinel) for sentinel in self.sentinels]
        return all((each.get("num-other-sentinels"), each.get("num-slaves")) == ("2", "1") for each in states)

    def state(self, sentinel: RedisSentinel) -> dict[str, str]:
        """SENTINEL MASTER, read with redis-cli."""
        words = sentinel.cli("SENTINEL", "MASTER", NAME).splitlines()
        return dict(zip(words[::2], words[1::2], strict=False))

    def login(self, **extra: Any) -> dict[str, Any]:
        """The connection options of the collection's modules."""
        options: dict[str, Any] = {
            "sentinels": [sentinel.address for sentinel in self.sentinels],
            "sentinel_master": NAME,
        }
        if self.password:
            options["login_password"] = self.password
        if self.sentinel_password:
            options["sentinel_password"] = self.sentinel_password
        return {**options, **extra}

    @property
    def master(self) -> RedisServer:
        """The server that the first Sentinel names."""
        port = self.sentinels[0].cli("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME).splitlines()[1]
        return next(server for server in self.servers if server.port == int(port))

    @property
    def replica(self) -> RedisServer:
        """The other one."""
        return next(server for server in self.servers if server is not self.master)

    def fail_over(self) -> None:
        """Make the replica the master, as after a failure, and wait until everybody knows."""
        before = self.master
        answer = self.sentinels[0].cli("SENTINEL", "FAILOVER", NAME)
        if answer != "OK":
            raise LabError(f"SENTINEL FAILOVER: {answer}")
        self.wait_for_another_master(before)
        # The sentinels would do it, but wait for ten seconds first.
        following = self.replica_of(before)
        before.cli("REPLICAOF", following.host, following.port)
        if not wait_until(lambda: self._standing(before) == ("slave", "up"), 60, 0.05):
            raise LabError(f"The old master does not follow the new one:\n{before.log_tail()}")

    def wait_for_another_master(self, before: RedisServer) -> None:
        """Wait until all Sentinels agree on another master, and it is one."""

        def moved() -> bool:
            ports = {
                sentinel.cli("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME).splitlines()[1] for sentinel in self.sentinels
            }
            return (
                ports == {str(self.replica_of(before).port)} and self._standing(self.replica_of(before))[0] == "master"
            )

        if not wait_until(moved, 60, 0.05):
            raise LabError(f"There was no failover:\n{self.sentinels[0].log_tail()}")

    def replica_of(self, server: RedisServer) -> RedisServer:
        """The other of the two servers."""
        return next(each for each in self.servers if each is not server)

    def _standing(self, server: RedisServer) -> tuple[str, str]:
        info = dict(
            line.split(":", 1) for line in server.cli("INFO", "replication").splitlines() if ":" in line
        )  # fmt: skip
        return info["role"], info.get("master_link_status", "")
