"""Start a lab: every server at once, filled by its system's module, kept running after we have gone."""

from __future__ import annotations

import importlib.util
import inspect
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lab import process
from lab.down import tear_down
from lab.errors import LabError, MissingServer
from lab.installations import default_installation, installations
from lab.inventory import Variables, verbatim, write_inventory
from lab.paths import REPOSITORY, shown
from lab.postgresql import PostgresServer, installation_of
from lab.process import Identity
from lab.progress import Progress
from lab.prometheus import PrometheusServer, prometheus_binary
from lab.redis import RedisServer, default_binary
from lab.s3 import S3Server
from lab.serve import ExporterProcess, SessionsProcess, StubProcess
from lab.server import Server
from lab.state import MARK, Member, State, claim, load
from lab.systems import System

OPTIONAL = ("prometheus",)
LIBRARIES = {"psycopg2": "psycopg2-binary", "redis": "redis", "boto3": "boto3", "moto": "moto[s3,server]", "yaml": "PyYAML"}


@dataclass(frozen=True)
class Options:
    system: System
    directory: Path
    scenario: str = "healthy"
    size: str = "medium"
    seed: int = 1
    without: frozenset[str] = frozenset()
    postgresql: int | None = None


class Interrupted(BaseException):
    """The person or the system wants us to end."""


def up(options: Options, progress: Progress) -> State:
    """Start the lab unless it runs already: its state. Whatever goes wrong, nothing of it is left behind."""
    with claim(options.directory):
        existing = load(options.directory)
        if existing is not None:
            if existing.complete:
                return _already(existing, options, progress)
            progress.line(f"Removing what an earlier start left in {shown(options.directory)}.")
            tear_down(options.directory)
        elif options.directory.exists() and any(options.directory.iterdir()):
            raise LabError(f"{options.directory} holds files that are not a lab's. Name an empty or a new directory.")
        check_prerequisites(options)
        with _interruptible():
            return _build(options, progress)


def _already(existing: State, options: Options, progress: Progress) -> State:
    asked = (options.system.name, options.scenario, options.size, options.seed)
    runs = (existing.system, existing.scenario, existing.size, existing.seed)
    where = shown(options.directory)
    if asked != runs:
        raise LabError(
            f"In {where} runs {existing.system}, {existing.scenario}, size {existing.size}, seed {existing.seed}. "
            f"Stop it first (python -m lab down {existing.system} --directory {where}) or name another --directory."
        )
    progress.line(f"{options.system.title} runs already in {where} ({existing.scenario}, since {existing.created_at}).")
    return existing


def check_prerequisites(options: Options) -> None:
    """One message that names everything there is to install."""
    missing = []
    absent = [package for module, package in LIBRARIES.items() if importlib.util.find_spec(module) is None]
    if absent:
        missing.append(f"Python libraries are missing. Install them: {sys.executable} -m pip install {' '.join(absent)}")
    checks: list[Callable[[], object]] = [
        (lambda: installation_of(options.postgresql)) if options.postgresql else default_installation,
        default_binary,
    ]
    for check in checks:
        try:
            check()
        except MissingServer as error:
            missing.append(str(error))
    if missing:
        raise MissingServer("\n".join(missing))


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and a closed terminal end us as Ctrl-C does: with the servers stopped."""

    def interrupt(number: int, _: object) -> None:
        raise Interrupted(signal.Signals(number).name)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _build(options: Options, progress: Progress) -> State:
    options.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    state = State(
        directory=options.directory,
        system=options.system.name,
        scenario=options.scenario,
        size=options.size,
        seed=options.seed,
        created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        builder=Identity.of(os.getpid()),
    )
    state.save()
    progress.line(
        f"{options.system.title}, {options.scenario}, size {options.size}, seed {options.seed}, "
        f"in {shown(options.directory)}"
    )
    try:
        lab = Lab(options, progress, state)
        lab.start()
        inventory = lab.write_inventory()
        state.set(phase="running", summary=lab.summary)
    except BaseException as error:
        _give_up(options, progress, error)
        raise
    progress.line(f"Ready after {progress.seconds:.1f} s. Inventory: {shown(inventory)}")
    return state


def _give_up(options: Options, progress: Progress, error: BaseException) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if threading.current_thread() is threading.main_thread():
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave servers behind
    interrupted = isinstance(error, (Interrupted, KeyboardInterrupt))
    progress.line("Interrupted; stopping what was started." if interrupted else "Stopping what was started.")
    tear_down(options.directory)


@dataclass
class Lab:
    """The servers of one lab while they are started."""

    options: Options
    progress: Progress
    state: State
    now: datetime = field(default_factory=lambda: datetime.now(timezone.utc).replace(microsecond=0))
    summary: dict[str, str] = field(default_factory=dict)
    host_variables: dict[str, Variables] = field(default_factory=dict)
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.system = self.options.system
        self.module = self.system.load()
        self.passwords = {
            role: secrets.token_urlsafe(18)
            for role in (self.system.application_role, self.system.monitor_role, self.system.guest_role)
            if role
        }
        self.token = secrets.token_urlsafe(24)

    # --- servers
    def _common(self, name: str) -> dict[str, Any]:
        return {
            "base": self.options.directory / name,
            "detached": True,
            "on_spawn": lambda server: self._record(name, server),
            "environment": {MARK: str(self.options.directory)},
        }

    def _record(self, name: str, server: Server) -> None:
        assert server.identity is not None
        address = f"{server.host}:{server.port}" if server.port else ""
        signals = [number.name for number, _ in server.ladder if number != signal.SIGKILL]
        extra = list(getattr(server, "extra_directories", ()))
        self.state.add(Member(name, server.identity, address, str(server.log), signals), extra)
        if self._cancelled.is_set():
            raise LabError("cancelled")

    def _launch(self, name: str, server: Server) -> None:
        """Start a server and write its final port down."""
        with self.state._lock:
            self.state.extra_directories += map(str, getattr(server, "extra_directories", ()))
            self.state.save()
        server.start()
        self._record(name, server)

    def _fill(self, function: str, **arguments: Any) -> Any:
        """Call one of the module's functions with those of our arguments that it takes."""
        called = getattr(self.module, function)
        offered = {**self._facts(), **arguments}
        taken = inspect.signature(called).parameters
        return called(**{name: value for name, value in offered.items() if name in taken})

    def _facts(self) -> dict[str, Any]:
        size: str | int = self.options.size
        return {
            "scenario": self.options.scenario,
            "size": int(size) if size.isdigit() else size,
            "seed": self.options.seed,
            "now": self.now,
        }

    def start(self) -> None:
        """Everything at once; the first failure stops the rest."""
        tasks: list[Callable[[], None]] = [self._postgresql, self._redis, self._s3, self._web]
        pool = ThreadPoolExecutor(max_workers=len(tasks), thread_name_prefix="lab")
        try:
            futures: list[Future[None]] = [pool.submit(task) for task in tasks]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            self._cancelled.set()
            # Threads that wait for a server or a query end when their server does.
            for member in self.state.alive:
                member.identity.send(signal.SIGKILL)
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _host(self, part: str, **variables: Any) -> None:
        self.host_variables[self.system.hosts[part]] = variables
