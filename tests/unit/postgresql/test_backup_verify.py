"""What proving a backup concludes: case tables over the pure code."""

from __future__ import annotations

import datetime as dt
import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
import yaml

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.inspect import EMPTY, NO_MARKER
from ansible_collections.runbook.ops.plugins.module_utils.backup.model import Entry, Listing
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import NamingRule
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.choose import Chosen, chosen_of
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.consistency import holds, single_value
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.decode import code_of
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.findings import Report
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.known import due_parts
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import ACCEPTABLE, LEVEL_OF, LEVELS
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.reading import head_of, version_num
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.remedies import REMEDIES
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.request import (
    Assertion,
    Request,
    request_from,
    verify_argument_spec,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.roles import missing_roles, roles_in
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.semantics import split_name
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.subject import Subject
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.target import fitting
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.telling import artefact_facts, whole_result
from ansible_collections.runbook.ops.plugins.modules import postgresql_backup_verify

NOW = dt.datetime(2026, 1, 31, 12, 0, tzinfo=dt.timezone.utc)
RULE = NamingRule("shop-%Y%m%d.dump", ZoneInfo("UTC"))


def options(**given: Any) -> dict[str, Any]:
    defaults = {name: spec.get("default") for name, spec in verify_argument_spec().items()}
    return {**defaults, "repository": "/backups", "name_pattern": "shop-%Y%m%d.dump", **given}


def request(**given: Any) -> Request:
    return request_from(options(**given))


# --- findings


def report(wanted: str = "semantics", **more: Any) -> Report:
    return Report(wanted, **more)


def test_a_level_counts_only_when_everything_before_it_holds() -> None:
    seen = report()
    for level in LEVELS[:5]:
        seen.passed(level)
    assert (seen.verdict, seen.level, seen.reason) == ("verified", "semantics", None)
    seen.undecided("no_space", "there is too little room.", object_="disk")
    assert (seen.verdict, seen.level) == ("error", "decode")
    seen.failed("marker_missing", "it is cut off")
    assert (seen.verdict, seen.level) == ("failed", "bytes")
    assert seen.reason == "decode: it is cut off (and 1 more findings)"
    assert [each["code"] for each in seen.told()] == ["marker_missing", "no_space"]
    assert seen.told()[1]["message"] == "there is too little room"


def test_what_has_nothing_to_look_at_is_no_proof() -> None:
    seen = report("restore")
    seen.passed("fresh")
    seen.skipped("bytes", "nobody noted it")
    assert (seen.verdict, seen.level) == ("error", "fresh")
    seen.passed("decode")
    seen.passed("restore")
    assert (seen.verdict, seen.level) == ("verified", "restore")


def test_what_bad_bytes_led_to_is_forgotten() -> None:
    seen = report()
    seen.passed("fresh")
    seen.passed("restore")
    seen.failed("row_count_mismatch", "it has 3 rows", object_="public.orders")
    seen.failed("decode_failed", "the checksum does not match")
    seen.forget_from("decode")
    assert (seen.findings, [each["level"] for each in seen.seen.levels]) == ([], ["fresh"])


def test_a_good_backup_does_not_become_a_bad_one_by_growing_old() -> None:
    seen = report("bytes")
    seen.failed("stale", "it was taken long ago")
    seen.passed("bytes")
    assert (seen.verdict, seen.level) == ("failed", None)
    ageless = seen.of_the_artefact()
    assert (ageless.verdict, ageless.level) == ("verified", "bytes")


@pytest.mark.parametrize(
    ("accept", "outcome"),
    [
        pytest.param((), "failed", id="nothing"),
        pytest.param(("structure_regression",), "noted", id="code"),
        pytest.param(("structure_regression:public.old_*",), "noted", id="object"),
        pytest.param(("structure_regression:billing.*",), "failed", id="another-object"),
        pytest.param(("volume_regression",), "failed", id="another-code"),
    ],
)
def test_what_is_known_can_be_accepted(accept: tuple[str, ...], outcome: str) -> None:
    seen = report(accept=accept)
    seen.failed("structure_regression", "it is gone", object_="public.old_orders")
    assert [each.outcome for each in seen.findings] == [outcome]
    assert seen.is_clean("semantics") == (outcome == "noted")


def test_of_one_code_not_more_is_told_than_a_person_reads() -> None:
    seen = report()
    for number in range(100):
        seen.failed("row_count_mismatch", f"table {number}", object_=f"public.t{number}")
    seen.failed("restore_failed", "it is rejected")
    assert [each["code"] for each in seen.told()] == ["restore_failed", *["row_count_mismatch"] * 25]
    assert seen.reason == "restore: it is rejected (and 100 more findings)"


def test_every_code_has_a_remedy_and_is_documented() -> None:
    assert set(LEVEL_OF) == set(REMEDIES)
    assert set(LEVEL_OF) >= ACCEPTABLE
    documented = " ".join(
        yaml.safe_load(postgresql_backup_verify.RETURN)["findings"]["contains"]["code"]["description"]
    )
    assert sorted(code for code in LEVEL_OF if f"V({code})" not in documented) == []


# --- options


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param(
            {"name_pattern": None},
            "name_pattern: '' is not accepted. Accepted: the naming rule of the repository, unless name is given.",
            id="no-name",
        ),
        pytest.param({"count": 0}, "count: 0 is not accepted. Accepted: 1 to 10000.", id="count"),
        pytest.param(
            {"max_age": "soon"},
            "max_age: 'soon' is not accepted. Accepted: a whole number of seconds, or amounts with w, d, h, m, s, "
            "largest first, such as 1h30m or 7d.",
            id="age",
        ),
        pytest.param(
            {"watermarks": ["orders.created_at"]},
            "watermarks: 'orders.created_at' is not accepted. Accepted: schema.table.column, such as "
            "public.orders.created_at.",
            id="watermark",
        ),
        pytest.param(
            {"minimum": {"required_tables": ["orders"]}},
            "minimum.required_tables: 'orders' is not accepted. Accepted: schema.table, such as public.orders.",
            id="required-table",
        ),
        pytest.param(
            {"volume_percent": 0.0},
            "volume_percent: 0.0 is not accepted. Accepted: a number above 0, up to 100.",
            id="percent",
        ),
        pytest.param(
            {"assertions": [{"name": "rows", "sql": "SELECT 1", "expect": None, "min": None, "max": None}]},
            "assertions: 'rows' is not accepted. Accepted: with expect, min or max, since it could not fail otherwise.",
            id="assertion",
        ),
        pytest.param(
            {"accept": ["digest_mismatch"]},
            "accept: 'digest_mismatch' is not accepted. Accepted: one of constraint_not_validated, encoding_mismatch, "
            "matview_unpopulated, role_missing, sequence_behind, structure_differs, structure_regression, "
            "volume_regression, watermark_repeats, alone or with a shell pattern for the object, such as "
            "constraint_not_validated:public.orders.*.",
            id="accept",
        ),
        pytest.param(
            {"scratch_directory": "/nowhere"},
            "scratch_directory: '/nowhere' is not accepted. Accepted: a directory that exists on the host.",
            id="scratch",
        ),
    ],
)
def test_options_that_cannot_work_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as refusal:
        request(**given)
    assert refusal.value.message == message


