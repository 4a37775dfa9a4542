# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts behind a finding: found in what was measured, and cut to a readable size with the cuts named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

# A fact tree can hold 20,000 tables; beyond this many values the search gives up rather than slow the round down.
_MOST_NODES = 30_000
_LONGEST_TEXT = 600
_MOST_ITEMS = 12
_MOST_KEYS = 60
_DEEPEST = 8
# Finding the right excerpt is by resemblance; below this score it would be a guess.
_ENOUGH = 4

Path = tuple[str, ...]
Clean = Callable[[Any], Any]


@dataclass(frozen=True)
class Excerpt:
    """A piece of facts ready to be shown. C(note) says what was left out; empty when nothing was."""

    path: str
    text: str
    note: str


class _Cuts:
    """Counts what shortening leaves out."""

    def __init__(self) -> None:
        self.items = 0
        self.texts = 0

    def note(self, cut_at: int | None = None) -> str:
        said = []
        if self.items:
            said.append(f"{self.items:,} {'entry' if self.items == 1 else 'entries'} left out")
        if self.texts:
            said.append(f"{self.texts:,} long {'text' if self.texts == 1 else 'texts'} cut")
        if cut_at:
            said.append(f"cut after {cut_at:,} characters")
        return f"Shortened: {', '.join(said)}." if said else ""


def excerpt(value: Any, path: str, most_characters: int, clean: Clean) -> Excerpt:
    """A value as indented JSON of at most about C(most_characters) characters, with a note on what was left out.

    C(clean) takes out secrets. It sees the pieces that will be shown, but whole texts: half a secret would not be
    recognised.
    """
    cuts = _Cuts()
    shown = _cut_texts(clean(_few(value, cuts, 0)), cuts)
    text = json.dumps(shown, ensure_ascii=False, indent=2, default=str)
    cut_at = None
    if len(text) > most_characters:
        cut_at = most_characters
        text = text[:most_characters].rsplit("\n", 1)[0] + "\n..."
    return Excerpt(clean(path), text, cuts.note(cut_at))


def _few(value: Any, cuts: _Cuts, depth: int) -> Any:
    """Only the first entries of long lists and mappings, and no endless depth."""
    if isinstance(value, (Mapping, list, tuple)) and depth >= _DEEPEST and value:
        cuts.items += len(value)
        return f"({len(value):,} entries)"
    if isinstance(value, Mapping):
        shown = {str(key): _few(item, cuts, depth + 1) for key, item in islice(value.items(), _MOST_KEYS)}
        if len(value) > _MOST_KEYS:
            cuts.items += len(value) - _MOST_KEYS
            shown["..."] = f"{len(value) - _MOST_KEYS:,} more"
        return shown
    if isinstance(value, (list, tuple)):
        items = [_few(item, cuts, depth + 1) for item in value[:_MOST_ITEMS]]
        if len(value) > _MOST_ITEMS:
            cuts.items += len(value) - _MOST_ITEMS
            items.append(f"... {len(value) - _MOST_ITEMS:,} more")
        return items
    return value


def _cut_texts(value: Any, cuts: _Cuts) -> Any:
    if isinstance(value, str):
        if len(value) <= _LONGEST_TEXT:
            return value
        cuts.texts += 1
        return f"{value[:_LONGEST_TEXT]}... ({len(value) - _LONGEST_TEXT:,} more characters)"
    if isinstance(value, Mapping):
        return {key: _cut_texts(item, cuts) for key, item in value.items()}
    if isinstance(value, list):
        return [_cut_texts(item, cuts) for item in value]
    return value


class FactsIndex:
    """Finds the measured thing a finding speaks of: the mapping that holds its value, or bears its object's name.

    A finding does not carry the path it was read from, so the mapping is recognised by value, by object and by the
    words of the rule id. Without one clear best candidate nothing is shown; the whole facts stand at the page's end.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._by_value: dict[tuple[str, Any], list[tuple[Path, Mapping[str, Any]]]] = {}
        seen = 0
        for path, mapping in _mappings(facts):
            seen += len(mapping)
            if seen > _MOST_NODES:
                break
            for key, value in mapping.items():
                if isinstance(value, (str, int, float, bool)):
                    self._by_value.setdefault(_value_key(value), []).append(((*path, str(key)), mapping))

    def find(self, finding: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
        """The dotted path and the mapping, or None when it is not clear."""
        words = set(_words(str(finding.get("id") or "")))
        named = str(finding.get("object") or "")
        names = {name for name in (named, *re.split(r"[./:@=]", named)) if name}
        value = finding.get("value")
        scores: dict[Path, tuple[int, Mapping[str, Any]]] = {}
        sought = [value] if isinstance(value, (str, int, float, bool)) else []
        for wanted in (*sought, *names):
            for path, mapping in self._by_value.get(_value_key(wanted), ()):
                at = path[:-1]
                score = 2 * len(words & set(_words(" ".join(path))))
                score += _likeness(named, names, mapping)
                if sought and mapping.get(path[-1]) == value:
                    # True and 0 are everywhere; 93.8 is not.
                    score += 1 if isinstance(value, bool) or value in (0, 1) else 3
                if score > scores.get(at, (0, mapping))[0]:
                    scores[at] = (score, mapping)
        best = sorted(scores.items(), key=lambda item: (-item[1][0], len(item[0])))[:2]
        if not best or best[0][1][0] < _ENOUGH or (len(best) > 1 and best[0][1][0] == best[1][1][0]):
            return None
        path, (_score, mapping) = best[0]
        return ".".join(path), mapping


def _likeness(named: str, names: set[str], mapping: Mapping[str, Any]) -> int:
    """How much a mapping bears an object's name: the whole name, or every part of it in fields of its own."""
    if not named:
        return 0
    texts = {value for value in mapping.values() if isinstance(value, str)}
    if named in texts:
        return 4
    parts = names - {named}
    return 4 if parts and parts <= texts else 0


def _value_key(value: Any) -> tuple[str, Any]:
    # True == 1 and hashes alike, but a flag is not a count.
    kind = "bool" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
    return kind, value


def _words(text: str) -> Iterator[str]:
    for word in re.split(r"[^a-z0-9]+", text.lower()):
        if word:
            # Plurals meet: the rule says table, the facts say tables.
            yield word[:-1] if word.endswith("s") and len(word) > 3 else word


def _mappings(facts: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Every mapping in a tree with its path, nearest to the root first."""
    queue: list[tuple[Path, Any]] = [((), facts)]
    for path, value in queue:
        if isinstance(value, Mapping):
            yield path, value
            queue.extend(((*path, str(key)), item) for key, item in value.items() if isinstance(item, (Mapping, list)))
        elif isinstance(value, list):
            queue.extend(((*path, str(at)), item) for at, item in enumerate(value) if isinstance(item, (Mapping, list)))
