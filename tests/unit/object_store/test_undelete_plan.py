"""Which objects are brought back, and how: histories in, decisions out."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.object_store.model import (
    DeleteMarker,
    ListedObject,
    Version,
)
from ansible_collections.runbook.ops.plugins.module_utils.object_store.undelete.history import (
    Entry,
    History,
    histories,
    merged,
)
from ansible_collections.runbook.ops.plugins.module_utils.object_store.undelete.plan import (
    DELETED,
    MOST_COPIED_BYTES,
    VERSION,
    Due,
    Wish,
    decide,
    wish_from,
)


def at(hour: int) -> dt.datetime:
    return dt.datetime(2026, 1, 31, hour, tzinfo=dt.timezone.utc)


def version(key: str, name: str, hour: int, latest: bool = False) -> Version:
    return Version(ListedObject(key, 3, at(hour), "STANDARD", name, ()), name, latest)


def marker(key: str, name: str, hour: int, latest: bool = False) -> DeleteMarker:
    return DeleteMarker(key, at(hour), latest, name)


def data(name: str, hour: int, size: int = 3, storage_class: str = "STANDARD", etag: str | None = None) -> Entry:
    return Entry(name, at(hour), False, False, size, etag or name, storage_class)


def hidden(name: str, hour: int) -> Entry:
    return Entry(name, at(hour), False, True)


@pytest.mark.parametrize(
    ("versions", "markers", "order", "certain"),
    [
        ([version("k", "v1", 1)], [marker("k", "m1", 2, True)], "m1 v1", True),
        ([version("k", "v1", 2)], [marker("k", "m1", 2, True)], "m1 v1", True),
        ([version("k", "v1", 2, True)], [marker("k", "m1", 2)], "v1 m1", True),
        ([version("k", "v2", 3, True), version("k", "v1", 1)], [marker("k", "m1", 2)], "v2 m1 v1", True),
        ([version("k", "v1", 1)], [marker("k", "m2", 2, True), marker("k", "m1", 1)], "m2 m1 v1", False),
    ],
)
def test_one_order_of_two_lists(
    versions: list[Version], markers: list[DeleteMarker], order: str, certain: bool
) -> None:
    history = merged("k", versions, markers)
    assert (" ".join(each.version_id for each in history.entries), history.is_certain) == (order, certain)


def test_a_key_on_two_pages() -> None:
    pages = [
        ([version("a", "v2", 2, True), version("b", "v4", 4, True)], []),
        ([version("b", "v3", 3), version("c", "v5", 5)], [marker("c", "m1", 6, True)]),
    ]
    found = {history.key: [each.version_id for each in history.entries] for history in histories(pages)}
    assert found == {"a": ["v2"], "b": ["v4", "v3"], "c": ["m1", "v5"]}


DATA_VERSION = Refusal(
    "k",
    "v1 is not a delete marker but a version with 3 bytes, written at 2026-01-31T01:00:00Z; deleting it would destroy "
    "it for ever",
    "Name the id of the delete marker. To get this version back over a newer one, use mode=version.",
)
ARCHIVED = Refusal(
    "k",
    "version v1 lies in GLACIER and cannot be read",
    "Restore it from the archive (aws s3api restore-object --version-id), wait for it, and run this again.",
)
TOO_LARGE = Refusal(
    "k",
    f"version v1 has {MOST_COPIED_BYTES + 1} bytes, and a store copies at most {MOST_COPIED_BYTES}",
    "Copy it in parts (aws s3api upload-part-copy with versionId in --copy-source).",
)
OTHER_MARKER = Refusal("k", "it would stay deleted: another delete marker, m1, hides it, too", "Name that one as well.")
UNKNOWN = Refusal(
    "k",
    "it has no version m9, and it is deleted",
    "Look at its delete markers with list-object-versions, and name the latest.",
)
NOTHING_LEFT = Refusal(
    "k", "no version is left below its delete marker", "Nothing can bring it back here. Restore it from a backup."
)


def named(*ids: str) -> dict[str, Any]:
    return {"markers": {"k": frozenset(ids)}}


@pytest.mark.parametrize(
    ("wish", "entries", "decision"),
    [
        ({}, [data("v1", 1)], None),
        ({}, [data("v2", 3), hidden("m1", 2), data("v1", 1)], None),
        ({}, [hidden("m1", 2), data("v1", 1)], "m1>v1"),
        ({}, [hidden("m2", 3), hidden("m1", 2), data("v1", 1)], "m2,m1>v1"),
        ({}, [hidden("m2", 4), data("v2", 3), hidden("m1", 2), data("v1", 1)], "m2>v2"),
        ({}, [hidden("m1", 2)], NOTHING_LEFT),
        ({"deleted_since": at(2)}, [hidden("m1", 2), data("v1", 1)], "m1>v1"),
        ({"deleted_since": at(3)}, [hidden("m1", 2), data("v1", 1)], None),
        ({"deleted_since": at(3)}, [hidden("m2", 4), hidden("m1", 2), data("v1", 1)], None),
        (named("m1"), [hidden("m1", 2), data("v1", 1)], "m1>v1"),
        (named("m1"), [data("v1", 1)], None),
        (named("v1"), [hidden("m1", 2), data("v1", 1)], DATA_VERSION),
        (named("v1"), [data("v1", 1)], DATA_VERSION),
        (named("m9"), [hidden("m1", 2), data("v1", 1)], UNKNOWN),
        (named("m2"), [hidden("m2", 3), hidden("m1", 2), data("v1", 1)], OTHER_MARKER),
    ],
)
def test_deleted(wish: dict[str, Any], entries: list[Entry], decision: object) -> None:
    assert shown(decide(History("k", tuple(entries)), Wish(DELETED, **wish))) == decision


@pytest.mark.parametrize(
    ("entries", "decision"),
    [
        ([data("v1", 1)], None),
        ([data("v2", 6), data("v1", 1)], "v1 over v2"),
        ([data("v3", 6), data("v2", 2), data("v1", 1)], "v2 over v3"),
        ([data("v2", 5), data("v1", 1)], "v1 over v2"),
        ([data("v2", 6)], None),
        ([data("v3", 6), hidden("m1", 2), data("v1", 1)], None),
        ([hidden("m1", 6), data("v1", 1)], "v1 over m1"),
        ([data("v2", 6, etag="v1"), data("v1", 1)], None),
        ([data("v2", 6), data("v1", 1, storage_class="GLACIER")], ARCHIVED),
        ([data("v2", 6), data("v1", 1, storage_class="GLACIER_IR")], "v1 over v2"),
        ([data("v2", 6), data("v1", 1, size=MOST_COPIED_BYTES + 1)], TOO_LARGE),
    ],
)
def test_version(entries: list[Entry], decision: object) -> None:
    assert shown(decide(History("k", tuple(entries)), Wish(VERSION, before=at(5)))) == decision


def shown(decision: object) -> object:
    if not isinstance(decision, Due):
        return decision
    if decision.markers:
        return f"{','.join(each.version_id for each in decision.markers)}>{decision.version.version_id}"
    return f"{decision.version.version_id} over {decision.current.version_id}"


OPTIONS: dict[str, Any] = {
    "mode": DELETED, "prefix": "", "pattern": [], "before": None, "deleted_since": None, "markers": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"mode": VERSION},
            "before: '' is not accepted. Accepted: with mode=version, the moment whose content comes back.",
        ),
        (
            {"before": "2026-01-31T00:00:00Z"},
            "before: '2026-01-31T00:00:00Z' is not accepted. Accepted: nothing with mode=deleted; it belongs to "
            "mode=version.",
        ),
        (
            {"mode": VERSION, "before": "2026-01-31T00:00:00Z", "deleted_since": "2026-01-30T00:00:00Z"},
            "deleted_since: '2026-01-30T00:00:00Z' is not accepted. Accepted: nothing with mode=version; it belongs to "
            "mode=deleted.",
        ),
        (
            {"mode": VERSION, "before": "2026-01-31 00:00"},
            "before: '2026-01-31 00:00' is not accepted. Accepted: an ISO 8601 moment with timezone, such as "
            "2026-01-31T09:00:00+09:00.",
        ),
    ],
)
def test_options_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as error:
        wish_from({**OPTIONS, **options})
    assert error.value.message == message


@pytest.mark.parametrize(
    ("options", "key", "taken"),
    [
        ({}, "videos/a.mp4", True),
        ({"prefix": "videos/"}, "images/a.jpg", False),
        ({"pattern": ["*.mp4"]}, "videos/deep/a.mp4", True),
        ({"pattern": ["*.mp4"]}, "videos/a.MP4", False),
        ({"markers": [{"key": "a", "version_id": "m"}]}, "ab", False),
    ],
)
def test_which_keys(options: dict[str, Any], key: str, taken: bool) -> None:
    assert wish_from({**OPTIONS, **options}).takes(key) is taken
