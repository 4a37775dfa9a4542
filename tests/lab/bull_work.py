"""One queue of Bull or BullMQ with its real library and workers, and redis_queue beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.run import control_queue
from ansible_collections.runbook.ops.plugins.modules.redis_queue import argument_spec
from lab.node import NodeQueue
from lab.process import wait_until
from lab.redis import RedisServer
from lab.written import writes

DEFAULTS = {name: each.get("default") for name, each in argument_spec().items()}


class Work:
    """The queue. Its jobs carry a number C(n) in their data, by which their execution is recognised."""

    def __init__(self, server: RedisServer, library: str, directory: Path, name: str = "mail") -> None:
        self.library = library
        self.server = server
        self.name = name
        self.directory = directory
        self.done = directory / "done"
        self.node = NodeQueue(library, server.port, name, log=str(self.done))

    def arguments(self, state: str, **options: Any) -> dict[str, Any]:
        """The module's options."""
        return {**self.server.login(), "queue": self.name, "state": state, **options}

    def module(self, state: str, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        """What the module returns, without a process of its own."""
        try:
            return control_queue({**DEFAULTS, **self.arguments(state, **options)}, check_mode=check_mode)
        except RunbookError as error:
            return {**error.details, "failed": True, "msg": error.message}

    def foreseen(self, state: str, *, quiet: bool = True, **options: Any) -> dict[str, Any]:
        """What check mode returns, which writes nothing; C(quiet): nobody else does."""
        before = writes(self.server) if quiet else {}
        result = self.module(state, check_mode=True, **options)
        assert not quiet or writes(self.server) == before
        return result

    def keys(self, pattern: str = "*") -> set[str]:
        """The names of keys on the server."""
        with self.server.client() as client:
            found = client.scan_iter(match=pattern, count=1000)
            return {key.decode("utf-8", "backslashreplace") for key in found}

    def data(self) -> list[str]:
        """The keys that hold the data of jobs with numbers for ids."""
        return [key for key in sorted(self.keys()) if key.rpartition(":")[2].isdigit()]

    def key(self, suffix: str) -> str:
        return f"bull:{self.name}:{suffix}"

    def executed(self) -> list[Any]:
        """The numbers of the jobs that workers have begun, in order."""
        lines = self.done.read_text(encoding="utf-8").splitlines() if self.done.exists() else []
        return [json.loads(line)["data"].get("n") for line in lines]

    @contextmanager
    def worker(self, **options: Any) -> Iterator[None]:
        """A worker, killed at the end without a farewell."""
        ready = self.directory / "ready"
        ready.unlink(missing_ok=True)
        process = self.node.worker(self.directory / "worker.log", ready=str(ready), **options)
        try:
            assert wait_until(ready.exists, 60)
            yield
        finally:
            process.kill()
            process.wait()


def jobs(count: int, start: int = 0, *, opts: dict[str, Any] | None = None, **data: Any) -> list[dict[str, Any]]:
    """Jobs for the library to add."""
    return [{"data": {"n": number, **data}, "opts": opts or {}} for number in range(start, start + count)]
