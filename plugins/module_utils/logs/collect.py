# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All sources in one result."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso_of
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.logs.budget import Budget
from ansible_collections.runbook.ops.plugins.module_utils.logs.plan import (
    Detectors,
    Window,
    check_sources,
    detectors_of,
    window_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.logs.scanner import Scanner
from ansible_collections.runbook.ops.plugins.module_utils.logs.source import Part, Reading


def measure(options: Mapping[str, Any], reference: dt.datetime) -> dict[str, Any]:
    """Facts of all sources; raises InvalidOption before anything is read."""
    window = window_of(options, reference)
    check_sources(options)
    detectors_of(options)
    if options["max_bytes"] < 1 or options["timeout"] <= 0:
        raise InvalidOption("timeout", options["timeout"], "limits greater than 0")
    budget = Budget(options["max_bytes"], options["timeout"])
    facts: dict[str, Any] = {
        "window_start": None if window.start is None else iso_of(window.start),
        "window_end": None if window.end is None else iso_of(window.end),
        "window_seconds": None if window.start is None or window.end is None else int(window.end - window.start),
        "sources": [],
        "parts": [],
        "classes": [],
        "durations": [],
        "security": [],
    }
    skipped: list[dict[str, str]] = []
    for source in options["sources"]:
        found = detectors_of(options)
        scanner = Scanner(found.all(), window.start, window.end)
        reading = Reading(source, options, window, scanner, budget)
        reading.run()
        skipped += reading.skipped
        _add(facts, source["name"], found, reading, window)
    read = any(part.complete or part.read_bytes for part in _parts(facts))
    return {
        "available": read,
        "reason": None if read else f"nothing could be read: {skipped[0]['reason']}" if skipped else "nothing was read",
        "complete": not skipped,
        "read_bytes": budget.spent_bytes,
        "skipped_sections": skipped,
        **{key: [part.facts() for part in value] if key == "parts" else value for key, value in facts.items()},
    }


def _parts(facts: Mapping[str, Any]) -> list[Part]:
    return list(facts["parts"])


def _add(facts: dict[str, Any], name: str, found: Detectors, reading: Reading, window: Window) -> None:
    complete = not reading.skipped
    reason = None if complete else "; ".join(f"{each['section']}: {each['reason']}" for each in reading.skipped[:3])
    oldest = min((part.oldest for part in reading.parts if part.oldest is not None), default=None)
    newest = max((part.newest for part in reading.parts if part.newest is not None), default=None)
    covered = None
    if window.start is not None and oldest is not None and all(part.kind == "file" for part in reading.parts):
        covered = oldest <= window.start
    facts["sources"].append(
        {
            "name": name,
            "complete": complete,
            "reason": reason,
            "parts_count": len(reading.parts),
            "read_bytes": sum(part.read_bytes for part in reading.parts),
            "oldest_at": None if oldest is None else iso_of(oldest),
            "newest_at": None if newest is None else iso_of(newest),
            "silent_seconds": None if newest is None or window.end is None else max(int(window.end - newest), 0),
            "covers_window": covered,
            "undated_count": reading.scanner.undated,
        }
    )
    facts["parts"] += reading.parts
    for key in ("classes", "durations", "security"):
        for detector in getattr(found, key):
            told = detector.facts()
            shared = {"source": name, "count": told["found_count"] if complete else None, "reason": reason}
            if key == "durations":
                shared["slow_count"] = told["slow_found_count"] if complete else None
            facts[key].append({**told, **shared})
