"""Who has dangerous powers: by what roles contain, and whatever bindings are called."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rbac import audit, grants_of, powers_of


def _rule(verbs: str, resources: str, groups: str = "", **more: Any) -> dict[str, Any]:
    return {"verbs": verbs.split(), "resources": resources.split(), "apiGroups": groups.split() or [""], **more}


@pytest.mark.parametrize(
    ("rules", "powers"),
    [
        ([_rule("*", "*", "*")], {"admin": "every verb on everything"}),
        ([_rule("get", "pods"), _rule("*", "*", "*")], {"admin": "every verb on everything"}),
        ([_rule("*", "deployments", "apps")], {"wildcard": "every verb on deployments"}),
        ([_rule("get list", "secrets pods")], {"secrets": "get, list on secrets"}),
        ([_rule("get", "secrets", resourceNames=["db"])], {"secrets": "get on secrets db"}),
        ([_rule("get", "*", "*")], {"secrets": "get on secrets"}),
        ([_rule("get", "secrets", "example.com")], {}),
        ([_rule("create", "secrets")], {}),
        (
            [_rule("bind escalate", "clusterroles", "rbac.authorization.k8s.io")],
            {"escalate": "bind, escalate on clusterroles"},
        ),
        ([_rule("impersonate", "users")], {"escalate": "impersonate on users"}),
        ([{"verbs": ["*"], "nonResourceURLs": ["*"]}], {}),
        ([_rule("get", "configmaps")], {}),
    ],
)
def test_powers(rules: list[dict[str, Any]], powers: dict[str, str]) -> None:
    assert powers_of(rules) == powers


ADMIN = [_rule("*", "*", "*")]
READ = [_rule("get", "configmaps")]


def _role(name: str, rules: list[dict[str, Any]], namespace: str | None = None) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "rules": rules}


def _binding(
    name: str,
    role: str,
    subject: tuple[str, str],
    namespace: str | None = None,
    kind: str = "ClusterRole",
    **labels: str,
) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {key.replace("_", "/"): value for key, value in labels.items()},
        },
        "roleRef": {"kind": kind, "name": role},
        "subjects": [{"kind": subject[0], "name": subject[1], "namespace": namespace or "shop"}],
    }


BUILT_IN = {"kubernetes.io_bootstrapping": "rbac-defaults"}


def _audited(*bindings: dict[str, Any], local: tuple[dict[str, Any], ...] = (), **more: Any) -> dict[str, list[Any]]:
    roles = [_role("mine", ADMIN, "shop")]
    cluster_roles = [_role("ordinary", ADMIN), _role("view", READ)]
    found = audit(*grants_of(roles, cluster_roles, local, bindings), **more)
    return {name: value for name, value in found.items() if value}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (_audited(_binding("x", "ordinary", ("User", "kim"))), {"cluster_admins": ["User kim"]}),
        (
            _audited(_binding("x", "ordinary", ("ServiceAccount", "api"))),
            {"cluster_admins": ["ServiceAccount shop/api"]},
        ),
        (_audited(_binding("x", "view", ("User", "kim"))), {}),
        (
            _audited(_binding("x", "view", ("Group", "system:unauthenticated"))),
            {"anonymous": ["Group system:unauthenticated"]},
        ),
        (
            _audited(_binding("x", "view", ("ServiceAccount", "default"))),
            {"default_accounts": ["ServiceAccount shop/default"]},
        ),
        (
            _audited(_binding("x", "ordinary", ("ServiceAccount", "default"))),
            {"default_accounts": ["ServiceAccount shop/default"], "cluster_admins": ["ServiceAccount shop/default"]},
        ),
        (_audited(local=(_binding("x", "mine", ("User", "kim"), "shop", "Role"),)), {"namespace_admins": ["User kim"]}),
        (_audited(local=(_binding("x", "ordinary", ("User", "kim"), "shop"),)), {"namespace_admins": ["User kim"]}),
        (_audited(_binding("x", "ordinary", ("User", "kim")), expected=["User kim"]), {"expected": ["User kim"]}),
    ],
)
def test_lists(found: dict[str, list[Any]], expected: dict[str, list[str]]) -> None:
    assert {name: [each["subject"] for each in entries] for name, entries in found.items()} == expected


def test_what_is_not_listed() -> None:
    masters = _binding("cluster-admin", "ordinary", ("Group", "system:masters"), **BUILT_IN)
    assert _audited(masters) == {"built_in": 1}
    # Somebody was put into the binding that Kubernetes writes.
    joined = _binding("cluster-admin", "ordinary", ("User", "kim"), **BUILT_IN)
    assert [each["subject"] for each in _audited(joined)["cluster_admins"]] == ["User kim"]
    gone = _binding("x", "gone", ("User", "kim"))
    assert _audited(gone) == {"dangling": [{"binding": "ClusterRoleBinding x", "role": "ClusterRole gone"}]}
