# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading redis.conf as the server does, and what it would stumble over. Pure.

The server has no comments at the end of a line (config.c, loadServerConfigFromString, and sds.c, sdssplitargs): what
stands behind a value is more values. It then refuses to start, at the next restart, long after the file was edited.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.health.lint import CRITICAL, HINT, WARNING, Entry

# Never shown, whatever is wrong with them.
SECRETS = frozenset(
    {"requirepass", "masterauth", "primaryauth", "user", "tls-key-file-pass", "tls-client-key-file-pass", "masteruser"}
)
SWITCHES = frozenset(
    {"activedefrag", "activerehashing", "aof-load-truncated", "aof-use-rdb-preamble", "appendonly", "daemonize"}
    | {"lazyfree-lazy-eviction", "lazyfree-lazy-expire", "lazyfree-lazy-server-del", "no-appendfsync-on-rewrite"}
    | {"protected-mode", "rdbchecksum", "rdbcompression", "replica-read-only", "replica-serve-stale-data"}
    | {"slave-read-only", "stop-writes-on-bgsave-error", "cluster-enabled"}
)
CHOICES = {
    "appendfsync": ("always", "everysec", "no"),
    "maxmemory-policy": (
        *("noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random"),
        *("volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"),
    ),
    "loglevel": ("debug", "verbose", "notice", "warning", "nothing"),
}
MEMORY = frozenset({"maxmemory", "auto-aof-rewrite-min-size", "repl-backlog-size", "proto-max-bulk-len"})
NUMBERS = frozenset(
    {"auto-aof-rewrite-percentage", "databases", "hz", "latency-monitor-threshold", "maxclients", "port", "timeout"}
    | {"slowlog-log-slower-than", "slowlog-max-len", "tcp-backlog", "tcp-keepalive"}
)
ONE_VALUE = (
    SWITCHES | MEMORY | NUMBERS | frozenset(CHOICES) | {"appendfilename", "dbfilename", "dir", "logfile", "pidfile"}
)
# Compared with what the server runs with. Their defaults, where the file does not name them and the version does not
# matter.
COMPARED = (
    *("maxmemory", "maxmemory-policy", "appendonly", "appendfsync", "save", "timeout", "tcp-keepalive", "maxclients"),
    *("stop-writes-on-bgsave-error", "protected-mode", "bind", "auto-aof-rewrite-percentage"),
    *("no-appendfsync-on-rewrite", "rdbchecksum", "slowlog-log-slower-than", "latency-monitor-threshold"),
)
DEFAULTS = {
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
    "appendonly": "no",
    "appendfsync": "everysec",
    "timeout": "0",
    "tcp-keepalive": "300",
    "stop-writes-on-bgsave-error": "yes",
    "auto-aof-rewrite-percentage": "100",
    "no-appendfsync-on-rewrite": "no",
    "rdbchecksum": "yes",
}

_UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1024, "m": 10**6, "mb": 2**20, "g": 10**9, "gb": 2**30}
_MEMORY = re.compile(r"(-?\d+)([a-z]*)", re.IGNORECASE)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "a": "\a"}
_WONT_START = "the server does not start with it"
# Before 7.0 a save line that is not understood is passed over in silence (config.c, loadServerConfigFromString).
_SAVE_EFFECT = "the server does not start with it, or takes no such snapshots before Redis 7"
NOTHING = '""'


@dataclass(frozen=True)
class Line:
    """A directive: its name in small letters, and its values."""

    number: int
    name: str
    values: tuple[str, ...]

    @property
    def shown(self) -> str:
        """The values for people, never a secret."""
        return "********" if self.name in SECRETS else " ".join(self.values) or '""'


class Unbalanced(ValueError):
    """A quote that is not closed, or is followed by something else than a space."""


def split_arguments(text: str) -> list[str]:
    """The words of a line as sds.c, sdssplitargs, takes them apart; raises Unbalanced."""
    words: list[str] = []
    position = 0
    while True:
        while position < len(text) and text[position] in " \t\n\v\f\r\0":
            position += 1
        if position >= len(text):
            return words
        word, position = _word(text, position)
        words.append(word)


def _word(text: str, position: int) -> tuple[str, int]:
    out: list[str] = []
    while position < len(text) and text[position] not in " \t\n\v\f\r\0":
        if text[position] in "\"'":
            quoted, position = _quoted(text, position)
            return "".join([*out, quoted]), position
        out.append(text[position])
        position += 1
    return "".join(out), position


def _quoted(text: str, position: int) -> tuple[str, int]:
    quote, out = text[position], []
    position += 1
    while position < len(text) and text[position] != quote:
        character = text[position]
        if character == "\\" and position + 1 < len(text):
            following = text[position + 1]
            code = re.match(r"x([0-9a-fA-F]{2})", text[position + 1 :])
            if quote == '"' and code:
                out.append(chr(int(code[1], 16)))
                position += 4
                continue
            if quote == '"' or following == "'":
                out.append(_ESCAPES.get(following, following) if quote == '"' else following)
                position += 2
                continue
        out.append(character)
        position += 1
    if position >= len(text) or (position + 1 < len(text) and not text[position + 1].isspace()):
        raise Unbalanced(text)
    return "".join(out), position + 1


def parse(text: str) -> tuple[list[Line], list[Entry]]:
    """The directives of a file, and the lines that cannot be taken apart."""
    lines, broken = [], []
    for number, raw in enumerate(text.split("\n"), start=1):
        stripped = raw.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name = stripped.split(None, 1)[0].lower()
        try:
            words = split_arguments(stripped)
        except Unbalanced:
            shown = "********" if name in SECRETS else stripped
            reason = f"line {number}: the quotes do not match; {_WONT_START}"
            broken.append(Entry(name, shown, CRITICAL, reason, "Close the quotes, with nothing right behind them."))
            continue
        if words:
            lines.append(Line(number, words[0].lower(), tuple(words[1:])))
    return lines, broken


