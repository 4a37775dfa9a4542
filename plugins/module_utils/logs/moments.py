# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a log line was written: the layouts of timestamps that programs use. Pure.

A file has one layout; a line without it belongs to the line before, as the lines of a stack trace do.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

_MONTHS = {name: number for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
_MONTH = b"(" + b"|".join(_MONTHS) + b")"
_JSON_KEYS = ("@timestamp", "timestamp", "time", "ts", "datetime", "@t", "date", "asctime")
_CACHED = 4096
_DAY_SECONDS = 86400.0
_MINUTE_SECONDS = 60
_LEAP_CYCLE_YEARS = 8  # 29 February comes again within so many years, even over the turn of a century
_UTC = (b"Z", b"z", b"UTC", b"GMT")


@dataclass
class Clock:
    """Reads the moments of one file's lines.

    Args:
        layout: How they are written.
        zone: The zone of those that carry none; None for the machine's own.
        reference: Epoch seconds of the last possible line, from which a missing year is told.

    """

    layout: Layout
    zone: Optional[dt.tzinfo]
    reference: float
    minutes: dict[tuple[Any, ...], float] = field(default_factory=dict)
    _known: dict[tuple[Any, ...], Optional[float]] = field(default_factory=dict)

    def moment(self, line: bytes) -> float | None:
        """Epoch seconds, whole ones; None for a line without a timestamp."""
        match = self.layout.pattern.match(line)
        if match is None:
            return None
        if not self.layout.cached:
            return self.layout.read(self, match)
        key = match.groups()
        if key in self._known:
            return self._known[key]
        if len(self._known) >= _CACHED:
            self._known.clear()
        self._known[key] = moment = self.layout.read(self, match)
        return moment

    def local(self, naive: dt.datetime) -> float:
        """Epoch seconds of a moment without a zone; of an hour that comes twice, the first one."""
        return (naive.astimezone() if self.zone is None else naive.replace(tzinfo=self.zone)).timestamp()

    def abbreviated(self, naive: dt.datetime, name: str) -> float | None:
        """A moment with the abbreviation of a zone; None when it is not the zone of this clock."""
        aware = naive.astimezone() if self.zone is None else naive.replace(tzinfo=self.zone)
        return aware.timestamp() if aware.tzname() == name else None


class Layout:
    """One way to write a moment at the beginning of a line."""

    def __init__(
        self,
        name: str,
        pattern: bytes,
        read: Callable[[Clock, re.Match[bytes]], Optional[float]],
        *,
        cached: bool = True,
    ) -> None:
        self.name = name
        self.read = read
        # Whether the groups of the pattern tell the moment, and it is slow enough to remember it.
        self.cached = cached
        self._source = pattern

    @cached_property
    def pattern(self) -> re.Pattern[bytes]:
        """Compiled when it is needed: most files have the layout that is tried first."""
        return re.compile(self._source)


def _zoned(clock: Clock, naive: dt.datetime, zone: bytes | None) -> float | None:
    if not zone:
        return clock.local(naive)
    if zone in _UTC:
        return naive.replace(tzinfo=dt.timezone.utc).timestamp()
    if zone[:1] in b"+-":
        digits = zone[1:].replace(b":", b"").ljust(4, b"0")
        offset = dt.timedelta(hours=int(digits[:2]), minutes=int(digits[2:4]))
        return naive.replace(tzinfo=dt.timezone(offset if zone[:1] == b"+" else -offset)).timestamp()
    return clock.abbreviated(naive, zone.decode("ascii"))


def _iso(clock: Clock, match: re.Match[bytes]) -> float | None:
    # Of a minute once: the seconds are added.
    second, key = int(match[6]), (match.string[: match.start(6)], match[7])
    begin = clock.minutes.get(key)
    if begin is not None and second < _MINUTE_SECONDS:
        return begin + second
    groups = match.groups()
    try:
        moment = _zoned(clock, dt.datetime(*(int(part) for part in groups[:6])), groups[6])  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        return None
    if moment is not None:
        if len(clock.minutes) >= _CACHED:
            clock.minutes.clear()
        clock.minutes[key] = moment - second
    return moment


def _iso_or_abbreviation(clock: Clock, match: re.Match[bytes]) -> float | None:
    if match[8] is None:
        return _iso(clock, match)
    key = (match[0], None)
    if key not in clock.minutes:
        if len(clock.minutes) >= _CACHED:
            clock.minutes.clear()
        naive = dt.datetime(*(int(part) for part in match.groups()[:6]))  # type: ignore[arg-type]
        moment = clock.abbreviated(naive, match[8].decode("ascii"))
        if moment is None:
            return None
        clock.minutes[key] = moment
    return clock.minutes[key]


def _syslog(clock: Clock, match: re.Match[bytes]) -> float | None:
    """RFC 3164 has no year: it is the last in which the moment is not after the reference, give or take a day."""
    month, rest = _MONTHS[match[1]], [int(part) for part in match.groups()[1:]]
    last = dt.datetime.fromtimestamp(clock.reference + _DAY_SECONDS, dt.timezone.utc)
    for year in range(last.year + 1, last.year - _LEAP_CYCLE_YEARS, -1):
        try:
            moment = clock.local(dt.datetime(year, month, *rest))  # type: ignore[arg-type]
        except ValueError:
            continue
        if moment <= clock.reference + _DAY_SECONDS:
            return moment
    return None


def _access(clock: Clock, match: re.Match[bytes]) -> float | None:
    day, month, year, hour, minute, second, zone = match.groups()
    try:
        moment = dt.datetime(int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second))
        return _zoned(clock, moment, zone)
    except ValueError:
        return None


