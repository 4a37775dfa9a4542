"""The filter keep_plan: facts of backup_info in, a plan out."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.runbook.ops.plugins.filter.keep_plan import FilterModule

keep_plan = FilterModule().filters()["keep_plan"]
NOW = "2026-01-31T09:00:00Z"


def night(day: int, verdict: str | None = "verified") -> dict[str, Any]:
    verified = None if verdict is None else {
        "verdict": verdict, "is_current": True, "is_proven": verdict == "verified", "reason": "semantics: 0 rows",
    }  # fmt: skip
    return {
        "name": f"s-202601{day:02}.dump",
        "taken_at": f"2026-01-{day:02}T02:00:00Z",
        "size_bytes": 100,
        "verified": verified,
        "manifest": {"method": "dump", "requires": []},
        "inspected": {"complete": None, "reason": "not inspected"},
    }


def test_a_plan() -> None:
    found = keep_plan([night(day) for day in range(28, 32)], daily=2, min_keep=1, rpo="26h", reference_time=NOW)
    assert found == {
        "changed": True,
        "actions": [
            {"action": "delete", "object": "s-20260129.dump", "reason": "no rule keeps it", "state": "good",
             "taken_at": "2026-01-29T02:00:00Z", "bytes": 100},
            {"action": "delete", "object": "s-20260128.dump", "reason": "no rule keeps it", "state": "good",
             "taken_at": "2026-01-28T02:00:00Z", "bytes": 100},
        ],
        "refused": [],
        "kept": [
            {"name": "s-20260131.dump", "taken_at": "2026-01-31T02:00:00Z", "state": "good",
             "reasons": ["the newest good one", "daily 2026-01-31"]},
            {"name": "s-20260130.dump", "taken_at": "2026-01-30T02:00:00Z", "state": "good",
             "reasons": ["daily 2026-01-30"]},
        ],
    }  # fmt: skip


def test_a_refusal() -> None:
    found = keep_plan([night(31, "failed"), *(night(day) for day in range(20, 31))], 2, rpo="26h", reference_time=NOW)
    assert (found["changed"], found["actions"]) == (False, [])
    assert found["refused"] == [
        {
            "object": "",
            "reason": "the backups after the newest good one, s-20260130.dump, are bad: s-20260131.dump "
            "(semantics: 0 rows)",
            "remedy": "Have the backup job write good ones again, and verify one.",
        }
    ]


def test_without_proof() -> None:
    found = keep_plan(
        [night(day, None) for day in range(20, 32)],
        2,
        rpo="26h",
        require_verified=False,
        min_keep=1,
        reference_time=NOW,
    )
    assert [each["name"] for each in found["kept"]] == ["s-20260131.dump", "s-20260130.dump"]


@pytest.mark.parametrize(
    ("artefacts", "options", "message"),
    [
        ([], {"daily": 1},
         "keep_plan: rpo: '' is not accepted. Accepted: how old the newest good backup may be, such as 26h."),
        ([], {"daily": 1, "rpo": "soon"},
         "keep_plan: rpo: 'soon' is not accepted. Accepted: a duration above 0, such as 26h, 7d or 30m."),
        ([], {"daily": "7", "rpo": "26h"}, "keep_plan: daily: '7' is not accepted. Accepted: a whole number."),
        ([], {"daily": 1, "rpo": "26h", "timezone": "Asia/Seul"},
         "keep_plan: timezone: 'Asia/Seul' is not accepted. Accepted: the name of a timezone, such as Asia/Seoul, "
         "Europe/Berlin or UTC; did you mean Asia/Seoul?."),
        ("s.dump", {"daily": 1, "rpo": "26h"},
         "keep_plan: artefacts: 'str' is not accepted. Accepted: the artefacts of runbook.ops.backup_info."),
        ([{"name": "s"}], {"daily": 1, "rpo": "26h"},
         "keep_plan: artefacts[0]: {'name': 's'} is not accepted. Accepted: the artefacts of runbook.ops.backup_info, "
         "with name and taken_at."),
    ],
    ids=["no-rpo", "rpo", "text", "timezone", "no-list", "no-facts"],
)  # fmt: skip
def test_what_cannot_be_meant(artefacts: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        keep_plan(artefacts, **options)
    assert str(caught.value) == message
