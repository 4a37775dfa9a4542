"""Dropping an index needs the word of every server."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.runbook.ops.plugins.filter.index_drops import index_drops

DAY = 86400.0


def index(name: str, **more: Any) -> dict[str, Any]:
    return {"schema": "public", "table": "orders", "name": name, "size_bytes": 81920, **more}


def facts(**indexes: Any) -> dict[str, Any]:
    defaults = {
        "standby_count": 0,
        "stats_age_seconds": 20 * DAY,
        "stats_since": "2026-01-01T00:00:00Z",
        "unused": [index("idx_note"), index("idx_month_end")],
        "invalid": [index("idx_broken", is_building=False), index("idx_growing", is_building=True)],
        "largest": [index("orders_pkey"), index("idx_note")],
        "truncated": False,
    }
    return {"available": True, "reason": None, "health": {"indexes": {**defaults, **indexes}}}


def standby(**indexes: Any) -> dict[str, Any]:
    return facts(standby_count=0, invalid=[], **indexes)


def reasons(plan: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {each["object"]: (each["reason"], each["remedy"]) for each in plan["refused"]}


def test_unused_and_invalid_indexes_go_when_approved() -> None:
    made = "CREATE INDEX idx_note ON public.orders USING btree (note)"
    plan = index_drops(
        ["public.idx_note", "public.idx_broken", "public.idx_gone_long_ago"],
        facts(),
        definitions=[{"name": "public.idx_note", "definition": made}],
    )
    assert plan["changed"] is True
    assert plan["refused"] == []
    assert [(each["index"], each["reason"]) for each in plan["actions"]] == [
        ("idx_note", "never scanned on any server"),
        ("idx_broken", "invalid: a failed build that no query can use"),
    ]
    assert plan["actions"][0] == {
        "schema": "public",
        "index": "idx_note",
        "table": "orders",
        "reason": "never scanned on any server",
        "size_bytes_before": 81920,
        "size_bytes_after": 0,
        "undo": made,
    }
    assert plan["actions"][1]["undo"] is None


def test_nothing_goes_that_nobody_approved() -> None:
    assert index_drops([], facts()) == {"changed": False, "actions": [], "refused": []}


@pytest.mark.parametrize(
    ("primary", "standbys", "reason"),
    [
        (
            facts(standby_count=None),
            [],
            ("nobody knows whether standbys use it", "GRANT pg_monitor, so that standbys are seen."),
        ),
        (
            facts(standby_count=2),
            [standby()],
            (
                "2 standbys follow this server and 1 were asked whether they use it",
                "Name every standby in postgresql_maintenance_standbys.",
            ),
        ),
        (
            facts(stats_age_seconds=3 * DAY),
            [],
            (
                "scans are counted only since 2026-01-01T00:00:00Z on one of the servers",
                "Wait until the statistics are 14 days old.",
            ),
        ),
        (
            facts(standby_count=1),
            [standby(stats_age_seconds=None, stats_since=None)],
            (
                "scans are counted only since an unknown moment on one of the servers",
                "Wait until the statistics are 14 days old.",
            ),
        ),
        (facts(standby_count=1), [standby(unused=[])], ("a standby uses it", "Take it off the list.")),
        (
            facts(standby_count=1),
            [{"available": False, "reason": "connection refused", "health": {}}],
            ("a standby could not be asked: connection refused", "Ask again when it is back."),
        ),
    ],
)
def test_an_unused_index_stays_until_it_is_proven(
    primary: dict[str, Any], standbys: list[dict[str, Any]], reason: tuple[str, str]
) -> None:
    plan = index_drops(["public.idx_note", "public.idx_broken"], primary, standbys)
    assert reasons(plan) == {"public.idx_note": reason}
    assert [each["index"] for each in plan["actions"]] == ["idx_broken"], "an invalid index serves nobody anywhere"


def test_every_standby_agrees() -> None:
    plan = index_drops(["public.idx_note"], facts(standby_count=2), [standby(), standby()])
    assert [each["reason"] for each in plan["actions"]] == ["never scanned on the primary and 2 standbys"]


def test_what_is_in_use_or_in_the_making_stays() -> None:
    plan = index_drops(["public.orders_pkey", "public.idx_growing"], facts())
    assert plan["actions"] == []
    assert reasons(plan) == {
        "public.orders_pkey": ("it is in use or carries a constraint", "Take it off the list."),
        "public.idx_growing": (
            "it is being built, or that could not be seen",
            "Wait until the build is done, or GRANT pg_monitor.",
        ),
    }


def test_a_cut_list_proves_nothing() -> None:
    plan = index_drops(["public.idx_elsewhere"], facts(truncated=True))
    assert reasons(plan) == {
        "public.idx_elsewhere": ("the list of indexes was cut before it", "Raise top and run again.")
    }


def test_a_name_without_schema_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match=r"approved: 'idx_note' is not accepted\. Accepted: names with their"):
        index_drops(["idx_note"], facts())
