"""postgresql_restore killed whenever: the name always has the old database or the proven new one."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab.postgresql import PostgresServer
from lab.restorable import LATER, PATTERN, ROWS, databases, drop_all, make_shop, started, surroundings, until

Run = Callable[..., dict[str, Any]]
COUNT = "SELECT count(*) FROM public.orders"
MOMENTS = 20


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as made:
        make_shop(made)
        yield made


@pytest.fixture(scope="module")
def options(server: PostgresServer, run_module: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place = {"repository": str(tmp_path_factory.mktemp("repository")), "name_pattern": PATTERN}
    took = run_module("postgresql_backup", {**server.login("shop"), **place})
    assert took.get("changed"), took.get("msg")
    return {**server.login(), **place, "database": "shop", "mode": "swap", "allow_unverified": True}


def reset(server: PostgresServer) -> dict[str, Any]:
    drop_all(server)
    make_shop(server)
    server.execute(LATER, db="shop")
    return surroundings(server, "shop")


def state(server: PostgresServer, before: dict[str, Any]) -> str:
    """What is under the name: C(old) or C(new), whole, with everything that belongs to it; anything else fails."""
    assert surroundings(server, "shop") == before
    count = server.psql(COUNT, db="shop")
    if count == str(ROWS + 1):
        return "old"
    assert count == str(ROWS)
    # The old one is there, too, and holds what came later.
    [old] = [name for name in databases(server) if name.startswith("shop_before_")]
    assert server.psql(COUNT, db=old) == str(ROWS + 1)
    return "new"


def is_at_work(server: PostgresServer) -> bool:
    asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'runbook.ops postgresql_restore'"
    return bool(server.query(asked)[0][0])


def test_killed_at_twenty_moments(server: PostgresServer, options: dict[str, Any], run_module: Run) -> None:
    reset(server)
    with started("postgresql_restore", options) as process:
        assert until(lambda: is_at_work(server), process)
        began = time.monotonic()
        assert process.wait(60) == 0
        duration = time.monotonic() - began
    generator = random.Random(20260131)
    seen: list[str] = []
    for number in range(MOMENTS):
        before = reset(server)
        with started("postgresql_restore", options) as process:
            assert until(lambda: is_at_work(server), process)
            # Spread over the whole run; where exactly is chance.
            time.sleep(duration * (number + generator.random()) / MOMENTS)
            process.kill()
            process.wait(30)
        # What the server is at it finishes, as long as that takes.
        assert until(lambda: not is_at_work(server))
        found = state(server, before)
        left = [name for name in databases(server) if name.startswith("shop_restore_")]
        seen.append(f"{found}{len(left)}")
        again = run_module("postgresql_restore", options)
        assert not again.get("failed"), (number, again)
        # It says what it found: nothing to do, something to use, or something to drop.
        actions = [each["action"] for each in again["actions"]]
        assert again["changed"] == (found == "old")
        assert (("drop_leftover" in actions) or ("reuse" in actions)) == bool(left), (number, left, actions)
        assert state(server, before) == "new"
        assert [name for name in databases(server) if not name.startswith("shop_before_")] == ["shop"]
        assert len(databases(server)) == 2
    # The moments were not all the same.
    assert {"old0", "old1"} <= set(seen) or {"old1", "new0"} <= set(seen), seen


@pytest.mark.parametrize(
    ("held", "at", "killed"),
    [
        pytest.param("COMMENT ON DATABASE {} IS 'held'", "RENAME", "the run", id="between the renames, the run"),
        pytest.param("COMMENT ON DATABASE {} IS 'held'", "RENAME", "the server", id="between the renames, the server"),
        pytest.param("ALTER DATABASE {} SET lc_messages = 'C'", "SET", "the run", id="after both, the run"),
    ],
)
def test_killed_during_the_swap(
    held: str, at: str, killed: str, server: PostgresServer, options: dict[str, Any], run_module: Run
) -> None:
    """Held there by another session that has the new database's locks: nothing was renamed, nothing is lost."""
    before = reset(server)
    # Long enough for the other session to come in between.
    pause = [{"name": "a pause", "sql": "SELECT count(*) FROM pg_sleep(0.5)", "expect": 1}]
    with started("postgresql_restore", {**options, "lock_timeout": 30, "assertions": pause}) as process:
        holder = server.connect(autocommit=False)
        with holder.cursor() as cursor:
            assert until(lambda: bool(loaded(server)), process)
            cursor.execute(held.format(f'"{loaded(server)}"'))
        assert until(lambda: is_held(server, at), process)
        (process if killed == "the run" else server).kill()
        process.wait(30)
    holder.close()
    if killed == "the server":
        server.start()
    # A killed run's session is at work for the server until it notices; then its transaction is undone.
    assert until(lambda: not is_at_work(server))
    assert state(server, before) == "old"
    assert len(databases(server)) == 2
    again = run_module("postgresql_restore", options)
    assert "reuse" in [each["action"] for each in again["actions"]], again
    assert state(server, before) == "new"


def test_interrupted(server: PostgresServer, options: dict[str, Any], run_module: Run) -> None:
    """Asked to end while it proves, it ends at once, takes away what it made, and says so."""
    before = reset(server)
    pause = [{"name": "a long pause", "sql": "SELECT count(*) FROM pg_sleep(100)", "expect": 1}]
    with started("postgresql_restore", {**options, "assertions": pause, "assertion_timeout": 200}) as process:
        sleeps = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%%pg_sleep(%s)'"
        assert until(lambda: bool(server.query(sleeps, (100,))[0][0]), process)
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        assert process.stdout is not None
        result = json.loads(process.stdout.read())
    assert result["msg"] == "Stopped by signal SIGTERM. The database shop is as it was."
    assert (databases(server), state(server, before)) == (["shop"], "old")
    assert run_module("postgresql_restore", options)["changed"]


def loaded(server: PostgresServer) -> str:
    """The database that is loaded and not in place."""
    rows = server.query(
        "SELECT datname FROM pg_database WHERE shobj_description(oid, 'pg_database') LIKE '%\"loaded\"%'"
    )
    return str(rows[0][0]) if rows else ""


def is_held(server: PostgresServer, at: str) -> bool:
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
    return bool(server.query(waits, (f"ALTER DATABASE% {at} %",))[0][0])
