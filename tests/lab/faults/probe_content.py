"""Cases 10 to 15, 20 to 22, 25 to 28, 34, 35 and 45: what is in a backup, and what is not."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from typing import Any

from lab.faults.bench import COMPANIONS, Bench, Found, recompute
from lab.faults.dumps import CUSTOM
from lab.faults.probe_files import FOREIGN
from lab.faults.shop import NAME, WATERMARK, make_shop


def mistake(number: int, **options: Any) -> Callable[[Bench], Found]:
    """Something went wrong in the shop since yesterday's backup."""

    def probe(bench: Bench) -> Found:
        with bench.mistaken(number), bench.added() as repository:
            bench.back_up(repository, watermarks=[WATERMARK])
            return bench.verify(repository, **options)

    return probe


def empty_database(bench: Bench) -> Found:
    repository = bench.directory("10")
    with bench.replaced(lambda: bench.server.execute(f"CREATE DATABASE {NAME} TEMPLATE template0")):
        bench.back_up(repository)
    return bench.verify(repository, minimum={"rows": 1000})


def other_database(bench: Bench) -> Found:
    bench.server.execute("CREATE DATABASE notes TEMPLATE template0")
    bench.server.execute("CREATE TABLE notes AS SELECT 'a note' AS text FROM generate_series(1, 50)", db="notes")
    with bench.added() as repository:
        bench.back_up(repository, database="notes")
        return bench.verify(repository, identity={"database": NAME})


def wrong_schema(bench: Bench) -> Found:
    repository = bench.directory("12")
    bench.source.dump(NAME, repository / f"{FOREIGN}.dump", (*CUSTOM, "-n", "archive"))
    return bench.verify(repository, minimum={"required_tables": ["public.orders"]})


def excluded_rows(bench: Bench) -> Found:
    """The job was changed to leave out a table's rows, and what it writes says that it is whole."""
    with bench.broken() as artefact:
        bench.source.dump(NAME, artefact, (*CUSTOM, "--exclude-table-data=public.order_lines"))
        recompute(artefact)
        return bench.verify(bench.yesterday)


def no_large_objects(bench: Bench) -> Found:
    """A database whose tables are all in one schema, dumped by that schema's name."""
    bench.server.execute("CREATE DATABASE scans TEMPLATE template0")
    bench.server.execute(
        "CREATE TABLE scans AS SELECT g AS id, lo_from_bytea(0, decode(md5(g::text), 'hex')) AS scan "
        "FROM generate_series(1, 3) g",
        db="scans",
    )
    repository = bench.directory("20")
    name = bench.back_up(repository, database="scans")
    bench.source.dump("scans", repository / name, (*CUSTOM, "-n", "public"))
    recompute(repository / name)
    return bench.verify(repository)


def other_encoding(bench: Bench) -> Found:
    def make() -> None:
        # ICU knows no such encoding, so the column sorts otherwise, too.
        options = "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
        make_shop(bench.server, NAME, now=bench.now, collation=False, options=options)

    with bench.replaced(make), bench.added() as repository:
        bench.back_up(repository, watermarks=[WATERMARK])
        return bench.verify(repository)


def stale(bench: Bench) -> Found:
    """Today's run dumps a copy of ten days ago."""
    repository = bench.directory("34")
    old = bench.now - dt.timedelta(days=10)
    with bench.replaced(lambda: make_shop(bench.server, NAME, now=old)):
        bench.back_up(repository, watermarks=[WATERMARK])
    return bench.verify(repository, watermarks=[WATERMARK], max_age="26h")


def repeated(bench: Bench) -> Found:
    """Yesterday's files lie there under today's name."""
    [artefact] = bench.yesterday.glob("*.dump")
    [today] = bench.today.glob("*.dump")
    with bench.added() as repository:
        for suffix in ("", *COMPANIONS):
            shutil.copy2(artefact.with_name(artefact.name + suffix), repository / f"{today.name}{suffix}")
        return bench.verify(repository)


def healthy(bench: Bench) -> Found:
    with bench.broken():
        return bench.verify(
            bench.yesterday,
            level="consistency",
            identity={"database": NAME},
            minimum={"rows": 1000, "required_tables": ["public.orders"]},
            watermarks=[WATERMARK],
            max_age="26h",
            assertions=[{"name": "orders have lines", "sql": "SELECT count(*) FROM order_lines", "min": 4000}],
        )


PROBES = {
    10: empty_database,
    11: other_database,
    12: wrong_schema,
    13: excluded_rows,
    14: mistake(14),
    15: mistake(15),
    20: no_large_objects,
    21: other_encoding,
    22: mistake(22),
    25: mistake(25, weaknesses="fail"),
    26: mistake(26, weaknesses="fail"),
    27: mistake(27, weaknesses="fail"),
    28: mistake(28, weaknesses="fail"),
    34: stale,
    35: repeated,
    45: healthy,
}
