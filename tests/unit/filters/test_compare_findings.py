"""What has become of findings."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.runbook.ops.plugins.filter.compare_findings import compare_findings
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import finding


def found(severity: str, name: str = "web", value: Any = 1, rule: str = "incident.leak") -> dict[str, Any]:
    return finding(rule, severity, f"{name} is {severity}", host="db1", object=name, value=value, unit="count")


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        ([found("critical")], [found("ok", "")], "cured"),
        ([found("critical")], [found("ok")], "cured"),
        ([found("critical")], [], "cured"),
        ([found("critical")], [found("warning")], "better"),
        ([found("critical")], [found("critical")], "same"),
        ([found("warning")], [found("critical")], "worse"),
        ([found("ok", "")], [found("warning")], "new"),
        ([], [found("critical")], "new"),
        ([found("unknown")], [found("critical")], "same"),
        ([found("unknown")], [found("ok")], "cured"),
        ([found("critical")], [found("unknown")], "unknown"),
        # The object is not named any more because the rule could not be judged.
        ([found("critical")], [found("unknown", "")], "unknown"),
        ([found("critical")], [found("unknown", "", rule="incident.not_judged")], "unknown"),
    ],
)
def test_outcomes(before: list[dict[str, Any]], after: list[dict[str, Any]], outcome: str) -> None:
    compared = {each["object"]: each["outcome"] for each in compare_findings(before, after)}
    assert compared["web"] == outcome


def test_the_entry() -> None:
    assert compare_findings([found("critical", value=7)], [found("warning", value=3)]) == [
        {
            "id": "incident.leak",
            "host": "db1",
            "object": "web",
            "before": "critical",
            "after": "warning",
            "before_value": 7,
            "after_value": 3,
            "unit": "count",
            "outcome": "better",
            "summary": "web is warning",
        }
    ]


def test_what_was_and_is_ok_is_not_mentioned() -> None:
    assert compare_findings([found("ok")], [found("ok")]) == []


def test_what_is_new_comes_last() -> None:
    compared = compare_findings([found("warning", "b")], [found("warning", "a"), found("warning", "b")])
    assert [each["object"] for each in compared] == ["b", "a"]


def test_what_are_no_findings_is_said() -> None:
    with pytest.raises(AnsibleFilterError, match="after: 'str' is not accepted"):
        compare_findings([], "text")
