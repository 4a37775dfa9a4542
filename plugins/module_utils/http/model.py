# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the answers to a probe mean. Pure: bytes and numbers in, facts out."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional, Union

from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text

Value = Optional[Union[int, float, str]]


def percentile(numbers: Iterable[float], share: float) -> float | None:
    """The nearest-rank percentile: a value that was really measured, at least C(share) per cent are not larger.

    With few samples the high percentiles are simply the largest value, which is what a person would say too.
    """
    ordered = sorted(numbers)
    if not ordered:
        return None
    rank = max(1, math.ceil(share / 100 * len(ordered)))
    return ordered[rank - 1]


def latency(seconds: Sequence[float]) -> dict[str, float | None]:
    """The percentiles of the total times, in seconds; all None without a complete answer."""
    return {
        "p50_seconds": rounded(percentile(seconds, 50)),
        "p95_seconds": rounded(percentile(seconds, 95)),
        "p99_seconds": rounded(percentile(seconds, 99)),
        "max_seconds": rounded(max(seconds, default=None)),
    }


def median(numbers: Iterable[float | None]) -> float | None:
    """The median of those that were measured."""
    known = [number for number in numbers if number is not None]
    return rounded(statistics.median(known)) if known else None


def rounded(seconds: float | None) -> float | None:
    """Seconds to a tenth of a millisecond."""
    return None if seconds is None else round(seconds, 4)


def body_kind(body: bytes, content_type: str) -> str:
    """What a body is, by itself and not by what its header claims: C(empty), C(json), C(html), C(text), C(binary).

    An error page in HTML under C(application/json) is HTML. A bare word or number counts as text unless the
    header says JSON, because nearly any text would be JSON otherwise.
    """
    text = body.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text:
        return "empty"
    if text[:1] in b"{[" or "json" in content_type.lower():
        try:
            json.loads(body)
        except (ValueError, RecursionError):
            pass
        else:
            return "json"
    if text[:1] == b"<":
        start = text[:512].lower()
        return "html" if b"<html" in start or b"<!doctype html" in start else "text"
    if b"\0" in text[:2048]:
        return "binary"
    try:
        text[:2048].decode("utf-8")
    except UnicodeDecodeError as error:
        # A character cut at the end of the piece looked at is no reason to call it binary.
        return "text" if error.start > 2040 else "binary"
    return "text"


def extract_values(body: bytes, kind: str, wanted: Sequence[Mapping[str, str]]) -> dict[str, tuple[Value, str | None]]:
    """What is at C(path) in a JSON body, by C(name): C((value, None)) or C((None, why there is none)).

    What is missing is unknown. An error body has no C(pagination.total), and no number is not zero.
    """
    if not wanted:
        return {}
    if kind != "json":
        return {item["name"]: (None, f"the body is {_article(kind)}, not JSON") for item in wanted}
    document = json.loads(body)
    return {item["name"]: value_at(document, item["path"], item.get("type", "number")) for item in wanted}


def _article(kind: str) -> str:
    return {"empty": "empty", "html": "HTML", "text": "text", "binary": "binary"}.get(kind, kind)


def value_at(document: Any, path: str, kind: str) -> tuple[Value, str | None]:
    """Follow a dotted path (integers index lists) to a C(number), C(bool) or C(text), or say where and why it ends."""
    found = document
    walked: list[str] = []
    for part in path.split("."):
        place = ".".join(walked) or "the answer"
        walked.append(part)
        if isinstance(found, dict):
            if part not in found:
                return None, f"{'.'.join(walked)} is missing in the answer"
            found = found[part]
        elif isinstance(found, list):
            position = _index(part)
            if position is None:
                return None, f"{place} is a list, so {part!r} must be a position in it"
            if not -len(found) <= position < len(found):
                return None, f"{place} has {len(found)} items, so there is no {part}"
            found = found[position]
        else:
            return None, f"{place} is {_type_name(found)}, so it has no {part!r}"
    return _typed(found, path, kind)


def _index(part: str) -> int | None:
    try:
        return int(part)
    except ValueError:
        return None


def _typed(found: Any, path: str, kind: str) -> tuple[Value, str | None]:
    if kind == "bool":
        return (found, None) if isinstance(found, bool) else (None, f"{path} is {_type_name(found)}, not true or false")
    if kind == "text":
        return (short(found), None) if isinstance(found, str) else (None, f"{path} is {_type_name(found)}, not text")
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        return None, f"{path} is {_type_name(found)} where a number is expected"
    if not math.isfinite(found):
        return None, f"{path} is not a finite number"
    return found, None


def _type_name(found: Any) -> str:
    if found is None:
        return "null"
    names = {bool: "true or false", str: "text", dict: "an object", list: "a list", int: "a number", float: "a number"}
    return names.get(type(found), type(found).__name__)


def error_text(body: bytes) -> str:
    """What the body of an error says about it, if it is JSON with one of the usual keys; else empty."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    for key in ("message", "detail", "error_description", "error", "title"):
        said = document.get(key) if isinstance(document, dict) else None
        if isinstance(said, dict):
            said = said.get("message")
        if isinstance(said, str) and said.strip():
            return short(said)
    return ""


def short(text: str) -> str:
    """Text from an answer, in one line, not longer than a status needs, without what looks like a secret."""
    line = redact_text(" ".join(text.split()))
    return line if len(line) <= 200 else f"{line[:199]}…"


def share_percent(part: int, whole: int) -> float | None:
    """A share in per cent with one decimal, None of nothing."""
    return round(100 * part / whole, 1) if whole else None
