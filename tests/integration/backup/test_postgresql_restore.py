"""postgresql_restore: proven beside, then in place; what is refused; what bad backups do (nothing)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from lab.postgresql import PostgresServer
from lab.restorable import (
    APP_PASSWORD,
    LATER,
    PATTERN,
    ROWS,
    Writer,
    databases,
    drop_all,
    foreign_dump,
    make_roles,
    make_shop,
    psql_script,
    run_script,
    surroundings,
    written,
)
from lab.s3 import S3Server

Run = Callable[..., dict[str, Any]]
COUNT = "SELECT count(*) FROM public.orders"
IN_PLACE = ["create_database", "load", "verify", "fence", "rename", "rename"]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(settings={"max_prepared_transactions": 2, "wal_level": "logical"}) as made:
        make_shop(made)
        yield made


@pytest.fixture(scope="module")
def repository(server: PostgresServer, run_module: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One backup of the shop as it was, taken by the collection."""
    place = tmp_path_factory.mktemp("repository")
    take(server, run_module, place, role_passwords=True)
    return place


@pytest.fixture(autouse=True)
def shop(server: PostgresServer, repository: Path) -> None:
    """The shop as it was when it was backed up, and one order later. ``repository`` is made from the first one."""
    assert repository
    drop_all(server)
    make_shop(server)
    server.execute(LATER, db="shop")


def take(server: PostgresServer, run_module: Run, place: Path | str, **more: Any) -> str:
    took = run_module(
        "postgresql_backup",
        {
            **server.login("shop"),
            "repository": str(place),
            "name_pattern": PATTERN,
            "bin_directory": str(server.client("pg_dump").parent),
            "watermarks": ["public.orders.at"],
            **more,
        },
    )
    assert took.get("changed"), took.get("msg")
    return str(took["after"]["name"])


def asked(server: PostgresServer, repository: Path | str, **more: Any) -> dict[str, Any]:
    return {
        **server.login(),
        "repository": str(repository),
        "name_pattern": PATTERN,
        "bin_directory": str(server.client("pg_dump").parent),
        "database": "shop",
        "mode": "swap",
        "allow_unverified": True,
        **more,
    }


def done(result: dict[str, Any]) -> list[str]:
    return [each["action"] for each in result["actions"] if each["action"] != "carry_over"]


def test_swap(server: PostgresServer, repository: Path, run_module: Run) -> None:
    before = surroundings(server, "shop")
    options = asked(server, repository)
    checked = run_module("postgresql_restore", options, check_mode=True, diff=True)
    assert checked["changed"], checked.get("msg")
    assert (checked["after"], checked["restored"], databases(server)) == (None, None, ["shop"])

    result = run_module("postgresql_restore", options)
    assert result.get("changed"), result.get("msg")
    assert result["actions"] == checked["actions"]
    assert (done(result), result["notes"]) == (IN_PLACE, [])
    restored = result["restored"]
    old = restored["old_database"]
    assert databases(server) == ["shop", old]
    assert (server.psql(COUNT, db="shop"), server.psql(COUNT, db=old)) == (str(ROWS), str(ROWS + 1))
    assert surroundings(server, "shop") == before
    assert (restored["verdict"], restored["level"], restored["tables"], restored["rows"]) == (
        "verified",
        "semantics",
        2,
        2 * ROWS,
    )
    # From 00:50:00 to 03:00:00.
    assert restored["content_age_seconds"] == 3 * 3600 - ROWS
    assert restored["watermarks"]["public.orders.at"]["live"] == "2026-01-31T03:00:00+00:00"
    assert [each["name"] for each in result["kept"]] == [old]
    # The application finds what it had: its rights, its settings, its sequence.
    with server.connect("shop", user="app", password=APP_PASSWORD) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO orders (item) VALUES ('new') RETURNING id")
        assert cursor.fetchone() == (ROWS + 1,)
        cursor.execute("SELECT current_setting('statement_timeout')")
        assert cursor.fetchone() == ("77s",)
    connection.close()

    again = run_module("postgresql_restore", options)
    assert (again["changed"], again["actions"], again["restored"]) == (False, [], None)
    assert again["after"]["restored_from"]["artefact"] == result["artefact"]["name"]

    psql_script(server, "\n".join(result["undo"]))
    assert server.psql(COUNT, db="shop") == str(ROWS + 1)
    assert surroundings(server, "shop") == before
    assert databases(server)[0] == "shop"
    assert databases(server)[1].startswith("shop_undone_")
    # What was brought back was not restored, so the next run restores.
    assert run_module("postgresql_restore", options, check_mode=True)["changed"]


