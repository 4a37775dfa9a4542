# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An index: how big it is, how big it would be if it were built anew, and how sure we are. Pure.

Three tiers. An *estimate* from the planner's statistics finds candidates and decides nothing: it is wrong by tens of
percent for wide, deduplicated or correlated keys. What decides is a *measurement*: pgstatindex(), which reads every
page of a B-tree, or the size per row against a size per row that this very index once had.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import percent

# src/include/access/nbtree.h: a page without its header (24 bytes) and the special space of a B-tree (16 bytes).
_PAGE_OVERHEAD = 40
_TUPLE_OVERHEAD = 8 + 4
_TID_BYTES = 6
# A posting list is at most a tenth of a page (_bt_load), which is so many tuple ids.
_POSTING_LIST_ROWS = 130
DEFAULT_FILLFACTOR = {"btree": 90, "hash": 75, "gist": 90, "spgist": 80}

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Index:
    """One index as the catalogs have it. Sizes are in bytes; row counts are -1 when nobody has counted."""

    oid: int
    table_oid: int
    schema: str
    name: str
    table: str
    method: str
    size_bytes: int
    definition: str = ""
    kind: str = "i"
    table_kind: str = "r"
    is_temporary: bool = False
    is_valid: bool = True
    is_unique: bool = False
    is_exclusion: bool = False
    is_partial: bool = False
    is_catalog: bool = False
    is_locked: bool = False
    may_rebuild: bool = True
    may_drop: bool = True
    may_name: bool = True
    owner: str = "postgres"
    index_rows: float = -1.0
    table_rows: float = -1.0
    live_rows: int = 0
    fillfactor: Optional[int] = None
    filenode: Optional[int] = None
    tablespace: int = 0
    leaves: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Its name for people and as a key: schema and name as they are, unquoted."""
        return f"{self.schema}.{self.name}"

    @property
    def table_label(self) -> str:
        """The same of its table."""
        return f"{self.schema}.{self.table}"

    @property
    def rows(self) -> float | None:
        """How many rows it holds entries for; None when nobody knows.

        Counts of VACUUM, ANALYZE and of the last build lag behind loads, the running count of inserts does not. The
        larger of the two makes an index look better, never worse, than it is.
        """
        if self.table_rows < 0:
            return None
        if not self.is_partial:
            return float(max(self.table_rows, self.live_rows))
        # GIN counts keys at the build and rows later, BRIN ranges; only these count their rows alike at all times.
        if self.index_rows < 0 or self.method not in ("btree", "hash", "gist", "spgist"):
            return None
        return self.index_rows * max(1.0, self.live_rows / self.table_rows if self.table_rows > 0 else 1.0)

    @property
    def bytes_per_row(self) -> float | None:
        """Size for each row; None when the rows are unknown or none."""
        rows = self.rows
        return round(self.size_bytes / rows, 3) if rows else None


@dataclass(frozen=True)
class Pages:
    """What pgstatindex() counts in a B-tree. Percentages from 0 to 100; the density is that of leaf pages in use."""

    internal: int
    leaf: int
    empty: int
    deleted: int
    density: Optional[float]
    fragmentation: Optional[float]

    @property
    def total(self) -> int:
        """All pages with the meta page."""
        return 1 + self.internal + self.leaf + self.empty + self.deleted


@dataclass(frozen=True)
class Measurement:
    """How much smaller an index would be, how that is known, and how sure it is."""

    method: str
    confidence: str
    bloat_percent: Optional[float] = None
    pages: Optional[Pages] = None
    baseline_bytes_per_row: Optional[float] = None
    growth_percent: Optional[float] = None

    @property
    def decides(self) -> bool:
        """Whether this is a measurement; an estimate is none."""
        return self.method in ("density", "baseline") and self.bloat_percent is not None


def expected_pages(pages: Pages, *, fillfactor: int, rows: float | None, block_size: int) -> int:
    """The pages a B-tree would have after a rebuild; never more than the build needs at worst.

    The build closes a page when the next tuple would go beyond the fillfactor, or does not fit at all (_bt_buildadd in
    src/backend/access/nbtree/nbtsort.c). With tuples of a third of a page, even a new index is not 90 % full. Counting
    on that worst case makes sure that an index that has just been rebuilt is never due again.
    """
    usable = block_size - _PAGE_OVERHEAD
    used = pages.leaf * usable * (pages.density or 0.0) / 100
    reachable = fillfactor / 100
    if rows:
        reachable = min(reachable, 1 - min(used / rows, usable / 3) / usable)
    leaf = max(1, math.ceil(used / (usable * reachable)))
    internal = 0 if leaf == 1 else max(1, math.ceil(pages.internal * leaf / max(pages.leaf, 1)))
    return min(pages.total, 1 + leaf + internal)


def measured_density(index: Index, pages: Pages, block_size: int) -> Measurement:
    """The decision's ground for a B-tree that was read page by page; empty and deleted pages count as bloat."""
    fillfactor = index.fillfactor or DEFAULT_FILLFACTOR["btree"]
    expected = expected_pages(pages, fillfactor=fillfactor, rows=index.rows, block_size=block_size)
    bloat = percent(pages.total - expected, pages.total, 1)
    return Measurement("density", "high", bloat, pages=pages)


