"""The guards of changing modules: windows, and one shape of results."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ansible_collections.runbook.ops.plugins.doc_fragments import guards as guards_fragment
from ansible_collections.runbook.ops.plugins.doc_fragments import maintenance as maintenance_fragment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import is_in_declared_window, window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import (
    Refusal,
    Refused,
    check_refusals,
    outcome,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.options import (
    check_guards,
    maintenance_argument_spec,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.session import lock_key

# A Sunday, 03:00 in Seoul.
NIGHT = "2026-02-01T03:00:00+09:00"


def guards(**given: Any) -> dict[str, Any]:
    defaults = {name: spec.get("default") for name, spec in maintenance_argument_spec().items()}
    return {**defaults, "timezone": "Asia/Seoul", "reference_time": NIGHT, **given}


def test_the_documentation_says_the_same() -> None:
    documented = {
        name: option
        for fragment in (guards_fragment, maintenance_fragment)
        for name, option in yaml.safe_load(fragment.ModuleDocFragment.DOCUMENTATION)["options"].items()
    }
    spec = maintenance_argument_spec()
    assert set(documented) == set(spec)
    for name, option in spec.items():
        for key in ("type", "elements", "default", "choices"):
            assert documented[name].get(key) == option.get(key), (name, key)


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({}, None),
        ({"window": ["Sun 02:00-06:00"]}, None),
        ({"window": ["Mon-Sat 02:00-06:00", "Sun 02:00-06:00"]}, None),
        (
            {"window": ["Mon 02:00-06:00"]},
            ("it is Sun 03:00 in Asia/Seoul, outside the window (Mon 02:00-06:00)", "Run it within the window."),
        ),
        (
            {"blocked_window": ["00:00-09:00"]},
            (
                "it is Sun 03:00 in Asia/Seoul, within the hours kept free of changes (00:00-09:00)",
                "Run it at another time.",
            ),
        ),
        (
            {"window": ["Sun 02:00-06:00"], "blocked_window": ["00:00-09:00"]},
            (
                "it is Sun 03:00 in Asia/Seoul, within the hours kept free of changes (00:00-09:00)",
                "Run it at another time.",
            ),
        ),
        # The same moment is Saturday evening in UTC.
        (
            {"window": ["Sun 02:00-06:00"], "timezone": "UTC"},
            ("it is Sat 18:00 in UTC, outside the window (Sun 02:00-06:00)", "Run it within the window."),
        ),
    ],
)
def test_windows(given: dict[str, Any], refusal: tuple[str, str] | None) -> None:
    options = guards(**given)
    check_guards(options)
    assert window_refusal(options) == refusal
    assert is_in_declared_window(options) is (bool(given.get("window")) and refusal is None)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"window": ["sometimes"]}, "window"),
        ({"blocked_window": ["25:00-26:00"]}, "window"),
        ({"timezone": "Asia/Soul"}, "timezone"),
        ({"reference_time": "2026-02-01T03:00:00"}, "reference_time"),
        ({"lock_timeout": 0}, "lock_timeout"),
        ({"lock_timeout": 61}, "lock_timeout"),
    ],
)
def test_bad_guards_are_refused(given: dict[str, Any], option: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        check_guards(guards(**given))
    assert refused.value.option == option


REFUSALS = [Refusal("public.a", "it is locked", "Wait."), Refusal("public.b", "it is too large", "Make room.")]


def test_a_result_has_one_shape() -> None:
    result = outcome(changed=True, actions=[{"table": "a"}], refused=REFUSALS[:1], before={"rows": 1}, remaining=[])
    assert result == {
        "changed": True,
        "actions": [{"table": "a"}],
        "refused": [{"object": "public.a", "reason": "it is locked", "remedy": "Wait."}],
        "before": {"rows": 1},
        "after": None,
        "remaining": [],
    }


@pytest.mark.parametrize(
    ("refusals", "message"),
    [
        (REFUSALS[:1], "public.a: it is locked. Wait."),
        (REFUSALS, "public.a: it is locked. Wait. (1 more in refused)"),
    ],
)
def test_refusals_fail_the_task_and_keep_the_result(refusals: list[Refusal], message: str) -> None:
    result = outcome(changed=True, actions=[], refused=refusals)
    with pytest.raises(Refused) as refused:
        check_refusals(result, "fail")
    assert refused.value.message == message
    assert refused.value.details == result
    check_refusals(result, "report")
    check_refusals(outcome(changed=False, actions=[]), "fail")


def test_lock_keys_are_signed_32_bit_and_told_apart() -> None:
    names = ["postgresql_vacuum", "postgresql_reindex", "postgresql_retention", "postgresql_session", "", "ü"]
    keys = [lock_key(name) for name in names]
    assert len(set(keys)) == len(names)
    assert all(-(2**31) <= key < 2**31 for key in keys)
