"""What an answer means: percentiles, kinds of bodies, values or the reason why there is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.http.model import (
    body_kind,
    error_text,
    extract_values,
    latency,
    median,
    percentile,
    share_percent,
    value_at,
)


@pytest.mark.parametrize(
    ("numbers", "share", "expected"),
    [
        ([], 50, None),
        ([3.0], 99, 3.0),
        ([1, 2, 3, 4], 50, 2),
        (list(range(1, 101)), 95, 95),
        (list(range(1, 101)), 99, 99),
        ([5, 1, 3], 95, 5),
        ([1, 2], 0, 1),
    ],
)
def test_percentile_is_a_measured_value(numbers: list[float], share: float, expected: float | None) -> None:
    assert percentile(numbers, share) == expected


def test_latency() -> None:
    assert latency([0.1, 0.3, 0.2]) == {"p50_seconds": 0.2, "p95_seconds": 0.3, "p99_seconds": 0.3, "max_seconds": 0.3}
    assert set(latency([]).values()) == {None}
    assert median([None, 0.25, 0.5]) == 0.375
    assert median([None]) is None


@pytest.mark.parametrize(
    ("body", "content_type", "kind"),
    [
        (b"", "application/json", "empty"),
        (b" \n", "text/html", "empty"),
        (b'{"a": 1}', "text/plain", "json"),
        (b"\xef\xbb\xbf{}", "application/json", "json"),
        (b"[1,2]", "", "json"),
        (b"{oops", "application/json", "text"),
        (b"42", "application/json; charset=utf-8", "json"),
        (b"42", "text/plain", "text"),
        (b"<!DOCTYPE html><title>x", "application/json", "html"),
        (b"<html><body>", "", "html"),
        (b"<?xml version='1.0'?><a/>", "text/xml", "text"),
        (b"OK", "text/plain", "text"),
        ("\uac80\uc218".encode(), "text/plain", "text"),
        (("a" * 2046 + "\uac80").encode(), "text/plain", "text"),
        (b"\x89PNG\r\n\0\0", "image/png", "binary"),
        (b"\xff\xfe\xfd", "", "binary"),
        (b"[" * 100_000, "application/json", "text"),
    ],
)
def test_body_kind(body: bytes, content_type: str, kind: str) -> None:
    assert body_kind(body, content_type) == kind


TOTAL = {"path": "pagination.total", "name": "total"}


# In a shell, `curl | jq .pagination.total` prints null and exits 0 for most of these, and `null > 50` is false.
@pytest.mark.parametrize(
    ("body", "value", "reason"),
    [
        ({"pagination": {"total": 73}}, 73, None),
        ({"pagination": {"total": 0}}, 0, None),
        ({"pagination": {"total": 1.5}}, 1.5, None),
        ({"pagination": {"total": None}}, None, "pagination.total is null where a number is expected"),
        ({"pagination": {"total": "73"}}, None, "pagination.total is text where a number is expected"),
        ({"pagination": {"total": True}}, None, "pagination.total is true or false where a number is expected"),
        ({"pagination": {"total": {}}}, None, "pagination.total is an object where a number is expected"),
        ({"pagination": {"total": [1]}}, None, "pagination.total is a list where a number is expected"),
        ({"pagination": {}}, None, "pagination.total is missing in the answer"),
        ({"error": "unauthorized"}, None, "pagination is missing in the answer"),
        ({"pagination": None}, None, "pagination is null, so it has no 'total'"),
        ([], None, "the answer is a list, so 'pagination' must be a position in it"),
        ("text", None, "the answer is text, so it has no 'pagination'"),
    ],
)
def test_a_value_that_is_not_there_is_unknown_and_not_zero(body: Any, value: Any, reason: str | None) -> None:
    assert extract_values(json.dumps(body).encode(), "json", [TOTAL]) == {"total": (value, reason)}


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_pythons_own_json_numbers_are_unknown(text: str) -> None:
    found = extract_values(b'{"pagination": {"total": %s}}' % text.encode(), "json", [TOTAL])
    assert found == {"total": (None, "pagination.total is not a finite number")}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("html", "the body is HTML, not JSON"),
        ("empty", "the body is empty, not JSON"),
        ("text", "the body is text, not JSON"),
        ("binary", "the body is binary, not JSON"),
    ],
)
def test_no_json_no_value(kind: str, reason: str) -> None:
    assert extract_values(b"whatever", kind, [TOTAL]) == {"total": (None, reason)}


@pytest.mark.parametrize(
    ("path", "kind", "expected"),
    [
        ("items.1.n", "number", (2, None)),
        ("items.-1.n", "number", (2, None)),
        ("items.2.n", "number", (None, "items has 2 items, so there is no 2")),
        ("items.x", "number", (None, "items is a list, so 'x' must be a position in it")),
        ("ready", "bool", (True, None)),
        ("status", "bool", (None, "status is text, not true or false")),
        ("status", "text", ("ok", None)),
        ("ready", "text", (None, "ready is true or false, not text")),
        ("said", "text", ("mail <hidden>, Bearer <hidden>", None)),
    ],
)
def test_paths_and_types(path: str, kind: str, expected: tuple[Any, str | None]) -> None:
    document = {
        "items": [{"n": 1}, {"n": 2}],
        "ready": True,
        "status": "ok",
        "said": "mail kim@example.com,\n Bearer abcdef123",
    }
    assert value_at(document, path, kind) == expected


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "unauthorized", "message": "a token is required"}', "a token is required"),
        (b'{"error": {"message": "no"}}', "no"),
        (b'{"detail": "not found"}', "not found"),
        (b'{"error": 5}', ""),
        (b"[]", ""),
        (b"<html>", ""),
    ],
)
def test_error_text(body: bytes, said: str) -> None:
    assert error_text(body) == said


def test_share() -> None:
    assert share_percent(1, 3) == 33.3
    assert share_percent(0, 0) is None
