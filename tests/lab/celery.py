"""A real Celery application, for producers and workers in tests."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kombu import pools

from lab.redis import RedisServer

# The application; its settings come from the environment (SHOP, JSON).
SOURCE = Path(__file__).parents[1] / "integration" / "redis" / "celery_shop.py"


class Shop:
    """The application against one server, in a process of this one."""

    def __init__(self, server: RedisServer, db: int = 0, **settings: Any) -> None:
        self.server = server
        self.settings = {"broker": server.url(db), **settings}
        # What kombu believes to have declared already is gone with the data of the test before.
        pools.reset()  # type: ignore[no-untyped-call]
        specification = importlib.util.spec_from_file_location("celery_shop_under_test", SOURCE)
        assert specification is not None
        assert specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        os.environ["SHOP"] = json.dumps(self.settings)
        try:
            specification.loader.exec_module(module)
        finally:
            del os.environ["SHOP"]
        self.tasks = module
        self.app = module.app

    def send(self, task: str, *args: Any, **options: Any) -> Any:
        return getattr(self.tasks, task).apply_async(args, **options)

    def declared(self, queue: str) -> int:
        """The length of a queue as kombu counts it."""
        with self.app.connection_for_read() as connection:
            # A passive declaration forgets the key prefix when it asks whether the queue exists.
            return int(connection.default_channel._size(queue))

    @contextmanager
    def worker(self, *options: str, name: str = "w1") -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "celery_shop", "worker", "-n", name, "-l", "warning", *options],
            cwd=SOURCE.parent,
            env={**os.environ, "SHOP": json.dumps(self.settings), "C_FORCE_ROOT": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            # The pool's children are in the session that was started for them.
            for number in (signal.SIGTERM, signal.SIGKILL):
                if process.poll() is None:
                    os.killpg(process.pid, number)
                    try:
                        process.wait(10)
                    except subprocess.TimeoutExpired:
                        continue
            self.app.close()
