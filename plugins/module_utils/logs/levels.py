# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an error is, in the ways programs say so. Pure.

A word is not a level: C(Parameters: {"error"=>"none"}) is no error, C("level":50) is one. Where the first line of an
entry names its level, that decides; else what the line looks like. A request answered with 5xx is an error always.
"""

from __future__ import annotations

import re

_LEVEL = re.compile(
    # A word in capitals, standing free; the first of them is the level, later ones are part of the message.
    rb"(?<![\w/.\"'=>-])(TRACE|DEBUG|INFO|NOTICE|LOG|WARN|WARNING|ERROR|ERR|FATAL|CRITICAL|CRIT|PANIC|SEVERE|ALERT|EMERG)"
    rb"(?=[\s:\]|,)]|$)"
    # JSON and logfmt.
    rb"|[{,]\s*\"(?:level|severity|lvl|log\.level|levelname|loglevel|level_name|@l)\" ?: ?(?:\"(\w+)|(\d+))"
    rb"|(?:^|\s)(?:level|lvl|severity)=\"?([A-Za-z]\w*)"
    # nginx, Apache, and how this collection shows the journal's priorities.
    rb"|\[(?:\w+:)?(debug|info|notice|warn|warning|error|crit|alert|emerg)\]"
)
_ERRORS = frozenset(
    b"error err fatal critical crit panic severe alert emerg emergency 50 60".split(),
)
_WARNINGS = frozenset(b"warn warning 40".split())
_LEVEL_REACH = 400  # a level stands at the beginning of a line
_STATUS = re.compile(rb"\bCompleted 5\d\d |\" 5\d\d (?:\d+|-)(?: |$)")
_LOOKS = re.compile(
    rb"^Traceback \(most recent call last\)"
    rb"|^(?:\[[^\]]*\] |Caused by: |Exception in thread \"[^\"]*\" )*"
    rb"(?:[\w$]+(?:::|\.))*\w*(?:Error|Exception)(?: \(|:|$)"
    rb"|(?:^|: )(?:[Ee]rror|[Ff]atal(?: error)?|[Pp]anic): "
)

# Found in a line whether or not it is itself quoted in JSON, as Docker's files have it: no backslash may be among them.
# Few, for a search that takes a pass for each: what is an error has one of them, and much else has one, too.
ERROR_NEEDLES = (
    *b"ERR FATAL CRIT PANIC SEVERE ALERT EMERG rror atal crit Crit anic lert merg evere xception Traceback".split(),
    *(b"Completed 5", b'" 5', b'":50', b'":60', b'": 50', b'": 60', b'" :50', b'" :60', b'" : 50', b'" : 60'),
    *(b'"err', b"=err", b'"Err', b"=Err", b'"50', b'"60'),
)
WARNING_NEEDLES = (b"WARN", b"warn", b"Warn", *(b'":40', b'": 40', b'" :40', b'" : 40', b'"40'))

# Many, for a search that takes one pass for all: what has one of them mostly is an error. A word counts only where a
# level stands or a message begins. They begin with few different letters, and rare ones, which is what makes grep fast.
_WORDS = tuple(
    word
    for name in (b"err", b"fatal", b"crit", b"panic", b"severe", b"alert", b"emerg")
    for word in (name, name.capitalize())
)
_COLONS = (b'":', b'": ', b'" :', b'" : ')
EXACT_ERROR_NEEDLES = (
    *b"ERR FATAL CRIT PANIC SEVERE ALERT EMERG Error Exception Traceback".split(),
    *(b"Completed 5", b'" 5'),
    *(b"rror: ", b"fatal: ", b"Fatal: ", b"panic: ", b"Panic: "),
    # The ends of [error], [crit], [alert], [emerg].
    *(b"rror]", b"rit]", b"rt]", b"rg]"),
    *(colon + quote + word for colon in _COLONS for quote in (b"", b'"') for word in (b"50", b"60")),
    *(colon + b'"' + word for colon in _COLONS for word in _WORDS),
    *(equals + word for equals in (b"=", b'="') for word in _WORDS),
)


def level_of(line: bytes) -> bytes | None:
    """The level that a line names, in lower case; None when it names none."""
    match = _LEVEL.search(line, 0, _LEVEL_REACH)
    if match is None:
        return None
    return next(group for group in match.groups() if group is not None).lower()


def is_error(line: bytes, header: bytes) -> bool:
    """Whether a line, or the entry that begins with C(header), reports an error."""
    if _STATUS.search(line):
        return True
    level = level_of(header)
    if level is not None:
        return level in _ERRORS
    return _LOOKS.search(_after_prefix(line)) is not None


def is_warning(_line: bytes, header: bytes) -> bool:
    """Whether the entry that begins with C(header) is a warning."""
    return level_of(header) in _WARNINGS


_PREFIX = re.compile(
    rb"(?:<\d+>\d* ?)?(?:[\[(]?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d[^\s\]]*\]? ?"
    rb"|[A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d )?"
)


def _after_prefix(line: bytes) -> bytes:
    match = _PREFIX.match(line)
    return line[match.end() :].lstrip() if match else line.lstrip()
