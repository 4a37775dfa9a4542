# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measuring prefixes: which listings are made, how far they go, and what is said when they stop early."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, TypeVar

from ansible_collections.runbook.ops.plugins.module_utils.object_store.client import Store
from ansible_collections.runbook.ops.plugins.module_utils.object_store.errors import PERMISSIONS, StoreError
from ansible_collections.runbook.ops.plugins.module_utils.object_store.model import (
    DeleteMarker,
    ListedObject,
    Place,
    Tally,
    UploadTally,
    Version,
)

# Refusals that leave another way: without versions the current objects can still be counted.
_WITHOUT = ("access_denied", "unsupported", "not_a_store", "other")

_VERSION_FACTS = ("noncurrent_bytes", "delete_marker_percent", "stored_bytes")

Page = TypeVar("Page")
Skip = dict[str, str]


class Limits:
    """How much may be asked for: keys and uploads per prefix, and a moment for everything."""

    def __init__(self, max_keys: int, timeout_seconds: float) -> None:
        self.max_keys = max_keys
        self.timeout_seconds = timeout_seconds
        self._end = time.monotonic() + timeout_seconds

    def reached(self, keys: int) -> str | None:
        """Why to stop; None while there is room."""
        if keys >= self.max_keys:
            return f"the limit of {self.max_keys} keys (max_keys)"
        if time.monotonic() >= self._end:
            return f"the limit of {self.timeout_seconds:g} seconds (timeout)"
        return None


def measure(
    store: Store, wanted: Sequence[Place], limits: Limits, now: dt.datetime, workers: int
) -> tuple[list[dict[str, Any]], list[Skip]]:
    """The facts of every prefix in the order given, and what could not be read.

    A prefix that cannot be listed has C(available) false and a C(reason); the others are measured all the same.
    """
    # One versioning state a bucket, however many prefixes it has.
    buckets = list(dict.fromkeys(place.bucket for place in wanted))
    with ThreadPoolExecutor(max_workers=max(1, min(workers, len(wanted)))) as pool:
        states = dict(zip(buckets, pool.map(lambda bucket: _versioning(store, bucket), buckets)))
        measured = list(pool.map(lambda place: _measure_one(store, place, states[place.bucket], limits, now), wanted))
    facts = [each[0] for each in measured]
    return facts, list(chain.from_iterable(each[1] for each in measured))


def _versioning(store: Store, bucket: str) -> str | StoreError:
    try:
        return store.versioning(bucket)
    except StoreError as error:
        return error


def _measure_one(
    store: Store, place: Place, state: str | StoreError, limits: Limits, now: dt.datetime
) -> tuple[dict[str, Any], list[Skip]]:
    facts: dict[str, Any] = {"name": place.name, "bucket": place.bucket, "prefix": place.prefix}
    if isinstance(state, StoreError) and (state.is_store_wide or state.kind == "no_such_bucket"):
        return {**facts, **_unavailable(state)}, []
    skips: list[Skip] = []
    if isinstance(state, StoreError):
        skips += _skip(place, ("versioning",), state, "read the versioning state")
    try:
        tally, with_versions, stopped = _listing(store, place, state, limits, skips)
    except StoreError as error:
        return {**facts, **_unavailable(error)}, []
    uploads, uploads_stopped = _uploads(store, place, limits, skips)
    stopped = stopped or uploads_stopped
    if stopped:
        skips.append(_stopped(place, stopped, tally))
    upload_bytes = uploads.size_bytes if uploads else None
    is_whole = stopped is None and with_versions and upload_bytes is not None
    facts.update(
        available=True,
        reason=None,
        complete=stopped is None,
        incomplete_reason=f"the listing stopped at {stopped}" if stopped else None,
        keys_seen=tally.keys_seen,
        versioning=None if isinstance(state, StoreError) else state,
        **tally.facts(now, with_versions=with_versions),
        unfinished_uploads=uploads.facts(now) if uploads else None,
        # What the store really holds for this prefix; unknown as long as a part of it is.
        stored_bytes=tally.bytes_seen + (upload_bytes or 0) if is_whole else None,
    )
    return facts, skips


def _unavailable(error: StoreError) -> dict[str, Any]:
    return {"available": False, "reason": error.message, "complete": False}


def _listing(
    store: Store, place: Place, state: str | StoreError, limits: Limits, skips: list[Skip]
) -> tuple[Tally, bool, str | None]:
    """The tally, whether it knows versions, and why the listing stopped early."""
    page_size = max(1, min(1000, limits.max_keys))
    if state != "disabled":
        try:
            tally, stopped = _consume(store.version_pages(place.bucket, place.prefix, page_size), _add_versions, limits)
        except StoreError as error:
            if error.kind not in _WITHOUT:
                raise
            skips += _skip(place, _VERSION_FACTS, error, "list versions")
        else:
            return tally, True, stopped
    tally, stopped = _consume(store.object_pages(place.bucket, place.prefix, page_size), _add_objects, limits)
    # A bucket that never had versions has none: that is known, not missing.
    return tally, state == "disabled", stopped


def _add_objects(tally: Tally, page: list[ListedObject]) -> None:
    for entry in page:
        tally.add_object(entry)


def _add_versions(tally: Tally, page: tuple[list[Version], list[DeleteMarker]]) -> None:
    versions, markers = page
    for version in versions:
        tally.add_version(version)
    for marker in markers:
        tally.add_marker(marker)


def _consume(pages: Iterator[Page], add: Callable[[Tally, Page], None], limits: Limits) -> tuple[Tally, str | None]:
    tally = Tally()
    stopped: str | None = None
    for page in pages:
        # The limit is asked for between pages, so that a listing that ends exactly at it is complete.
        if stopped:
            return tally, stopped
        add(tally, page)
        stopped = limits.reached(tally.keys_seen)
    return tally, None


def _uploads(store: Store, place: Place, limits: Limits, skips: list[Skip]) -> tuple[UploadTally | None, str | None]:
    tally = UploadTally()
    parts_refused = False
    try:
        for page in store.upload_pages(place.bucket, place.prefix):
            for upload in page:
                stopped = limits.reached(tally.count)
                if stopped:
                    return tally, stopped
                size: int | None = None
                try:
                    size = None if parts_refused else store.upload_bytes(place.bucket, upload)
                except StoreError as error:
                    if error.kind == "no_such_object":
                        # Completed or aborted in this very moment.
                        continue
                    parts_refused = True
                    skips += _skip(place, ("unfinished_uploads", "stored_bytes"), error, "list the parts of an upload")
                tally.add(upload, size)
    except StoreError as error:
        skips += _skip(place, ("unfinished_uploads", "stored_bytes"), error, "list unfinished uploads")
        return None, None
    return tally, None


def _skip(place: Place, sections: Sequence[str], error: StoreError, action: str) -> list[Skip]:
    """One entry for each fact that is missing because of one failure."""
    permission = PERMISSIONS[action]
    remedy = f"Grant the access key {permission}." if error.kind == "access_denied" else "Try again."
    if error.kind in ("unsupported", "not_a_store"):
        remedy = "Nothing to do: the store does not offer it."
    reason = f"{place.name}: {error.message}"
    return [{"section": section, "reason": reason, "remedy": remedy} for section in sections]


def _stopped(place: Place, stopped: str, tally: Tally) -> Skip:
    return {
        "section": "stored_bytes",
        "reason": (
            f"{place.name}: the listing stopped at {stopped} after {tally.keys_seen} keys"
            f" with {tally.bytes_seen} bytes; there is more."
        ),
        "remedy": "Raise max_keys and timeout, or measure narrower prefixes.",
    }