@pytest.mark.parametrize("major", [14, 17, 18])
def test_versions(major: int, run_module: Run, tmp_path: Path) -> None:
    with PostgresServer(major) as other:
        make_shop(other, 200)
        before = surroundings(other, "shop")
        take(other, run_module, tmp_path)
        other.execute(LATER, db="shop")
        result = run_module("postgresql_restore", asked(other, tmp_path))
        assert result.get("changed"), result.get("msg")
        assert result["restored"]["verdict"] == "verified"
        assert not any("locale" in each for each in result["notes"])
        assert (other.psql(COUNT, db="shop"), surroundings(other, "shop")) == ("200", before)
        assert other.psql(COUNT, db=result["restored"]["old_database"]) == "201"
        assert not run_module("postgresql_restore", asked(other, tmp_path))["changed"]


def test_an_application_goes_on(server: PostgresServer, repository: Path, run_module: Run) -> None:
    with Writer(server) as writer:
        result = run_module("postgresql_restore", asked(server, repository))
        assert result.get("changed"), result.get("msg")
        writer.wait(20)
    restored = result["restored"]
    [sessions] = restored["sessions"]
    assert (sessions["application"], sessions["user"], sessions["count"]) == ("the shop", "app", 1)
    assert restored["sessions_ended"] >= 1
    # Every order that was acknowledged is in one of the two, and none in both.
    old, new = written(server, restored["old_database"]), written(server, "shop")
    assert old | new >= set(writer.acknowledged)
    assert not old & new
    assert set(writer.acknowledged[-20:]) <= new
    # It was told that it was put out, or that the name changes just now, and nothing else.
    told = {error.splitlines()[0].split("FATAL:  ")[-1] for error in writer.errors}
    assert told <= {
        "terminating connection due to administrator command",
        'database "shop" does not exist',
        "server closed the connection unexpectedly",
    }


def test_nothing_is_there(server: PostgresServer, repository: Path, run_module: Run) -> None:
    server.execute("DROP DATABASE shop")
    result = run_module("postgresql_restore", asked(server, repository, mode="fresh", owner="app"))
    assert result.get("changed"), result.get("msg")
    assert done(result) == ["create_database", "load", "verify", "rename"]
    assert (databases(server), server.psql(COUNT, db="shop")) == (["shop"], str(ROWS))
    assert surroundings(server, "shop")["owner"] == "app"
    assert result["undo"] == []
    assert not run_module("postgresql_restore", asked(server, repository, mode="fresh"))["changed"]


def test_an_empty_database_is_filled(server: PostgresServer, repository: Path, run_module: Run) -> None:
    server.execute("DROP DATABASE shop")
    server.execute("CREATE DATABASE shop OWNER app CONNECTION LIMIT 7")
    result = run_module("postgresql_restore", asked(server, repository, mode="fresh"))
    assert result.get("changed"), result.get("msg")
    assert done(result)[-1] == "drop_old"
    assert (databases(server), server.psql(COUNT, db="shop")) == (["shop"], str(ROWS))
    assert surroundings(server, "shop")["limit"] == 7


def test_the_old_one_can_go(server: PostgresServer, repository: Path, run_module: Run) -> None:
    result = run_module("postgresql_restore", asked(server, repository, keep_old=False))
    assert (databases(server), result["restored"]["old_database"], result["undo"]) == (["shop"], None, [])
    assert done(result)[-1] == "drop_old"
    # Kept by one run, it goes by a later one that does not want it, as after a run that was killed just before.
    kept = run_module("postgresql_restore", asked(server, repository, force=True))["restored"]["old_database"]
    assert databases(server) == ["shop", kept]
    dropped = run_module("postgresql_restore", asked(server, repository, keep_old=False))
    assert (done(dropped), dropped["restored"], databases(server)) == (["drop_old"], None, ["shop"])
    assert not run_module("postgresql_restore", asked(server, repository, keep_old=False))["changed"]


