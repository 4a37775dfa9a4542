"""What the fault matrix is proven with: a server with the shop, a repository with yesterday's backup, proven."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.faults.dumps import Source
from lab.faults.mistakes import MISTAKES, copy_database, make_mistake
from lab.faults.shop import NAME, WATERMARK, make_shop
from lab.postgresql import PostgresServer
from lab.users import scratch_directory

RunModule = Callable[..., dict[str, Any]]
# Every backup of a repository has a name of its own; the newest name is the newest backup.
PATTERN = "shop-%Y%m%d-%H%M%S"
COMPANIONS = (".manifest.json", ".globals.sql")


@dataclass(frozen=True)
class Found:
    """What a module said of a fault: its verdict, the codes of what it judged, and of what it only noted."""

    verdict: str
    codes: list[str]
    result: dict[str, Any] = field(repr=False)
    noted: list[str] = field(default_factory=list)

    @property
    def told(self) -> list[str]:
        """The findings as sentences, for a test that fails."""
        return [f"{each['code']} {each['object']}: {each['message']}" for each in self.result.get("findings", ())]


def found_in(result: dict[str, Any]) -> Found:
    """What a verification found, or that it did not begin."""
    if "verdict" not in result:
        return refusal(result)
    findings = result["findings"]
    judged = [each["code"] for each in findings if each["outcome"] != "noted"]
    noted = [each["code"] for each in findings if each["outcome"] == "noted"]
    return Found(result["verdict"], judged, result, noted)


def refusal(result: dict[str, Any]) -> Found:
    """What a module did not begin: it failed, and the message says that nothing was touched or accepted."""
    words = str(result.get("msg", ""))
    stopped = bool(result.get("failed")) and re.search(r"Nothing (was|in .* was)|is not accepted", words)
    code = result.get("code")
    return Found("refused" if stopped else "went on", [code] if code else [], result)


@dataclass(frozen=True)
class Bench:
    """Servers, places, and a way to run modules.

    ``yesterday`` is a repository with one verified backup of the shop; cases add today's to it, and take it away.
    ``today`` is another healthy backup of the shop, which cases copy and break. ``kept`` has what cases share.
    """

    run: RunModule
    server: PostgresServer
    place: Path
    yesterday: Path
    today: Path
    now: dt.datetime
    kept: dict[str, Any] = field(default_factory=dict)
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def shared(self, name: str, make: Callable[[], contextlib.AbstractContextManager[Any]]) -> Any:
        """What is made by the first case that asks for it, and ends with the bench."""
        if name not in self.kept:
            self.kept[name] = self.stack.enter_context(make())
        return self.kept[name]

    @property
    def source(self) -> Source:
        return Source(self.server)

    def directory(self, name: str) -> Path:
        made = self.place / name
        made.mkdir(mode=0o700)
        return made

    # --- writing
    def back_up(self, repository: Path | str, suffix: str = ".dump", database: str = NAME, **options: Any) -> str:
        """Take a backup that must succeed: its name."""
        result = self.try_back_up(repository, suffix, database, **options)
        if result.get("failed"):
            raise AssertionError(result["msg"])
        name: str = result["backup"]["name"]
        return name

    def try_back_up(
        self, repository: Path | str, suffix: str = ".dump", database: str = NAME, **options: Any
    ) -> dict[str, Any]:
        server: PostgresServer = options.pop("server", self.server)
        return self.run(
            "postgresql_backup",
            {
                **server.login(database),
                "repository": str(repository),
                "name_pattern": PATTERN + suffix,
                **options,
            },
        )

    # --- proving
    def verify(self, repository: Path | str, suffix: str = ".dump", **options: Any) -> Found:
        """Prove the newest backup, and keep no record of it."""
        result = self.run(
            "postgresql_backup_verify",
            {
                "repository": str(repository),
                "name_pattern": PATTERN + suffix,
                "record": False,
                "on_failure": "report",
                **options,
            },
        )
        return found_in(result)

    # --- breaking
    @contextlib.contextmanager
    def broken(self, *, suffix: str = ".dump") -> Iterator[Path]:
        """Today's healthy backup beside yesterday's, to be broken; gone afterwards."""
        [artefact] = self.today.glob(f"*{suffix}")
        target = self.yesterday / artefact.name
        with self.added():
            for each in (artefact, *(artefact.with_name(artefact.name + suffix) for suffix in COMPANIONS)):
                shutil.copy2(each, self.yesterday / each.name)
            yield target

    @contextlib.contextmanager
    def added(self) -> Iterator[Path]:
        """Yesterday's repository; whatever is added to it is gone afterwards."""
        before = set(self.yesterday.iterdir())
        try:
            yield self.yesterday
        finally:
            for each in set(self.yesterday.iterdir()) - before:
                shutil.rmtree(each) if each.is_dir() else each.unlink()

    @contextlib.contextmanager
    def mistaken(self, number: int) -> Iterator[str]:
        """The shop after a mistake, under its own name: the database."""
        with self.replaced(lambda: self._mistaken(number)):
            yield NAME

    def _mistaken(self, number: int) -> None:
        copy_database(self.server, f"{NAME}_healthy", NAME)
        if number in MISTAKES:
            make_mistake(self.server, NAME, number)

    @contextlib.contextmanager
    def replaced(self, make: Callable[[], None]) -> Iterator[None]:
        """Another database in the shop's place."""
        self.server.execute(f"ALTER DATABASE {NAME} RENAME TO {NAME}_healthy")
        try:
            make()
            yield
        finally:
            self.server.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
            self.server.execute(f"ALTER DATABASE {NAME}_healthy RENAME TO {NAME}")


def recompute(artefact: Path, **changes: Any) -> None:
    """Make a manifest say what is true of an artefact that was changed: its size, its SHA-256, and ``changes``."""
    path = artefact.with_name(artefact.name + COMPANIONS[0])
    manifest = json.loads(path.read_text(encoding="ascii"))
    data = artefact.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    manifest.update({"bytes": len(data), "sha256": digest, "blocks": [digest], **changes})
    path.write_text(json.dumps(manifest, indent=1), encoding="ascii")


@contextlib.contextmanager
def fault_bench(run: RunModule) -> Iterator[Bench]:
    """A bench with a server and a place of its own."""
    place = scratch_directory("rbl-matrix-")
    # The accounts of scratch servers go through it.
    place.chmod(0o755)
    try:
        with PostgresServer() as server:
            bench = make_bench(run, server, place)
            with bench.stack:
                yield bench
    finally:
        shutil.rmtree(place, ignore_errors=True)


def make_bench(run: RunModule, server: PostgresServer, place: Path) -> Bench:
    """Plant the shop, take yesterday's backup and prove it, and take today's."""
    now = dt.datetime.now(dt.timezone.utc)
    make_shop(server, NAME, now=now - dt.timedelta(hours=20))
    bench = Bench(run, server, place, place / "yesterday", place / "today", now)
    for each in (bench.yesterday, bench.today):
        each.mkdir(mode=0o700)
    name = bench.back_up(bench.yesterday, watermarks=[WATERMARK])
    proven = bench.verify(bench.yesterday, name=name, record=True)
    if proven.verdict != "verified":
        raise AssertionError(proven.told or proven.result)
    server.execute(
        "INSERT INTO public.orders (store_id, customer_id, state, placed_at, total) VALUES (1, 1, 'placed', %s, 9.50)",
        (now.isoformat(),),
        db=NAME,
    )
    bench.back_up(bench.today, watermarks=[WATERMARK])
    return bench
