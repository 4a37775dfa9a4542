# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What redis_key is asked to do. Pure."""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Budget, budget_from, compile_glob

ABSENT, EXPIRING = "absent", "expiring"
STATES = (ABSENT, EXPIRING)
TYPES = ("string", "list", "set", "zset", "hash", "stream")
MOST_AFFECTED = 10_000_000

# What a pattern may consist of without saying anything about which keys are meant.
_WILDCARDS = re.compile(rb"(?:[*?:._{}-]|\[(?:\\.|[^\]\\])*\])*\Z", re.DOTALL)


@dataclass(frozen=True)
class Pattern:
    """Names that are meant: one exact name, or all that match a glob."""

    text: bytes
    exact: bool
    matcher: Optional[re.Pattern[bytes]] = None

    def matches(self, name: bytes) -> bool:
        """Whether a name is meant."""
        return name == self.text if self.matcher is None else self.matcher.match(name) is not None

    @property
    def label(self) -> str:
        """As it stands in the task."""
        return self.text.decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class KeyRequest:
    """Which keys, and what becomes of them. Times are in seconds."""

    state: str
    keys: tuple[Pattern, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    types: tuple[str, ...] = ()
    min_idle: Optional[int] = None
    ttl: Optional[int] = None
    ttl_spread: int = 0
    max_affected: int = 1000
    limit: Optional[int] = None
    protect: tuple[Pattern, ...] = ()
    show_names: bool = False
    budget: Budget = field(default_factory=Budget)

    @property
    def all_patterns(self) -> tuple[Pattern, ...]:
        """Exact names first."""
        return (*self.keys, *self.patterns)

    def pattern_of(self, name: bytes) -> Optional[Pattern]:
        """The first that means this name."""
        return next((pattern for pattern in self.all_patterns if pattern.matches(name)), None)

    def ttl_milliseconds(self, name: bytes) -> int:
        """The time to live of a key: the same for a name however often it is asked, and different between names.

        Between C(ttl) and C(ttl_spread) percent more, so that a cache does not have to be filled anew all at once.
        """
        least = 1000 * (self.ttl or 0)
        share = (binascii.crc32(name) & 0xFFFF) / 0xFFFF
        return least + int(least * self.ttl_spread / 100 * share)


def request_from(params: Mapping[str, Any]) -> KeyRequest:
    """Check the options of redis_key; raises InvalidOption before anything is touched."""
    keys = tuple(Pattern(name, exact=True) for name in _names(params["keys"]))
    patterns = tuple(glob("pattern", name) for name in _names(params["pattern"]))
    if not keys and not patterns:
        raise InvalidOption("pattern", params["pattern"], "at least one name in keys, or one pattern")
    for pattern in patterns:
        if _WILDCARDS.match(pattern.text):
            accepted = "a pattern that spells out at least one letter or digit, such as cache:*"
            raise InvalidOption("pattern", pattern.label, accepted)
    state, ttl = params["state"], params["ttl"]
    if state == EXPIRING and not ttl:
        raise InvalidOption("ttl", ttl, "with state=expiring a duration such as 1h")
    if state == ABSENT and ttl:
        raise InvalidOption("ttl", ttl, "only with state=expiring")
    if not 0 <= params["ttl_spread"] <= 100:
        raise InvalidOption("ttl_spread", params["ttl_spread"], "a number of percent from 0 to 100")
    most, limit = params["max_affected"], params["limit"]
    if not 1 <= most <= MOST_AFFECTED:
        raise InvalidOption("max_affected", most, f"a number from 1 to {MOST_AFFECTED}")
    if limit is not None and not 1 <= limit <= most:
        raise InvalidOption("limit", limit, f"a number from 1 to max_affected ({most})")
    return KeyRequest(
        state=state,
        keys=keys,
        patterns=patterns,
        types=tuple(dict.fromkeys(params["type"])),
        min_idle=parse_seconds(params["min_idle"], "min_idle") if params["min_idle"] else None,
        ttl=parse_seconds(ttl, "ttl") if ttl else None,
        ttl_spread=params["ttl_spread"],
        max_affected=most,
        limit=limit,
        protect=tuple(glob("protect", name) for name in _names(params["protect"])),
        show_names=params["show_names"],
        budget=budget_from(params),
    )


def glob(option: str, text: bytes) -> Pattern:
    """A pattern as the server understands it; raises InvalidOption for one that no name can match."""
    try:
        return Pattern(text, exact=False, matcher=compile_glob(text))
    except re.error as error:
        raise InvalidOption(option, text, f"a pattern with *, ? and [...] ({error})") from None


def literal(pattern: bytes) -> bytes:
    """What a pattern spells out, without its wildcards: C(cache:) of C(cache:*)."""
    return re.sub(rb"\\(.)|\[(?:\\.|[^\]\\])*\]|[*?]", lambda found: found[1] or b"", pattern, flags=re.DOTALL)


def literal_beginning(pattern: bytes) -> bytes:
    """What every name that matches begins with."""
    return literal((re.match(rb"(?:\\.|[^*?\[\\])*", pattern, re.DOTALL) or [b""])[0])


def _names(texts: Sequence[str]) -> list[bytes]:
    return list(dict.fromkeys(text.encode("utf-8", "surrogateescape") for text in texts if text))
