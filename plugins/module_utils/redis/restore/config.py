# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading redis.conf: what the server will do when it starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

_WORD = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'|(\S+))', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "a": "\a"}
_DEEPEST = 16

Config = dict[str, list[str]]


def parse_config(text: str, include: Callable[[str], str]) -> Config:
    """The last value of every setting, as words; C(include) gives the text of an included file.

    The notation is the server's (loadServerConfigFromString() in config.c): a setting a line, C(#) only at its
    beginning, words in quotes with escapes. An included file stands where it is included.
    """
    found: Config = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, *words = split_words(line)
        if name.lower() == "include" and words:
            found.update(parse_config(include(words[0]), include))
        else:
            found[name.lower()] = words
    return found


def split_words(line: str) -> list[str]:
    """The words of a line, without their quotes."""
    words = []
    for double, single, plain in _WORD.findall(line.strip()):
        words.append(_ESCAPE.sub(_unescape, double) if double else single.replace("\\'", "'") or plain)
    return words


def _unescape(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else _ESCAPED.get(found[2], found[2])


def read_config(path: Path) -> Config:
    """The settings in a file and what it includes; raises InvalidOption when it cannot be read."""
    depth = 0

    def include(pattern: str) -> str:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise InvalidOption("config_file", str(path), "a file whose includes end")
        place = Path(pattern)
        # The server resolves relative names where it was started, which is mostly where its file is.
        base = place.parent if place.is_absolute() else path.parent / place.parent
        return "\n".join(_text(each) for each in sorted(base.glob(place.name)))

    return parse_config(_text(path), include)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise InvalidOption("config_file", str(path), f"a file that can be read here ({error.strerror})") from None


def value_of(config: Mapping[str, list[str]], name: str, default: str | None = None) -> str | None:
    """The first word of a setting."""
    words = config.get(name)
    return words[0] if words else default
