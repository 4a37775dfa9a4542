"""Facts and secrets of all hosts: the right source, and nothing touched that is not ours."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.plugin_utils.report.gathering import gather_facts, gather_secrets


class Variables(dict[str, Any]):
    """Host variables are templates: reading one renders it, so reading a stranger's is a mistake."""

    def __getitem__(self, key: str) -> Any:
        assert key.startswith("check_") or key.endswith("_password"), f"{key} was read"
        return super().__getitem__(key)


def findings(*sources: str) -> list[dict[str, Any]]:
    return [{"id": "a.b", "severity": "ok", "source": source} for source in sources]


@pytest.mark.parametrize(
    ("variables", "gathered"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"check_http_facts": {}}, {}, id="empty facts"),
        pytest.param(
            {"check_http_facts": {"available": True}, "check_http_findings": findings("runbook.ops.http_probe_info")},
            {"h": {"runbook.ops.http_probe_info": {"available": True}}},
            id="one source",
        ),
        pytest.param(
            {
                "check_redis_facts": {"health": {"a": 1}, "keys": {"b": 2}},
                "check_redis_findings": findings("runbook.ops.redis_health_info", "runbook.ops.redis_key_info"),
            },
            {"h": {"runbook.ops.redis_health_info": {"a": 1}, "runbook.ops.redis_key_info": {"b": 2}}},
            id="parts belong to the source that bears their name",
        ),
        pytest.param(
            {
                "check_redis_facts": {"one": {"a": 1}, "two": {"b": 2}},
                "check_redis_findings": findings("runbook.ops.redis_health_info", "runbook.ops.redis_key_info"),
            },
            {"h": {"check_redis": {"one": {"a": 1}, "two": {"b": 2}}}},
            id="what belongs to no one keeps its name",
        ),
        pytest.param(
            {"check_http_facts": {"failed": True}}, {"h": {"check_http": {"failed": True}}}, id="measured, not judged"
        ),
        pytest.param({"check_http_facts": "text", "other": 1}, {}, id="no facts at all"),
    ],
)
def test_gather_facts(variables: dict[str, Any], gathered: dict[str, Any]) -> None:
    assert gather_facts({"h": Variables(variables, ansible_host="x")}, ["h", "absent"]) == gathered


def test_gather_secrets() -> None:
    hosts = {
        "a": Variables(postgresql_login_password="hunter2!", ansible_user="x"),
        "b": Variables(postgresql_login_password="hunter2!", redis_login_password=None),
        "c": Variables(redis_login_password="abc"),
    }
    assert gather_secrets(hosts, ["a", "b", "c", "absent"], ["postgresql_login_password", "redis_login_password"]) == [
        "hunter2!"
    ]


@pytest.mark.parametrize(
    ("hosts", "names", "said"),
    [([], [], "input: 'list' is not accepted"), ({}, "pg1", "names: 'str' is not accepted")],
)
def test_bad_input(hosts: Any, names: Any, said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        gather_facts(hosts, names)
    with pytest.raises(InvalidOption, match=said):
        gather_secrets(hosts, names, [])
