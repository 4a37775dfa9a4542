# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a releases directory holds, and what follows from it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

# Complete releases carry this file, which is written last. One that is being made has a note beside its directory.
MARKER = ".release.json"
PREPARING = ".preparing.json"
REMOVED = ".removed"
HISTORY = ".releases.json"
LOCK = ".releases.lock"
SWITCH, ROLLBACK, CONFIRM = "switch", "rollback", "confirm"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
_HISTORY_ENTRIES = 200

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Release:
    """One directory below C(releases).

    C(complete) is None for one that something else made: nobody knows. C(made_at) is in seconds since 1970.
    """

    id: str
    complete: Optional[bool]
    made_at: float
    source: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    size_bytes: Optional[int] = None


@dataclass(frozen=True)
class Stock:
    """What was found: the releases, oldest first, the one that is served, and what became of them over time."""

    releases: Sequence[Release]
    current: Optional[str]
    history: Sequence[Entry] = ()
    leftovers: Sequence[str] = ()

    def get(self, name: Optional[str]) -> Optional[Release]:
        """The release of that id."""
        return next((each for each in self.releases if each.id == name), None)

    @property
    def unfinished(self) -> list[Release]:
        """The releases whose making ended early."""
        return [each for each in self.releases if each.complete is False]


def check_id(value: object, option: str = "release") -> str:
    """A release's id, which is a name of a directory and nothing else; raises InvalidOption."""
    if isinstance(value, str) and _ID.fullmatch(value) and not value.endswith((PREPARING, REMOVED)):
        return value
    raise InvalidOption(
        option,
        value,
        "letters, digits and . _ + -, beginning with a letter or digit, at most 128, such as 20260131-4f2a",
    )


def check_commit(value: object, option: str = "commit") -> str:
    """A whole commit id. A branch or a tag can mean something else tomorrow; raises InvalidOption."""
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", value):
        return value
    raise InvalidOption(option, value, "the 40 or 64 hexadecimal digits of a commit, as git rev-parse gives them")


def check_sha256(value: object, option: str = "sha256") -> str:
    """The checksum that an archive must have; raises InvalidOption."""
    if isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F]{64}", value):
        return value.lower()
    raise InvalidOption(option, value, "the archive's SHA-256 as 64 hexadecimal digits, as sha256sum gives it")


def check_inside(value: object, option: str) -> str:
    """A path below the release, such as C(config/master.key); raises InvalidOption."""
    accepted = "a path below the release, without leading slash and without '..', such as config/master.key"
    if not isinstance(value, str) or value.startswith("/"):
        raise InvalidOption(option, value, accepted)
    parts = [part for part in value.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise InvalidOption(option, value, accepted)
    return "/".join(parts)


def happened(history: Sequence[Entry], current: Optional[str]) -> list[Entry]:
    """The history without a last entry that was written before a switch that never came.

    An entry is written first and the link is switched then, so that a killed run loses neither.
    """
    entries = list(history)
    while entries and entries[-1].get("id") != current:
        entries.pop()
    return entries


def is_confirmed(stock: Stock) -> bool:
    """Whether somebody found the release healthy since it is served."""
    entries = happened(stock.history, stock.current)
    return bool(entries) and bool(entries[-1].get("confirmed_at"))


def confirmed(stock: Stock, moment: str) -> list[Entry]:
    """The history with the note that the release that is served was found healthy."""
    entries = happened(stock.history, stock.current) or [
        {"id": stock.current, "from": None, "kind": SWITCH, "at": moment}
    ]
    return [*entries[:-1], {**entries[-1], "confirmed_at": moment}]


def grown(history: Sequence[Entry], entry: Entry) -> list[Entry]:
    """The history with one more entry, as long as anybody needs it."""
    return [*history, entry][-_HISTORY_ENTRIES:]


def rejected(history: Sequence[Entry]) -> set[str]:
    """The releases that were rolled back and not chosen again since: none to go back to."""
    found: set[str] = set()
    for entry in history:
        found.discard(str(entry.get("id")))
        if entry.get("kind") == ROLLBACK and entry.get("from"):
            found.add(str(entry["from"]))
    return found


def previous(stock: Stock) -> tuple[Optional[str], Optional[str]]:
    """The release that a rollback goes to, and how it is known: C(history), C(order), or not at all.

    The history says which release was served before the current one, whatever the names or dates. Where there is none,
    as after another tool, it is the release made just before the current one.
    """
    entries = happened(stock.history, stock.current)
    bad = rejected(entries)
    usable = [each.id for each in stock.releases if each.complete is not False and each.id not in bad]
    for entry in reversed(entries):
        for candidate in (entry.get("id"), entry.get("from")):
            if candidate != stock.current and candidate in usable:
                return str(candidate), "history"
    if entries or stock.current is None:
        return None, None
    served = stock.get(stock.current)
    older = [each.id for each in stock.releases if served and each.id in usable and each.made_at < served.made_at]
    return (older[-1], "order") if older else (None, None)


def spared(stock: Stock, keep: int) -> dict[str, str]:
    """The releases that a clean-up leaves, with why: never the current one or the one before it."""
    before, _how = previous(stock)
    reasons: dict[str, str] = {}
    newest = [each.id for each in stock.releases if each.complete][-keep:] if keep else []
    for each in stock.releases:
        if each.id == stock.current:
            reasons[each.id] = "it is served"
        elif each.id == before:
            reasons[each.id] = "a rollback goes to it"
        elif each.id in newest:
            reasons[each.id] = f"it is one of the newest {keep}"
        elif each.complete is None:
            reasons[each.id] = "something else made it"
    return reasons