def _apache_error(clock: Clock, match: re.Match[bytes]) -> float | None:
    month, day, hour, minute, second, year = match.groups()
    try:
        return clock.local(dt.datetime(int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second)))
    except ValueError:
        return None


def _epoch(_clock: Clock, match: re.Match[bytes]) -> float | None:
    return float(int(match[1]))


ISO = Layout(
    "iso8601",
    # Also RFC 5424 (<34>1 …), Ruby's Logger (E, [… #12]), nginx's error log (slashes), PostgreSQL (zone, then [pid]).
    (
        rb"(?:<\d{1,3}>(?:1 )?|[A-Z], )?[\[(\"]?(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,]\d+)?"
        rb"(?: ?(Z|[+-]\d\d:?(?:\d\d)?|UTC|GMT)\b| (?!INFO|WARN|ERROR|DEBUG|FATAL|TRACE)([A-Z]{3,5})(?= \[\d))?"
    ),
    _iso_or_abbreviation,
    cached=False,
)


def _json(clock: Clock, match: re.Match[bytes]) -> float | None:
    try:
        record = json.loads(match.string)
    except ValueError:
        return None
    for key in _JSON_KEYS if isinstance(record, dict) else ():
        moment = read_value(clock, record.get(key))
        if moment is not None:
            return moment
    return None


def read_value(clock: Clock, value: object) -> float | None:
    """Epoch seconds of a JSON value: a text with a moment, or seconds, milli-, micro- or nanoseconds since 1970."""
    if isinstance(value, str):
        match = ISO.pattern.match(value.encode())
        return _iso(clock, match) if match else None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
        while value > 1e11:
            value /= 1000
        return float(int(value))
    return None


LAYOUTS: tuple[Layout, ...] = (
    ISO,
    Layout("rfc3164", rb"(?:<\d{1,3}>)?" + _MONTH + rb" +(\d{1,2}) (\d\d):(\d\d):(\d\d)(?= |$)", _syslog),
    Layout(
        "access",
        rb"[^\[\n]{3,400}\[(\d\d)/" + _MONTH + rb"/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-]\d{4})\]",
        _access,
    ),
    Layout(
        "apache_error",
        rb"\[(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) " + _MONTH + rb" (\d\d) (\d\d):(\d\d):(\d\d)(?:\.\d+)? (\d{4})\]",
        _apache_error,
    ),
    Layout("json", rb"\s*\{", _json, cached=False),
    Layout("epoch", rb"\[?(\d{10})(?:\d{3}|\.\d+)?(?=[\s\]]|$)", _epoch),
)


def custom_layout(pattern: str, format_text: str) -> Layout:
    """A user's layout: a regular expression whose first group is the moment, and its C(strptime) format."""
    try:
        compiled = re.compile(b".*?" + pattern.encode() if not pattern.startswith("^") else pattern.encode())
    except re.error as error:
        raise InvalidOption("time_pattern", pattern, f"a regular expression ({error})") from None
    if compiled.groups < 1:
        raise InvalidOption("time_pattern", pattern, "a regular expression whose first group is the moment")

    def read(clock: Clock, match: re.Match[bytes]) -> float | None:
        try:
            moment = dt.datetime.strptime((match[1] or b"").decode("utf-8", "replace"), format_text)
        except ValueError:
            return None
        return float(int(moment.timestamp() if moment.tzinfo else clock.local(moment)))

    return Layout("custom", compiled.pattern, read)


def layout_of(
    lines: Iterable[bytes], zone: dt.tzinfo | None, reference: float, custom: Layout | None = None
) -> Layout | None:
    """The layout that most of these lines have; None if they have none that is known."""
    sample = list(lines)
    best, most = None, 0
    for layout in (custom,) if custom else LAYOUTS:
        clock = Clock(layout, zone, reference)
        found = sum(clock.moment(line) is not None for line in sample)
        if found > most:
            best, most = layout, found
        if found == len(sample):
            break
    return best
