"""Start a lab: every server at once, filled by its system's module, kept running after we have gone."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import os
import queue
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from lab import node, process
from lab.down import tear_down
from lab.errors import LabError, MissingServer
from lab.installations import Installation, default_installation
from lab.inventory import Variables, write_inventory
from lab.kubernetes.running import KubernetesServer
from lab.paths import shown
from lab.pgbouncer import PgBouncer, pgbouncer_binary
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
from lab.users import can_enter, give, ordinary_account, scratch_directory

OPTIONAL = ("prometheus",)
# Takes backups: it may read everything and change nothing.
BACKUP_ROLE = "runbook_backup"
LIBRARIES = {
    "boto3": "boto3",
    "celery": "celery[redis]",
    "moto": "moto[s3,server]",
    "psycopg2": "psycopg2-binary",
    "redis": "redis",
    "yaml": "PyYAML",
}


@dataclass(frozen=True)
class Options:
    system: System
    directory: Path
    scenario: str = "degraded"
    size: str = "medium"
    seed: int = 1
    without: frozenset[str] = frozenset()
    postgresql: int | None = None
    wal_archive: bool = False


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
        command = f"{sys.executable} -m pip install {' '.join(absent)}"
        missing.append(f"Python libraries are missing. Install them: {command}")
    checks: list[Callable[[], object]] = [lambda: _installation(options), default_binary]
    checks += [node.installed] if options.system.uses_node else []
    checks += [pgbouncer_binary] if options.system.uses_pgbouncer else []
    for check in checks:
        try:
            check()
        except MissingServer as error:
            missing.append(str(error))
    if missing:
        raise MissingServer("\n".join(missing))


def _installation(options: Options) -> Installation:
    return installation_of(options.postgresql) if options.postgresql else default_installation()


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and a closed terminal end us as Ctrl-C does: with the servers stopped."""

    def interrupt(number: int, _ignored: object) -> None:
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
        lab.adopt()
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
    _populated: queue.SimpleQueue[PostgresServer] = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        self.system = self.options.system
        self.module = self.system.load()
        self.passwords = {
            role: secrets.token_urlsafe(18)
            for role in (
                self.system.application_role,
                self.system.monitor_role,
                self.system.maintenance_role,
                self.system.guest_role,
                BACKUP_ROLE,
            )
            if role
        }
        self.token = secrets.token_urlsafe(24)
        self.archive = self.options.directory / "wal"

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
        signals = [number.name for number, _ignored in server.ladder if number != signal.SIGKILL]
        extra = list(getattr(server, "extra_directories", ()))
        self.state.add(Member(name, server.identity, address, str(server.log), signals), extra)
        if self._cancelled.is_set():
            raise LabError("cancelled")

    def _launch(self, name: str, server: Server) -> None:
        """Start a server and write its final port down."""
        if self._cancelled.is_set():
            raise LabError("cancelled")
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
        size = self.options.size
        return {
            "scenario": self.options.scenario,
            "size": int(size) if size.isdigit() else size,
            "seed": self.options.seed,
            "now": self.now,
        }

    def start(self) -> None:
        """Everything at once; the first failure stops the rest."""
        ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

        def run(task: Callable[[], None]) -> None:
            try:
                task()
            except BaseException as error:
                ended.put(error)
            else:
                ended.put(None)

        tasks = [getattr(self, f"_{name}") for name in self.system.servers]
        # Daemons: an interruption must not wait for a thread that is busy with something long.
        threads = [threading.Thread(target=run, args=(task,), daemon=True) for task in tasks]
        try:
            for thread in threads:
                thread.start()
            for _ignored in threads:
                _raise(ended.get())
        except BaseException:
            self._cancelled.set()
            # Threads that wait for a server or a query end when their server does.
            for member in self.state.alive:
                member.identity.send(signal.SIGKILL)
            for thread in threads:
                thread.join(timeout=1)
            raise

    def adopt(self) -> None:
        """Write down the processes that the system's module started itself, such as a queue's worker."""
        known = {member.identity.pid for member in self.state.members}
        below = {each.pid for pid in known for each in process.descendants(pid)}
        for each in process.with_variable(MARK, str(self.options.directory)):
            if each.pid not in known | below and each.alive():
                name = process.program(each.pid)
                self.state.add(Member(name if name not in self._names() else f"{name} {each.pid}", each), [])

    def _names(self) -> set[str]:
        return {member.name for member in self.state.members}

    def _host(self, part: str, **variables: Any) -> None:
        self.host_variables[self.system.hosts[part]] = variables

    # --- what runs side by side
    def _postgresql(self) -> None:
        settings = {**self.system.postgresql_settings, **self._archiving()}
        server = PostgresServer(_installation(self.options), settings, **self._common("postgresql"))
        with self.progress.step("PostgreSQL") as words:
            self._launch("postgresql", server)
            words.append(f"{server.installation} on port {server.port}")
        self._roles(server)
        with self.progress.step("data") as words:
            words.append(_described(self._fill("populate_postgresql", server=server)) or "populated")
        self._populated.put(server)
        if hasattr(self.module, "hold_sessions"):
            login = server.login(
                self.system.database, self.system.application_role, self.passwords[self.system.application_role]
            )
            self._sessions(server, login)
        self.summary["postgresql"] = f"{server.installation} on {server.host}:{server.port}"
        poolers = self._pgbouncer(server) if self.system.uses_pgbouncer else {}
        self._postgresql_host("postgresql", server, **poolers)
        if "replica" in self.system.hosts:
            self._replica(server)

    def _archiving(self) -> dict[str, str]:
        """Settings with which the server keeps its WAL, for recoveries to a moment in time."""
        if not self.options.wal_archive:
            return {}
        account = ordinary_account()
        if account is not None and not can_enter(self.options.directory, account):
            # The server's account could write nothing there.
            self.archive = scratch_directory("rbl-wal-", account)
            self.state.extra_directories.append(str(self.archive))
        else:
            self.archive.mkdir(mode=0o700, parents=True, exist_ok=True)
            give(self.archive, account)
        place = self.archive
        partial = f"{place}/.%f.partial"
        command = f'test ! -f "{place}/%f" && cp "%p" "{partial}" && mv "{partial}" "{place}/%f"'
        return {"wal_level": "replica", "archive_mode": "on", "archive_command": command, "archive_timeout": "5s"}

    def _recovery(self, server: PostgresServer) -> dict[str, Any]:
        """Where this lab's backups go, and the logins that write and restore them."""
        found: dict[str, Any] = {
            "postgresql_backup_user": BACKUP_ROLE,
            "postgresql_backup_password": self.passwords[BACKUP_ROLE],
            "postgresql_restore_user": server.superuser,
            "postgresql_restore_password": server.password,
        }
        if self.options.wal_archive:
            found["postgresql_wal_archive"] = str(self.archive)
            found["postgresql_base_backup_repository"] = str(self.options.directory / "base-backups")
        return found

    def _postgresql_host(self, part: str, server: PostgresServer, **more: Any) -> None:
        self._host(
            part,
            postgresql_login_host=server.host,
            postgresql_login_port=server.port,
            postgresql_login_user=self.system.monitor_role,
            postgresql_login_password=self.passwords[self.system.monitor_role],
            postgresql_login_db=self.system.database,
            postgresql_ssl_mode="disable",
            postgresql_admin_user=self.system.maintenance_role,
            postgresql_admin_password=self.passwords[self.system.maintenance_role],
            **self._recovery(server),
            **more,
            # For a look around and for tests; no playbook uses these.
            lab_superuser=server.superuser,
            lab_superuser_password=server.password,
            lab_application_password=self.passwords[self.system.application_role],
            lab_guest_user=self.system.guest_role,
            lab_guest_password=self.passwords.get(self.system.guest_role, ""),
        )

    def _pgbouncer(self, server: PostgresServer) -> dict[str, Any]:
        """A pooler before the server, with the clients of the scenario: the variables that lead to its console."""
        role = self.system.application_role
        pooler = PgBouncer(
            server,
            **self._fill("pooler_options"),
            users={role: self.passwords[role]},
            **self._common("pgbouncer"),
        )
        with self.progress.step("PgBouncer") as words:
            self._launch("pgbouncer", pooler)
            words.append(f"on port {pooler.port}")
        login = {**pooler.login(self.system.database), "login_user": role, "login_password": self.passwords[role]}
        holder = SessionsProcess(
            "clients",
            f"{self.system.module}:hold_clients",
            self._taken("hold_clients", login=login),
            **self._common("clients"),
        )
        self._launch("clients", holder)
        self.summary["pgbouncer"] = f"{pooler.host}:{pooler.port}"
        console = pooler.console()
        return {
            "postgresql_pgbouncers": [
                {"name": "pgbouncer", "login_host": pooler.host, "login_port": pooler.port, "ssl_mode": "disable"}
            ],
            "postgresql_pgbouncer_login_user": console["login_user"],
            "postgresql_pgbouncer_login_password": console["login_password"],
        }

    def _replica(self, primary: PostgresServer) -> None:
        """A streaming standby of the populated primary."""
        server = PostgresServer(settings=self.system.postgresql_settings, standby_of=primary, **self._common("replica"))
        with self.progress.step("replica") as words:
            self._launch("replica", server)
            words.append(f"on port {server.port}")
        self.summary["replica"] = f"{server.installation} on {server.host}:{server.port}"
        self._postgresql_host("replica", server)

    def _roles(self, server: PostgresServer) -> None:
        from psycopg2 import sql

        connection = server.connect()
        try:
            with connection.cursor() as cursor:
                for role, password in self.passwords.items():
                    statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
                    cursor.execute(statement.format(sql.Identifier(role), sql.Literal(password)))
                monitor, maintenance = map(sql.Identifier, (self.system.monitor_role, self.system.maintenance_role))
                owner = sql.Identifier(self.system.application_role)
                cursor.execute(sql.SQL("GRANT pg_monitor TO {}").format(monitor))
                backup = sql.Identifier(BACKUP_ROLE)
                cursor.execute(sql.SQL("GRANT pg_monitor, pg_read_all_data TO {}").format(backup))
                # Whoever may read only some rows makes backups of some rows.
                cursor.execute(sql.SQL("ALTER ROLE {} BYPASSRLS REPLICATION").format(backup))
                cursor.execute(sql.SQL("GRANT pg_monitor, {} TO {}").format(owner, maintenance))
                cursor.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(
                        sql.Identifier(self.system.database), sql.Identifier(self.system.application_role)
                    )
                )
        finally:
            connection.close()

    def _sessions(self, server: PostgresServer, login: dict[str, Any]) -> None:
        """Sessions that must stay open while the lab runs, held by a process of their own."""
        holder = SessionsProcess(
            "sessions",
            f"{self.system.module}:hold_sessions",
            self._taken("hold_sessions", login=login, superuser_login=server.login(self.system.database)),
            **self._common("sessions"),
        )
        with self.progress.step("sessions") as words:
            self._launch("sessions", holder)
            words.append("held open")

    def _taken(self, function: str, **arguments: Any) -> dict[str, Any]:
        taken = inspect.signature(getattr(self.module, function)).parameters
        offered = {**self._facts(), **arguments}
        return {name: value for name, value in offered.items() if name in taken}

    def _redis(self) -> None:
        server = RedisServer(password=secrets.token_urlsafe(18), **self._common("redis"))
        with self.progress.step("Redis") as words:
            self._launch("redis", server)
            words.append(f"Redis {'.'.join(map(str, server.version))} on port {server.port}")
        with self.progress.step("queues") as words:
            words.append(_described(self._fill("populate_redis", server=server)) or "populated")
        self.summary["redis"] = f"Redis {'.'.join(map(str, server.version))} on {server.host}:{server.port}"
        self._host(
            "redis",
            redis_login_host=server.host,
            redis_login_port=server.port,
            redis_login_password=server.password or "",
            redis_tls=False,
        )

    def _s3(self) -> None:
        server = S3Server(**self._common("s3"))
        with self.progress.step("S3") as words:
            self._launch("s3", server)
            words.append(f"moto on port {server.port}")
        with self.progress.step("buckets") as words:
            words.append(_described(self._fill("populate_s3", server=server, **self._database())) or "populated")
        self.summary["s3"] = server.endpoint_url
        for part in ("images", "backups", "content", "rds"):
            if part in self.system.hosts:
                # The same process plays Amazon's other services.
                self._host(
                    part,
                    aws_endpoint_url=server.endpoint_url,
                    aws_rds_endpoint_url=server.endpoint_url,
                    aws_region=server.region,
                    aws_access_key=server.access_key,
                    aws_secret_key=server.secret_key,
                )

    def _database(self) -> dict[str, Any]:
        """The populated PostgreSQL server, for a store whose backups are its dumps; waits for it only then."""
        if "postgresql" not in inspect.signature(self.module.populate_s3).parameters:
            return {}
        return {"postgresql": self._populated.get()}

    def _web(self) -> None:
        """The API, whatever else answers without a login, Loki, and the exporter that Prometheus scrapes."""
        module = self.system.module
        api = StubProcess(
            "api", f"{module}:http_routes", self._taken("http_routes"),
            token=self.token, open_paths=("/health",), **self._common("api"),
        )  # fmt: skip
        exporter = ExporterProcess(
            "exporter", f"{module}:metrics_text", self._taken("metrics_text"), **self._common("exporter")
        )
        servers = [api, exporter]
        if "loki" in self.system.hosts:
            loki = StubProcess("loki", f"{module}:loki_routes", self._taken("loki_routes"), **self._common("loki"))
            servers.append(loki)
        with self.progress.step("HTTP") as words:
            for server in servers:
                self._launch(server.label, server)
            words.append(", ".join(f"{server.label} on port {server.port}" for server in servers))
        self.summary["http"] = ", ".join(f"{server.label} {server.url}" for server in servers)
        self._host("api", http_base_url=api.url, http_bearer_token=self.token)
        for part in ("gemini", "elevenlabs"):
            if part in self.system.hosts:
                self._host(part, http_base_url=api.url)
        if "loki" in self.system.hosts:
            self._host("loki", loki_url=loki.url)
        self._prometheus(exporter)

    def _prometheus(self, exporter: StubProcess) -> None:
        if "prometheus" in self.options.without or prometheus_binary() is None:
            why = "left out" if "prometheus" in self.options.without else "not installed"
            self.progress.done("Prometheus", text=f"{why}: the check must call its metrics unknown")
            self.summary["prometheus"] = why
            # An empty address means "not given", so the check has nothing to measure.
            self._host("prometheus", prometheus_url="")
            return
        address = f"{exporter.host}:{exporter.port}"
        targets, history = {self.system.name: [address]}, None
        if hasattr(self.module, "scrape_targets"):
            targets = self._fill("scrape_targets", exporter=address)
        with self.progress.step("Prometheus") as words:
            if hasattr(self.module, "metrics_history"):
                labels = {"job": self.system.name, "instance": address}
                history = self._fill("metrics_history", labels=labels)
                words.append("with a past")
            server = PrometheusServer(targets, backfill=history, **self._common("prometheus"))
            self._launch("prometheus", server)
            server.wait_for_scrapes()
            words.insert(0, f"on port {server.port}")
        self.summary["prometheus"] = server.url
        self._host("prometheus", prometheus_url=server.url)

    def _kubernetes(self) -> None:
        """The system's cluster, and the file that leads to it."""
        server = KubernetesServer(self.system.name, self.options.scenario, **self._common("kubernetes"))
        with self.progress.step("Kubernetes") as words:
            self._launch("kubernetes", server)
            words.append(f"an emulated API server on port {server.port}")
        self.summary["kubernetes"] = server.url
        if "objects" in self.system.hosts:
            self._host("objects", check_backups_repository=str(self._objects()))
        self._host(
            "kubernetes",
            kubernetes_kubeconfig=str(server.kubeconfig),
            kubernetes_context="",
            # For tests: what no output may hold.
            lab_kubernetes_token=server.token,
        )

    def _objects(self) -> Path:
        """Last night's backup of the cluster's objects, by the name that the inventory has for it."""
        place = self.options.directory / "objects"
        place.mkdir(mode=0o700)
        # The date in a name is the business day's.
        taken = (self.now - timedelta(hours=7)).astimezone(ZoneInfo("Asia/Seoul"))
        path = place / f"{self.system.name}-objects-{taken:%Y%m%d-%H%M%S}.yaml"
        content = b"apiVersion: v1\nkind: List\nitems: []\n"
        path.write_bytes(content)
        os.utime(path, (taken.timestamp(), taken.timestamp()))
        told = {
            "format": 1,
            "kind": "kubernetes",
            "method": "objects",
            "name": path.name,
            "taken_at": taken.isoformat(),
        }
        digest = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (place / f"{path.name}.manifest.json").write_text(json.dumps({**told, **digest}), encoding="utf-8")
        return place

    def write_inventory(self) -> Path:
        groups: dict[str, list[str]] = {}
        for part, host in self.system.hosts.items():
            groups.setdefault(self.system.groups[part], []).append(host)
        everyone = {
            # Endpoints are measured from the controller, with the interpreter that runs Ansible.
            "ansible_connection": "local",
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            # Such as thresholds of time that a lab has not had.
            **getattr(self.module, "lab_variables", dict)(),
        }
        return write_inventory(self.options.directory / "inventory", groups, self.host_variables, {"all": everyone})


def _raise(error: BaseException | None) -> None:
    if error is not None:
        raise error


def _described(answer: Any) -> str:
    """What a populating function says about its work: a text, or numbers by name."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, Mapping):
        return ", ".join(
            f"{each:,} {name}" if isinstance(each, int) else f"{name} {each}" for name, each in answer.items()
        )
    return ""
