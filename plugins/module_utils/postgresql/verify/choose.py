# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which artefacts of a repository are to be proven: a named one, or the newest by the naming rule."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.backup.model import Contents, Listing, sort_out
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import (
    MANIFEST_SUFFIX,
    NamingRule,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.repository import open_repository
from ansible_collections.runbook.ops.plugins.module_utils.backup.streams import Meter
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.request import Request

_LISTING_SECONDS = 600.0
_EVERYTHING = 1 << 62


@dataclass(frozen=True)
class Deleted:
    """An artefact that only a delete marker hides. C(versions) is how many are still there."""

    name: str
    deleted_at: str
    versions: int


@dataclass
class Chosen:
    """What is to be proven, newest first, and what came before it.

    Args:
        names: The artefacts.
        earlier: Those before the oldest of them, newest first: what a regression is measured against.
        deleted: Artefacts that were deleted and would have been among the newest.
        writes_manifests: Whether any artefact of the repository has a manifest.
        problems: What could not be listed.

    """

    names: list[str]
    earlier: list[str] = field(default_factory=list)
    deleted: list[Deleted] = field(default_factory=list)
    writes_manifests: bool = False
    problems: list[str] = field(default_factory=list)


def choose(params: Mapping[str, Any], request: Request) -> Chosen:
    """List the repository, if that is needed, and choose.

    Raises:
        Unavailable: it cannot be listed.

    """
    if request.rule is None:
        return Chosen([request.name or ""])
    meter = Meter(_EVERYTHING, _LISTING_SECONDS)
    listing = open_repository(params).listing(request.rule, request.max_entries, meter)
    return chosen_of(listing, request.rule, request)


def chosen_of(listing: Listing, rule: NamingRule, request: Request) -> Chosen:
    """The artefacts of a listing that are meant. Pure."""
    kept = [
        entry for entry in listing.entries if not any(fnmatch.fnmatchcase(entry.name, each) for each in request.ignore)
    ]
    contents = sort_out(kept, rule)
    ordered = _newest_first(contents)
    problems = [each["reason"] for each in listing.skipped]
    if not listing.complete:
        problems.append(f"the listing stopped at {listing.incomplete_reason}: newer backups may lie beyond")
    writes = any(MANIFEST_SUFFIX in each.companions for each in contents.artefacts)
    deleted = [
        Deleted(each["name"], each["deleted_at"], each["recoverable_count"])
        for each in listing.deleted or ()
        if each["recoverable_count"] > 0
        and not any(fnmatch.fnmatchcase(each["name"], shell) for shell in request.ignore)
    ]
    if request.name:
        before = (
            ordered[ordered.index(request.name) + 1 :]
            if request.name in ordered
            else _before(request.name, ordered, rule)
        )
        return Chosen([request.name], before, [each for each in deleted if each.name == request.name], writes, problems)
    names = ordered[: request.count]
    oldest = rule.period(names[-1]) if len(names) == request.count else None
    newer = [
        each
        for each in deleted
        for period in [rule.period(each.name)]
        if period and (oldest is None or period.start > oldest.start)
    ]
    return Chosen(names, ordered[len(names) :], newer, writes, problems)


def _newest_first(contents: Contents) -> list[str]:
    """By what the names claim: that the newest claim is true is what is to be proven."""
    ordered = sorted(contents.artefacts, key=lambda each: (each.period.start, each.name), reverse=True)
    return [each.name for each in ordered]


def _before(name: str, ordered: list[str], rule: NamingRule) -> list[str]:
    """The artefacts before one that is not there (any more), or whose name follows another rule."""
    period = rule.period(name)
    if period is None:
        return []
    return [each for each in ordered for other in [rule.period(each)] if other and other.start < period.start]
