"""Copies, media and places elsewhere: what there is against what is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.runbook.ops.plugins.filter.policy_lint import FilterModule

policy_lint = FilterModule().filters()["policy_lint"]
NOW = "2026-01-31T09:00:00+09:00"
WISH = {"copies": 3, "media": 2, "offsite": 1}
DUMP = {"name": "dump", "method": "pg_dump", "target": "/var/backups/postgresql", "offsite": False}
BUCKET = {"target": "s3://offsite/postgresql", "offsite": True}

Told = list[tuple[str, Any, str]]


def spread_of(backups: list[dict[str, Any]], wish: dict[str, int] | None = None, **more: Any) -> Told:
    """What is said of a component with these backups: what about, whether it holds, why."""
    objectives = WISH if wish is None else wish
    policy = {"objectives": objectives, "components": [{"name": "database", "backups": backups, **more}]}
    return [(each["name"], each["holds"], each["reason"]) for each in policy_lint(policy, NOW)["checks"]["copies"]]


@pytest.mark.parametrize(
    ("backups", "more", "told"),
    [
        ([{**DUMP, "copies": [BUCKET]}], {}, [
            ("database: copies", True,
             "copies: 3 (the live data, dump, s3://offsite/postgresql), 3 asked for"),
            ("database: media", True, "media: 2 (disk, object store), 2 asked for"),
            ("database: elsewhere", True, "copies elsewhere: 1 (s3://offsite/postgresql), 1 asked for"),
        ]),
        ([DUMP], {}, [
            ("database: copies", False, "copies: 2 (the live data, dump), and 3 asked for: 1 short"),
            ("database: media", False, "media: 1 (disk), and 2 asked for: 1 short"),
            ("database: elsewhere", False, "copies elsewhere: none, and 1 asked for: 1 short"),
        ]),
        ([], {}, [
            ("database: copies", False, "copies: 1 (the live data), and 3 asked for: 2 short"),
            ("database: media", False, "media: 1 (disk), and 2 asked for: 1 short"),
            ("database: elsewhere", False, "copies elsewhere: none, and 1 asked for: 1 short"),
        ]),
        # What is promised only, shares a place, holds no data, or has nothing to be replayed on is no copy.
        ([{**DUMP, "copies": [{**BUCKET, "exists": False}]}, {**DUMP, "name": "second dump"},
          {"name": "schema", "method": "supabase_db_dump", **BUCKET},
          {"name": "WAL", "method": "wal_archive", "target": "s3://wal", "offsite": True}], {}, [
            ("database: copies", False, "copies: 2 (the live data, dump), and 3 asked for: 1 short"),
            ("database: media", False, "media: 1 (disk), and 2 asked for: 1 short"),
            ("database: elsewhere", False, "copies elsewhere: none, and 1 asked for: 1 short"),
        ]),
        # Nobody says on what it lies, or where: unknown is never ok.
        ([{"name": "snapshot", "method": "rds_manual_snapshot", "copies": [{"name": "second account"}]}], {}, [
            ("database: copies", True, "copies: 3 (the live data, snapshot, second account), 3 asked for"),
            ("database: media", None,
             "media: 2 asked for, and nobody says on what these lie (medium): snapshot, second account"),
            ("database: elsewhere", None,
             "copies elsewhere: 1 asked for, and nobody says where these lie (offsite): snapshot, second account"),
        ]),
        ([{**DUMP, "medium": "tape"}], {"medium": "SAN", "copies": 2, "offsite": 2}, [
            ("database: copies", True, "copies: 2 (the live data, dump), 2 asked for"),
            ("database: media", True, "media: 2 (SAN, tape), 2 asked for"),
            ("database: elsewhere", False, "copies elsewhere: none, and 2 asked for: 2 short"),
        ]),
    ],
    ids=["kept", "one place", "nothing", "no copies", "unknown", "its own wish"],
)  # fmt: skip
def test_what_is_there_against_what_is_asked_for(
    backups: list[dict[str, Any]], more: dict[str, Any], told: Told
) -> None:
    assert spread_of(backups, **more) == told


def test_what_nobody_asks_for_is_not_checked() -> None:
    assert spread_of([DUMP], {}) == []
    assert [name for name, _holds, _reason in spread_of([DUMP], {"offsite": 1})] == ["database: elsewhere"]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"objectives": {"copies": 0}}, "policy.objectives.copies: 0 is not accepted. Accepted: a whole"),
        ({"objectives": {"offsite": True}}, "policy.objectives.offsite: True is not accepted."),
        ({"components": [{"name": "a", "backups": [{"name": "b", "method": "other", "copies": [{}]}]}]},
         "policy.components[0].backups[0].copies[0].name: None is not accepted. Accepted: text."),
        ({"components": [{"name": "a", "backups": [{"name": "b", "method": "other", "copies": [{"media": "x"}]}]}]},
         "policy.components[0].backups[0].copies[0].media: 'x' is not accepted. Accepted: one of the keys name, "),
    ],
    ids=["none", "no number", "nameless", "misspelt"],
)  # fmt: skip
def test_wishes_that_cannot_be_read(policy: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        policy_lint(policy, NOW)
    assert str(caught.value).startswith(f"policy_lint: {message}")