def test_demands_tell_whether_something_else_was_asked() -> None:
    base = request().demands
    assert request(max_age="1h", count=3, jobs=4).demands == base
    assert request(minimum={"rows": 1}).demands["semantics"] != base["semantics"]
    assertions = [{"name": "one", "sql": "SELECT 1", "expect": 1, "min": None, "max": None}]
    other = request(assertions=assertions).demands
    assert (other["semantics"], other["consistency"] == base["consistency"]) == (base["semantics"], False)


def test_a_server_is_never_chosen_by_the_environment() -> None:
    for name in ("staging", "production"):
        spec = verify_argument_spec()[name]
        assert "default" not in spec["options"]["login_host"]
        assert not any("fallback" in each for each in spec["options"].values())
        assert spec["options"]["login_password"]["no_log"] is True


def documented_options() -> dict[str, Any]:
    """The options of the module's own documentation and of the fragments that it extends."""
    own = yaml.safe_load(postgresql_backup_verify.DOCUMENTATION)
    found: dict[str, Any] = {}
    for name in own["extends_documentation_fragment"]:
        _namespace, _collection, fragment, *part = name.split(".")
        shelf = importlib.import_module(f"ansible_collections.runbook.ops.plugins.doc_fragments.{fragment}")
        text = getattr(shelf.ModuleDocFragment, part[0].upper() if part else "DOCUMENTATION")
        found.update(yaml.safe_load(text).get("options", {}))
    return {**found, **own["options"]}


