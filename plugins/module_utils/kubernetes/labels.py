# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels, and which selectors take them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Labels = Mapping[str, str]
Document = Mapping[str, Any]


def selects(selector: Labels, labels: Labels) -> bool:
    """Whether a Service's selector takes pods with these labels; an empty one takes none."""
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def matches(selector: Mapping[str, Any], labels: Labels) -> bool:
    """Whether a workload's selector takes these labels."""
    given = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in given.items()):
        return False
    return all(_holds(each, labels) for each in selector.get("matchExpressions") or ())


def _holds(expression: Mapping[str, Any], labels: Labels) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    return {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }[expression["operator"]]


def labels_of(document: Document) -> dict[str, str]:
    """An object's labels."""
    return dict((document.get("metadata") or {}).get("labels") or {})


def template_labels(workload: Document) -> dict[str, str]:
    """The labels of the pods that a workload makes."""
    return labels_of((workload.get("spec") or {}).get("template") or {})
