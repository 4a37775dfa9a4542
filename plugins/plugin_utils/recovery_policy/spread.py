# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How widely data is spread (3 copies on 2 media, 1 elsewhere) against how widely it shall be. Pure.

The live data is one of the copies, as the rule is usually told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ansible_collections.runbook.ops.plugins.plugin_utils.recovery_policy.model import Component, RecoveryPolicy
from ansible_collections.runbook.ops.plugins.plugin_utils.recovery_policy.worth import Check, check, why_useless

_DISK, _BUCKET = "disk", "object store"


class Place(NamedTuple):
    """Where a copy lies; C(medium) is empty and C(is_offsite) None where nobody says."""

    name: str
    medium: str
    is_offsite: bool | None


def spread(policy: RecoveryPolicy) -> Iterator[Check]:
    """Whether there are as many copies, on as many media, and as many elsewhere, as there shall be."""
    for component in policy.components:
        wanted, places = component.spread, _places(component)
        if wanted.copies is not None:
            yield _copies(component, places, wanted.copies)
        if wanted.media is not None:
            yield _media(component, places, wanted.media)
        if wanted.offsite is not None:
            yield _offsite(component, places, wanted.offsite)


def _places(component: Component) -> list[Place]:
    """The different places at which something lies that brings data back. What shares a place is lost together."""
    found: dict[str, Place] = {}
    for backup in component.backups:
        # Changes alone are no copy.
        if why_useless(backup, component) is None and not backup.method.replays_on:
            medium = backup.medium or _medium_of(backup.target)
            found.setdefault(backup.target or backup.label, Place(backup.name, medium, backup.is_offsite))
            for copy in backup.copies:
                if copy.exists:
                    medium = copy.medium or _medium_of(copy.target)
                    found.setdefault(copy.target or copy.name, Place(copy.name, medium, copy.is_offsite))
    return list(found.values())


def _medium_of(target: str) -> str:
    if target.startswith("s3:"):
        return _BUCKET
    return _DISK if target.startswith("/") else ""


def _copies(component: Component, places: Sequence[Place], wanted: int) -> Check:
    listed = _listed(["the live data", *(place.name for place in places)])
    return _held(f"{component.name}: copies", 1 + len(places), wanted, "copies", listed)


def _media(component: Component, places: Sequence[Place], wanted: int) -> Check:
    media = list(dict.fromkeys([component.medium or _DISK, *(place.medium for place in places if place.medium)]))
    name = f"{component.name}: media"
    unknown = [place.name for place in places if not place.medium]
    if len(media) < wanted and unknown:
        reason = f"media: {wanted} asked for, and nobody says on what these lie (medium): {_listed(unknown)}"
        return check(name, None, reason)
    return _held(name, len(media), wanted, "media", _listed(media))


def _offsite(component: Component, places: Sequence[Place], wanted: int) -> Check:
    away = [place.name for place in places if place.is_offsite]
    name = f"{component.name}: elsewhere"
    unknown = [place.name for place in places if place.is_offsite is None]
    if len(away) < wanted and unknown:
        reason = f"copies elsewhere: {wanted} asked for, and nobody says where these lie (offsite): {_listed(unknown)}"
        return check(name, None, reason)
    return _held(name, len(away), wanted, "copies elsewhere", _listed(away))


def _held(name: str, found: int, wanted: int, what: str, listed: str) -> Check:
    there = f"{what}: {found} ({listed})" if listed else f"{what}: none"
    short = f", and {wanted} asked for: {wanted - found} short" if found < wanted else f", {wanted} asked for"
    return check(name, found >= wanted, f"{there}{short}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