def test_every_option_is_documented() -> None:
    documented = documented_options()
    assert set(documented) == set(verify_argument_spec())
    for name, spec in verify_argument_spec().items():
        assert documented[name]["type"] == spec["type"], name
        assert documented[name].get("default") == spec.get("default"), name
        assert documented[name].get("choices") == spec.get("choices"), name
        assert set(documented[name].get("suboptions", {})) == set(spec.get("options", {})), name


class Shelf:
    """What a depot is asked for when results are told."""

    kind = "directory"
    location = "/backups"

    def address(self, name: str) -> str:
        return f"/backups/{name}"


def told(*reports: Report) -> dict[str, Any]:
    artefacts = [
        artefact_facts(Subject(f"shop-{number}.dump", cast(Depot, Shelf())), each, "semantics", None)
        for number, each in enumerate(reports)
    ]
    return whole_result(
        location="/backups",
        request=request(),
        changed=False,
        actions=[],
        before={},
        after={},
        chosen=Chosen([each["name"] for each in artefacts]),
        artefacts=artefacts,
        seconds=1.0,
    )


# Told of physical backups only.
OF_PHYSICAL = {"answers", "is_restorable", "method", "recovered", "wal", "window"}


def test_what_is_documented_is_returned() -> None:
    seen = report()
    seen.failed("stale", "it is old")
    documented = yaml.safe_load(postgresql_backup_verify.RETURN)
    result = told(seen)
    # Physical backups return more of their own.
    assert set(result) - {"changed"} <= set(documented)
    assert set(result["artefacts"][0]) == set(documented["artefacts"]["contains"]) - OF_PHYSICAL
    assert set(result["findings"][0]) == set(documented["findings"]["contains"])


def test_the_worst_of_several_counts() -> None:
    good, unclear, bad = report("fresh"), report("fresh"), report("fresh")
    good.passed("fresh")
    unclear.undecided("unreadable", "403", level="fresh")
    bad.failed("stale", "it is old")
    assert [told(*each)["verdict"] for each in ([good], [good, unclear], [unclear, bad, good])] == [
        "verified",
        "error",
        "failed",
    ]
    assert told(good, good)["level"] == "fresh"
    assert told(good, bad)["level"] is None
    assert told(good, bad)["reason"] == "fresh: it is old"
    nothing = told()
    assert (nothing["verdict"], nothing["findings"][0]["code"]) == ("failed", "no_artefact")
    assert nothing["reason"] == "fresh: there is no backup shop-%Y%m%d.dump in /backups"


# --- which artefacts


def listing(*names: str, deleted: tuple[str, ...] = ()) -> Listing:
    entries = [Entry(name, 10, NOW) for name in names]
    gone = [{"name": name, "deleted_at": "2026-01-31T00:00:00Z", "recoverable_count": 1} for name in deleted]
    return Listing(entries, True, None, None, gone, [])


DAYS = ["shop-20260131.dump", "shop-20260130.dump", "shop-20260129.dump"]


@pytest.mark.parametrize(
    ("given", "names", "earlier"),
    [
        pytest.param({}, DAYS[:1], DAYS[1:], id="newest"),
        pytest.param({"count": 2}, DAYS[:2], DAYS[2:], id="two"),
        pytest.param({"count": 9}, DAYS, [], id="more-than-there-are"),
        pytest.param({"name": DAYS[1]}, DAYS[1:2], DAYS[2:], id="named"),
        pytest.param({"name": "latest.dump"}, ["latest.dump"], [], id="another-name"),
        pytest.param({"ignore": ["*0131*"]}, DAYS[1:2], DAYS[2:], id="ignored"),
    ],
)
def test_the_newest_by_name_is_chosen(given: dict[str, Any], names: list[str], earlier: list[str]) -> None:
    found = listing(*reversed(DAYS), "shop-20260131.dump.manifest.json", "notes.txt")
    chosen = chosen_of(found, RULE, request(**given))
    assert (chosen.names, chosen.earlier) == (names, earlier)