def measured_growth(index: Index, baseline: float, source: str) -> Measurement:
    """The decision's ground where a size per row is on record.

    Args:
        index: As it is now.
        baseline: Bytes for each row as recorded.
        source: C(rebuild) when it was recorded right after a rebuild, C(given) or C(seen) otherwise.

    """
    confidence = "high" if source == "rebuild" else "medium"
    now = index.bytes_per_row
    if now is None:
        return Measurement("baseline", "none", baseline_bytes_per_row=baseline)
    return Measurement(
        "baseline",
        confidence,
        max(0.0, percent(now - baseline, now, 1) or 0.0),
        baseline_bytes_per_row=baseline,
        growth_percent=percent(now - baseline, baseline, 1),
    )


def estimate(index: Index, columns: Sequence[Row], block_size: int) -> Measurement:
    """The size that the planner's statistics lead one to expect. Finds candidates, decides nothing.

    Args:
        index: The index.
        columns: Its columns with C(avg_width), C(null_frac), C(n_distinct) of pg_stats, and C(is_key).
        block_size: Of the server.

    """
    rows = index.rows
    if index.method != "btree" or rows is None or not columns or any(each["avg_width"] is None for each in columns):
        return Measurement("estimate", "none")
    width = sum(each["avg_width"] * (1 - (each["null_frac"] or 0.0)) for each in columns)
    per_row = float(_TUPLE_OVERHEAD + 8 * math.ceil(width / 8))
    alike = rows / max(1.0, _distinct(columns, rows))
    if alike > 2 and not index.is_unique and all(each["is_key"] for each in columns):
        # Deduplication stores a key once for many rows.
        per_row = _TID_BYTES + per_row / min(alike, _POSTING_LIST_ROWS)
    fill = (index.fillfactor or DEFAULT_FILLFACTOR["btree"]) / 100
    leaf = max(1, math.ceil(rows * per_row / ((block_size - _PAGE_OVERHEAD) * fill)))
    expected = block_size * (1 + leaf + math.ceil(leaf / 200))
    bloat = max(0.0, percent(index.size_bytes - expected, index.size_bytes, 1) or 0.0)
    return Measurement("estimate", "low", bloat)


def _distinct(columns: Sequence[Row], rows: float) -> float:
    """How many different keys there may be, at most: statistics know single columns only."""
    product = 1.0
    for each in columns:
        known = each["n_distinct"] or -1.0
        # Negative numbers are a share of the rows.
        product *= max(1.0, known if known > 0 else -known * rows)
        if product >= rows:
            return max(1.0, rows)
    return product
