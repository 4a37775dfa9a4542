"""What becomes of the keys of a Secret."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.secret import encoded_data, steps_of


@pytest.mark.parametrize(
    ("present", "wanted", "gone", "steps"),
    [
        ({}, {"a": "1"}, (), {"a": "add"}),
        ({"a": "0"}, {"a": "1"}, (), {"a": "change"}),
        ({"a": "1"}, {"a": "1"}, (), {}),
        ({"a": "1", "b": "2"}, {"a": "1"}, ("b", "c"), {"b": "remove"}),
    ],
)
def test_steps(present: dict[str, str], wanted: dict[str, str], gone: tuple[str, ...], steps: dict[str, str]) -> None:
    assert steps_of(present, wanted, gone) == steps


def test_values_in_base64() -> None:
    assert encoded_data({"a": "pässword"}, encoded=False) == {"a": "cMOkc3N3b3Jk"}
    assert encoded_data({"a": "cMOkc3N3b3Jk"}, encoded=True) == {"a": "cMOkc3N3b3Jk"}