def test_roles_come_first(repository: Path, run_module: Run) -> None:
    """On a server that lacks them: roles with their passwords, settings and memberships. Those that are there stay."""
    with PostgresServer() as empty:
        empty.execute("CREATE ROLE readers CREATEDB")
        refused = run_module("postgresql_restore", asked(empty, repository, globals="check"))
        assert refused["code"] == "role_missing"
        assert "lacks: app, and globals is check" in refused["msg"]
        result = run_module("postgresql_restore", asked(empty, repository))
        assert result.get("changed"), result.get("msg")
        assert {"action": "create_role", "object": "app", "reason": "missing on the server (login)"} in result[
            "actions"
        ]
        assert result["restored"]["roles_created"] == ["app"]
        with empty.connect("shop", user="app", password=APP_PASSWORD) as connection, connection.cursor() as cursor:
            cursor.execute(COUNT)
            assert cursor.fetchone() == (ROWS,)
        connection.close()
        assert empty.psql("SELECT rolconfig FROM pg_roles WHERE rolname = 'app'") == (
            "{idle_in_transaction_session_timeout=99s}"
        )
        assert empty.psql("SELECT pg_has_role('app', 'readers', 'MEMBER')") == "t"
        assert empty.psql("SELECT rolcreatedb FROM pg_roles WHERE rolname = 'readers'") == "t"
        assert "SCRAM" not in json.dumps(result)
        assert "SCRAM" not in empty.log.read_text(encoding="utf-8")


def test_without_roles(repository: Path, run_module: Run) -> None:
    with PostgresServer() as empty:
        result = run_module("postgresql_restore", asked(empty, repository, globals="skip", owner=None))
        assert result.get("changed"), result.get("msg")
        assert empty.psql(COUNT, db="shop") == str(ROWS)
        assert any("owners and privileges" in each for each in result["restored"]["unproven"])


def test_existing_passwords_stay(server: PostgresServer, repository: Path, run_module: Run) -> None:
    server.execute("ALTER ROLE app PASSWORD 'changed since'")
    try:
        run_module("postgresql_restore", asked(server, repository))
        server.connect("shop", user="app", password="changed since").close()
    finally:
        server.execute("ALTER ROLE app PASSWORD %s", (APP_PASSWORD,))


def refusals(server: PostgresServer) -> dict[str, Any]:
    identifier = server.psql("SELECT system_identifier FROM pg_control_system()")
    return {
        "not empty": (
            {"mode": "fresh"},
            "not_empty",
            "exists and is not empty (4 relations, 1 schemas, 1 large objects)",
        ),
        "production": (
            {"must_not_be": {"system_identifier": [identifier]}},
            "target_is_production",
            f"has the system identifier {identifier}, which must_not_be names",
        ),
        "no room": ({"disk_free_bytes": 1000}, "no_space", "and 1000 are free (declared (disk_free_bytes))"),
        "another database": (
            {"source_database": "billing"},
            "identity_mismatch",
            "The backup is of the database shop, not of billing",
        ),
        "hours": ({"blocked_window": ["Sun-Sat 00:00-24:00"]}, "window", "within the hours kept free of changes"),
        "unverified": ({"allow_unverified": False}, "not_verified", "None of 1 backups is verified"),
        "no backup": ({"name": "shop-20200101-000000.dump"}, "no_artefact", "shop-20200101-000000.dump is not in"),
    }


@pytest.mark.parametrize(
    "case", ["not empty", "production", "no room", "another database", "hours", "unverified", "no backup"]
)
def test_refused(case: str, server: PostgresServer, repository: Path, run_module: Run) -> None:
    more, code, words = refusals(server)[case]
    checked = run_module("postgresql_restore", asked(server, repository, **more), check_mode=True)
    result = run_module("postgresql_restore", asked(server, repository, **more))
    assert result["failed"]
    assert (result["code"], words in result["msg"]) == (code, True), result["msg"]
    assert "Nothing was touched" in result["msg"]
    assert checked["code"] == code
    assert (databases(server), server.psql(COUNT, db="shop")) == (["shop"], str(ROWS + 1))


def test_what_a_swap_would_cut_off(server: PostgresServer, repository: Path, run_module: Run) -> None:
    """All reasons at once."""
    make_slot = "SELECT pg_create_logical_replication_slot('cdc', 'pgoutput')"
    server.query(make_slot, db="shop")
    run_script_and_prepare(server)
    with server.connect("shop") as connection:
        refused = run_module("postgresql_restore", asked(server, repository, max_sessions=0))
        kept = run_module("postgresql_restore", asked(server, repository, fence=False, replication="keep"))
    connection.close()
    server.execute("ROLLBACK PREPARED 'tx 1'", db="shop")
    assert [each["code"] for each in refused["obstacles"]] == ["replication", "prepared_transactions", "sessions"]
    assert "replication slot cdc" in refused["msg"]
    assert "tx 1" in refused["msg"]
    assert [each["code"] for each in kept["obstacles"]] == ["prepared_transactions", "sessions"]
    result = run_module("postgresql_restore", asked(server, repository, replication="keep"))
    assert "They stay with the old database: replication slot cdc" in result["notes"]
    old = result["restored"]["old_database"]
    assert server.psql("SELECT database FROM pg_replication_slots") == old
    server.query("SELECT pg_drop_replication_slot('cdc')", db=old)


