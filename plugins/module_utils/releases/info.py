# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What releases there are, for people and rules."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, iso_of, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.releases.model import (
    Stock,
    check_inside,
    is_confirmed,
    previous,
)
from ansible_collections.runbook.ops.plugins.module_utils.releases.store import Layout, layout_of, survey


def measure_releases(params: Mapping[str, Any]) -> dict[str, Any]:
    """The whole result of the module; raises InvalidOption."""
    layout = layout_of(params)
    shared = [check_inside(each, "shared") for each in params["shared"]]
    stock, reason = _look(layout, params["sizes"])
    before, how = previous(stock)
    releases = _releases(layout, stock, before)
    sizes = [each["size_bytes"] for each in releases]
    return {
        "available": reason is None,
        "reason": reason,
        "measured_at": iso(utc_now()),
        "skipped_sections": [],
        "root": str(layout.root),
        "current": stock.current,
        "current_exists": None if reason is not None else stock.get(stock.current) is not None,
        "confirmed": is_confirmed(stock) if stock.current else None,
        "previous": before,
        "previous_by": how,
        "releases": releases,
        "releases_count": len(releases),
        "unfinished": [each.id for each in stock.unfinished],
        "unfinished_count": len(stock.unfinished),
        "leftovers_count": len(stock.leftovers),
        "size_bytes": sum(sizes) if params["sizes"] and reason is None else None,
        "history": [dict(each) for each in stock.history[-20:]],
        "shared": _shared(layout, stock, shared),
    }


def _look(layout: Layout, sizes: bool) -> tuple[Stock, str | None]:
    if not layout.root.is_dir():
        return Stock([], None), f"there is no directory {layout.root}"
    try:
        return survey(layout, sizes=sizes), None
    except RunbookError as error:
        return Stock([], None), error.message


def _releases(layout: Layout, stock: Stock, before: str | None) -> list[dict[str, Any]]:
    return [
        {
            "id": each.id,
            "path": str(layout.release(each.id)),
            "made_at": iso_of(each.made_at),
            "complete": each.complete,
            "is_current": each.id == stock.current,
            "is_previous": each.id == before,
            "revision": each.source.get("commit") or each.source.get("sha256"),
            "environment_names": each.environment.get("names"),
            "size_bytes": each.size_bytes,
        }
        for each in stock.releases
    ]


def _shared(layout: Layout, stock: Stock, names: Sequence[str]) -> list[dict[str, Any]]:
    """For each shared path, whether it is there and whether the release that is served sees it."""
    found = []
    for name in names:
        kept = layout.shared / name
        seen = layout.current / name
        found.append(
            {
                "name": name,
                "path": str(kept),
                "exists": kept.exists(),
                "linked": os.path.realpath(seen) == os.path.realpath(kept) if stock.current else None,
            }
        )
    return found
