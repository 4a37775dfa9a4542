# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be looked for, and in which window. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.logs.durations import READERS, own_reader
from ansible_collections.runbook.ops.plugins.module_utils.logs.levels import (
    ERROR_NEEDLES,
    EXACT_ERROR_NEEDLES,
    WARNING_NEEDLES,
    is_error,
    is_warning,
)
from ansible_collections.runbook.ops.plugins.module_utils.logs.moments import Layout, custom_layout
from ansible_collections.runbook.ops.plugins.module_utils.logs.needles import needles_of
from ansible_collections.runbook.ops.plugins.module_utils.logs.tally import (
    ClassDetector,
    DurationDetector,
    SecurityDetector,
    pattern_test,
)

if TYPE_CHECKING:
    from ansible_collections.runbook.ops.plugins.module_utils.logs.tally import Security

_CLASSES = {
    "errors": (is_error, ERROR_NEEDLES, EXACT_ERROR_NEEDLES),
    "warnings": (is_warning, WARNING_NEEDLES, WARNING_NEEDLES),
}


@dataclass(frozen=True)
class Window:
    """Epoch seconds; the end is not included. None is no bound."""

    start: Optional[float]
    end: Optional[float]


@dataclass
class Detectors:
    """One set of them, for one source."""

    classes: list[ClassDetector]
    durations: list[DurationDetector]
    security: list[SecurityDetector]

    def all(self) -> list[Any]:
        """In one list, as the scanner takes them."""
        return [*self.classes, *self.durations, *self.security]


def window_of(options: Mapping[str, Any], reference: dt.datetime) -> Window:
    """The window that the options describe; raises InvalidOption."""
    end = parse_moment(options["end"], "end").timestamp() if options["end"] else reference.timestamp()
    if options["start"]:
        start: Optional[float] = parse_moment(options["start"], "start").timestamp()
    elif options["since"]:
        start = end - parse_seconds(options["since"], "since")
    else:
        start = None
    if start is not None and start >= end:
        raise InvalidOption("start", options["start"], "a moment before the end of the window")
    # Without a beginning and an end the lines need no moments at all.
    return Window(start, None if start is None and not options["end"] else end)


def detectors_of(options: Mapping[str, Any]) -> Detectors:
    """New detectors with nothing counted; raises InvalidOption for what cannot work."""
    top, samples = options["top"], options["samples"]
    for name in ("top", "samples"):
        if not 0 <= options[name] <= 1000:
            raise InvalidOption(name, options[name], "0 to 1000")
    classes = [_known_class(name, top, samples) for name in dict.fromkeys(options["classes"])]
    classes += [_own_class(each, top, samples) for each in options["patterns"]]
    durations = [
        DurationDetector(name, READERS[name], options["slow_ms"], samples)
        for name in dict.fromkeys(options["durations"])
    ]
    for each in options["duration_patterns"]:
        reader = own_reader(each["pattern"], each["unit"], needles_of(each["pattern"]))
        durations.append(DurationDetector(each["name"], (reader,), options["slow_ms"], samples))
    security = _security(options["security"], top) if options["security"] else []
    found = Detectors(classes, durations, security)
    names = [each.name for each in found.all()]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidOption("patterns", twice[0], "a name that nothing else has")
    if not names:
        raise InvalidOption("classes", [], "something to look for in classes, patterns, durations or security")
    return found


def _security(names: Sequence[str], top: int) -> list[SecurityDetector]:
    # Imported where it is wanted: the last hour of an ordered log takes less time than starting.
    from ansible_collections.runbook.ops.plugins.module_utils.logs.security import (  # noqa: PLC0415
        FailedLogins,
        OomKills,
        Sudo,
    )

    kinds: dict[str, type[Security]] = {"failed_logins": FailedLogins, "sudo": Sudo, "oom_kills": OomKills}
    return [SecurityDetector(kinds[name](), top) for name in dict.fromkeys(names)]


def _known_class(name: str, top: int, samples: int) -> ClassDetector:
    test, needles, exact = _CLASSES[name]
    return ClassDetector(name, test, needles, top, samples, exact)


def _own_class(each: Mapping[str, Any], top: int, samples: int) -> ClassDetector:
    pattern = compiled(each["pattern"], ignore_case=each["ignore_case"])
    exclude = compiled(each["exclude"], ignore_case=each["ignore_case"]) if each["exclude"] else None
    needles = needles_of(each["pattern"], ignore_case=each["ignore_case"])
    return ClassDetector(each["name"], pattern_test(pattern, exclude), needles, top, samples)


def compiled(pattern: str, *, ignore_case: bool) -> re.Pattern[bytes]:
    """A regular expression over bytes; raises InvalidOption."""
    try:
        return re.compile(pattern.encode(), re.IGNORECASE if ignore_case else 0)
    except re.error as error:
        raise InvalidOption("patterns", pattern, f"a regular expression ({error})") from None


def zone_of(source: Mapping[str, Any], options: Mapping[str, Any]) -> dt.tzinfo | None:
    """The zone of moments without one; None for the machine's own."""
    name = source["timezone"] or options["timezone"]
    if not name:
        return None
    from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import timezone  # noqa: PLC0415

    return timezone(name)


def layout_wanted(source: Mapping[str, Any]) -> Layout | None:
    """The layout that the user gave, if any; raises InvalidOption."""
    if not source["time_pattern"]:
        return None
    if not source["time_format"]:
        raise InvalidOption("time_format", source["time_format"], "a strptime format for what time_pattern finds")
    return custom_layout(source["time_pattern"], source["time_format"])


def check_sources(options: Mapping[str, Any]) -> None:
    """Refuse sources that name nothing; raises InvalidOption."""
    names = [source["name"] for source in options["sources"]]
    for source in options["sources"]:
        layout_wanted(source)
        zone_of(source, options)
        if not any(source[key] for key in ("paths", "journal", "containers", "services")):
            raise InvalidOption("sources", source["name"], "a source with paths, journal or containers, or services")
        if names.count(source["name"]) > 1:
            raise InvalidOption("sources", source["name"], "a name that no other source has")
        if source["project"] and not source["services"]:
            raise InvalidOption("sources", source["name"], "a project only together with services")
        if (source["units"] or source["identifiers"]) and not source["journal"]:
            raise InvalidOption("sources", source["name"], "units and identifiers only together with journal")
