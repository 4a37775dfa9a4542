"""No literal of a statement gets into a report, however the statement is cut or quoted."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.statement_text import without_literals


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (None, None),
        ("", ""),
        ("SELECT 1", "SELECT ?"),
        ("SELECT * FROM t WHERE id = 42 AND v = 1.5e-3", "SELECT * FROM t WHERE id = ? AND v = ?"),
        ("SELECT t1.c2 FROM t1", "SELECT t1.c2 FROM t1"),
        ("SELECT '한글' || 'it''s'", "SELECT ? || ?"),
        ("ALTER ROLE app PASSWORD 'geheim'", "ALTER ROLE app PASSWORD ?"),
        ("SELECT E'a\\'secret' , 2", "SELECT ? , ?"),
        ("SELECT U&'d\\0061t' , B'101', x'1F', N'n'", "SELECT ? , ?, ?, ?"),
        ("SELECT $$secret ' \" $$, $tag$ a $$ b $tag$", "SELECT ?, ?"),
        ("SELECT $1, $2", "SELECT $1, $2"),
        ('SELECT "O\'Neil 1" FROM "T 2"', 'SELECT "O\'Neil 1" FROM "T 2"'),
        ("SELECT 1 -- password is secret\n FROM t", "SELECT ? FROM t"),
        ("SELECT /* user=kim */ a\n\tFROM   t", "SELECT a FROM t"),
        ("SELECT a/* one /* two */ secret */FROM t", "SELECT a FROM t"),
        ("SELECT a -- secret", "SELECT a"),
        ("SELECT 0xDEADBEEF, 0b101, 1_000_000, .5", "SELECT ?, ?, ?, ?"),
        # Cut by track_activity_query_size in the middle of a literal, a comment, a dollar quote.
        ("INSERT INTO t VALUES ('secret that goes", "INSERT INTO t VALUES (?"),
        ("INSERT INTO t VALUES ($x$secret that", "INSERT INTO t VALUES (?"),
        ("SELECT a /* secret", "SELECT a"),
        ("SELECT E'sec\\'ret", "SELECT ?"),
        ("COPY t FROM PROGRAM 'curl -u me:pw'", "COPY t FROM PROGRAM ?"),
        # With standard_conforming_strings off the quote after a backslash does not end the text.
        ("SELECT 'it\\'s secret', b", "SELECT ? …"),
        ("SELECT x - 1 FROM t LIMIT 10;", "SELECT x - ? FROM t LIMIT ?;"),
        ("SELECT a->>'key', b::jsonb @> '{\"ssn\": 1}'", "SELECT a->>?, b::jsonb @> ?"),
    ],
)
def test_literals_go(statement: str | None, expected: str | None) -> None:
    assert without_literals(statement) == expected


def test_long_statements_are_cut_after_the_literals_are_gone() -> None:
    statement = "SELECT " + ", ".join(f"'secret {number}'" for number in range(1000))
    shown = without_literals(statement, limit=40)
    assert shown is not None
    assert len(shown) == 40
    assert shown.endswith("…")
    assert "secret" not in shown


def test_a_megabyte_takes_no_time() -> None:
    """Linear, not quadratic: a pathological statement must not stop the check."""
    assert without_literals("SELECT " + "'" * 1_000_001) is not None
    assert without_literals("/*" * 500_000) == ""
    assert without_literals("$a" * 300_000, limit=10) is not None
    assert without_literals(" " * 1_000_000) == ""
    assert without_literals("/* */" * 200_000) == ""
