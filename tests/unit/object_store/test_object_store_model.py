"""Sums over listings, and what they say when there is nothing."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.object_store.model import (
    DeleteMarker,
    ListedObject,
    Place,
    Tally,
    Upload,
    UploadTally,
    Version,
    places,
)

NOW = dt.datetime(2026, 1, 31, 9, tzinfo=dt.timezone.utc)


def listed(key: str, size: int, days: float, storage_class: str = "STANDARD") -> ListedObject:
    return ListedObject(key, size, NOW - dt.timedelta(days=days), storage_class, None, ())


@pytest.mark.parametrize(
    ("bucket", "prefixes", "expected"),
    [
        ("b", [], [Place("b", "b", "")]),
        ("b", [{"prefix": "a/"}, {"prefix": ""}], [Place("b/a", "b", "a/"), Place("b", "b", "")]),
        (None, [{"bucket": "c", "name": "mine"}], [Place("mine", "c", "")]),
        ("b", [{"bucket": "c", "prefix": "x"}], [Place("c/x", "c", "x")]),
    ],
)
def test_places(bucket: str | None, prefixes: list[dict[str, Any]], expected: list[Place]) -> None:
    assert places(bucket, prefixes) == expected


@pytest.mark.parametrize(
    ("bucket", "prefixes", "refused", "accepted"),
    [
        (None, [], "bucket: ''", "a bucket for all prefixes, or one in each of them"),
        ("", [{"prefix": "a"}], "bucket: ''", "a bucket for all prefixes, or one in each of them"),
        ("b", [{"prefix": "a"}, {"prefix": "a"}], "prefixes: 'b/a'", "different prefixes with different names"),
    ],
)
def test_places_that_are_none(bucket: str | None, prefixes: list[dict[str, Any]], refused: str, accepted: str) -> None:
    with pytest.raises(InvalidOption) as error:
        places(bucket, prefixes)
    assert error.value.message == f"{refused} is not accepted. Accepted: {accepted}."


def test_an_empty_prefix_is_known_to_be_empty() -> None:
    facts = Tally().facts(NOW, with_versions=True)
    assert facts == {
        "object_count": 0,
        "total_bytes": 0,
        "newest": None,
        "oldest": None,
        "largest": None,
        "noncurrent_count": 0,
        "noncurrent_bytes": 0,
        "delete_marker_count": 0,
        "deleted_count": 0,
        "delete_marker_percent": 0.0,
        "storage_classes": [],
    }


def test_objects_versions_and_markers() -> None:
    tally = Tally()
    for version in (
        Version(listed("a", 10, 1), "v3", True),
        Version(listed("a", 20, 5), "v2", False),
        Version(listed("a", 30, 9, "GLACIER"), "v1", False),
        Version(listed("b", 5, 400), "null", True),
        Version(listed("c", 7, 3), "v1", False),
    ):
        tally.add_version(version)
    tally.add_marker(DeleteMarker("c", NOW, True))
    tally.add_marker(DeleteMarker("a", NOW, False))
    facts = tally.facts(NOW, with_versions=True)
    assert (facts["object_count"], facts["total_bytes"]) == (2, 15)
    assert (facts["noncurrent_count"], facts["noncurrent_bytes"]) == (3, 57)
    assert (facts["delete_marker_count"], facts["deleted_count"], facts["delete_marker_percent"]) == (2, 1, 28.6)
    assert facts["storage_classes"] == [
        {"name": "GLACIER", "count": 1, "bytes": 30},
        {"name": "STANDARD", "count": 4, "bytes": 42},
    ]
    assert (facts["newest"]["key"], facts["newest"]["age_seconds"]) == ("a", 86400)
    assert (facts["oldest"]["key"], facts["oldest"]["modified_at"]) == ("b", "2024-12-27T09:00:00Z")
    assert (facts["largest"]["key"], facts["largest"]["size_bytes"]) == ("a", 10)
    assert (tally.keys_seen, tally.bytes_seen) == (7, 72)


def test_without_a_listing_of_versions_they_are_unknown() -> None:
    tally = Tally()
    tally.add_object(listed("a", 10, 1))
    facts = tally.facts(NOW, with_versions=False)
    unknown = ("noncurrent_count", "noncurrent_bytes", "delete_marker_count", "deleted_count", "delete_marker_percent")
    assert [facts[name] for name in unknown] == [None] * 5


@pytest.mark.parametrize(
    ("uploads", "expected"),
    [
        ([], {"count": 0, "bytes": 0, "oldest_key": None, "oldest_begun_at": None, "oldest_age_seconds": 0}),
        (
            [("a", 1, 10), ("b", 9, 20), ("c", None, 30)],
            {
                "count": 3,
                "bytes": 60,
                "oldest_key": "b",
                "oldest_begun_at": "2026-01-22T09:00:00Z",
                "oldest_age_seconds": 777600,
            },
        ),
        (
            [("a", None, None)],
            {"count": 1, "bytes": None, "oldest_key": None, "oldest_begun_at": None, "oldest_age_seconds": None},
        ),
    ],
)
def test_uploads(uploads: list[tuple[str, float | None, int | None]], expected: dict[str, Any]) -> None:
    tally = UploadTally()
    for key, days, size in uploads:
        tally.add(Upload(key, "id", None if days is None else NOW - dt.timedelta(days=days)), size)
    assert tally.facts(NOW) == expected