def lint_file(text: str) -> list[Entry]:
    """What is wrong with a configuration file by itself, in the order of its lines."""
    lines, broken = parse(text)
    return [*broken, *(entry for line in lines for entry in _judge(line))]


def _judge(line: Line) -> Iterator[Entry]:
    comment = _comment_at(line)
    if comment is not None:
        reason = (
            f"line {line.number}: there are no comments behind a value; the server takes "
            f"{' '.join(line.values[comment:])!r} as more values, and {_effect(line)}"
        )
        yield Entry(line.name, line.shown, CRITICAL, reason, "Put the comment on a line of its own.")
        return
    problem = _problem(line)
    if problem:
        what, remedy = problem
        effect = _SAVE_EFFECT if line.name == "save" else _WONT_START
        yield Entry(line.name, line.shown, CRITICAL, f"line {line.number}: {what}; {effect}", remedy)
    elif line.name == "include":
        reason = f"line {line.number}: what it includes was not looked at"
        yield Entry(line.name, line.shown, HINT, reason, "Check that file too (config_file).")
    elif line.name == "rename-command":
        reason = f"line {line.number}: tools that need the command say that the server does not offer it"
        yield Entry(line.name, " ".join(line.values[:1]), HINT, reason, "Prefer ACL rules, which say who may.")


def _comment_at(line: Line) -> Optional[int]:
    """Where a comment begins that the server does not take for one."""
    if line.name in SECRETS:
        # A password may begin with a number sign.
        return next((at for at, word in enumerate(line.values) if at and word == "#"), None)
    return next((at for at, word in enumerate(line.values) if word.startswith("#")), None)


def _effect(line: Line) -> str:
    if line.name == "save":
        return 'does not start ("Invalid save parameters"), or takes no such snapshots before Redis 7'
    if line.name == "bind":
        return "does not start, because it cannot listen there"
    return "does not start"


def _problem(line: Line) -> Optional[tuple[str, str]]:
    """What is wrong with a directive's values, and what to write instead."""
    if line.name == "save":
        return _save_problem(line.values)
    if line.name not in ONE_VALUE:
        return None
    if len(line.values) != 1:
        return f"it takes one value and has {len(line.values)}", "Put values with spaces in quotes."
    value = line.values[0].lower()
    if line.name in SWITCHES and value not in ("yes", "no"):
        return f"{line.shown!r} is neither yes nor no", "Write yes or no."
    if line.name in CHOICES and value not in CHOICES[line.name]:
        return f"{line.shown!r} is no value of it", f"Write one of {', '.join(CHOICES[line.name])}."
    if line.name in MEMORY and memory_bytes(value) is None and not value.endswith("%"):
        return f"{line.shown!r} is no amount of memory", "Write a number and a unit without a space, such as 2gb."
    if line.name in NUMBERS and not re.fullmatch(r"-?\d+", value):
        return f"{line.shown!r} is no number", "Write a whole number."
    return None


def _save_problem(values: Sequence[str]) -> Optional[tuple[str, str]]:
    if values == ("",):
        return None
    remedy = 'Write pairs of seconds and changes, such as save 900 1, or save "" for no snapshots.'
    if not values or len(values) % 2:
        return f"{len(values)} values are no pairs of seconds and changes: Invalid save parameters", remedy
    for seconds, changes in zip(values[::2], values[1::2]):
        if not (re.fullmatch(r"\d+", seconds) and int(seconds) >= 1 and re.fullmatch(r"\d+", changes)):
            return f"'{seconds} {changes}' is no pair of seconds and changes: Invalid save parameters", remedy
    return None


def memory_bytes(text: str) -> Optional[int]:
    """An amount of memory as util.c, memtoull, reads it; None for anything else."""
    found = _MEMORY.fullmatch(text.strip())
    if not found or found[2].lower() not in _UNITS or found[1].startswith("-"):
        return None
    return int(found[1]) * _UNITS[found[2].lower()]


def in_file(text: str) -> dict[str, str]:
    """The values of a file as CONFIG GET would say them; of a directive that occurs twice, what the server makes of it.

    Every C(save) line adds to the ones before it, except the empty one, which removes them.
    """
    values: dict[str, str] = {}
    for line in parse(text)[0]:
        if line.name == "save" and line.values != ("",) and values.get("save"):
            values["save"] += f" {' '.join(line.values)}"
        elif line.name not in SECRETS:
            values[line.name] = " ".join(line.values)
    return values


def compare(text: str, running: Mapping[str, str]) -> list[Entry]:
    """Where the running server differs from its file: what the next restart will change."""
    written = in_file(text)
    entries = []
    for name in COMPARED:
        expected = written.get(name, DEFAULTS.get(name))
        if expected is None or name not in running or _plain(name, expected) == _plain(name, running[name]):
            continue
        says = f"the file says {expected or NOTHING}" if name in written else f"the file leaves it at {expected}"
        reason = (
            f"the server runs with {running[name] or NOTHING}, and {says}: the next restart changes it, "
            "unless it was set on the command line"
        )
        remedy = "CONFIG REWRITE keeps what is running; otherwise set what the file says with CONFIG SET."
        entries.append(Entry(name, running[name], WARNING, reason, remedy))
    return entries


def _plain(name: str, value: str) -> str:
    """A value in one spelling."""
    if name in MEMORY:
        size = memory_bytes(value)
        return value if size is None else str(size)
    if name == "bind":
        return " ".join(sorted(value.split()))
    return " ".join(value.lower().split())