def run_script_and_prepare(server: PostgresServer) -> None:
    connection = server.connect("shop", autocommit=False)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO history VALUES (1, 'prepared')")
        cursor.execute("PREPARE TRANSACTION 'tx 1'")
    connection.close()


def test_a_standby_is_refused(repository: Path, run_module: Run) -> None:
    with PostgresServer() as primary, PostgresServer(standby_of=primary) as standby:
        result = run_module("postgresql_restore", asked(standby, repository))
        assert "is a standby (in recovery) and takes no changes" in result["msg"]


def test_an_extension_that_the_server_lacks(server: PostgresServer, run_module: Run, tmp_path: Path) -> None:
    name = take(server, run_module, tmp_path)
    manifest = tmp_path / f"{name}.manifest.json"
    told = json.loads(manifest.read_text(encoding="utf-8"))
    told["census"]["extensions"]["vector"] = {"version": "0.8.0", "schema": "public"}
    manifest.write_text(json.dumps(told), encoding="utf-8")
    result = run_module("postgresql_restore", asked(server, tmp_path))
    assert result["code"] == "extension_missing"
    assert "Install postgresql-15-pgvector there" in result["msg"]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(bytes(data))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def promise_more(path: Path) -> None:
    """The dump lacks what its manifest says: as if a value were changed and the SHA-256 computed anew."""
    manifest = path.with_name(path.name + ".manifest.json")
    told = json.loads(manifest.read_text(encoding="utf-8"))
    told["census"]["tables"]["public.orders"]["digest"] = "0" * 15 + "1"
    manifest.write_text(json.dumps(told), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "codes"),
    [
        pytest.param(cut, {"size_mismatch"}, id="cut in half"),
        pytest.param(flip, {"digest_mismatch", "decode_failed", "rejected", "decode_truncated"}, id="a flipped bit"),
        pytest.param(promise_more, {"content_mismatch"}, id="a changed value"),
    ],
)
def test_a_bad_backup_touches_nothing(
    damage: Callable[[Path], None], codes: set[str], server: PostgresServer, run_module: Run, tmp_path: Path
) -> None:
    damage(tmp_path / take(server, run_module, tmp_path))
    server.execute(LATER, db="shop")
    result = run_module("postgresql_restore", asked(server, tmp_path))
    assert result["failed"]
    assert result["code"] in codes, result["msg"]
    assert (databases(server), server.psql(COUNT, db="shop")) == (["shop"], str(ROWS + 2))


def test_what_failed_can_be_looked_at(server: PostgresServer, run_module: Run, tmp_path: Path) -> None:
    promise_more(tmp_path / take(server, run_module, tmp_path))
    result = run_module("postgresql_restore", asked(server, tmp_path, keep_failed=True))
    kept = result["kept_failed"]
    assert f"{kept} was left behind" in result["msg"]
    assert server.psql(COUNT, db=kept) == str(ROWS + 1)
    # It is nobody's leftover: the next run leaves it alone and says so.
    again = run_module("postgresql_restore", asked(server, tmp_path, verify=False))
    assert again.get("changed"), again.get("msg")
    assert kept in databases(server)
    assert any(kept in each for each in again["notes"])


def test_assertions_come_before_the_swap(server: PostgresServer, repository: Path, run_module: Run) -> None:
    question = {"name": "the order of three o'clock", "sql": "SELECT count(*) FROM orders WHERE item = 'later'"}
    failed = run_module("postgresql_restore", asked(server, repository, assertions=[{**question, "expect": 1}]))
    assert failed["code"] == "assertion_failed"
    assert "The database shop is as it was" in failed["msg"]
    assert databases(server) == ["shop"]
    result = run_module("postgresql_restore", asked(server, repository, assertions=[{**question, "expect": 0}]))
    assert (result["restored"]["verdict"], result["restored"]["level"]) == ("verified", "consistency")


