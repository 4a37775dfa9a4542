"""Dumps with faults in them, as files, for tools that look at files or restore them."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from lab.faults import damage
from lab.faults.dumps import CUSTOM, PLAIN, TAR, UNCOMPRESSED, Source
from lab.faults.mistakes import MISTAKES, copy_database, make_mistake
from lab.faults.shop import ROLES, make_roles, make_shop
from lab.faults.small_disk import fill
from lab.postgresql import PostgresServer

# A shop that restores everywhere, and one with an extension and a collation of ICU's.
PORTABLE, WHOLE = "portable_shop", "shop"
# A production that moves on, and where its orders are.
LIVE, SEQUENCE, LIVE_VALUE = "live_shop", "public.orders_id_seq", 5000
# Where a dump is restored: beside its source, where its roles are missing, where its extension is, in an older server,
# on a small disk.
BESIDE, WITHOUT_ROLES, WITHOUT_EXTENSION = "beside", "without_roles", "without_extension"
OLDER_SERVER, CRAMPED = "older_server", "cramped"


@dataclass(frozen=True)
class Exhibit:
    """One fault in files: ``zipped`` for gzip, ``archive`` for pg_restore, ``restored`` for postgresql_db."""

    zipped: Path | None = None
    archive: Path | None = None
    restored: Path | None = None
    where: str = BESIDE
    # The programs of another installation, by what it lacks.
    has_old_programs: bool = False
    # The database to restore into, when it is not a fresh one.
    into: str | None = None


class Exhibits:
    """Makes the files below a directory; ``newer`` is a source of a newer major than the usual one.

    ``cramped`` is a server that may write to the small file system ``disk``.
    """

    def __init__(
        self, source: Source, newer: Source, cramped: PostgresServer, *, place: Path, disk: Path, now: dt.datetime
    ) -> None:
        self.source = source
        self.newer = newer
        self.cramped = cramped
        self.place = place
        self.disk = disk
        self.now = now

    def plant(self) -> None:
        """The databases that all begin with."""
        make_shop(self.source.server, WHOLE, now=self.now)
        make_shop(self.source.server, PORTABLE, now=self.now, extension=False, collation=False)

    def of(self, number: int) -> Exhibit | None:
        """The files of a case; None when it is not about a dump's file."""
        maker = self._makers.get(number)
        if maker is not None:
            return maker(number)
        return self._mistake(number) if number in MISTAKES else None

    @property
    def _makers(self) -> dict[int, Callable[[int], Exhibit]]:
        return {
            1: self._truncated_gzip,
            2: self._truncated_plain,
            3: self._truncated_custom,
            4: self._truncated_tar,
            5: self._flipped_gzip,
            6: self._flipped_uncompressed,
            7: self._unprivileged,
            8: self._killed,
            10: self._empty,
            11: self._other_database,
            12: lambda number: self._dumped(number, PORTABLE, "-n", "archive"),
            13: lambda number: self._dumped(number, PORTABLE, "--exclude-table-data=public.order_lines"),
            16: self._changed_value,
            17: self._without_globals,
            18: self._without_roles,
            19: self._without_extension,
            20: self._schema_only,
            21: self._other_encoding,
            23: self._newer_dump,
            24: self._old_psql,
            34: lambda number: self._older(number, days=10),
            35: lambda number: self._older(number, days=1),
            38: self._other_database,
            43: self._live_target,
            44: self._full_tablespace,
            45: lambda number: self._dumped(number, WHOLE),
        }

    def _path(self, number: int, suffix: str) -> Path:
        return self.place / f"{number:02d}{suffix}"

    def _dumped(self, number: int, database: str, *arguments: str, where: str = BESIDE) -> Exhibit:
        zipped = self.source.dump(database, self._path(number, ".sql.gz"), (*PLAIN, *arguments))
        archive = self.source.dump(database, self._path(number, ".pgc"), (*CUSTOM, *arguments))
        return Exhibit(zipped, archive, archive, where)

    def _truncated_gzip(self, number: int) -> Exhibit:
        path = self.source.dump(PORTABLE, self._path(number, ".sql.gz"), PLAIN)
        damage.cut(path)
        return Exhibit(zipped=path, restored=path)

    def _truncated_plain(self, number: int) -> Exhibit:
        path = self.source.dump(PORTABLE, self._path(number, ".sql"), PLAIN)
        damage.cut_after(path, b"COPY public.order_lines ", 50_000)
        return Exhibit(restored=path)

    def _truncated_custom(self, number: int) -> Exhibit:
        path = self.source.dump(PORTABLE, self._path(number, ".pgc"))
        damage.cut(path)
        return Exhibit(archive=path, restored=path)

    def _truncated_tar(self, number: int) -> Exhibit:
        path = self.source.dump(PORTABLE, self._path(number, ".tar"), TAR)
        damage.cut(path)
        return Exhibit(archive=path, restored=path)

    def _flipped_gzip(self, number: int) -> Exhibit:
        path = self.source.dump(PORTABLE, self._path(number, ".sql.gz"), PLAIN)
        damage.flip(path)
        return Exhibit(zipped=path, restored=path)

    def _flipped_uncompressed(self, number: int) -> Exhibit:
        path = self.source.dump(PORTABLE, self._path(number, ".pgc"), UNCOMPRESSED)
        damage.flip_in(path, b"Customer9@example.com")
        return Exhibit(archive=path, restored=path)

    def _unprivileged(self, number: int) -> Exhibit:
        path = self._path(number, ".sql.gz")
        self.source.pipeline(PORTABLE, path, user=ROLES["reader"], password="not in any dump")
        return Exhibit(zipped=path, restored=path)

    def _killed(self, number: int) -> Exhibit:
        path = self._path(number, ".pgc")
        self.source.killed(PORTABLE, path)
        return Exhibit(archive=path, restored=path)

    def _empty(self, number: int) -> Exhibit:
        self.source.server.execute("CREATE DATABASE empty_shop TEMPLATE template0")
        return self._dumped(number, "empty_shop")

    def _other_database(self, number: int) -> Exhibit:
        name = f"other_{number}"
        self.source.server.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        self.source.server.execute("CREATE TABLE notes AS SELECT 'a note' AS text FROM generate_series(1, 50)", db=name)
        return self._dumped(number, name)

    def _mistake(self, number: int) -> Exhibit:
        copy_database(self.source.server, WHOLE, f"mistake_{number}")
        make_mistake(self.source.server, f"mistake_{number}", number)
        return self._dumped(number, f"mistake_{number}")

    def _changed_value(self, number: int) -> Exhibit:
        zipped = self.source.dump(PORTABLE, self._path(number, ".sql.gz"), PLAIN)
        archive = self.source.dump(PORTABLE, self._path(number, ".pgc"), UNCOMPRESSED)
        for path in (zipped, archive):
            damage.change_value(path, b"Customer7@example.com", b"Customer7@example.org")
        return Exhibit(zipped, archive, archive)

    def _without_globals(self, number: int) -> Exhibit:
        return self._dumped(number, PORTABLE, where=WITHOUT_ROLES)

    def _without_roles(self, number: int) -> Exhibit:
        zipped = self.source.dump(PORTABLE, self._path(number, ".sql.gz"), PLAIN)
        plain = self.source.dump(PORTABLE, self._path(number, ".sql"), PLAIN)
        return Exhibit(zipped=zipped, restored=plain, where=WITHOUT_ROLES)

    def _without_extension(self, number: int) -> Exhibit:
        make_shop(self.source.server, "citext_shop", now=self.now, collation=False)
        return self._dumped(number, "citext_shop", where=WITHOUT_EXTENSION)

    def _schema_only(self, number: int) -> Exhibit:
        # Restored where there is no schema public yet: that it exists would be another fault, and a harmless one.
        self.source.server.execute("CREATE DATABASE without_public TEMPLATE template0")
        self.source.server.execute("DROP SCHEMA public", db="without_public")
        return replace(self._dumped(number, PORTABLE, "-n", "public"), into="without_public")

    def _other_encoding(self, number: int) -> Exhibit:
        make_shop(
            self.source.server,
            "ascii_shop",
            now=self.now,
            extension=False,
            collation=False,
            options="ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'",
        )
        return self._dumped(number, "ascii_shop")

    def _newer_dump(self, number: int) -> Exhibit:
        make_shop(self.newer.server, PORTABLE, now=self.now, extension=False, collation=False)
        zipped = self.newer.dump(PORTABLE, self._path(number, ".sql.gz"), PLAIN)
        archive = self.newer.dump(PORTABLE, self._path(number, ".pgc"))
        return Exhibit(zipped, archive, archive, OLDER_SERVER)

    def _old_psql(self, number: int) -> Exhibit:
        plain = self.source.dump(PORTABLE, self._path(number, ".sql"), PLAIN)
        return Exhibit(restored=plain, has_old_programs=True)

    def _older(self, number: int, *, days: int) -> Exhibit:
        name = f"shop_{days}_days_ago"
        make_shop(self.source.server, name, now=self.now - dt.timedelta(days=days))
        made = self._dumped(number, name)
        if made.zipped is not None:
            shutil.copy2(made.zipped, self.place / f"latest-{number}.sql.gz")
        return made

    def _live_target(self, number: int) -> Exhibit:
        copy_database(self.source.server, PORTABLE, LIVE)
        archive = self.source.dump(PORTABLE, self._path(number, ".pgc"))
        # Life goes on after the dump.
        self.source.server.execute(f"SELECT setval('{SEQUENCE}', {LIVE_VALUE})", db=LIVE)
        return Exhibit(restored=archive, into=LIVE)

    def _full_tablespace(self, number: int) -> Exhibit:
        make_roles(self.cramped)
        self.cramped.execute(f"CREATE TABLESPACE small LOCATION '{self.disk}'")
        self.cramped.execute("CREATE DATABASE cramped TEMPLATE template0 TABLESPACE small")
        self.cramped.execute("CHECKPOINT")
        # For less than a quarter of what is in the dump.
        fill(self.disk, 400_000)
        archive = self.source.dump(PORTABLE, self._path(number, ".pgc"))
        return Exhibit(archive=archive, restored=archive, where=CRAMPED, into="cramped")
