# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The naming rule of a backup repository: the one place that knows how writer, verifier and restorer name a backup.

A rule is a pattern with date directives, C(storebridge-%Y%m%d.sql.gz), and the timezone its dates are written in. Pure.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import NamedTuple
from zoneinfo import ZoneInfo

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

# Files that belong to a backup and carry its name: what wrote it, what proves it.
MANIFEST_SUFFIX = ".manifest.json"
# There while a backup is being written, and afterwards when its writer was killed.
PENDING_SUFFIX = ".pending.json"
# What a directory of backups has beside them: the lock of those who write, and what they have not finished.
LOCK_NAME = ".runbook.lock"
PARTIAL_SUFFIX = ".partial"
COMPANION_SUFFIXES = (
    MANIFEST_SUFFIX,
    ".md5",
    ".sha1",
    ".sha256",
    ".sha256sum",
    ".sha512",
    ".asc",
    ".sig",
    ".globals.sql",
    ".globals.sql.gz",
    ".globals.sql.age",
    ".globals.sql.gpg",
    ".verified.json",
    PENDING_SUFFIX,
)

_DIGITS = {"Y": 4, "y": 2, "m": 2, "d": 2, "j": 3, "H": 2, "M": 2, "S": 2}
_SHORTHANDS = {"%F": "%Y-%m-%d", "%T": "%H:%M:%S", "%R": "%H:%M"}
# A finer directive says nothing without the coarser ones.
_ORDER = ("year", "month", "day", "hour", "minute", "second")
_LEVELS = {"Y": "year", "y": "year", "m": "month", "d": "day", "j": "day", "H": "hour", "M": "minute", "S": "second"}
_ACCEPTED = (
    "a name with %Y, %m, %d, %H, %M, %S (or %F, %T, %j, %y, %s), such as storebridge-%Y%m%d.sql.gz;"
    " a finer directive needs the coarser ones"
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_POINTER = re.compile(r"(?:^|[^a-z])(?:latest|newest|current)(?:[^a-z]|$)", re.IGNORECASE)


class Period(NamedTuple):
    """What the date in a name covers: C(storebridge-20260131) is the whole of that day. Both ends aware, UTC."""

    start: dt.datetime
    end: dt.datetime


class NamingRule:
    """A pattern and a timezone; see the module's text.

    Raises:
        InvalidOption: the pattern has no date, an unknown directive, or directives without the coarser ones.

    """

    def __init__(self, pattern: str, zone: ZoneInfo) -> None:
        self.pattern = pattern
        self.zone = zone
        self.depth = pattern.count("/")
        expanded = pattern
        for short, long in _SHORTHANDS.items():
            expanded = expanded.replace(short, long)
        self._expanded = expanded
        self._regex, directives = _compile(expanded, pattern)
        self.resolution = _resolution(directives, pattern)

    def period(self, name: str) -> Period | None:
        """The time that the name stands for; None for a name that does not follow the rule or is no date (20261399)."""
        found = self._regex.fullmatch(name)
        if found is None:
            return None
        part = {key: int(value) for key, value in found.groupdict().items()}
        try:
            if "s" in part:
                start = dt.datetime.fromtimestamp(part["s"], dt.timezone.utc)
                return Period(start, start + dt.timedelta(seconds=1))
            return self._calendar(part)
        except (ValueError, OverflowError):
            return None

    def _calendar(self, part: dict[str, int]) -> Period:
        year = part["Y"] if "Y" in part else 2000 + part["y"]
        if "j" in part:
            date = dt.date(year, 1, 1) + dt.timedelta(days=part["j"] - 1)
            if part["j"] < 1 or date.year != year:
                raise ValueError(part["j"])
        else:
            date = dt.date(year, part.get("m", 1), part.get("d", 1))
        time = dt.time(part.get("H", 0), part.get("M", 0), part.get("S", 0))
        # Calendar units are added on the wall clock: a day has 23 to 25 hours.
        wall = dt.datetime.combine(date, time)
        if self.resolution == "year":
            end = wall.replace(year=year + 1)
        elif self.resolution == "month":
            end = (wall + dt.timedelta(days=32)).replace(day=1)
        else:
            end = wall + dt.timedelta(**{f"{self.resolution}s": 1})
        return Period(self._aware(wall), self._aware(end))

    def _aware(self, wall: dt.datetime) -> dt.datetime:
        return wall.replace(tzinfo=self.zone).astimezone(dt.timezone.utc)

    def name(self, moment: dt.datetime) -> str:
        """The name of a backup begun at an aware moment."""
        local = moment.astimezone(self.zone)
        # strftime's %s ignores the timezone, and its %Y has no leading zeros on every platform.
        expanded = self._expanded.replace("%s", str(int(moment.timestamp())))
        return local.strftime(expanded)

    def date(self, moment: dt.datetime) -> dt.date:
        """The day of an aware moment in the rule's timezone."""
        return moment.astimezone(self.zone).date()

    def artefact_of(self, path: str) -> str | None:
        """The leading part of a path that follows the rule: the path itself, or the directory that it lies in."""
        if self.period(path):
            return path
        parts = path.split("/")
        directory = "/".join(parts[: self.depth + 1])
        return directory if len(parts) > self.depth + 1 and self.period(directory) else None

    def companion_of(self, name: str) -> tuple[str, str] | None:
        """The artefact that a companion file belongs to, and the companion's suffix."""
        for suffix in COMPANION_SUFFIXES:
            if name.endswith(suffix) and self.period(name[: -len(suffix)]):
                return name[: -len(suffix)], suffix
        return None


def is_pointer(name: str) -> bool:
    """Whether a name claims to stand for the newest backup, as C(latest.sql.gz) does."""
    return bool(_POINTER.search(name.rsplit("/", 1)[-1]))


def is_of_writers(name: str) -> bool:
    """Whether a file is there for those who write backups, or is one that they have not finished."""
    last = name.rsplit("/", 1)[-1]
    return last == LOCK_NAME or (last.startswith(".") and last.endswith(PARTIAL_SUFFIX))


def zone(name: str, option: str = "timezone") -> ZoneInfo:
    """The timezone of an IANA name.

    Raises:
        InvalidOption: there is none of that name (or the host has no timezone data).

    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        # ZoneInfoNotFoundError is a KeyError; a name such as "Asia" opens a directory.
        raise InvalidOption(option, name, "an IANA timezone such as Asia/Seoul or UTC, known to the host") from None


def duration(text: str, option: str) -> float:
    """Seconds of a duration such as C(26h), C(7d), C(1h 30m); a bare number means seconds.

    Raises:
        InvalidOption: it is none, or not above 0.

    """
    compact = str(text).strip().lower()
    parts = _DURATION.findall(compact)
    if re.fullmatch(r"\d+(\.\d+)?", compact):
        seconds = float(compact)
    elif parts and not _DURATION.sub("", compact).strip():
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    else:
        seconds = 0.0
    if seconds <= 0:
        raise InvalidOption(option, text, "a duration above 0, such as 26h, 7d or 30m")
    return seconds


def _compile(expanded: str, pattern: str) -> tuple[re.Pattern[str], set[str]]:
    directives: set[str] = set()
    regex = ""
    position = 0
    while position < len(expanded):
        character = expanded[position]
        position += 1
        if character != "%":
            regex += re.escape(character)
            continue
        directive = expanded[position : position + 1]
        position += 1
        if directive == "%":
            regex += "%"
        elif directive in directives:
            # The same part twice, as in %Y/%m/%d/backup-%Y%m%d.sql: both must say the same.
            regex += f"(?P={directive})"
        elif directive in _DIGITS or directive == "s":
            digits = "[0-9]{9,11}" if directive == "s" else f"[0-9]{{{_DIGITS[directive]}}}"
            regex += f"(?P<{directive}>{digits})"
            directives.add(directive)
        else:
            raise InvalidOption("name_pattern", pattern, _ACCEPTED)
    return re.compile(regex), directives


def _resolution(directives: set[str], pattern: str) -> str:
    if "s" in directives:
        if directives != {"s"}:
            raise InvalidOption("name_pattern", pattern, "either %s or calendar directives, not both")
        return "second"
    levels = {_LEVELS[directive] for directive in directives}
    if "j" in directives:
        levels.add("month")
    present = [level for level in _ORDER if level in levels]
    is_double = {"Y", "y"} <= directives or ({"j"} <= directives and bool({"m", "d"} & directives))
    if not present or present != list(_ORDER[: len(present)]) or is_double:
        raise InvalidOption("name_pattern", pattern, _ACCEPTED)
    return present[-1]
