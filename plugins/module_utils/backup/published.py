# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups of a repository are published, whatever wrote them: those that have a manifest."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import MANIFEST_SUFFIX, NamingRule
from ansible_collections.runbook.ops.plugins.module_utils.backup.repository import Repository
from ansible_collections.runbook.ops.plugins.module_utils.backup.streams import Meter
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable

_MOST_ENTRIES = 1_000_000
_LIST_SECONDS = 600.0


def entry_names(repository: Repository, rule: NamingRule) -> list[str]:
    """All names in a repository, none when it is a directory that is not there yet; raises Unavailable."""
    if repository.kind == "directory" and not Path(repository.location).exists():
        return []
    listing = repository.listing(rule, _MOST_ENTRIES, Meter(1, _LIST_SECONDS))
    if not listing.complete:
        raise Unavailable(
            f"{repository.location} cannot be listed to its end: it has more than {_MOST_ENTRIES} entries, or listing "
            f"takes longer than {_LIST_SECONDS:g} s. Name a narrower repository."
        )
    return [entry.name for entry in listing.entries]


def published_names(names: Iterable[str], rule: NamingRule) -> list[str]:
    """The artefacts that have a manifest, the newest first by their names."""
    there = set(names)
    found = [
        (period.start, name)
        for name in there
        if (period := rule.period(name)) is not None and name + MANIFEST_SUFFIX in there
    ]
    return [name for _start, name in sorted(found, reverse=True)]
