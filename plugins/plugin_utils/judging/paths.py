# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dotted paths into facts: C(health.connections.used_percent), C(queues.0.name), C(queries."a.b".total)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jinja2 import Undefined

Segments = tuple[str, ...]

_SEGMENT = re.compile(r'"([^"]+)"|([^."\s{}|][^."\s{}|]*)')
WANTED = "a dotted path such as health.connections.used_percent; a segment with a dot in it goes in double quotes"


class PathError(ValueError):
    """A path that cannot be read."""


class _Missing:
    """The answer when there is nothing at a path; null is an answer of its own."""

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING = _Missing()


def parse_path(text: object) -> Segments:
    """Take a path apart; raises PathError."""
    if not isinstance(text, str):
        raise PathError(WANTED)
    segments: list[str] = []
    position = 0
    stripped = text.strip()
    while True:
        match = _SEGMENT.match(stripped, position)
        if match is None:
            raise PathError(WANTED)
        segments.append(match[1] or match[2])
        position = match.end()
        if position == len(stripped):
            return tuple(segments)
        if stripped[position] != ".":
            raise PathError(WANTED)
        position += 1


def step(container: Any, segment: str) -> Any:
    """One step down; MISSING when there is none, also when the value is undefined in Ansible."""
    if isinstance(container, Mapping):
        if segment not in container:
            return MISSING
        value = container[segment]
    elif is_list(container) and segment.lstrip("-").isdigit():
        index = int(segment)
        if not -len(container) <= index < len(container):
            return MISSING
        value = container[index]
    else:
        return MISSING
    return MISSING if isinstance(value, Undefined) else value


def is_list(value: object) -> bool:
    """Whether a value is a list of things rather than text."""
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def resolve(container: Any, segments: Segments) -> Any:
    """The value at a path, or MISSING."""
    for segment in segments:
        container = step(container, segment)
        if container is MISSING:
            return MISSING
    return container


class Scope:
    """Where paths resolve: the item first, then the items around it, then the facts.

    The first segment decides: when the item has it, the rest is looked for there only. Otherwise a fact of
    the same name would stand in for what the item lacks. C(item) is the item itself.
    """

    __slots__ = ("_layers",)

    def __init__(self, facts: Any, items: Sequence[Any] = ()) -> None:
        self._layers = (*reversed(items), facts)

    def resolve(self, segments: Segments) -> Any:
        """The value at a path, or MISSING."""
        first = segments[0]
        for layer in self._layers:
            if isinstance(layer, Mapping) and first in layer:
                return resolve(layer, segments)
        if first == "item" and len(self._layers) > 1:
            return resolve(self._layers[0], segments[1:])
        return MISSING


class Gap(tuple[str, ...]):
    """The path at which a list was expected and none was found."""

    __slots__ = ()


Chain = tuple[Any, ...]


def expand(facts: Any, segments: Segments) -> Iterator[Chain | Gap]:
    """The items of a list path, each as the chain from the outermost to the innermost item.

    C(*) goes through every element on the way (C(databases.*.tables)). A mapping counts as the list of its
    values, each with its key as C(key). Where a list is missing, its path is yielded as a Gap.
    """
    while segments and segments[-1] == "*":
        segments = segments[:-1]
    yield from _expand(facts, segments, (), ())


def _expand(container: Any, segments: Segments, chain: Chain, walked: Segments) -> Iterator[Chain | Gap]:
    head, tail = segments, segments[:0]
    if "*" in segments:
        star = segments.index("*")
        head, tail = segments[:star], segments[star + 1 :]
    elements = _elements(resolve(container, head))
    if elements is None:
        yield Gap((*walked, *head))
        return
    for key, element in elements:
        if tail:
            yield from _expand(element, tail, (*chain, element), (*walked, *head, key))
        else:
            yield (*chain, element)


def _elements(found: Any) -> Iterable[tuple[str, Any]] | None:
    if isinstance(found, Mapping):
        return ((str(key), _keyed(key, step(found, key))) for key in found)
    if is_list(found):
        return ((str(index), None if isinstance(value, Undefined) else value) for index, value in enumerate(found))
    return None


def _keyed(key: Any, value: Any) -> dict[str, Any]:
    return {"key": key, **value} if isinstance(value, Mapping) else {"key": key, "value": value}
