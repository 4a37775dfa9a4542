"""What closes an application and opens it again, decided from documents alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.change_mark import CHANGED
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.closing import (
    MAINTENANCE,
    Setting,
    Switch,
    barrier_of,
    is_as_wanted,
    service_refusal,
    switch_setting,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.routes import barrier_refusal, rules_of, tls_of


def _config(data: dict[str, str], memory: Any = None) -> dict[str, Any]:
    annotations = {} if memory is None else {MAINTENANCE: memory if isinstance(memory, str) else json.dumps(memory)}
    return {
        "kind": "ConfigMap",
        "metadata": {"name": "flags", "resourceVersion": "7", "annotations": annotations},
        "data": data,
    }


@pytest.mark.parametrize(
    ("data", "memory", "closes", "open_value", "key", "remembers"),
    [
        # What is set, and what is remembered after it; None where nothing is done.
        ({"M": "false"}, None, True, None, "true", {"M": "false"}),
        ({}, None, True, None, "true", {"M": None}),
        ({"M": "true"}, None, True, None, None, None),
        ({"M": "false"}, {"N": "x"}, True, None, "true", {"M": "false", "N": "x"}),
        ({"M": "true"}, {"M": "false"}, False, None, "false", None),
        ({"M": "true"}, {"M": "false", "N": "x"}, False, None, "false", {"N": "x"}),
        ({"M": "false"}, None, False, None, None, None),
        ({"M": "true"}, None, False, "off", "off", "untouched"),
    ],
)
def test_a_flag(
    data: dict[str, str], memory: Any, closes: bool, open_value: str | None, key: str | None, remembers: Any
) -> None:
    found = switch_setting(
        Switch("flags", "M", "true", open_value), _config(data, memory), "ConfigMap x", closes=closes
    )
    if key is None:
        assert found is None
        return
    assert isinstance(found, Setting)
    assert (found.patch["data"], found.patch["metadata"]["resourceVersion"]) == ({"M": key}, "7")
    annotations = found.patch["metadata"]["annotations"]
    assert CHANGED in annotations
    if MAINTENANCE not in annotations:
        assert remembers == "untouched"
    else:
        text = annotations[MAINTENANCE]
        assert (text and json.loads(text)) == remembers


def test_a_flag_that_was_removed_goes_again() -> None:
    found = switch_setting(Switch("flags", "M", "true", None), _config({"M": "true"}, {"M": None}), "x", closes=False)
    assert isinstance(found, Setting)
    assert (found.before, found.after, found.patch["data"]) == ("true", None, {"M": None})


def test_what_nobody_remembers_is_not_guessed() -> None:
    switch = Switch("flags", "M", "true", None)
    found = switch_setting(switch, _config({"M": "true"}), "ConfigMap shop/flags", closes=False)
    assert isinstance(found, Refusal)
    assert found.reason == "M was set by somebody else, and what it was before is not remembered"
    with pytest.raises(RunbookError, match="cannot be read"):
        switch_setting(switch, _config({"M": "true"}, "no JSON"), "x", closes=False)


OPTIONS = {
    "name": "closed", "hosts": ["a.example.com"], "paths": ["/api/v1"], "service": "down", "port": 80,
    "ingress_class": "nginx", "annotations": {}, "overrides": False, "open_paths": [],
}  # fmt: skip


def _ingress(host: str, path: str, name: str = "api", **annotations: str) -> dict[str, Any]:
    rule = {"host": host, "http": {"paths": [{"path": path}]}}
    metadata = {"name": name, "namespace": "shop", "annotations": annotations}
    return {"metadata": metadata, "spec": {"rules": [rule], "ingressClassName": "nginx"}}


ALB = "alb.ingress.kubernetes.io"
IN_GROUP = {f"{ALB}/group.name": "shop", f"{ALB}/group.order": "10"}


@pytest.mark.parametrize(
    ("ingresses", "options", "reason"),
    [
        ([_ingress("a.example.com", "/")], {}, None),
        # What is more specific than ours stays open.
        ([_ingress("a.example.com", "/api/v1/pay")], {}, "Ingress shop/api has /api/v1/pay below /api/v1"),
        ([_ingress("a.example.com", "/api/v1/pay")], {"open_paths": ["/api/v1/pay"]}, None),
        ([_ingress("a.example.com", "/api/v10")], {}, None),
        ([_ingress("a.example.com", "/")], {"paths": ["/"]}, "Ingress shop/api has the same path / of a.example.com"),
        # ingress-nginx sorts regular expressions by their length.
        ([_ingress("a.example.com", "/api(/|$)(.*)")], {}, "Ingress shop/api has the regular expression /api(/|$)(.*)"),
        ([_ingress("a.example.com", "/a(.*)")], {"paths": ["/api/v1/contents"]}, None),
        ([_ingress("a.example.com", "/shop(/|$)(.*)")], {}, None),
        # A load balancer for each Ingress, or for each group.
        ([_ingress("a.example.com", "/", **{f"{ALB}/scheme": "internal"})], {}, "Ingress shop/api has a load balancer"),
        ([_ingress("a.example.com", "/", **IN_GROUP)], {}, "Ingress shop/api is of the group shop with the order 10"),
        (
            [_ingress("a.example.com", "/", **IN_GROUP)],
            {"annotations": IN_GROUP | {f"{ALB}/group.order": "9"}, "paths": ["/"]},
            None,
        ),
        ([_ingress("a.example.com", "/", **IN_GROUP)], {"annotations": IN_GROUP}, "Ingress shop/api is of the group"),
        (
            [_ingress("a.example.com", "/", **{"nginx.org/x": ""})],
            {},
            "the controller of Ingress shop/api gives a host",
        ),
        (
            [_ingress("a.example.com", "/")],
            {"ingress_class": None, "annotations": {"kubernetes.io/ingress.class": "nginx"}},
            None,
        ),
        ([_ingress("", "/")], {}, "no Ingress has the host a.example.com"),
        ([_ingress("*.example.com", "/")], {}, "no Ingress has the host a.example.com"),
        ([_ingress("", "/")], {"hosts": [""]}, None),
        ([_ingress("b.example.com", "/")], {}, "no Ingress has the host a.example.com"),
        ([_ingress("a.example.com", "/api/v1/")], {}, "Ingress shop/api has the same path /api/v1 of a.example.com"),
        ([_ingress("a.example.com", "/api/v1")], {"overrides": True}, None),
        ([_ingress("a.example.com", "/")], {"ingress_class": None}, "the Ingress of a.example.com has the class nginx"),
        (
            [_ingress("a.example.com", "/"), _ingress("a.example.com", "/api/v1", "old", **{MAINTENANCE: "{}"})],
            {},
            None,
        ),
    ],
)
def test_who_would_win(ingresses: list[dict[str, Any]], options: dict[str, Any], reason: str | None) -> None:
    found = barrier_refusal(barrier_of({**OPTIONS, **options}), "Ingress x", rules_of(ingresses))
    assert (found is None) if reason is None else (found is not None and found.reason.startswith(reason))


@pytest.mark.parametrize(
    ("service", "conditions", "reason"),
    [
        (None, [], "there is no Service down"),
        ({"spec": {"ports": [{"port": 8080}]}}, [{"ready": True}], "Service down has no port 80"),
        ({"spec": {"ports": [{"port": 80}]}}, [{"ready": False}], "Service down has no endpoint that is ready"),
        ({"spec": {"ports": [{"port": 80}]}}, [], "Service down has no endpoint that is ready"),
        ({"spec": {"ports": [{"port": 80}]}}, [{}], None),
    ],
)
def test_who_would_answer(service: dict[str, Any] | None, conditions: list[dict[str, Any]], reason: str | None) -> None:
    slices = [{"endpoints": [{"conditions": each} for each in conditions]}]
    found = service_refusal(barrier_of(OPTIONS), "Ingress x", service, slices)
    assert (found.reason if found else None) == reason


def test_the_certificates_of_the_application() -> None:
    """Those that are of its host; one without hosts is of all that the Ingress has."""
    own, other = _ingress("a.example.com", "/"), _ingress("a.example.com", "/x", "other")
    own["spec"]["tls"] = [
        {"hosts": ["a.example.com", "b.example.com"], "secretName": "a"},
        {"hosts": ["*.example.com"], "secretName": "wild"},
        {"hosts": ["c.example.com"], "secretName": "c"},
    ]
    other["metadata"]["namespace"] = "elsewhere"
    other["spec"]["tls"] = [{"hosts": ["a.example.com"], "secretName": "theirs"}]
    barrier = barrier_of(OPTIONS)
    found = tls_of([own, other], barrier, "shop")
    assert found == [
        {"hosts": ["a.example.com"], "secretName": "a"}, {"hosts": ["*.example.com"], "secretName": "wild"},
    ]  # fmt: skip
    made = barrier.manifest("shop", found)
    assert (made["spec"]["tls"], "tls" in barrier.manifest("shop")["spec"]) == (found, False)
    assert (is_as_wanted(made, made), is_as_wanted(made, barrier.manifest("shop"))) == (True, False)
