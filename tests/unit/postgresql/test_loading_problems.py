"""What a refusal means, and whose fault it is."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.model import LoadProblem
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.problems import (
    Problems,
    problem_of_program,
    problem_of_statement,
)


@pytest.mark.parametrize(
    ("sqlstate", "message", "code"),
    [
        ("42704", 'role "clerk" does not exist', "role_missing"),
        ("42704", 'type "public.geometry" does not exist', "missing"),
        (
            "58P01",
            'could not open extension control file "/usr/share/postgresql/15/extension/x.control": No such file',
            "extension_missing",
        ),
        ("58P01", 'could not access file "$libdir/postgis-3": No such file or directory', "extension_missing"),
        ("42P07", 'relation "t" already exists', "exists"),
        ("42501", "permission denied for schema public", "permission"),
        ("42601", 'syntax error at or near ","', "syntax"),
        ("22021", 'invalid byte sequence for encoding "UTF8": 0xff', "encoding_mismatch"),
        (
            "22P05",
            'character with byte sequence 0xea 0xb0 0x80 in encoding "UTF8" has no equivalent',
            "encoding_mismatch",
        ),
        ("22P02", 'invalid input syntax for type integer: "x"', "rejected"),
        ("23503", "insert or update on table violates foreign key constraint", "rejected"),
        ("53100", 'could not extend file "base/5/16384": No space left on device', "no_space"),
        ("58030", "could not write to file: No space left on device", "no_space"),
        ("53200", "out of memory", "no_memory"),
        ("57P01", "terminating connection due to administrator command", "lost"),
        (None, "server closed the connection unexpectedly", "lost"),
        ("XX000", "something new", "rejected"),
    ],
)
def test_statements(sqlstate: str | None, message: str, code: str) -> None:
    assert problem_of_statement(sqlstate, message, "TABLE public.t") == LoadProblem(
        code, "TABLE public.t", message, sqlstate
    )


def test_an_extension_that_is_not_available() -> None:
    found = problem_of_statement("0A000", 'extension "x" is not available', "EXTENSION x", is_extension=True)
    assert found.code == "extension_missing"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("pg_restore: error: unsupported version (1.16) in file header", "client_too_old"),
        ("pg_restore: error: could not read from input file: end of file", "decode_truncated"),
        ("pg_restore: error: could not uncompress data: invalid distance too far back", "decode_failed"),
        ("pg_restore: error: did not find magic string in file header", "decode_failed"),
        ("pg_restore: error: this build does not support compression with ZSTD", "client_too_old"),
    ],
)
def test_programs(words: str, code: str) -> None:
    assert problem_of_program(words, "custom archive").code == code


def test_problems_that_speak_against_the_backup() -> None:
    bad = LoadProblem("marker_missing", "TABLE DATA public.t", "it is cut off").error()
    assert isinstance(bad, Damaged)
    assert bad.message == "TABLE DATA public.t: it is cut off"
    assert bad.details == {"code": "marker_missing", "object": "TABLE DATA public.t"}
    assert isinstance(LoadProblem("role_missing", "", "x").error(), Undecided)


def test_collecting() -> None:
    problems = Problems(stops=False)
    for name in ("a", "b", "c"):
        problems.add(LoadProblem("role_missing", f"TABLE {name}", 'role "clerk" does not exist'))
    problems.add(LoadProblem("rejected", "", "current transaction is aborted", "25P02"))
    problems.add(LoadProblem("exists", "TABLE d", "d exists"))
    assert [(each.object, each.message) for each in problems.all()] == [
        ("TABLE a", 'role "clerk" does not exist (3 times)'),
        ("TABLE d", "d exists"),
    ]
    with pytest.raises(Undecided, match="gone"):
        problems.add(LoadProblem("lost", "", "gone"))


def test_stopping_at_the_first() -> None:
    with pytest.raises(Undecided, match=r"TABLE a: no role"):
        Problems(stops=True).add(LoadProblem("role_missing", "TABLE a", "no role"))
