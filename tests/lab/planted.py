"""What is wrong with a system in its degraded scenario, and which finding says so."""

from __future__ import annotations

from typing import TypedDict


class Condition(TypedDict):
    key: str
    description: str
    finding_id: str
    object: str


def condition(key: str, description: str, finding_id: str, name: str = "") -> Condition:
    """One planted condition; ``name`` is the object of its finding."""
    return Condition(key=key, description=description, finding_id=finding_id, object=name)
