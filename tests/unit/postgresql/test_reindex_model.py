"""How big an index is against how big it would be: arithmetic on page counts, statistics and recorded sizes."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.model import (
    Index,
    Measurement,
    Pages,
    estimate,
    expected_pages,
    measured_density,
    measured_growth,
)

PAGE = 8192


def index(**more: Any) -> Index:
    fields: dict[str, Any] = {
        "oid": 1,
        "table_oid": 2,
        "schema": "public",
        "name": "i",
        "table": "t",
        "method": "btree",
        "size_bytes": 100 * PAGE,
        "table_rows": 10000.0,
        "live_rows": 10000,
        "index_rows": 10000.0,
    }
    return Index(**{**fields, **more})


def pages(leaf: int, density: float | None, *, internal: int = 1, empty: int = 0, deleted: int = 0) -> Pages:
    return Pages(internal=internal, leaf=leaf, empty=empty, deleted=deleted, density=density, fragmentation=0.0)


@pytest.mark.parametrize(
    ("found", "fillfactor", "rows", "expected"),
    [
        pytest.param(pages(1000, 90.0, internal=5), 90, None, 1006, id="a new one stays as it is"),
        pytest.param(pages(1000, 9.0, internal=5), 90, None, 102, id="a tenth full"),
        pytest.param(pages(100, 90.0, deleted=900), 90, None, 102, id="emptied pages go"),
        pytest.param(pages(100, 90.0, empty=5), 90, None, 102, id="half-dead pages go"),
        pytest.param(pages(1000, 50.0, internal=5), 50, None, 1006, id="half full as it was asked for"),
        pytest.param(pages(1000, 95.0, internal=5), 90, None, 1006, id="never more than there is"),
        pytest.param(pages(1, 3.0, internal=0), 90, None, 2, id="one page cannot become fewer"),
        pytest.param(pages(1, None, internal=0), 90, 0.0, 2, id="empty"),
        pytest.param(pages(3, 20.0), 90, None, 2, id="so few that no inner page is needed"),
        # Three tuples of 2,700 bytes a page at best, and two at worst: a page two thirds full may be as good as new.
        pytest.param(pages(1000, 66.7, internal=9), 90, 2000.0, 1010, id="tuples of a third of a page"),
        pytest.param(
            pages(1000, 33.3, internal=9), 90, 1000.0, 506, id="tuples of a third of a page, half of them gone"
        ),
    ],
)
def test_expected_pages(found: Pages, fillfactor: int, rows: float | None, expected: int) -> None:
    assert expected_pages(found, fillfactor=fillfactor, rows=rows, block_size=PAGE) == expected


def test_density_counts_all_that_a_rebuild_gives_back() -> None:
    assert measured_density(index(), pages(1000, 45.0, internal=5, deleted=100), PAGE).bloat_percent == 54.4
    assert measured_density(index(fillfactor=45), pages(1000, 45.0, internal=5), PAGE).bloat_percent == 0.0


@pytest.mark.parametrize(
    ("more", "rows"),
    [
        pytest.param({}, 10000.0, id="as counted"),
        pytest.param({"live_rows": 15000}, 15000.0, id="loaded since the count"),
        pytest.param({"live_rows": 5000}, 10000.0, id="deleted, not vacuumed yet"),
        pytest.param({"table_rows": -1.0}, None, id="never counted"),
        pytest.param({"is_partial": True, "index_rows": 500.0}, 500.0, id="partial"),
        pytest.param({"is_partial": True, "index_rows": 500.0, "live_rows": 20000}, 1000.0, id="partial, loaded since"),
        pytest.param({"is_partial": True, "index_rows": 500.0, "table_rows": 0.0}, 500.0, id="partial, table empty"),
        pytest.param({"is_partial": True, "index_rows": -1.0}, None, id="partial, never counted"),
        pytest.param({"is_partial": True, "method": "gin"}, None, id="GIN counts keys"),
        pytest.param({"method": "gin"}, 10000.0, id="GIN of all rows"),
    ],
)
def test_rows(more: dict[str, Any], rows: float | None) -> None:
    assert index(**more).rows == rows


@pytest.mark.parametrize(
    ("baseline", "source", "measurement"),
    [
        pytest.param(
            40.96, "rebuild", Measurement("baseline", "high", 50.0, None, 40.96, 100.0), id="twice what it was"
        ),
        pytest.param(40.96, "seen", Measurement("baseline", "medium", 50.0, None, 40.96, 100.0), id="only seen"),
        pytest.param(81.92, "given", Measurement("baseline", "medium", 0.0, None, 81.92, 0.0), id="as it was"),
        pytest.param(100.0, "rebuild", Measurement("baseline", "high", 0.0, None, 100.0, -18.1), id="smaller"),
    ],
)
def test_growth(baseline: float, source: str, measurement: Measurement) -> None:
    assert measured_growth(index(), baseline, source) == measurement


def test_growth_of_nobody_knows_how_many_rows_decides_nothing() -> None:
    found = measured_growth(index(table_rows=-1.0), 40.0, "rebuild")
    assert (found.bloat_percent, found.confidence, found.decides) == (None, "none", False)


def column(width: int | None, *, nulls: float = 0.0, distinct: float = -1.0, is_key: bool = True) -> dict[str, Any]:
    return {"avg_width": width, "null_frac": nulls, "n_distinct": distinct, "is_key": is_key}


@pytest.mark.parametrize(
    ("more", "columns", "bloat"),
    [
        # pg_relation_size of new indexes on 1,000,000 rows: bigint 22,487,040; a hundred different int 6,971,392.
        pytest.param({"size_bytes": 22487040}, [column(8)], 0.0, id="bigint, new"),
        pytest.param({"size_bytes": 224870400}, [column(8)], 90.0, id="bigint, ten times as big"),
        pytest.param({"size_bytes": 6971392}, [column(4, distinct=100)], 0.7, id="deduplicated, new"),
        pytest.param({"size_bytes": 69713920}, [column(4, distinct=100)], 90.1, id="deduplicated, ten times as big"),
        pytest.param({"size_bytes": 69713920, "is_unique": True}, [column(4)], 67.8, id="unique keys are not"),
        pytest.param({}, [column(None)], None, id="no statistics"),
        pytest.param({}, [], None, id="no columns"),
        pytest.param({"method": "gin"}, [column(8)], None, id="not a B-tree"),
        pytest.param({"table_rows": -1.0}, [column(8)], None, id="rows unknown"),
    ],
)
def test_estimate(more: dict[str, Any], columns: list[dict[str, Any]], bloat: float | None) -> None:
    rows = {"table_rows": 1e6, "live_rows": 10**6}
    found = estimate(index(**{**rows, **more}), columns, PAGE)
    assert found.decides is False
    assert found.bloat_percent == pytest.approx(bloat, abs=1.0) if bloat is not None else found.bloat_percent is None
