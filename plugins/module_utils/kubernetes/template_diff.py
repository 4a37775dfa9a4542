# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two pod templates side by side, for people, without the values in them that may be secret. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text

_HIDDEN = "(hidden)"
_CHANGED = "(hidden, another value)"


def template_diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The C(diff) of a change of a template. Values of environment variables are told by whether they differ."""
    return {"before": _shown(before, None), "after": _shown(after, before)}


def _shown(template: Mapping[str, Any], other: Optional[Mapping[str, Any]]) -> Any:
    known = None if other is None else dict(_values(other))
    return _hidden(template, known, ())


def _values(template: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    spec = template.get("spec") or {}
    for section in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(section) or ():
            for each in container.get("env") or ():
                yield (str(container.get("name")), str(each.get("name"))), each.get("value")


def _hidden(value: Any, known: Optional[Mapping[tuple[str, ...], Any]], place: tuple[str, ...]) -> Any:
    """Place is the container, once one is entered."""
    if isinstance(value, Mapping):
        inner = (str(value["name"]),) if not place and "image" in value and "name" in value else place
        shown = {key: _hidden(each, known, inner) for key, each in value.items()}
        if place and isinstance(value.get("value"), str) and "name" in value:
            key = (*place[:1], str(value["name"]))
            same = known is None or key not in known or known[key] == value["value"]
            shown["value"] = _HIDDEN if same else _CHANGED
        return shown
    if isinstance(value, list):
        return [_hidden(each, known, place) for each in value]
    return redact_text(value) if isinstance(value, str) else value
