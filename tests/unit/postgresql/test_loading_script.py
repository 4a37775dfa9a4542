"""SQL scripts, cut into statements, rows and commands as psql does it, wherever the chunks of the stream end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.script import (
    Command,
    Copy,
    Remark,
    Script,
    Statement,
)

TOC = b"--\n-- Name: %s; Type: %s; Schema: public; Owner: shop\n--\n\n"
FAKE = b"--\n-- Name: fake; Type: TABLE; Schema: public; Owner: nobody\n--\n"


def chunked(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def read(data: bytes, size: int = 1 << 20) -> list[tuple[str, bytes, str | None]]:
    """Every event as (kind, text, entry), the rows of COPY as an event of their own; remarks left out."""
    found = []
    for event in Script(chunked(data, size)).events():
        if isinstance(event, Remark):
            continue
        entry = getattr(event, "entry", None)
        found.append((type(event).__name__, event.text, None if entry is None else str(entry)))
        if isinstance(event, Copy):
            pieces = list(event.rows)
            assert all(piece.endswith(b"\n") for piece in pieces)
            found.append(("rows", b"".join(pieces), None))
    return found


STATEMENTS = {
    "two": (b"SELECT 1; SELECT 2;\n", [b"SELECT 1;", b"SELECT 2;"]),
    "string": (b"SELECT 'a;b', 'it''s;';\nSELECT 2;", [b"SELECT 'a;b', 'it''s;';", b"SELECT 2;"]),
    "backslash in a string": (b"SELECT 'C:\\';SELECT 2;", [b"SELECT 'C:\\';", b"SELECT 2;"]),
    "escape string": (b"SELECT E'it\\'s;';SELECT 2;", [b"SELECT E'it\\'s;';", b"SELECT 2;"]),
    "escape string with a doubled quote": (
        b"SELECT E'a''b\\'c;', e'\\\\';SELECT 2;",
        [b"SELECT E'a''b\\'c;', e'\\\\';", b"SELECT 2;"],
    ),
    "type name that ends with e": (b"SELECT date'\\';SELECT 2;", [b"SELECT date'\\';", b"SELECT 2;"]),
    "old strings": (
        b"SET standard_conforming_strings = off;SELECT 'it\\'s;';SELECT 2;",
        [b"SET standard_conforming_strings = off;", b"SELECT 'it\\'s;';", b"SELECT 2;"],
    ),
    "name": (b'SELECT ";" AS "a""b;";SELECT 2;', [b'SELECT ";" AS "a""b;";', b"SELECT 2;"]),
    "dollars": (
        b"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $_$ SELECT 1; $$;$$ $_$;SELECT 2;",
        [b"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $_$ SELECT 1; $$;$$ $_$;", b"SELECT 2;"],
    ),
    "dollars in names and parameters": (
        b"SELECT a$b, $1, a$x$ FROM c;SELECT 2;",
        [b"SELECT a$b, $1, a$x$ FROM c;", b"SELECT 2;"],
    ),
    "tag that is no letter": ("DO $ä$ ; $ä$;SELECT 2;".encode(), ["DO $ä$ ; $ä$;".encode(), b"SELECT 2;"]),
    "line comment": (b"SELECT 1 -- not; 'here\n;SELECT 2;", [b"SELECT 1 -- not; 'here\n;", b"SELECT 2;"]),
    "nested comment": (b"SELECT 1 /* a /* b; */ ' */;SELECT 2;", [b"SELECT 1 /* a /* b; */ ' */;", b"SELECT 2;"]),
    "comment between": (b"/* a; /* b */ */ SELECT 1;-- c;\nSELECT 2;", [b"SELECT 1;", b"SELECT 2;"]),
    "rule": (
        b"CREATE RULE r AS ON INSERT TO v DO INSTEAD (INSERT INTO a VALUES (1); DELETE FROM b;);SELECT 2;",
        [
            b"CREATE RULE r AS ON INSERT TO v DO INSTEAD (INSERT INTO a VALUES (1); DELETE FROM b;);",
            b"SELECT 2;",
        ],
    ),
    "body of SQL": (
        b"CREATE OR REPLACE FUNCTION f(a int) RETURNS int LANGUAGE sql\nBEGIN ATOMIC\n SELECT CASE WHEN a > 1 THEN 1\n"
        b' ELSE 2 END AS "end";\n SELECT begin_at, the_end FROM t;\nEND;\nSELECT 2;',
        [
            b"CREATE OR REPLACE FUNCTION f(a int) RETURNS int LANGUAGE sql\nBEGIN ATOMIC\n SELECT CASE WHEN a > 1 "
            b'THEN 1\n ELSE 2 END AS "end";\n SELECT begin_at, the_end FROM t;\nEND;',
            b"SELECT 2;",
        ],
    ),
    "transaction": (b"BEGIN;\nCOMMIT;", [b"BEGIN;", b"COMMIT;"]),
    "carriage returns": (b"SELECT 1;\r\n-- x\r\nSELECT 2;\r\n", [b"SELECT 1;", b"SELECT 2;"]),
    "byte order mark": (b"\xef\xbb\xbfSELECT 1;", [b"SELECT 1;"]),
}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 4096])
@pytest.mark.parametrize("name", STATEMENTS)
def test_statements(name: str, size: int) -> None:
    data, expected = STATEMENTS[name]
    assert [text for _kind, text, _entry in read(data, size)] == expected


ROWS = {
    "plain": (b"1\ta\n2\tb\n", b"\\.\n"),
    "none": (b"", b"\\.\n"),
    "looks like the end": (b"a\\.\n\\\\.\n\\.b\n \\.\nx\t\\.\n", b"\\.\n"),
    "looks like SQL": (b"; DROP TABLE t; --\n'\n$$\n\\\\connect x\n/*\n" + FAKE + b"COPY t FROM stdin;\n", b"\\.\n"),
    "looks complete": (b"--\n-- PostgreSQL database dump complete\n--\n", b"\\.\n"),
    "carriage returns": (b"1\ta\r\n2\tb\r\n", b"\\.\r\n"),
    "long row": (b"x" * 5000 + b"\n" + b"y" * 5000 + b"\\\\.\n", b"\\.\n"),
    "other encoding": ("가\t나\n".encode("euc-kr") + b"\x83\x5c\n", b"\\.\n"),
}


@pytest.mark.parametrize("size", [1, 2, 3, 5, 4096])
@pytest.mark.parametrize("name", ROWS)
def test_rows(name: str, size: int) -> None:
    rows, end = ROWS[name]
    line = b"\r\n" if b"\r" in end else b"\n"
    data = TOC % (b"t", b"TABLE DATA") + b"COPY public.t (a, b) FROM stdin;" + line + rows + end + b"SELECT 2;"
    assert read(data, size) == [
        ("Copy", b"COPY public.t (a, b) FROM stdin;", "TABLE DATA public.t"),
        ("rows", rows, None),
        ("Statement", b"SELECT 2;", "TABLE DATA public.t"),
    ]


@pytest.mark.parametrize("size", [1, 3, 4096])
def test_entries_are_taken_from_real_comments_only(size: int) -> None:
    body = b"CREATE FUNCTION public.f() RETURNS text LANGUAGE sql AS $$\n" + FAKE + b"SELECT ';' $$;"
    comment = b"COMMENT ON FUNCTION public.f() IS '\n" + FAKE + b"';"
    data = TOC % (b"f()", b"FUNCTION") + body + b"\n\n\n" + TOC % (b"FUNCTION f()", b"COMMENT") + comment
    assert read(data, size) == [
        ("Statement", body, "FUNCTION public.f()"),
        ("Statement", comment, "COMMENT public.FUNCTION f()"),
    ]


@pytest.mark.parametrize("size", [1, 3, 4096])
def test_commands_of_psql(size: int) -> None:
    data = b"\\restrict abc\n\nSELECT 1;\n\\connect -reuse-previous=on \"dbname='a;b'\"\nSELECT 2;\n\\unrestrict abc\n"
    assert read(data, size) == [
        ("Command", b"\\restrict abc", None),
        ("Statement", b"SELECT 1;", None),
        ("Command", b"\\connect -reuse-previous=on \"dbname='a;b'\"", None),
        ("Statement", b"SELECT 2;", None),
        ("Command", b"\\unrestrict abc", None),
    ]


@pytest.mark.parametrize("size", [1, 4096])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"COPY public.t FROM stdin;\n1\n2\n", "the dump is cut off in the middle of its rows"),
        (b"COPY public.t FROM stdin;\n1\n\\.", "the dump is cut off in the middle of its rows"),
        (b"CREATE TABLE t (a", "the dump is cut off in the middle of a statement"),
        (b"SELECT 'a;", "the dump is cut off in the middle of a statement"),
        (b"SELECT $x$ a; $$;", "the dump is cut off in the middle of a statement"),
        (b"SELECT 1 /* a;", "the dump is cut off in the middle of a statement"),
    ],
    ids=["rows", "end of rows", "statement", "string", "dollars", "comment"],
)
def test_cut_off(data: bytes, message: str, size: int) -> None:
    with pytest.raises(Damaged) as caught:
        read(TOC % (b"t", b"TABLE DATA") + data, size)
    assert caught.value.message == message
    assert caught.value.details == {"code": "marker_missing", "object": "TABLE DATA public.t"}


def test_events_are_told_apart() -> None:
    kinds = [type(event) for event in Script(iter([b"-- x\nSELECT 1;\n\\restrict a\n"])).events()]
    assert kinds == [Remark, Statement, Command]
