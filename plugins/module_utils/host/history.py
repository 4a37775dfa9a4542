# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers over time in a small file: added to, bounded, written as a whole or not at all."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso_of
from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, locked, write_file

VERSION = 1
_MOST_SERIES = 1000
_MOST_NAME = 300

# Moment in seconds, value, limit.
Point = tuple[int, float, Optional[float]]
Series = dict[str, list[Point]]


@dataclass(frozen=True)
class Bounds:
    """How much is kept: points of a series, seconds, and the least time between two points."""

    keep: int
    max_age: int
    min_interval: int


def bounds_from(options: Mapping[str, Any]) -> Bounds:
    """Read the options; raises InvalidOption."""
    if not 2 <= options["keep"] <= 10_000:
        raise InvalidOption("keep", options["keep"], "a number from 2 to 10000")
    interval = options["min_interval"]
    return Bounds(
        options["keep"],
        parse_seconds(options["max_age"], "max_age"),
        0 if interval in ("0", "0s") else parse_seconds(interval, "min_interval"),
    )


def checked_figures(figures: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, Optional[float]]]:
    """Name, value and limit of each; what has no value now is left out. Raises InvalidOption."""
    if len(figures) > _MOST_SERIES:
        raise InvalidOption("figures", len(figures), f"at most {_MOST_SERIES} figures")
    found = []
    for each in figures:
        if not each["name"] or len(each["name"]) > _MOST_NAME:
            raise InvalidOption("figures.name", each["name"], f"a text of 1 to {_MOST_NAME} characters")
        if each["value"] is not None:
            found.append((each["name"], _finite(each["value"], "figures.value"), each.get("limit")))
    return found


def _finite(value: float, option: str) -> float:
    if not math.isfinite(value):
        raise InvalidOption(option, value, "a finite number")
    return value


def read_history(path: Path) -> tuple[Series, Optional[str]]:
    """What is kept, and why that is nothing although there is a file."""
    try:
        content = json.loads(path.read_bytes())
        if content["version"] != VERSION:
            return {}, f"{path} is of version {content['version']}, which is not known here"
        series: Series = {}
        for name, points in content["series"].items():
            series[str(name)] = [
                (int(at), float(value), None if limit is None else float(limit)) for at, value, limit in points
            ]
    except FileNotFoundError:
        return {}, None
    except OSError as error:
        raise RunbookError(f"Cannot read {path}: {error.strerror}. Correct its owner or mode.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}, f"{path} holds no figures that can be read"
    return series, None


def with_figures(
    series: Series, figures: Sequence[tuple[str, float, Optional[float]]], now: int, bounds: Bounds
) -> tuple[Series, int]:
    """The series with the figures of now, within the bounds, and how many points are new.

    A figure that comes too soon after the last one is not added, so that running twice changes nothing. A point of a
    moment that lies ahead is of a wrong clock, and goes.
    """
    merged = {
        name: [point for point in points if now - bounds.max_age <= point[0] <= now] for name, points in series.items()
    }
    added = 0
    for name, value, limit in figures:
        points = merged.setdefault(name, [])
        if not points or now - points[-1][0] >= max(bounds.min_interval, 1):
            points.append((now, value, limit))
            added += 1
    kept = {name: points[-bounds.keep :] for name, points in merged.items() if points}
    if len(kept) > _MOST_SERIES:
        newest = sorted(kept, key=lambda name: kept[name][-1][0], reverse=True)[:_MOST_SERIES]
        kept = {name: kept[name] for name in newest}
    return kept, added


def keep_figures(options: Mapping[str, Any], now: dt.datetime, *, check_mode: bool) -> dict[str, Any]:
    """The result of M(runbook.ops.figures_history)."""
    bounds, figures = bounds_from(options), checked_figures(options["figures"])
    path = Path(options["path"])
    if not path.is_absolute():
        raise InvalidOption("path", str(path), "an absolute path of a file")
    if check_mode:
        return _merged(path, figures, now, bounds, write=False)
    with explained("make", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    with locked(path.with_name(f".{path.name}.lock"), f"writing {path}"):
        return _merged(path, figures, now, bounds, write=True)


def _merged(
    path: Path,
    figures: Sequence[tuple[str, float, Optional[float]]],
    now: dt.datetime,
    bounds: Bounds,
    *,
    write: bool,
) -> dict[str, Any]:
    before, problem = read_history(path)
    after, added = with_figures(before, figures, int(now.timestamp()), bounds)
    changed = after != before
    if changed and write:
        if problem:
            # Whatever it is, it is not ours to destroy.
            with explained("move aside", path):
                path.replace(path.with_name(f"{path.name}.unreadable"))
        content = {"version": VERSION, "series": {name: after[name] for name in sorted(after)}}
        write_file(path, json.dumps(content, separators=(",", ":")).encode())
    return {
        "changed": changed,
        "history_path": str(path),
        "added_count": added,
        "problem": problem,
        "series": [_told(name, after[name]) for name in sorted(after)],
    }


def _told(name: str, points: Sequence[Point]) -> dict[str, Any]:
    return {
        "name": name,
        "limit": points[-1][2],
        "points": [{"at": iso_of(at), "value": value} for at, value, _limit in points],
    }
