"""One statement, and where its parameters are: what the driver is given, and what is refused."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.query.statement import (
    StatementError,
    parse_query,
)


@pytest.mark.parametrize(
    ("statement", "text", "placeholders"),
    [
        pytest.param("SELECT 1", "SELECT 1", set(), id="plain"),
        pytest.param("  select 1 ; ", "select 1", set(), id="closing semicolon"),
        pytest.param("SELECT 1;; -- done\n /* really */ ;", "SELECT 1", set(), id="several ends and comments"),
        pytest.param("-- why\nSELECT 1", "-- why\nSELECT 1", set(), id="comment first"),
        pytest.param("/* a /* nested */ ; */ SELECT 1", "/* a /* nested */ ; */ SELECT 1", set(), id="nested comment"),
        pytest.param("((SELECT 1) UNION SELECT 2)", "((SELECT 1) UNION SELECT 2)", set(), id="parentheses"),
        pytest.param("WITH a AS (SELECT 1) TABLE a", "WITH a AS (SELECT 1) TABLE a", set(), id="with"),
        pytest.param("values (1)", "values (1)", set(), id="values"),
        pytest.param("TABLE a", "TABLE a", set(), id="table"),
        pytest.param("SELECT ';'", "SELECT ';'", set(), id="semicolon in a string"),
        pytest.param("SELECT 'it''s; so'", "SELECT 'it''s; so'", set(), id="doubled quote"),
        pytest.param("SELECT E'it\\'s; so'", "SELECT E'it\\'s; so'", set(), id="escaped quote"),
        pytest.param("SELECT 'a\\'", "SELECT 'a\\'", set(), id="a backslash escapes nothing in a plain string"),
        pytest.param("SELECT type'a\\'", "SELECT type'a\\'", set(), id="the e of a name is no prefix"),
        pytest.param('SELECT "a;""b"', 'SELECT "a;""b"', set(), id="quoted identifier"),
        pytest.param("SELECT $$;$$", "SELECT $$;$$", set(), id="dollar quotes"),
        pytest.param("SELECT $a$;$b$;$a$", "SELECT $a$;$b$;$a$", set(), id="tagged dollar quotes"),
        pytest.param("SELECT a$b$c, d$b$e", "SELECT a$b$c, d$b$e", set(), id="dollar signs in names"),
        pytest.param("SELECT %(a)s, %(b)s, %(a)s", "SELECT %(a)s, %(b)s, %(a)s", {"a", "b"}, id="placeholders"),
        pytest.param("SELECT 7 % 4", "SELECT 7 %% 4", set(), id="modulo"),
        pytest.param("SELECT x LIKE 'a%'", "SELECT x LIKE 'a%%'", set(), id="pattern"),
        pytest.param("SELECT 1 -- 50 %(x)s", "SELECT 1", set(), id="placeholder in the last comment"),
        pytest.param("SELECT /* %(x)s */ 1", "SELECT /* %%(x)s */ 1", set(), id="placeholder in a comment"),
        pytest.param("SELECT a %size FROM t", "SELECT a %%size FROM t", set(), id="modulo without blanks"),
    ],
)
def test_accepted(statement: str, text: str, placeholders: set[str]) -> None:
    parsed = parse_query(statement)
    assert parsed.text == text
    assert parsed.placeholders == placeholders


SEVERAL = "consists of several statements. Make each of them a query of its own"
BEGINS = ". A query begins with SELECT, WITH, VALUES or TABLE"


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        pytest.param("", "is empty" + BEGINS, id="empty"),
        pytest.param(" ; -- nothing", "is empty" + BEGINS, id="only a comment"),
        pytest.param("SELECT 1; SELECT 2", SEVERAL, id="two"),
        pytest.param("SELECT 1; COMMIT; DROP TABLE a", SEVERAL, id="out of the transaction"),
        pytest.param("SELECT 1 /* ; */; DELETE FROM a", SEVERAL, id="after a comment"),
        pytest.param("SELECT 'a\\'; DROP TABLE b; --'", SEVERAL, id="a backslash hides no statement"),
        pytest.param("SELECT $a$ $b$; $a$; DROP TABLE c", SEVERAL, id="after dollar quotes"),
        pytest.param("SELECT 1 -- \n; DROP TABLE d", SEVERAL, id="after a line comment"),
        pytest.param("DELETE FROM a", "begins with DELETE" + BEGINS, id="delete"),
        pytest.param("copy a TO PROGRAM 'x'", "begins with COPY" + BEGINS, id="copy"),
        pytest.param("SET a = 1", "begins with SET" + BEGINS, id="set"),
        pytest.param("EXPLAIN ANALYZE DELETE FROM a", "begins with EXPLAIN" + BEGINS, id="explain"),
        pytest.param("SELECT 'a", "has a string that does not end", id="open string"),
        pytest.param("SELECT E'a\\'", "has a string that does not end", id="open escape string"),
        pytest.param('SELECT "a', "has a quoted identifier that does not end", id="open identifier"),
        pytest.param("SELECT $x$ a", "has a dollar-quoted string that does not end", id="open dollar quotes"),
        pytest.param("SELECT /* /* */ 1", "has a comment that does not end", id="open comment"),
        pytest.param(
            "SELECT '%(a)s'",
            "has a placeholder in quotes. Write %(name)s without quotes; the driver adds them",
            id="quoted placeholder",
        ),
        pytest.param("SELECT %s", "has a placeholder without a name. Write %(name)s", id="positional placeholder"),
        pytest.param("SELECT 1\0", "contains a NUL character", id="nul"),
    ],
)
def test_refused(statement: str, reason: str) -> None:
    with pytest.raises(StatementError) as caught:
        parse_query(statement)
    assert str(caught.value) == reason
