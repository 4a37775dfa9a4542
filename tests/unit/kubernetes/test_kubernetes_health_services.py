"""What k8s_health_info says of Services without a ready endpoint: what is wrong, and what is meant so."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.common import Facts
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.pods import look_at
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.selected import template_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.services import (
    Around,
    needs_templates,
    services_facts,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import PARKED
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_state import Times
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.switching import MEMORY

NOW = dt.datetime(2026, 1, 31, 8, 0, tzinfo=dt.timezone.utc)
Labels = dict[str, str]
WEB = {"app": "web", "version": "blue"}
SWITCHED = json.dumps({"label": "slot", "from": "one", "to": "two", "at": "2026-01-31T07:00:00Z", "state": "kept"})


def thing(name: str, labels: Labels | None = None, annotations: Labels | None = None, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop", "labels": labels or {}, "annotations": annotations or {}}
    return {"metadata": metadata, **more}


def service(name: str, selector: Labels | None = None, *, annotations: Labels | None = None, **spec: Any) -> Facts:
    return thing(name, annotations=annotations, spec={**({"selector": selector} if selector else {}), **spec})


def pod(name: str, labels: Labels, *, owner: str = "web", kind: str = "StatefulSet", **status: Any) -> Facts:
    found = thing(name, labels, spec={}, status={"phase": "Running", "conditions": [], **status})
    found["metadata"]["ownerReferences"] = [{"kind": kind, "name": owner, "controller": True}]
    return found


def workload(name: str, labels: Labels, replicas: int, *, is_parked: bool = False, **spec: Any) -> Facts:
    annotations = {PARKED: '{"replicas": 3}'} if is_parked else {}
    return thing(
        name, annotations=annotations, spec={"replicas": replicas, "template": {"metadata": {"labels": labels}}, **spec}
    )


def endpoints(name: str, *states: bool | None) -> Facts:
    listed = [{"conditions": {} if state is None else {"ready": state}} for state in states]
    return thing(f"{name}-x", {"kubernetes.io/service-name": name}, endpoints=listed)


def ingress(name: str) -> Facts:
    paths = [{"backend": {"service": {"name": name}}}]
    return thing("in", spec={"rules": [{"http": {"paths": paths}}]})


def seen(
    services: list[Facts] | None,
    *,
    slices: tuple[Facts, ...] = (),
    pods: tuple[Facts, ...] | None = (),
    made: tuple[tuple[str, Facts], ...] | None = (),
    routed: tuple[str, ...] = (),
) -> dict[str, Facts]:
    looked = None if pods is None else look_at(pods, NOW, Times())
    templates = None if made is None else [template_of(kind, each) for kind, each in made]
    around = Around(services, looked, templates, [ingress(name) for name in routed])
    return {each["service"]: each for each in services_facts(slices, around)}


def test_counts_and_what_has_no_selector() -> None:
    # An endpoint without the condition is ready.
    slices = (endpoints("web", True, None, False), endpoints("web", True), endpoints("own", False), endpoints("empty"))
    outside = service("db", {"app": "db"}, type="ExternalName")
    services = [service("web", WEB), service("own"), service("empty"), service("api"), outside]
    found = seen(services, slices=(*slices, thing("nobody's")), pods=(pod("web-0", WEB),), routed=("empty",))
    assert {name: (each["ready_count"], each["not_ready_count"], each["state"]) for name, each in found.items()} == {
        "web": (3, 1, "ready"),
        "own": (0, 1, "no_selector"),
        "empty": (0, 0, "no_selector"),
    }
    assert [found[name]["is_idle"] for name in ("web", "own", "empty")] == [False, False, False]
    assert seen([service("empty")], slices=slices)["empty"]["is_idle"] is True
    assert (found["web"]["selector"], found["web"]["selected_count"], found["own"]["selector"]) == (
        "app=web,version=blue",
        1,
        None,
    )


@pytest.mark.parametrize(
    ("selector", "pods", "hint"),
    [
        # Mistyped, or the pods were relabelled.
        ({"app": "wbe"}, (pod("web-0", {"app": "web"}),), "the pods of statefulset web have app=web"),
        (
            {"app": "web", "tier": "front"},
            (pod("web-0", {"app": "web"}), pod("db-0", {"app": "db", "tier": "fron"}, owner="db")),
            "the pods of statefulset web have no label tier",
        ),
        (
            {"app": "web", "tier": "front"},
            (
                pod("web-0", {"app": "web", "tier": "back"}),
                pod("new-0", {"app": "web", "tier": "frontend"}, owner="new"),
            ),
            "the pods of statefulset new have tier=frontend",
        ),
        ({"app": "web"}, (pod("b", {"app": "billing"}, owner="billing"),), None),
        # Nothing of it runs any more, and nobody makes it again.
        ({"app": "web"}, (), None),
        # An application of its own: another name for the component is no side of it.
        (
            {"app": "shop", "component": "worker"},
            (pod("w-0", {"app": "shop", "component": "jobs"}, owner="jobs"),),
            "the pods of statefulset jobs have component=jobs",
        ),
    ],
)
def test_a_selector_that_takes_nothing(selector: Labels, pods: tuple[Facts, ...], hint: str | None) -> None:
    sibling = service("shop-jobs", {"app": "shop", "component": "jobs"})
    found = seen([service("shop-worker", selector), sibling], pods=pods)["shop-worker"]
    assert [found[key] for key in ("state", "selects_nothing", "is_idle", "nearest")] == [
        "selects_nothing",
        True,
        False,
        hint,
    ]


GREEN = {"app": "web", "version": "green"}
ENDED = {"phase": "Succeeded"}


@pytest.mark.parametrize(
    ("document", "pods", "made", "expected"),
    [
        # State, whether it is idle, and whether so where an Ingress leads to it.
        (service("web", WEB), (), (("deployment", workload("web", WEB, 0, is_parked=True)),), ("parked", True, True)),
        (service("web", WEB), (), (("deployment", workload("web", WEB, 0)),), ("scaled_to_zero", True, False)),
        (service("web", WEB), (pod("web-0", WEB),), (), ("not_ready", False, False)),
        # A quota, or a webhook: no pod is there to say it, and the selector is right.
        (service("web", WEB), (), (("deployment", workload("web", WEB, 3)),), ("not_ready", False, False)),
        (
            service("web", WEB),
            (pod("web-0", WEB, phase="Failed"),),
            (("daemonset", {**workload("web", WEB, 1), "status": {"desiredNumberScheduled": 0}}),),
            ("scaled_to_zero", True, False),
        ),
        (service("web", WEB), (pod("web-0", WEB, phase="Failed"),), (), ("not_ready", False, False)),
        (service("r", WEB), (pod("r-0", WEB, owner="r", kind="Job", **ENDED),), (), ("between_runs", True, True)),
        (
            service("r", WEB),
            (),
            (("cronjob", thing("r", spec={"jobTemplate": {"spec": {"template": {"metadata": {"labels": WEB}}}}})),),
            ("between_runs", True, True),
        ),
        # Blue serves; green was removed after it had proven itself, by its name or by what was switched.
        (service("web-green", GREEN), (pod("web-0", WEB),), (), ("other_side", True, False)),
        (service("spare", {"app": "web", "slot": "two"}), (pod("p", {"app": "web", "slot": "one"}),), (),
         ("other_side", True, False)),
        # With nobody on the other side either it is no side, but an outage.
        (service("web-green", GREEN), (), (), ("selects_nothing", False, False)),
        (service("names", {"app": "etcd"}, clusterIP="None"), (), (), ("headless", True, False)),
        # A StatefulSet has its names from it.
        (
            service("names", {"app": "ectd"}, clusterIP="None"),
            (pod("etcd-0", {"app": "etcd"}, owner="etcd"),),
            (("statefulset", workload("etcd", {"app": "etcd"}, 3, serviceName="names")),),
            ("selects_nothing", False, False),
        ),
    ],
)  # fmt: skip
def test_why_no_endpoint_is_ready(
    document: Facts, pods: tuple[Facts, ...], made: Any, expected: tuple[str, bool, bool]
) -> None:
    name = document["metadata"]["name"]
    slots = service("slots", {"app": "web", "slot": "one"}, annotations={MEMORY: SWITCHED})
    services = [document, service("web-main", WEB), slots]
    plain, routed = (seen(services, pods=pods, made=made, routed=to)[name] for to in ((), (name,)))
    assert (plain["state"], plain["is_idle"], routed["is_idle"]) == expected
    assert plain["selects_nothing"] is (expected[0] == "selects_nothing")


def test_what_cannot_be_read_is_unknown() -> None:
    """Endpoints say something by themselves; without any, nobody knows whether that is meant so."""
    slices = (endpoints("up", True), endpoints("sick", False), endpoints("none"), endpoints("routed"))
    for found in (
        seen(None, slices=slices, routed=("routed",)),
        seen(
            [service(name, WEB) for name in ("up", "sick", "none", "routed")],
            slices=slices,
            pods=None,
            routed=("routed",),
        ),
    ):
        assert {name: (each["state"], each["is_idle"], each["selects_nothing"]) for name, each in found.items()} == {
            "up": ("ready", False, False),
            "sick": ("not_ready", False, False),
            "none": (None, None, False),
            "routed": (None, False, False),
        }
    unlisted = seen([service("none", WEB)], made=None)["none"]
    assert (unlisted["state"], unlisted["is_idle"], unlisted["selected_count"]) == (None, None, 0)


def test_workloads_are_read_only_where_a_service_needs_them() -> None:
    pods = look_at([pod("web-0", WEB), pod("old-0", {"app": "old"}, **ENDED)], NOW, Times())
    assert needs_templates([service("web", {"app": "web"}), service("own")], pods) is False
    assert needs_templates([service("web", {"app": "web"}), service("old", {"app": "old"})], pods) is True
