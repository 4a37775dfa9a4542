"""Names and marks of databases while one is restored, and the roles in a file of globals."""

from __future__ import annotations

import datetime as dt

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.globals import (
    Globals,
    Membership,
    parse_globals,
    statements,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.names import (
    Mark,
    is_named,
    joined_comment,
    named,
    split_comment,
)

MOMENT = dt.datetime(2026, 1, 31, 9, 15, tzinfo=dt.timezone(dt.timedelta(hours=9)))
MARK = Mark("restored", "shop", "shop-20260131.dump", "ab" * 32, "2026-01-31T00:15:00Z")
LINE = (
    '[runbook.ops] {"state": "restored", "database": "shop", "artefact": "shop-20260131.dump", '
    f'"key": "{"ab" * 32}", "at": "2026-01-31T00:15:00Z"}}'
)


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        pytest.param("shop", "shop_restore_20260131t001500z", id="usual"),
        pytest.param("x" * 63, "x" * 38 + "_restore_20260131t001500z", id="too long"),
        pytest.param("ü" * 31, "ü" * 19 + "_restore_20260131t001500z", id="cut at a character's border"),
    ],
)
def test_name_beside(database: str, expected: str) -> None:
    name = named(database, "restore", MOMENT)
    assert name == expected
    assert len(name.encode()) <= 63
    assert is_named(name, database, "restore")


@pytest.mark.parametrize(
    ("name", "database", "expected"),
    [
        pytest.param("shop_restore_20260131t001500z", "shop", True, id="ours"),
        pytest.param("shop_restore_20260131t001500z", "sho", False, id="of another database"),
        pytest.param("shop_restore_20260131", "shop", False, id="somebody's own"),
        pytest.param("shop_before_20260131t001500z", "shop", False, id="a former one"),
        pytest.param("shop", "shop", False, id="the database itself"),
        pytest.param("a_restore_20260131t001500z_restore_20260131t001500z", "a", False, id="beside one beside"),
    ],
)
def test_whose_name(name: str, database: str, expected: bool) -> None:
    assert is_named(name, database, "restore") is expected


@pytest.mark.parametrize(
    ("comment", "own", "mark"),
    [
        pytest.param(None, None, None, id="none"),
        pytest.param("the shop", "the shop", None, id="people's"),
        pytest.param(LINE, None, MARK, id="ours"),
        pytest.param(f"the shop\nof Seoul\n{LINE}", "the shop\nof Seoul", MARK, id="both"),
        pytest.param(f"{LINE}\nthe shop", f"{LINE}\nthe shop", None, id="written below ours"),
        pytest.param("[runbook.ops] {", "[runbook.ops] {", None, id="cut off"),
        pytest.param('[runbook.ops] {"state": "restored"}', '[runbook.ops] {"state": "restored"}', None, id="less"),
        pytest.param(LINE.replace("restored", "odd"), None, None, id="a state that nobody knows"),
    ],
)
def test_comments(comment: str | None, own: str | None, mark: Mark | None) -> None:
    assert split_comment(comment) == (own, mark)
    if mark is not None:
        assert joined_comment(own, mark) == comment


GLOBALS = r"""--
-- PostgreSQL database cluster dump
--

\restrict AJE0W7MMg3J;x'

SET standard_conforming_strings = on;

CREATE ROLE "Odd; ""of"" Name";
ALTER ROLE "Odd; ""of"" Name" WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB NOLOGIN NOREPLICATION NOBYPASSRLS;
CREATE ROLE app;
ALTER ROLE app WITH NOSUPERUSER LOGIN PASSWORD 'SCRAM-SHA-256$4096:a; SUPERUSER' VALID UNTIL '2030-01-01 00:00:00+00';
COMMENT ON ROLE app IS 'line one;
-- no comment
it''s line three';

ALTER ROLE app SET search_path TO 'a', '$user';
ALTER ROLE other SET work_mem TO '5MB';

GRANT "Odd; ""of"" Name" TO app WITH ADMIN OPTION, INHERIT TRUE GRANTED BY postgres;
GRANT pg_read_all_data TO app;
GRANT app TO postgres;
GRANT SET ON PARAMETER log_min_messages TO app;

CREATE TABLESPACE ts OWNER postgres LOCATION '/srv/ts';

\unrestrict AJE0W7MMg3J

-- PostgreSQL database cluster dump complete
"""


def parsed() -> Globals:
    return parse_globals(GLOBALS.encode())


def test_roles_of_globals() -> None:
    found = parsed()
    assert found.is_complete
    assert list(found.roles) == ['Odd; "of" Name', "app"]
    assert found.roles["app"] == [
        "CREATE ROLE app",
        "ALTER ROLE app WITH NOSUPERUSER LOGIN PASSWORD 'SCRAM-SHA-256$4096:a; SUPERUSER' "
        "VALID UNTIL '2030-01-01 00:00:00+00'",
        "COMMENT ON ROLE app IS 'line one;\n-- no comment\nit''s line three'",
        "ALTER ROLE app SET search_path TO 'a', '$user'",
    ]
    assert found.attributes("app") == ["LOGIN"]


def test_memberships_of_globals() -> None:
    found = parsed()
    assert found.memberships_of(["app"]) == [
        Membership('Odd; "of" Name', "app", " WITH ADMIN OPTION, INHERIT TRUE", "postgres"),
        Membership("pg_read_all_data", "app", ""),
    ]
    first = found.memberships[0]
    words = 'GRANT "Odd; ""of"" Name" TO "app" WITH ADMIN OPTION, INHERIT TRUE'
    assert first.statement({"postgres"}) == f'{words} GRANTED BY "postgres"'
    assert first.statement({"admin"}) == words


def test_cut_off_globals() -> None:
    assert not parse_globals(GLOBALS.encode()[:-50]).is_complete


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("SELECT 1", ["SELECT 1"], id="without an end"),
        pytest.param("SELECT E'it\\';s'; SELECT 2;", ["SELECT E'it\\';s'", "SELECT 2"], id="escapes"),
        pytest.param("SELECT 'a\\';SELECT 2;", ["SELECT 'a\\'", "SELECT 2"], id="a backslash is a character"),
        pytest.param('SELECT "a;b";', ['SELECT "a;b"'], id="a name"),
        pytest.param("-- a; b\n;\n", [], id="nothing"),
    ],
)
def test_statements(text: str, expected: list[str]) -> None:
    assert list(statements(text)) == expected