def test_sessions_that_cannot_be_ended(server: PostgresServer, repository: Path, run_module: Run) -> None:
    """An ordinary login cannot end a superuser's session: the database stays, the restored one waits."""
    server.execute(
        "CREATE ROLE ops LOGIN PASSWORD 'ops' CREATEDB CREATEROLE IN ROLE postgres, app, readers, pg_signal_backend"
    )
    login = {"login_user": "ops", "login_password": "ops"}
    options = asked(server, repository, globals="skip", fence_timeout=1, **login)
    try:
        with server.connect("shop") as connection, connection.cursor() as cursor:
            cursor.execute("SET application_name = 'nightly report'")
            refused = run_module("postgresql_restore", options)
            assert refused.get("code") == "sessions", refused["msg"]
            assert "1 × nightly report as postgres" in refused["msg"]
            assert "it goes on from the database that is restored already" in refused["msg"]
            assert server.psql(COUNT, db="shop") == str(ROWS + 1)
        connection.close()
        result = run_module("postgresql_restore", options)
        assert result.get("changed"), result.get("msg")
        assert done(result) == ["reuse", "verify", "fence", "rename", "rename"]
        assert server.psql(COUNT, db="shop") == str(ROWS)
    finally:
        drop_all(server)
        server.execute("DROP ROLE ops")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param("shop-20260131-000000.sql.gz", ["--create", "--clean"], id="a plain dump that says where it goes"),
        pytest.param("shop-20260131-000000.sql", [], id="plain"),
        pytest.param("shop-20260131-000000.tar", ["-Ft"], id="tar"),
    ],
)
def test_dumps_of_others(
    name: str, arguments: list[str], server: PostgresServer, run_module: Run, tmp_path: Path
) -> None:
    """Without a manifest: only when asked for, and never into the database that the dump itself names."""
    foreign_dump(server, tmp_path / name, *arguments)
    server.execute(LATER, db="shop")
    pattern = name.replace("20260131-000000", "%Y%m%d-%H%M%S")
    refused = run_module(
        "postgresql_restore", asked(server, tmp_path, name_pattern=pattern, allow_unverified=False, name=name)
    )
    assert refused["code"] == "no_manifest"
    result = run_module("postgresql_restore", asked(server, tmp_path, name_pattern=pattern))
    assert result.get("changed"), result.get("msg")
    assert (result["restored"]["verdict"], result["restored"]["level"]) == ("error", "restore")
    assert result["restored"]["unproven"]
    old = result["restored"]["old_database"]
    assert (server.psql(COUNT, db="shop"), server.psql(COUNT, db=old)) == (str(ROWS + 1), str(ROWS + 2))
    assert not run_module("postgresql_restore", asked(server, tmp_path, name_pattern=pattern))["changed"]


def test_a_cut_dump_of_others(server: PostgresServer, run_module: Run, tmp_path: Path) -> None:
    path = tmp_path / "shop-20260131-000000.sql"
    foreign_dump(server, path)
    cut(path)
    result = run_module("postgresql_restore", asked(server, tmp_path, name_pattern="shop-%Y%m%d-%H%M%S.sql"))
    assert result["code"] in ("marker_missing", "decode_truncated"), result["msg"]
    assert (databases(server), server.psql(COUNT, db="shop")) == (["shop"], str(ROWS + 1))


@pytest.mark.parametrize("form", ["directory", "plain"])
def test_formats(form: str, server: PostgresServer, run_module: Run, tmp_path: Path) -> None:
    take(server, run_module, tmp_path, format=form)
    result = run_module("postgresql_restore", asked(server, tmp_path))
    assert result.get("changed"), result.get("msg")
    assert (result["restored"]["verdict"], server.psql(COUNT, db="shop")) == ("verified", str(ROWS + 1))


@pytest.mark.parametrize("form", ["custom", "directory"])
def test_from_a_bucket(
    form: str, server: PostgresServer, run_module: Run, store: S3Server, make_bucket: Callable[..., str], tmp_path: Path
) -> None:
    place = f"s3://{make_bucket()}/db"
    name = take(server, run_module, place, format=form, **store.login())
    server.execute(LATER, db="shop")
    work = tmp_path / "work"
    work.mkdir()
    options = asked(server, place, work_directory=str(work), **store.login())
    result = run_module("postgresql_restore", options)
    assert result.get("changed"), result.get("msg")
    assert (result["artefact"]["name"], server.psql(COUNT, db="shop")) == (name, str(ROWS + 1))
    assert list(work.iterdir()) == []