def test_a_deleted_backup_that_would_be_the_newest_is_missed() -> None:
    deleted = ("shop-20260131.dump", "shop-20260101.dump")
    chosen = chosen_of(listing(*DAYS[1:], deleted=deleted), RULE, request())
    assert (chosen.names, [each.name for each in chosen.deleted]) == (DAYS[1:2], [DAYS[0]])
    both = chosen_of(listing(deleted=deleted), RULE, request())
    assert (both.names, len(both.deleted)) == ([], 2)


def test_manifests_say_that_artefacts_without_one_are_no_backups() -> None:
    assert chosen_of(listing(*DAYS, f"{DAYS[2]}.manifest.json"), RULE, request()).writes_manifests
    assert not chosen_of(listing(*DAYS), RULE, request()).writes_manifests


def test_a_listing_that_was_cut_says_so() -> None:
    cut = replace_listing(listing(*DAYS), complete=False, incomplete_reason="the limit of 3 entries (max_entries)")
    chosen = chosen_of(cut, RULE, request())
    assert chosen.problems == [
        "the listing stopped at the limit of 3 entries (max_entries): newer backups may lie beyond"
    ]


def replace_listing(found: Listing, **changes: Any) -> Listing:
    return found._replace(**changes)


# --- reading


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(Damaged(EMPTY), "empty_artefact", id="empty"),
        pytest.param(Damaged(NO_MARKER), "marker_missing", id="marker"),
        pytest.param(Damaged("the archive is cut off inside its data"), "decode_truncated", id="archive"),
        pytest.param(Damaged("the tar archive is cut off"), "decode_truncated", id="tar"),
        pytest.param(Damaged("the gzip data is cut off: it ends before its end mark"), "decode_failed", id="gzip"),
        pytest.param(Damaged("2 of the 3 data files that toc.dat names are missing"), "decode_truncated", id="files"),
        pytest.param(Undecided("403"), "unreadable", id="unreadable"),
        pytest.param(Undecided("no key", code="no_key"), "no_key", id="key"),
    ],
)
def test_damage_has_a_code(error: RunbookError, code: str) -> None:
    assert code_of(error) == code


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("15.18 (Debian 15.18-0+deb12u1)", 150018),
        ("18beta1", 180000),
        ("9.6.24", 90600),
        ("", None),
        (None, None),
    ],
)
def test_versions_are_counted_as_the_server_does(text: str | None, number: int | None) -> None:
    assert version_num(text) == number


def test_a_plain_dump_says_what_it_is_of() -> None:
    text = (
        b"--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n-- Dumped from database version 15.4\n"
        b"-- Dumped by pg_dump version 17.2\n\n-- Started on 2026-01-31 02:00:00 KST\n\n"
        b"SET client_encoding = 'EUC_KR';\n"
    )
    head = head_of("plain", text)
    assert (head.dumped_from, head.dumped_by, head.encoding, head.is_restricted) == (150004, 170002, "EUC_KR", True)
    assert head.written_at(ZoneInfo("Asia/Seoul")) == dt.datetime(2026, 1, 30, 17, 0, tzinfo=dt.timezone.utc)


# --- programs


def installation(version: int) -> Installation:
    return Installation(Path(f"/opt/{version}"), version)


HAVE = [installation(number) for number in (180004, 160010, 160002, 150018)]


@pytest.mark.parametrize(
    ("server", "client", "chosen"),
    [
        pytest.param(15, 15, 150018, id="the-same"),
        pytest.param(14, 14, 150018, id="the-oldest-newer"),
        pytest.param(16, 16, 160010, id="the-newest-minor"),
        pytest.param(15, 18, 180004, id="a-newer-pg_dump"),
        pytest.param(0, 0, 150018, id="unknown"),
    ],
)
def test_the_fitting_server_is_chosen(server: int, client: int, chosen: int) -> None:
    assert fitting(HAVE, server, client).version_num == chosen


