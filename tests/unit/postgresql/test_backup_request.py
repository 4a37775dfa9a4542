"""What postgresql_backup is asked: what goes together, what is refused, what pg_dump gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.backup.room import check_room, expected_bytes
from ansible_collections.runbook.ops.plugins.module_utils.common.children import ChildFailed
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.beside import selected
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.compression import archive_argument
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.dump import (
    Plan,
    dump_argv,
    explained,
    warnings_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.globals import globals_argv
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.request import (
    dump_argument_spec,
    place_argument_spec,
    request_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.selection import Selection
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Census
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation

ZSTD_ACCEPTED = "1 to 9 with gzip, 1 to 19 with zstd, none without compression"


def params(**more: Any) -> dict[str, Any]:
    spec = {**dump_argument_spec(), **place_argument_spec()}
    return {
        **{name: entry.get("default") for name, entry in spec.items()},
        "timezone": "UTC",
        "reference_time": "2026-01-31T00:00:00Z",
        "encryption": None,
        "repository": "/var/backups",
        "name_pattern": "shop-%Y%m%d.dump",
        **more,
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param(
            {"name_pattern": "shop.dump"},
            "name_pattern: 'shop.dump' is not accepted. Accepted: a name with %Y, %m, %d, %H, %M, %S (or %F, %T, %j, "
            "%y, %s), such as storebridge-%Y%m%d.sql.gz; a finer directive needs the coarser ones.",
            id="a name that is always the same",
        ),
        pytest.param(
            {"timezone": "Seoul"},
            "timezone: 'Seoul' is not accepted. Accepted: an IANA timezone such as Asia/Seoul or UTC, known to the "
            "host.",
            id="no timezone",
        ),
        pytest.param({"jobs": 0}, "jobs: 0 is not accepted. Accepted: a number from 1 to 64.", id="no jobs"),
        pytest.param(
            {"jobs": 2}, "jobs: 2 is not accepted. Accepted: more than 1 with format directory only.", id="jobs"
        ),
        pytest.param(
            {"lock_timeout": 0.0}, "lock_timeout: 0.0 is not accepted. Accepted: seconds from 0.1 to 3600.", id="locks"
        ),
        pytest.param(
            {"min_free_bytes": -1},
            "min_free_bytes: -1 is not accepted. Accepted: a number of bytes, 0 or more.",
            id="room",
        ),
        pytest.param(
            {"work_directory": "/nowhere"},
            "work_directory: '/nowhere' is not accepted. Accepted: a directory that exists on the host.",
            id="work directory",
        ),
        pytest.param(
            {"role_passwords": True, "globals": False},
            "role_passwords: True is not accepted. Accepted: together with globals.",
            id="passwords",
        ),
        pytest.param(
            {"watermarks": ["orders.created_at"]},
            "watermarks: 'orders.created_at' is not accepted. Accepted: columns with table and schema, such as "
            "public.orders.created_at.",
            id="a watermark without schema",
        ),
        pytest.param(
            {"exclude_table_data": ["sessions"]},
            "exclude_table_data: 'sessions' is not accepted. Accepted: tables with their schema, such as "
            "public.audit_logs.",
            id="a table without schema",
        ),
        pytest.param(
            {
                "format": "directory",
                "encryption": {"method": "age", "recipients": ["age1x"], "recipients_file": None, "gnupg_home": None},
            },
            "encryption: 'age' is not accepted. Accepted: with format custom or plain: the files of a directory are "
            "written by pg_dump itself, as they are.",
            id="an encrypted directory",
        ),
        pytest.param(
            {"format": "plain", "name_pattern": "shop-%Y%m%d.sql.gz", "compression": "zstd"},
            "compression: 'zstd' is not accepted. Accepted: auto or gzip, because name_pattern ends like gzip.",
            id="a name that lies",
        ),
        pytest.param(
            {"format": "plain", "name_pattern": "shop-%Y%m%d.sql.zst.age", "compression": "none"},
            "compression: 'none' is not accepted. Accepted: auto or zstd, because name_pattern ends like zstd.",
            id="a name that lies, encrypted",
        ),
        pytest.param(
            {"compression": "gzip", "compression_level": 10},
            f"compression_level: 10 is not accepted. Accepted: {ZSTD_ACCEPTED}.",
            id="a level that gzip does not have",
        ),
        pytest.param(
            {"compression": "none", "compression_level": 1},
            f"compression_level: 1 is not accepted. Accepted: {ZSTD_ACCEPTED}.",
            id="a level of nothing",
        ),
        pytest.param(
            {"max_age": "soon"},
            "max_age: 'soon' is not accepted. Accepted: a whole number of seconds, or amounts with w, d, h, m, s, "
            "largest first, such as 1h30m or 7d.",
            id="max_age",
        ),
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as told:
        request_from(params(**given))
    assert told.value.message == message


@pytest.mark.parametrize(
    ("pattern", "wanted", "compression"),
    [
        ("shop-%Y%m%d.sql", "auto", "none"),
        ("shop-%Y%m%d.sql.gz", "auto", "gzip"),
        ("shop-%Y%m%d.sql.zst", "auto", "zstd"),
        ("shop-%Y%m%d.sql.gz.age", "auto", "gzip"),
        ("shop-%Y%m%d.sql", "zstd", "zstd"),
    ],
)
def test_sql_is_compressed_as_its_name_ends(pattern: str, wanted: str, compression: str) -> None:
    request = request_from(params(format="plain", name_pattern=pattern, compression=wanted))
    assert request.compression == compression


@pytest.fixture
def client(tmp_path: Path) -> Installation:
    for name in ("pg_dump", "pg_dumpall"):
        (tmp_path / name).touch(mode=0o755)
    return Installation(tmp_path, 160002)


@pytest.mark.parametrize(
    ("method", "level", "version", "argument"),
    [
        ("none", None, 150018, "--compress=0"),
        ("gzip", None, 150018, "--compress=6"),
        ("gzip", 9, 150018, "--compress=9"),
        ("gzip", None, 160002, "--compress=gzip"),
        ("gzip", 1, 160002, "--compress=gzip:1"),
        ("zstd", 10, 170000, "--compress=zstd:10"),
    ],
)
def test_the_option_of_compression(method: str, level: int | None, version: int, argument: str) -> None:
    assert archive_argument(method, level, Installation(Path("/"), version)) == argument


def test_pg_dump_gets_names_that_are_no_patterns_and_no_secret(client: Installation, tmp_path: Path) -> None:
    request = request_from(
        params(schemas=["public", 'Bill*"ing'], exclude_table_data=["public.log.2026"], login_password="secret")
    )
    assert dump_argv(request, Plan(client, "gzip"), "0001-1") == [
        str(tmp_path / "pg_dump"),
        "--format=custom",
        "--compress=gzip",
        "--snapshot=0001-1",
        "--no-password",
        "--lock-wait-timeout=60000",
        "--blobs",
        '--schema="public"',
        '--schema="Bill*""ing"',
        '--exclude-table-data="public"."log.2026"',
    ]


def test_a_directory_is_written_by_pg_dump_itself(client: Installation, tmp_path: Path) -> None:
    request = request_from(params(format="directory", jobs=4))
    assert dump_argv(request, Plan(client, "none"), "1", tmp_path)[-2:] == ["--jobs=4", f"--file={tmp_path}"]


def test_sql_for_the_program_zstd_leaves_pg_dump_as_it_is(client: Installation) -> None:
    request = request_from(params(format="plain", name_pattern="shop-%Y%m%d.sql.zst"))
    assert "--compress=0" in dump_argv(request, Plan(client, "zstd", ("zstd",)), "1")


@pytest.mark.parametrize(
    ("database", "argument"),
    [
        ("shop", "--database=dbname='shop'"),
        ("shop=1 host=evil", "--database=dbname='shop=1 host=evil'"),
        ("it's\\", "--database=dbname='it\\'s\\\\'"),
    ],
)
def test_a_database_may_be_called_anything(client: Installation, database: str, argument: str) -> None:
    argv = globals_argv(client, database, passwords=False)
    assert argv[-2:] == [argument, "--no-role-passwords"]
    assert "--no-role-passwords" not in globals_argv(client, database, passwords=True)


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        pytest.param((1000, 800, True, None), 400, id="compressed"),
        pytest.param((1000, 800, False, None), 1200, id="as text"),
        pytest.param((1000, 0, True, None), 500, id="never analysed"),
        pytest.param((1000, 800, True, 100), 125, id="like the last one"),
    ],
)
def test_how_large_it_will_be(figures: tuple[int, int, bool, int | None], expected: int) -> None:
    database, heap, compressed, last = figures
    assert expected_bytes(database, heap, compressed=compressed, last_bytes=last) == expected


def test_a_place_that_is_too_small_is_refused() -> None:
    check_room("/b", 100, 100, 0)
    check_room("/b", None, 100, 0)
    with pytest.raises(Refused) as told:
        check_room("/b", 100, 100, 1)
    assert told.value.message == (
        "/b has 100 bytes free. The backup needs about 100, and 1 are to stay free (min_free_bytes). Nothing was "
        "touched. Make room, or name another repository."
    )


@pytest.mark.parametrize(
    ("selection", "missing"),
    [
        (Selection(schemas=("public", "gone")), [("schemas", "gone")]),
        (Selection(exclude_schemas=("gone",)), [("exclude_schemas", "gone")]),
        (Selection(exclude_table_data=(("public", "a"), ("public", "b"))), [("exclude_table_data", "public.b")]),
    ],
)
def test_names_that_are_not_there_are_found(selection: Selection, missing: list[tuple[str, str]]) -> None:
    assert selection.missing(["public"], [("public", "a")]) == missing


def test_rows_that_are_not_dumped_are_not_in_the_census() -> None:
    census = Census(
        database={},
        server={},
        taken_at="",
        tables={
            "public.m": {"kind": "partitioned table", "rows": 5, "digest": "0000000000000004"},
            "public.m1": {"kind": "partition", "rows": 2, "digest": "ffffffffffffffff", "root": "public.m"},
            "public.m2": {"kind": "partition", "rows": 3, "digest": "0000000000000005", "root": "public.m"},
        },
        watermarks={"public.m1.at": "2026", "public.m2.at": "2026"},
    )
    found = selected(census, Selection(exclude_table_data=(("public", "m2"),)))
    assert found.tables["public.m"]["rows"] == 2
    assert found.tables["public.m"]["digest"] == "ffffffffffffffff"
    assert found.tables["public.m2"] == {
        "kind": "partition",
        "rows": 0,
        "digest": "0000000000000000",
        "root": "public.m",
    }
    assert dict(found.watermarks) == {"public.m1.at": "2026"}
    assert selected(census, Selection()) is census


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "pg_dump: error: query failed: ERROR:  canceling statement due to lock timeout\npg_dump: detail: Query was",
            "pg_dump failed with status 1: said. Nothing was published. Another session holds a lock that excludes "
            "reading. Find it, or raise lock_timeout.",
        ),
        (
            "ERROR:  canceling statement due to conflict with recovery",
            "pg_dump failed with status 1: said. Nothing was published. The standby had to go on with its recovery. "
            "Set hot_standby_feedback=on or raise max_standby_streaming_delay there, or dump the primary.",
        ),
        (
            "something else",
            "pg_dump failed with status 1: said. Nothing was published. Correct the cause, and run the task again.",
        ),
    ],
)
def test_a_failure_says_what_to_do_next(words: str, message: str) -> None:
    error = ChildFailed("pg_dump failed with status 1: said", code=1, words=words)
    assert explained(error).message == message


def test_warnings_of_a_dump_that_succeeded_are_told() -> None:
    words = (
        "pg_dump: warning: there are circular foreign-key constraints on this table:\n"
        "pg_dump: detail: nodes\n"
        "pg_dump: hint: You might not be able to restore the dump\n"
    )
    assert warnings_of(words) == ["pg_dump: warning: there are circular foreign-key constraints on this table:"]