def test_the_newest_verified_one(server: PostgresServer, run_module: Run, tmp_path: Path) -> None:
    first = take(server, run_module, tmp_path, reference_time="2026-01-30T00:00:00Z")
    pattern = {"repository": str(tmp_path), "name_pattern": PATTERN}
    proven = run_module("postgresql_backup_verify", {**pattern, "name": first})
    assert not proven.get("failed"), proven
    server.execute(LATER, db="shop")
    second = take(server, run_module, tmp_path, reference_time="2026-01-31T00:00:00Z")
    result = run_module("postgresql_restore", asked(server, tmp_path, allow_unverified=False), check_mode=True)
    assert result["artefact"]["name"] == first, (result, second)
    assert result["artefact"]["verified"]["is_proven"]
    assert any(second in each for each in result["notes"])
    # A named one need not be verified: it is proven while it is restored. Unless that is not wanted.
    named = {"allow_unverified": False, "name": second}
    assert run_module("postgresql_restore", asked(server, tmp_path, **named), check_mode=True)["changed"]
    refused = run_module("postgresql_restore", asked(server, tmp_path, **named, verify=False))
    assert f"{second} is not verified, and verify is false" in refused["msg"]


def test_an_old_server_is_refused(server: PostgresServer, run_module: Run, tmp_path: Path) -> None:
    with PostgresServer(18) as newer:
        make_shop(newer, 10)
        take(newer, run_module, tmp_path)
    result = run_module("postgresql_restore", asked(server, tmp_path))
    assert [each["code"] for each in result["obstacles"]] == ["server_too_old", "client_too_old"]
    assert "The backup is of PostgreSQL 18 and the server is 15" in result["msg"]


def test_a_newer_server_takes_it(repository: Path, run_module: Run) -> None:
    with PostgresServer(18) as newer:
        make_roles(newer)
        result = run_module("postgresql_restore", asked(newer, repository, mode="fresh"))
        assert result.get("changed"), result.get("msg")
        assert (result["restored"]["verdict"], newer.psql(COUNT, db="shop")) == ("verified", str(ROWS))


def test_a_second_run_waits_its_turn(server: PostgresServer, repository: Path, run_module: Run) -> None:
    connection = psycopg2.connect(host=server.host, port=server.port, user="postgres", password=server.password)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(1919905907, %s)", (lock_key(),))
        result = run_module("postgresql_restore", asked(server, repository))
    connection.close()
    assert "Another run of postgresql_restore shop is at work in database postgres" in result["msg"]


def lock_key() -> int:
    import zlib

    return zlib.crc32(b"postgresql_restore shop") - 2**31


def test_keys(server: PostgresServer, run_module: Run, tmp_path: Path) -> None:
    """A backup that the recovery side's key does not open is refused before anything is touched."""
    keys = make_keys(tmp_path)
    place = tmp_path / "repository"
    take(server, run_module, place, encryption={"method": "age", "recipients": [keys["right"]]})
    without = run_module("postgresql_restore", asked(server, place))
    wrong = run_module(
        "postgresql_restore", asked(server, place, decryption={"identity_file": str(tmp_path / "wrong.key")})
    )
    for result in (without, wrong):
        assert result["failed"]
        assert databases(server) == ["shop"]
    assert "no decryption.identity_file was given" in without["msg"]
    assert "the key at hand does not open it" in wrong["msg"]
    server.execute(LATER, db="shop")
    right = {"identity_file": str(tmp_path / "right.key")}
    result = run_module("postgresql_restore", asked(server, place, decryption=right))
    assert result.get("changed"), result.get("msg")
    assert (result["restored"]["verdict"], server.psql(COUNT, db="shop")) == ("verified", str(ROWS + 1))


def make_keys(place: Path) -> dict[str, str]:
    import subprocess

    public = {}
    for name in ("right", "wrong"):
        done = subprocess.run(
            ["age-keygen", "-o", str(place / f"{name}.key")], capture_output=True, text=True, check=True
        )
        public[name] = done.stderr.split("Public key: ")[1].strip()
    return public


def test_a_script_in_a_database_is_one_transaction(server: PostgresServer) -> None:
    """The lab's own helper: an error leaves nothing."""
    with pytest.raises(psycopg2.Error):
        run_script(server, "INSERT INTO history VALUES (1, 'x'); SELECT 1/0", "shop")
    assert server.psql("SELECT count(*) FROM history WHERE what = 'x'", db="shop") == "0"