@pytest.mark.parametrize(
    ("server", "client", "code", "words"),
    [
        pytest.param(19, 19, "server_too_old", "Install postgresql-19, or name", id="server"),
        pytest.param(18, 19, "client_too_old", "it was written by pg_dump 19, which older programs", id="client"),
    ],
)
def test_what_is_too_old_is_named(server: int, client: int, code: str, words: str) -> None:
    with pytest.raises(Undecided) as doubt:
        fitting(HAVE, server, client)
    assert doubt.value.details["code"] == code
    assert words in doubt.value.message


# --- roles


GLOBALS = """
CREATE ROLE app;
ALTER ROLE app WITH LOGIN PASSWORD 'SCRAM-SHA-256$...';
CREATE ROLE "Mixed ""Case"" role";
CREATE USER reader WITH LOGIN;
-- CREATE ROLE commented;
"""


def test_roles_are_found_in_globals() -> None:
    assert roles_in(GLOBALS) == {"app", 'Mixed "Case" role', "reader"}
    assert missing_roles(["app", "owner", "postgres", "pg_monitor", "commented"], GLOBALS) == ["commented", "owner"]


# --- parts read again


def test_those_that_were_not_read_for_longest_come_first() -> None:
    blocks = ["0", "1", "2", "3"]
    assert due_parts(blocks, {}, 1) == ["0"]
    assert due_parts(blocks, {"0": "2026-01-02", "1": "2026-01-01"}, 3) == ["2", "3", "1"]
    assert due_parts(blocks, dict.fromkeys(blocks, "2026-01-01"), 9) == blocks
    assert due_parts(blocks, {}, 0) == []


# --- assertions


@pytest.mark.parametrize(
    ("wanted", "value", "is_so"),
    [
        pytest.param({"expect": 0}, 0, True, id="number"),
        pytest.param({"expect": "0"}, 0, True, id="number-as-text"),
        pytest.param({"expect": 0}, 1, False, id="another-number"),
        pytest.param({"expect": 0}, None, False, id="null"),
        pytest.param({"expect": "null"}, None, True, id="null-expected"),
        pytest.param({"expect": True}, True, True, id="true"),
        pytest.param({"expect": "true"}, True, True, id="true-as-text"),
        pytest.param({"expect": True}, False, False, id="false"),
        pytest.param({"expect": "shop"}, "shop", True, id="text"),
        pytest.param({"low": 1.0}, 1, True, id="at-least"),
        pytest.param({"low": 1.0}, 0, False, id="below"),
        pytest.param({"high": 1.0}, 2, False, id="above"),
        pytest.param({"low": 1.0, "high": 5.0}, 3, True, id="between"),
        pytest.param({"low": 1.0}, None, False, id="null-is-no-number"),
        pytest.param({"low": 0.0}, "many", False, id="text-is-no-number"),
        pytest.param({"low": 0.0}, float("nan"), False, id="nan-is-no-number"),
        pytest.param({"expect": 3, "low": 5.0}, 3, False, id="both"),
    ],
)
def test_assertions_hold_or_not(wanted: dict[str, Any], value: Any, is_so: bool) -> None:
    assert holds(Assertion("name", "SELECT", **wanted), value) is is_so


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "it must give one row with one column, and gives 0 rows"),
        ([{"a": 1}, {"a": 2}], "it must give one row with one column, and gives 2 rows of 1 columns"),
        ([{"a": 1, "b": 2}], "it must give one row with one column, and gives 1 rows of 2 columns"),
    ],
)
def test_an_assertion_gives_one_value(rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        single_value(rows)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("public.orders.created_at", ["public", "orders", "created_at"]),
        ('public."Mixed.Case".id', ["public", "Mixed.Case", "id"]),
        ('"a""b".c', ['a"b', "c"]),
    ],
)
def test_names_are_read_as_people_type_them(text: str, parts: list[str]) -> None:
    assert split_name(text) == parts


def test_an_assertion_says_what_it_wants() -> None:
    assertion = Assertion("rows", "SELECT 1", low=1.0, high=5.0)
    assert assertion.wanted == "at least 1 and at most 5"
    assert replace(assertion, expect=3).wanted == "3"
