# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Placeholders in summaries and names: C({value}), C({object}), C({path}), C({path|bytes})."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.judging.humanise import HUMANISERS, humanise, plain_line
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.paths import MISSING, Scope, Segments, parse_path
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.units import unit_of_name

# Only what looks like a path is a placeholder; other braces (JSON, PromQL) stay as they are.
_PLACEHOLDER = re.compile(r'\{([A-Za-z_](?:[\w.-]|"[^"{}]*")*)(?:\|([^{}]*))?\}')
NOT_THERE = "?"


class TemplateError(ValueError):
    """A placeholder that cannot be filled whatever the facts are."""


@dataclass(frozen=True)
class _Placeholder:
    name: str
    segments: Segments
    unit: str | None


@dataclass(frozen=True)
class Template:
    """A parsed text: literal parts and placeholders in turn."""

    parts: tuple[str | _Placeholder, ...]

    def render(self, scope: Scope, known: Mapping[str, str], *, raw: bool = False) -> str:
        """The text; C(known) are values that go before paths. C(raw) shows values as they are (for names).

        A path without a value becomes C(?). Values are put in once: braces inside them mean nothing.
        """
        shown: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                shown.append(part)
            elif part.name in known:
                shown.append(known[part.name])
            else:
                shown.append(_show(scope.resolve(part.segments), part, raw=raw))
        return "".join(shown)

    def is_filled(self, scope: Scope, known: Mapping[str, str]) -> bool:
        """Whether every placeholder has a value."""
        return all(
            isinstance(part, str) or part.name in known or _is_there(scope.resolve(part.segments))
            for part in self.parts
        )


def _is_there(value: Any) -> bool:
    return value is not MISSING and value is not None


def _show(value: Any, placeholder: _Placeholder, *, raw: bool) -> str:
    if not _is_there(value):
        return NOT_THERE
    if raw and placeholder.unit is None:
        return plain_line(str(value))
    return humanise(value, placeholder.unit or unit_of_name(placeholder.segments[-1]))


def parse_template(text: str) -> Template:
    """Take a text apart; raises TemplateError for a humaniser that does not exist."""
    parts: list[str | _Placeholder] = []
    position = 0
    for match in _PLACEHOLDER.finditer(text):
        unit = match[2].strip() if match[2] is not None else None
        if unit is not None and unit not in HUMANISERS:
            raise TemplateError(
                f"{match[0]}: {unit!r} is not accepted after the bar; accepted: {', '.join(HUMANISERS)}"
            )
        parts += [text[position : match.start()], _Placeholder(match[1], parse_path(match[1]), unit)]
        position = match.end()
    parts.append(text[position:])
    return Template(tuple(part for part in parts if part != ""))
