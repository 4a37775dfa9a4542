"""What the manuals' commands do to a live database, beside what postgresql_restore does with the same backup."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.postgresql import PostgresServer
from lab.restorable import (
    LATER,
    ROWS,
    Writer,
    databases,
    drop_all,
    foreign_dump,
    libpq,
    make_shop,
    written,
)

Run = Callable[..., dict[str, Any]]
ORDERS = "SELECT count(*) FROM public.orders"
HISTORY = "SELECT count(*) FROM public.history"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as made:
        yield made


@pytest.fixture(autouse=True)
def shop(server: PostgresServer) -> None:
    drop_all(server)
    make_shop(server)


def by_hand(server: PostgresServer, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A line of a manual, as a person pastes it into a shell."""
    return subprocess.run(
        ["bash", "-c", command, "bash", *arguments], env=libpq(server), capture_output=True, text=True, check=False
    )


def restore(server: PostgresServer, run_module: Run, path: Path, **more: Any) -> dict[str, Any]:
    options = {
        **server.login(),
        "repository": str(path.parent),
        "name_pattern": path.name.replace("20260131", "%Y%m%d"),
        "name": path.name,
        "database": "shop",
        "mode": "swap",
        "allow_unverified": True,
    }
    return run_module("postgresql_restore", {**options, **more})


def test_gunzip_into_a_live_database(server: PostgresServer, run_module: Run, tmp_path: Path) -> None:
    """SB-63, ST-59, EX-28: it ends with 0, and every row without a key is there twice."""
    path = tmp_path / "shop-20260131.sql.gz"
    foreign_dump(server, path)
    server.execute(LATER, db="shop")
    refused = restore(server, run_module, path, mode="fresh")
    assert "exists and is not empty" in refused["msg"]
    result = restore(server, run_module, path)
    assert result.get("changed"), result.get("msg")
    assert (server.psql(HISTORY, db="shop"), server.psql(ORDERS, db="shop")) == (str(ROWS), str(ROWS))

    done = by_hand(server, 'gunzip -c "$1" | psql', str(path))
    assert done.returncode == 0
    assert "already exists" in done.stderr
    assert server.psql(HISTORY, db="shop") == str(2 * ROWS)


def test_a_cut_dump(server: PostgresServer, run_module: Run, tmp_path: Path) -> None:
    """F18: ON_ERROR_STOP and one transaction do not help, a dump that is cut off in its rows ends with 0."""
    path = tmp_path / "shop-20260131.sql"
    foreign_dump(server, path)
    text = path.read_bytes()
    # Where a row ends, as blocks of a disk or of gzip may.
    path.write_bytes(text[: text.index(b"\n", text.index(b"COPY public.orders") + 20_000) + 1])
    result = restore(server, run_module, path)
    assert result["failed"]
    assert "The database shop is as it was" in result["msg"]
    assert (databases(server), server.psql(ORDERS, db="shop")) == (["shop"], str(ROWS))

    server.execute("DROP DATABASE shop")
    server.execute("CREATE DATABASE shop")
    done = by_hand(server, 'psql -q -v ON_ERROR_STOP=1 --single-transaction -f "$1"', str(path))
    assert done.returncode == 0, done.stderr
    assert 0 < int(server.psql(ORDERS, db="shop")) < ROWS


def test_a_list_is_no_proof(server: PostgresServer, run_module: Run, tmp_path: Path) -> None:
    """F19: pg_restore --list is content with an archive whose end is missing."""
    path = tmp_path / "shop-20260131.dump"
    foreign_dump(server, path, "-Fc")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 9 // 10])
    assert by_hand(server, 'pg_restore --list "$1"', str(path)).returncode == 0
    result = restore(server, run_module, path)
    assert result["failed"]
    assert (databases(server), server.psql(ORDERS, db="shop")) == (["shop"], str(ROWS))


def test_clean_onto_production(server: PostgresServer, run_module: Run, tmp_path: Path) -> None:
    """pg_restore --clean while the application writes: its table is gone for a while, and what it wrote for good."""
    path = tmp_path / "shop-20260131.dump"
    foreign_dump(server, path, "-Fc")
    with Writer(server) as writer:
        result = restore(server, run_module, path)
        assert result.get("changed"), result.get("msg")
        writer.wait(20)
    kept = written(server, result["restored"]["old_database"]) | written(server, "shop")
    assert kept >= set(writer.acknowledged)
    assert not any("does not exist" in each and "relation" in each for each in writer.errors)

    drop_all(server)
    make_shop(server)
    with Writer(server) as writer:
        before = set(writer.acknowledged)
        done = by_hand(server, 'pg_restore --clean --if-exists -d "$PGDATABASE" "$1"', str(path))
        # 1 when an order came in between a table and its primary key, which is then missing, too.
        assert done.returncode in (0, 1), done.stderr
        writer.wait(20)
    # Orders that the application had been told are written are nowhere any more.
    assert before
    assert not before & written(server, "shop")
    assert databases(server) == ["shop"]
