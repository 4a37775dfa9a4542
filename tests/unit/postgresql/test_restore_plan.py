"""What stands against a restore, and what it comes down to when nothing does."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import NamingRule
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.headroom import Headroom
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.attributes import (
    Attributes,
    Grant,
    Setting,
    untouched,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.fence import Connected, grouped, told
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.globals import Globals
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.names import Mark, joined_comment
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.needs import Needs, Shape
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.packages import package_of
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.plan import actions, make_plan
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.preflight import check, obstacles
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.prove import age_seconds
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.request import (
    RestoreRequest,
    request_from,
    restore_argument_spec,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.state import Neighbour, Server, State
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.swap import undo

KEY = "ab" * 32
AT = "2026-01-31T00:15:00Z"
BESIDE = "shop_restore_20260131t001500z"
BEFORE = "shop_before_20260131t001500z"
SHAPE = Shape("UTF8", "en_US.UTF-8", "en_US.UTF-8", "libc")
ROOM = Headroom(10**9, "declared (disk_free_bytes)")


def request(**more: Any) -> RestoreRequest:
    given: dict[str, Any] = {
        "rule": NamingRule("shop-%Y%m%d.dump", ZoneInfo("UTC")),
        "name": None,
        "max_entries": 1000,
        "allow_unverified": False,
        "database": "shop",
        "source_database": "shop",
        "owner": None,
        "mode": "swap",
        "keep_old": True,
        "keep_failed": False,
        "preload": (),
        "force": False,
        "globals": "apply",
        "verify": True,
        "assertions": (),
        "assertion_seconds": 60.0,
        "watermarks": (),
        "jobs": 1,
        "fence": True,
        "fence_seconds": 30.0,
        "max_sessions": None,
        "replication": "refuse",
        "must_not_be": (),
        "decryption": None,
        "work": None,
        "bin_directory": None,
        "now": dt.datetime(2026, 1, 31, tzinfo=dt.timezone.utc),
    }
    return RestoreRequest(**{**given, **more})


def asked(**more: Any) -> dict[str, Any]:
    """The module's options as they are when only these are given."""
    given = {name: option.get("default") for name, option in restore_argument_spec().items()}
    must = {"repository": "/var/backups", "name_pattern": "shop-%Y%m%d.dump", "database": "shop", "mode": "swap"}
    return {**given, **must, **more}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param({"repository": ""}, "repository: '' is not accepted. Accepted: a value, because method is dump."),
        pytest.param(
            {"login_db": "shop"},
            "login_db: 'shop' is not accepted. Accepted: another database than the one to restore, such as postgres: "
            "it is renamed meanwhile.",
        ),
        pytest.param(
            {"database": "postgres"},
            "database: 'postgres' is not accepted. Accepted: a database of an application, not one of PostgreSQL's "
            "own.",
        ),
        pytest.param(
            {"owner": "app"},
            "owner: 'app' is not accepted. Accepted: with mode=fresh; a swapped database keeps its owner.",
        ),
        pytest.param(
            {"name": "other.dump"},
            "name: 'other.dump' is not accepted. Accepted: a name that follows name_pattern (shop-%Y%m%d.dump).",
        ),
        pytest.param(
            {"watermarks": ["orders.at"]},
            "watermarks: 'orders.at' is not accepted. Accepted: schema.table.column, such as public.orders.created_at.",
        ),
        pytest.param({"fence_timeout": 0.0}, "fence_timeout: 0.0 is not accepted. Accepted: 1 to 3600 seconds."),
        pytest.param({"max_sessions": -1}, "max_sessions: -1 is not accepted. Accepted: a number of at least 0."),
        pytest.param({"jobs": 65}, "jobs: 65 is not accepted. Accepted: 0 to 64."),
        pytest.param(
            {"work_directory": "/nowhere"},
            "work_directory: '/nowhere' is not accepted. Accepted: a directory that exists on the host.",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_options(more: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        request_from(asked(**more))
    assert refused.value.message == words


def test_defaults() -> None:
    swapped, fresh = request_from(asked()), request_from(asked(mode="fresh", owner="app"))
    assert (swapped.source_database, fresh.source_database, fresh.owner) == ("shop", None, "app")
    assert swapped.jobs >= 1


def server(**more: Any) -> Server:
    given: dict[str, Any] = {
        "address": "db1:5432",
        "version_num": 150018,
        "system_identifier": "7301",
        "login": "postgres",
        "login_db": "postgres",
        "is_superuser": True,
        "creates_databases": True,
        "creates_roles": True,
        "signals": True,
        "roles": frozenset({"postgres", "app"}),
        "extensions": frozenset({"plpgsql", "pg_trgm"}),
        "locales": frozenset({"C", "en_US.utf8"}),
        "has_icu": True,
    }
    return Server(**{**given, **more})


def live(**more: Any) -> Attributes:
    given: dict[str, Any] = {
        "oid": 1,
        "name": "shop",
        "owner": "app",
        "tablespace": "pg_default",
        "tablespace_oid": 1663,
        "shape": SHAPE,
        "connection_limit": -1,
        "allows_connections": True,
        "is_template": False,
        "comment": None,
        "labels": (),
        "grants": (),
        "settings": (),
    }
    made = Attributes(**{**given, **more})
    return made if more.get("grants") else replace(made, grants=untouched(made, made.owner).grants)


def state(**more: Any) -> State:
    given: dict[str, Any] = {"server": server(), "live": live(), "content": {"relations": 3, "large_objects": 0}}
    return State(**{**given, **more})


def needs(**more: Any) -> Needs:
    given: dict[str, Any] = {
        "database": "shop",
        "version_num": 150018,
        "extensions": {"plpgsql": "1.0"},
        "roles": ("app",),
        "shape": SHAPE,
        "size_bytes": 100_000_000,
    }
    return Needs(**{**given, **more})


SESSIONS = (Connected("api", "app", "10.0.0.5", 12), Connected("(no name)", "postgres", "", 1))
KNOWN = Globals(roles={"worker": ["CREATE ROLE worker", "ALTER ROLE worker WITH LOGIN CREATEDB PASSWORD 'SUPERUSER'"]})


@pytest.mark.parametrize(
    ("wanted", "found", "needed", "expected"),
    [
        pytest.param({}, {}, {}, [], id="nothing"),
        pytest.param(
            {"must_not_be": ("7301",)},
            {},
            {},
            [
                "target_is_production: The server at db1:5432 has the system identifier 7301, which must_not_be names. "
                "Correct login_host and login_port."
            ],
            id="a server that it must not be",
        ),
        pytest.param(
            {},
            {},
            {"version_num": 180001},
            [
                "server_too_old: The backup is of PostgreSQL 18 and the server is 15: what an older version does not "
                "know is rejected or lost. Restore into PostgreSQL 18 or newer."
            ],
            id="an older server",
        ),
        pytest.param(
            {},
            {},
            {"extensions": {"vector": "0.8", "pg_trgm": "1.6"}},
            [
                "extension_missing: The server has no extension vector, which the backup needs. "
                "Install postgresql-15-pgvector there."
            ],
            id="a missing extension",
        ),
        pytest.param(
            {},
            {},
            {"roles": ("app", "Odd Name")},
            [
                "role_missing: The backup's objects belong or are granted to roles that the server lacks: "
                '"Odd Name", and the backup has no globals with them. Create them, or set globals to skip, which gives '
                "their objects to the login."
            ],
            id="a missing role",
        ),
        pytest.param({"globals": "skip"}, {}, {"roles": ("nobody",)}, [], id="a missing role that is not looked at"),
        pytest.param({}, {}, {"roles": ("worker",)}, [], id="a role in the globals"),
        pytest.param(
            {"globals": "check"},
            {},
            {"roles": ("worker",)},
            [
                "role_missing: The backup's objects belong or are granted to roles that the server lacks: worker, and "
                "globals is check. Create them, or set globals to skip, which gives their objects to the login."
            ],
            id="a role in the globals that is not to be made",
        ),
        pytest.param(
            {},
            {},
            {"size_bytes": 900_000_000},
            [
                "no_space: The restored database takes about 1125000000 bytes, and 1000000000 are free "
                "(declared (disk_free_bytes)). Make room, or drop a former database that was kept."
            ],
            id="too little room",
        ),
        pytest.param(
            {},
            {},
            {"shape": Shape("UTF8", "ko_KR.UTF-8", "ko_KR.UTF-8", "libc")},
            [
                "encoding_mismatch: The server does not know the locale ko_KR.UTF-8, which the backed up database has. "
                "Install it there (locale-gen), then SELECT pg_import_system_collations('pg_catalog')."
            ],
            id="a missing locale",
        ),
        pytest.param(
            {},
            {},
            {"database": "billing"},
            [
                "identity_mismatch: The backup is of the database billing, not of shop. Correct repository, "
                "name_pattern or name, or set source_database."
            ],
            id="another database",
        ),
        pytest.param({"mode": "fresh", "source_database": None}, {"live": None}, {"database": "b"}, [], id="a copy"),
        pytest.param(
            {},
            {},
            {"is_partial": True},
            [
                "structure_missing: The backup leaves out parts of its database on purpose, so it cannot take a "
                "database's place. Restore it with mode=fresh and take from it what is needed."
            ],
            id="a part in the place of the whole",
        ),
        pytest.param(
            {"mode": "fresh"},
            {},
            {},
            [
                "not_empty: The database shop exists and is not empty (3 relations). Restoring into it would mix both. "
                "Set mode to swap in order to replace it, or name another database."
            ],
            id="a database that is not empty",
        ),
        pytest.param({"mode": "fresh"}, {"content": {"relations": 0}}, {}, [], id="an empty database"),
        pytest.param(
            {"mode": "fresh"},
            {"content": None},
            {},
            [
                "exists: The database shop exists and cannot be looked into, so that it may hold anything. Set mode to "
                "swap in order to replace it."
            ],
            id="a closed database",
        ),
        pytest.param(
            {},
            {"bound": (("replication slot", "cdc"), ("subscription", "from_hq"))},
            {},
            [
                "replication: The database shop has replication slot cdc, subscription from_hq. They stay with the old "
                "one: consumers would get nothing, and a slot keeps WAL. Drop them first, or set replication to keep."
            ],
            id="slots",
        ),
        pytest.param({"replication": "keep"}, {"bound": (("replication slot", "cdc"),)}, {}, [], id="slots that stay"),
        pytest.param(
            {},
            {"prepared": ("tx-1",)},
            {},
            [
                "prepared_transactions: Prepared transactions in shop keep it from being renamed: tx-1. COMMIT "
                "PREPARED or ROLLBACK PREPARED them."
            ],
            id="prepared transactions",
        ),
        pytest.param(
            {"max_sessions": 2},
            {"sessions": SESSIONS},
            {},
            [
                "sessions: 13 sessions are connected to shop, and max_sessions allows 2: 12 × api as app from "
                "10.0.0.5, 1 × (no name) as postgres. Stop the applications first."
            ],
            id="more sessions than planned",
        ),
        pytest.param(
            {"fence": False},
            {"sessions": SESSIONS[1:]},
            {},
            [
                "sessions: 1 sessions are connected to shop, and fence is false: 1 × (no name) as postgres. Stop the "
                "applications first, or set fence."
            ],
            id="sessions that are not to be ended",
        ),
        pytest.param(
            {},
            {
                "server": server(is_superuser=False, creates_databases=False, signals=False, login="ops"),
                "live_is_ours": False,
                "sessions": SESSIONS[1:],
            },
            {},
            [
                "privilege: The role ops may not create databases. ALTER ROLE ops CREATEDB, or log in as another.",
                "privilege: The role ops does not own the database shop. GRANT app TO ops, or log in as a superuser.",
                "privilege: The role ops may not end the 1 sessions in shop (1 × (no name) as postgres). GRANT "
                "pg_signal_backend TO ops.",
            ],
            id="a login that may do nothing",
        ),
        pytest.param(
            {},
            {"server": server(is_superuser=False, creates_roles=False, login="ops")},
            {"roles": ("worker",)},
            [
                "privilege: The role ops may not create the 1 roles that are missing. Log in as a role with "
                "CREATEROLE, or create them and set globals to check."
            ],
            id="a login that may not make roles",
        ),
    ],
)
def test_obstacles(wanted: dict[str, Any], found: dict[str, Any], needed: dict[str, Any], expected: list[str]) -> None:
    known = KNOWN if needed.get("roles") == ("worker",) else None
    seen = obstacles(request(**wanted), state(**found), needs(**needed), known, ROOM)
    assert [f"{each.code}: {each.message}" for each in seen] == expected


def test_all_obstacles_are_told() -> None:
    seen = obstacles(request(mode="fresh", globals="skip"), state(), needs(version_num=180001), None, ROOM)
    with pytest.raises(Refused) as refused:
        check(seen, {"changed": False})
    assert refused.value.message.startswith("Nothing was touched. The backup is of PostgreSQL 18")
    assert " Also: The database shop exists and is not empty" in refused.value.message
    assert [each["code"] for each in refused.value.details["obstacles"]] == ["server_too_old", "not_empty"]  # type: ignore[attr-defined]
    assert refused.value.details["code"] == "server_too_old"


@pytest.mark.parametrize(
    ("extension", "package"),
    [
        ("pg_trgm", "postgresql-15 (contrib)"),
        ("postgis", "postgresql-15-postgis-3"),
        ("pg_partman", "postgresql-15-partman"),
        ("pg_hint_plan", "postgresql-15-pg-hint-plan"),
    ],
)
def test_packages(extension: str, package: str) -> None:
    assert package_of(extension, 15) == package


def neighbour(name: str = BESIDE, mark: str | None = "restoring", key: str = KEY, **more: Any) -> Neighbour:
    found = None if mark is None else Mark(mark, "shop", "shop-20260131.dump", key, AT)
    return Neighbour(
        **{"name": name, "oid": 9, "mark": found, "size_bytes": 1, "is_ours": True, "allows_connections": True, **more}
    )


@pytest.mark.parametrize(
    ("beside", "dropped", "reused", "notes"),
    [
        pytest.param(neighbour(), True, False, [], id="half full"),
        pytest.param(neighbour(mark="loaded"), False, True, [], id="loaded from this backup"),
        pytest.param(neighbour(mark="loaded", key="cd" * 32), True, False, [], id="loaded from another backup"),
        pytest.param(neighbour(mark=None, allows_connections=False), True, False, [], id="made and never marked"),
        pytest.param(
            neighbour(mark=None),
            False,
            False,
            [f"{BESIDE} is left alone: nothing says that a run of this module made it"],
            id="somebody's own",
        ),
        pytest.param(
            neighbour(mark="failed"),
            False,
            False,
            [f"{BESIDE} is left alone: it was kept in order to be looked at (keep_failed); drop it when that is done"],
            id="kept to be looked at",
        ),
        pytest.param(
            neighbour(is_ours=False),
            False,
            False,
            [f"{BESIDE} is left alone: another role owns it"],
            id="another's",
        ),
    ],
)
def test_leftovers(beside: Neighbour, dropped: bool, reused: bool, notes: list[str]) -> None:
    plan = make_plan(request(), state(beside=(beside,)), KEY, None)
    assert (plan.drop == (beside,), plan.reuse == beside, list(plan.notes)) == (dropped, reused, notes)


RESTORED = joined_comment("the shop", Mark("restored", "shop", "shop-20260131.dump", KEY, AT))


@pytest.mark.parametrize(
    ("wanted", "comment", "kept", "done", "dropped"),
    [
        pytest.param({}, None, (), False, [], id="never restored"),
        pytest.param({}, RESTORED, (), True, [], id="restored from this backup"),
        pytest.param({"force": True}, RESTORED, (), False, [], id="again"),
        pytest.param({}, (RESTORED or "").replace(KEY, "cd" * 32), (), False, [], id="restored from another"),
        pytest.param({}, (RESTORED or "").replace("restored", "replaced"), (), False, [], id="brought back"),
        pytest.param(
            {"keep_old": False}, RESTORED, (neighbour(BEFORE, "replaced"),), True, [BEFORE], id="killed before the drop"
        ),
        pytest.param({}, RESTORED, (neighbour(BEFORE, "replaced"),), True, [], id="kept"),
        pytest.param(
            {"keep_old": False},
            RESTORED,
            (neighbour(BEFORE, "replaced", "cd" * 32),),
            True,
            [],
            id="kept by another run",
        ),
    ],
)
def test_done(
    wanted: dict[str, Any], comment: str | None, kept: tuple[Neighbour, ...], done: bool, dropped: list[str]
) -> None:
    plan = make_plan(request(**wanted), state(live=live(comment=comment), kept=kept), KEY, None)
    assert (plan.is_done, [each.name for each in plan.drop_old]) == (done, dropped)


def steps(asked: RestoreRequest, there: State, known: Globals | None = None) -> list[str]:
    plan = make_plan(asked, there, KEY, known)
    listed = actions(asked, there, plan, "shop-20260131.dump", known)
    return [f"{each['action']} {each['object']}: {each['reason']}" for each in listed]


def test_actions_of_a_swap() -> None:
    grants = (Grant("<owner>", "CREATE", False), Grant("readers", "CONNECT", True))
    there = state(
        live=live(
            connection_limit=40, grants=grants, settings=(Setting("", "work_mem", "5MB"), Setting("app", "a.b", "1"))
        ),
        beside=(neighbour(),),
    )
    assert steps(request(keep_old=False), there, KNOWN) == [
        f"drop_leftover {BESIDE}: an earlier run was ended before it was complete",
        "create_role worker: missing on the server (createdb login)",
        "create_database shop_restore_<moment>: beside whatever there is",
        "load shop_restore_<moment>: from shop-20260131.dump",
        "verify shop_restore_<moment>: before it is put in place",
        "fence shop: sessions are ended, and new ones wait while names change",
        "rename shop: to shop_before_<moment>",
        "rename shop_restore_<moment>: to shop",
        "carry_over shop: connection limit 40",
        "carry_over shop: CREATE for its owner",
        "carry_over shop: CONNECT for readers",
        "carry_over shop: setting work_mem",
        "carry_over shop: setting a.b for app",
        "drop_old shop_before_<moment>: keep_old is false",
    ]


def test_actions_where_nothing_is() -> None:
    assert steps(request(mode="fresh", verify=False), state(live=None, content=None)) == [
        "create_database shop_restore_<moment>: beside whatever there is",
        "load shop_restore_<moment>: from shop-20260131.dump",
        "rename shop_restore_<moment>: to shop",
    ]


def test_actions_that_go_on_from_an_earlier_run() -> None:
    assert steps(request(fence=False), state(beside=(neighbour(mark="loaded"),))) == [
        f"reuse {BESIDE}: an earlier run loaded shop-20260131.dump into it",
        f"verify {BESIDE}: before it is put in place",
        "rename shop: to shop_before_<moment>",
        f"rename {BESIDE}: to shop",
    ]


@pytest.mark.parametrize(
    ("there", "here", "expected"),
    [
        pytest.param("2026-01-31T01:00:00+00:00", "2026-01-31T00:00:00+00:00", 3600.0, id="an hour"),
        pytest.param("2026-01-31T09:00:00+09:00", "2026-01-31T00:00:00+00:00", 0.0, id="other zones"),
        pytest.param("2026-01-31 00:00:01", "2026-01-31 00:00:00", 1.0, id="without zones"),
        pytest.param("2026-01-31T00:00:00+00:00", "2026-02-01T00:00:00+00:00", 0.0, id="the live one is older"),
        pytest.param(None, "2026-01-31T00:00:00+00:00", None, id="nothing there"),
        pytest.param("17", "16", None, id="numbers"),
    ],
)
def test_content_age(there: str | None, here: str | None, expected: float | None) -> None:
    assert age_seconds({"w": there}, {"w": here}) == expected


def test_who_is_connected() -> None:
    rows = [
        {"application": "api", "user": "app", "client": "10.0.0.5", "backend_type": "client backend"},
        {"application": "", "user": "", "client": "", "backend_type": "pg_cron launcher"},
        {"application": "api", "user": "app", "client": "10.0.0.5", "backend_type": "client backend"},
    ]
    assert told(grouped(rows)) == "2 × api as app from 10.0.0.5, 1 × pg_cron launcher as (nobody)"
    assert told([Connected(str(n), "u", "", 1) for n in range(7)]).endswith("1 × 4 as u and 2 more kinds")


def test_undo() -> None:
    assert list(undo('o"dd', "old", "undone", "it's")) == [
        'ALTER DATABASE "o""dd" ALLOW_CONNECTIONS false;',
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'o\"dd';",
        "BEGIN;",
        'ALTER DATABASE "o""dd" RENAME TO "undone";',
        'ALTER DATABASE "old" RENAME TO "o""dd";',
        "COMMENT ON DATABASE \"o\"\"dd\" IS 'it''s';",
        "COMMIT;",
    ]
