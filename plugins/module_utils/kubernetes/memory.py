# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is remembered on objects themselves, in annotations of ours with JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError

PREFIX = "runbook-ops.github.io/"
PARKED = f"{PREFIX}parked"
SCALED = f"{PREFIX}scaled"


def value_of(document: Mapping[str, Any], annotation: str) -> Any:
    """The value under an annotation; None where there is none, or none that can be read."""
    text = ((document.get("metadata") or {}).get("annotations") or {}).get(annotation)
    try:
        return json.loads(text or "null")
    except (ValueError, TypeError):
        return None


def text_of(value: Any) -> str:
    """A value as annotations have it."""
    return json.dumps(value, sort_keys=True)


def memory_of(
    document: Mapping[str, Any], annotation: str, *, numbers: tuple[str, ...] = (), mappings: tuple[str, ...] = ()
) -> Optional[dict[str, Any]]:
    """What an object remembers under an annotation; None where it remembers nothing.

    Args:
        document: The object.
        annotation: Its name.
        numbers: The entries that have to be there as whole numbers.
        mappings: The entries that have to be there as mappings.

    Raises:
        RunbookError: somebody has edited it so that it cannot be read.

    """
    metadata = document.get("metadata") or {}
    if (metadata.get("annotations") or {}).get(annotation) is None:
        return None
    found = value_of(document, annotation)
    if (
        not isinstance(found, dict)
        or not all(_is_number(found.get(each)) for each in numbers)
        or not all(isinstance(found.get(each), dict) for each in mappings)
    ):
        shown = f"{document.get('kind', 'object')} {metadata.get('namespace')}/{metadata.get('name')}"
        raise RunbookError(
            f"The annotation {annotation} of {shown} cannot be read. It holds JSON, such as"
            f" {_sample(numbers, mappings)}. Correct it with kubectl annotate --overwrite, or remove it."
        )
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _sample(numbers: tuple[str, ...], mappings: tuple[str, ...]) -> str:
    sample: dict[str, Any] = {**dict.fromkeys(numbers, 3), **{each: {"replicas": 3} for each in mappings}}
    return json.dumps(sample or {"replicas": 3})


def remembered(annotation: str, memory: Optional[Mapping[str, Any]]) -> dict[str, Optional[str]]:
    """The one annotation of a merge patch; None forgets it. The other annotations stay as they are."""
    return {annotation: None if memory is None else text_of(memory)}
