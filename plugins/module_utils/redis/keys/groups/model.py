# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys grouped by what their names begin with: how many, how large, how long they live. Pure.

From a sample the figures are estimates, and each share of keys comes with the interval in which the true one lies in 95
of 100 cases (Wilson's, E. B. Wilson 1927, "Probable Inference"; it stays sensible for shares near 0).
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.redis.info import percent

# The 97.5 % point of the normal distribution.
Z = 1.959964
MOST_SAMPLES = 1_000_000
MOST_DEPTH = 8
NAME_LENGTH = 80
# A part of a name that is an identifier and no word: a number, a date, a UUID, a hash.
_IDENTIFIER = re.compile(rb"\d[\d.:T-]*Z?|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|(?=[^\d]*\d)[0-9a-fA-F]{8,}")
PLACEHOLDER = b"<id>"


@dataclass(frozen=True)
class GroupRequest:
    """How to group, and how much to look at."""

    separator: bytes = b":"
    depth: int = 1
    samples: int = 20_000
    max_seconds: float = 5.0
    top: int = 20
    biggest: int = 10
    show_names: bool = True


@dataclass(frozen=True)
class Sampled:
    """One key that was looked at. C(idle_seconds) is None where the server does not keep it."""

    name: bytes
    kind: str
    size: int
    # As PTTL says it: -1 for none.
    ttl_milliseconds: int
    idle_seconds: Optional[int] = None


@dataclass
class _Group:
    draws: int = 0
    size: int = 0
    squares: float = 0.0
    expiring: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    idle: list[int] = field(default_factory=list)
    largest: Optional[Sampled] = None

    def add(self, key: Sampled) -> None:
        self.draws += 1
        self.size += key.size
        self.squares += float(key.size) ** 2
        self.expiring += key.ttl_milliseconds >= 0
        self.kinds[key.kind] = self.kinds.get(key.kind, 0) + 1
        if key.idle_seconds is not None:
            self.idle.append(key.idle_seconds)
        if self.largest is None or key.size > self.largest.size:
            self.largest = key

    def merge(self, other: _Group) -> None:
        self.draws += other.draws
        self.size += other.size
        self.squares += other.squares
        self.expiring += other.expiring
        for kind, count in other.kinds.items():
            self.kinds[kind] = self.kinds.get(kind, 0) + count
        self.idle += other.idle
        if self.largest is None or (other.largest is not None and other.largest.size > self.largest.size):
            self.largest = other.largest


def group_request_from(params: Mapping[str, Any]) -> GroupRequest:
    """Check the C(groups) option; raises InvalidOption before anything is touched."""
    if not params["separator"]:
        raise InvalidOption("groups.separator", "", "at least one character")
    limits: dict[str, tuple[float, float]] = {
        "depth": (1, MOST_DEPTH),
        "samples": (100, MOST_SAMPLES),
        "max_seconds": (0.1, 3600),
        "top": (1, 1000),
        "biggest": (0, 100),
    }
    for name, (least, most) in limits.items():
        if not least <= params[name] <= most:
            raise InvalidOption(f"groups.{name}", params[name], f"a number from {least:g} to {most:g}")
    return GroupRequest(
        separator=params["separator"].encode("utf-8", "surrogateescape"),
        show_names=params["show_names"],
        **{name: params[name] for name in limits},
    )


def prefix_of(name: bytes, separator: bytes, depth: int) -> Optional[bytes]:
    """The first C(depth) parts of a name, never the last one; None for a name without the separator.

    Parts that are identifiers become C(<id>), so that C(user:17:cart) and C(user:18:cart) are one group.
    """
    parts = name.split(separator)
    if len(parts) == 1:
        return None
    kept = [PLACEHOLDER if _IDENTIFIER.fullmatch(part) else part for part in parts[: min(depth, len(parts) - 1)]]
    return separator.join([*kept, b""])


def wilson(hits: int, draws: int) -> tuple[float, float]:
    """The shares (0 to 1) between which the true one lies in 95 of 100 cases, for C(hits) of C(draws)."""
    if draws == 0:
        return 0.0, 1.0
    share = hits / draws
    scale = 1 + Z * Z / draws
    middle = (share + Z * Z / (2 * draws)) / scale
    margin = Z / scale * math.sqrt(share * (1 - share) / draws + Z * Z / (4 * draws * draws))
    return max(0.0, middle - margin), min(1.0, middle + margin)


class Grouping:
    """Takes keys one by one and keeps only sums, so that memory does not grow with the sample."""

    def __init__(self, request: GroupRequest) -> None:
        self.request = request
        self.taken = 0
        self._groups: dict[Optional[bytes], _Group] = {}
        self._biggest: dict[bytes, Sampled] = {}

    def add(self, key: Sampled) -> None:
        """Count a key; one that is drawn twice counts twice, as it must in a sample with replacement."""
        self.taken += 1
        prefix = prefix_of(key.name, self.request.separator, self.request.depth)
        self._groups.setdefault(prefix, _Group()).add(key)
        self._biggest[key.name] = key
        if len(self._biggest) > 4 * (self.request.biggest + 1):
            self._biggest = {each.name: each for each in self._largest()}

    def facts(self, dbsize: int, *, exact: bool) -> dict[str, Any]:
        """The C(groups) of the result. C(exact): every key was added, once."""
        ranked = sorted(self._groups.items(), key=lambda item: (-item[1].size, item[0] or b""))
        shown = [self._entry(prefix, group, dbsize, exact) for prefix, group in ranked[: self.request.top]]
        rest = _Group()
        for _prefix, group in ranked[self.request.top :]:
            rest.merge(group)
        total = sum(group.size for _prefix, group in ranked)
        return {
            "exact": exact,
            "dbsize": dbsize,
            "samples": self.taken,
            "bytes": self._scaled(total, dbsize, exact),
            "entries": shown,
            "entries_count": len(ranked),
            "others": self._entry(None, rest, dbsize, exact) | {"group": None} if rest.draws else None,
            "biggest": [self._key(key) for key in self._largest()] if self.taken else [],
        }

    def _entry(self, prefix: Optional[bytes], group: _Group, dbsize: int, exact: bool) -> dict[str, Any]:
        total = sum(each.size for each in self._groups.values())
        low, high = (group.draws / max(1, self.taken),) * 2 if exact else wilson(group.draws, self.taken)
        example = group.largest
        return {
            "group": _label(prefix),
            "keys": self._scaled(group.draws, dbsize, exact),
            # What was seen is there: no fewer keys than that.
            "keys_low": group.draws if exact else min(dbsize, math.floor(low * dbsize)),
            "keys_high": group.draws if exact else min(dbsize, math.ceil(high * dbsize)),
            "keys_percent": percent(group.draws, self.taken),
            "bytes": self._scaled(group.size, dbsize, exact),
            "bytes_margin": 0 if exact else self._margin(group, dbsize),
            "bytes_percent": percent(group.size, total),
            "bytes_per_key": round(group.size / group.draws) if group.draws else None,
            "ttl_percent": percent(group.expiring, group.draws),
            "idle_median_seconds": round(statistics.median(group.idle)) if group.idle else None,
            "types": dict(sorted(group.kinds.items())),
            "samples": group.draws,
            "biggest": shorten(example.name) if example is not None and self.request.show_names else None,
            "biggest_bytes": example.size if example is not None else None,
        }

    def _margin(self, group: _Group, dbsize: int) -> int:
        """Half the 95 % interval of the group's bytes, by the spread of sizes in the sample."""
        if self.taken < 2:
            return 0
        spread = max(0.0, group.squares - group.size**2 / self.taken) / (self.taken - 1)
        return round(Z * dbsize * math.sqrt(spread / self.taken))

    def _scaled(self, figure: int, dbsize: int, exact: bool) -> Optional[int]:
        if exact:
            return figure
        return round(figure / self.taken * dbsize) if self.taken else None

    def _largest(self) -> list[Sampled]:
        ranked = sorted(self._biggest.values(), key=lambda key: (-key.size, key.name))
        return ranked[: self.request.biggest]

    def _key(self, key: Sampled) -> dict[str, Any]:
        prefix = prefix_of(key.name, self.request.separator, self.request.depth)
        return {
            "key": shorten(key.name) if self.request.show_names else None,
            "group": _label(prefix),
            "type": key.kind,
            "bytes": key.size,
            "ttl_seconds": key.ttl_milliseconds / 1000 if key.ttl_milliseconds >= 0 else None,
        }


def shorten(name: bytes, length: int = NAME_LENGTH) -> str:
    """A name as text of bounded length."""
    text = name[: 4 * length].decode("utf-8", "backslashreplace")
    return text if len(text) <= length and len(name) <= 4 * length else text[: length - 1] + "…"


def _label(prefix: Optional[bytes]) -> str:
    return "(no separator)" if prefix is None else shorten(prefix) + "*"


def shares(draws: int, sizes: Sequence[int]) -> list[int]:
    """How many of the draws each server of a cluster gets, by how many keys it has."""
    total = sum(sizes)
    return [round(draws * size / total) if total else 0 for size in sizes]
