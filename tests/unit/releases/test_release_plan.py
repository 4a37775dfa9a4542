"""Releases: ids, what comes before, what is removed, what an archive may hold. Pure."""

from __future__ import annotations

import tarfile
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.releases.control import (
    plan_confirmation,
    plan_pruning,
    plan_rollback,
    plan_switch,
)
from ansible_collections.runbook.ops.plugins.module_utils.releases.model import (
    Release,
    Stock,
    check_commit,
    check_id,
    check_inside,
    check_sha256,
    confirmed,
    grown,
    previous,
)
from ansible_collections.runbook.ops.plugins.module_utils.releases.source import place


def entry(name: str, before: str | None, kind: str = "switch", **more: Any) -> dict[str, Any]:
    return {"id": name, "from": before, "kind": kind, "at": "2026-01-31T00:00:00Z", **more}


def stock(names: str, current: str | None, *history: dict[str, Any], **complete: bool | None) -> Stock:
    """Releases in the order in which they were made, one a letter."""
    releases = [Release(name, complete.get(name, True), float(number)) for number, name in enumerate(names)]
    return Stock(releases, current, history)


ONE = entry("a", None)
TWO = entry("b", "a")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (stock("ab", "b", ONE, TWO), ("a", "history")),
        # Not the newest, and not the one with the highest name: the one that was served.
        (stock("abc", "c", ONE, entry("c", "a")), ("a", "history")),
        # What was rolled back is none to go back to.
        (stock("ab", "a", ONE, TWO, entry("a", "b", "rollback")), (None, None)),
        (stock("abc", "b", ONE, TWO, entry("c", "b"), entry("b", "c", "rollback")), ("a", "history")),
        # Unless somebody chose it again.
        (stock("abc", "c", ONE, TWO, entry("a", "b", "rollback"), entry("b", "a"), entry("c", "b")), ("b", "history")),
        # A switch that never came, because the run was killed after its entry.
        (stock("abc", "b", ONE, TWO, entry("c", "b")), ("a", "history")),
        # Gone from the disk, or not complete.
        (stock("b", "b", ONE, TWO), (None, None)),
        (stock("ab", "b", ONE, TWO, a=False), (None, None)),
        # Another tool's: by the date, and only where there is no history.
        (stock("abc", "b", a=None, b=None, c=None), ("a", "order")),
        (stock("a", "a", a=None), (None, None)),
        (stock("ab", None), (None, None)),
    ],
)
def test_what_a_rollback_goes_to(found: Stock, expected: tuple[str | None, str | None]) -> None:
    assert previous(found) == expected


def test_plans() -> None:
    found = stock("abcd", "b", ONE, TWO, d=False)
    assert plan_switch(found, "b") == []
    assert plan_switch(found, "c")[0]["release_before"] == "b"
    with pytest.raises(Refused, match="not complete: its making ended early"):
        plan_switch(found, "d")
    with pytest.raises(Refused, match="There is no release x"):
        plan_switch(found, "x")
    assert plan_rollback(found, "b", None)[0]["object"] == "a"
    assert plan_rollback(found, "b", "c")[0]["object"] == "c"
    assert plan_rollback(found, "c", None) == [], "it is not served any more: a second run does not go back once more"
    with pytest.raises(Refused, match="is not complete"):
        plan_rollback(found, "b", "d")
    with pytest.raises(RunbookError, match="a release other than the one to go back from"):
        plan_rollback(found, "b", "b")
    assert plan_confirmation(found, "b") == [{"action": "confirm", "object": "b"}]
    noted = Stock(found.releases, "b", confirmed(found, "2026-01-31T01:00:00Z"))
    assert plan_confirmation(noted, "b") == []
    with pytest.raises(Refused, match="is not served"):
        plan_confirmation(found, "c")


@pytest.mark.parametrize(
    ("found", "keep", "removed"),
    [
        (stock("abcde", "b", ONE, TWO), 2, ["c"]),
        (stock("abcde", "e", ONE, entry("e", "a")), 1, ["b", "c", "d"]),
        (stock("abcde", "b", ONE, TWO, c=None, d=False), 1, ["d"]),
        (stock("ab", "b", ONE, TWO), 1, []),
    ],
)
def test_what_is_removed(found: Stock, keep: int, removed: list[str]) -> None:
    assert [each["object"] for each in plan_pruning(found, keep)] == removed


def test_the_history_does_not_grow_for_ever() -> None:
    history: list[Any] = []
    for number in range(300):
        history = grown(history, entry(str(number), None))
    assert (len(history), history[-1]["id"]) == (200, "299")


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (check_id, ""), (check_id, ".."), (check_id, "a/b"), (check_id, ".a"), (check_id, "a b"),
        (check_id, "x.removed"),
        (check_id, None), (check_id, "a" * 129), (check_commit, "main"), (check_commit, "v1.2.3"),
        (check_commit, "a1b2c3d"), (check_sha256, "0" * 63), (check_sha256, None),
    ],
)  # fmt: skip
def test_names_that_are_refused(check: Any, value: object) -> None:
    with pytest.raises(RunbookError, match=r"is not accepted\. Accepted: "):
        check(value)


@pytest.mark.parametrize("value", ["/etc", "../a", "a/../../b", "", "."])
def test_paths_that_lead_out(value: str) -> None:
    with pytest.raises(RunbookError, match="a path below the release"):
        check_inside(value, "shared_files")


def test_paths_that_do_not() -> None:
    assert check_inside("./config//master.key", "shared_files") == "config/master.key"
    assert check_id("20260131-2_a.b+c") == "20260131-2_a.b+c"


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([member("/etc/passwd")], "lies outside it"),
        ([member("a/../../b")], "lies outside it"),
        ([member("a", tarfile.SYMTYPE, "/etc")], "leads out of it"),
        ([member("a/b", tarfile.SYMTYPE, "../../c")], "leads out of it"),
        ([member("a/b", tarfile.SYMTYPE, "x/../..")], "leads out of it"),
        ([member("a", tarfile.SYMTYPE, "b"), member("a/c")], "below a link"),
        ([member("dev", tarfile.CHRTYPE)], "neither file, directory nor link"),
    ],
)
def test_entries_that_are_refused(entries: list[tarfile.TarInfo], message: str) -> None:
    links: set[str] = set()
    with pytest.raises(Refused, match=message):
        for each in entries:
            place(each, 0, links)


def test_entries_that_are_unpacked() -> None:
    links: set[str] = set()
    placed = place(member("shop-1/bin/run"), 1, links)
    assert placed is not None
    assert (placed.name, placed.mode & 0o600) == ("bin/run", 0o600)
    assert place(member("shop-1", tarfile.DIRTYPE), 1, links) is None
    link = place(member("a/b/c", tarfile.SYMTYPE, "../d"), 0, links)
    assert link is not None
    assert links == {"a/b/c"}
