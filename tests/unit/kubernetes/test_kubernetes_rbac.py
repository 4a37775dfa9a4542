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
        ([_rule("get", "secrets", resourceNames=["db"])], {}),
        (
            [_rule("*", "*", "*", resourceNames=["db"])],
            {"wildcard": "every verb on *", "escalate": "* on *", "execute": "* on *"},
        ),
        ([_rule("create", "pods/exec")], {"execute": "create on pods/exec"}),
        ([_rule("get", "nodes/proxy")], {"execute": "get on nodes/proxy"}),
        ([_rule("get", "pods pods/log")], {}),
        ([_rule("create", "*/exec")], {"execute": "create on */exec"}),
        ([_rule("create", "serviceaccounts/token")], {"escalate": "create on serviceaccounts/token"}),
        (
            [_rule("update", "certificatesigningrequests/approval", "certificates.k8s.io")],
            {"escalate": "update on certificatesigningrequests/approval"},
        ),
        ([_rule("bind", "clusterroles", "rbac.authorization.k8s.io", resourceNames=["view"])], {}),
        (
            [_rule("bind", "clusterroles", "rbac.authorization.k8s.io", resourceNames=["cluster-admin"])],
            {"escalate": "bind on clusterroles"},
        ),
        ([_rule("impersonate", "groups", resourceNames=["support"])], {}),
        (
            [_rule("impersonate", "groups", resourceNames=["system:masters"])],
            {"escalate": "impersonate on groups"},
        ),
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


def test_the_role_edit_in_a_namespace_makes_no_administrator() -> None:
    edit = [_rule("impersonate", "serviceaccounts"), _rule("create", "serviceaccounts/token")]
    assert powers_of(edit, in_namespace=True) == {"execute": "impersonate on serviceaccounts"}


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
            _audited(
                _binding("x", "ordinary", ("Group", "system:serviceaccounts:shop")),
                _binding("y", "view", ("Group", "system:authenticated")),
                expected=["Group system:serviceaccounts:shop"],
            ),
            {"everybody": ["Group system:serviceaccounts:shop"]},
        ),
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


@pytest.mark.parametrize(
    ("binding", "subject", "namespace", "is_listed"),
    [
        ("system:controller:job-controller", ("ServiceAccount", "job-controller"), "kube-system", False),
        ("system:controller:job-controller", ("ServiceAccount", "other"), "kube-system", True),
        ("system:controller:job-controller", ("ServiceAccount", "job-controller"), "shop", True),
        ("system:kube-scheduler", ("User", "system:kube-scheduler"), None, False),
        ("cluster-admin", ("Group", "system:masters"), None, False),
        # Put into a binding of Kubernetes, or labelled as if it were one.
        ("cluster-admin", ("User", "system:anonymous"), None, True),
        ("cluster-admin", ("Group", "system:authenticated"), None, True),
        ("system:kube-scheduler", ("User", "system:serviceaccount:shop:api"), None, True),
        ("mine", ("Group", "system:nodes"), None, True),
        ("system:discovery", ("Group", "system:authenticated"), None, False),
        ("kubeadm:bootstrap-signer-clusterinfo", ("User", "system:anonymous"), None, False),
        ("kubeadm:cluster-admins", ("Group", "kubeadm:cluster-admins"), None, False),
        ("kubeadm:cluster-admins", ("Group", "developers"), None, True),
    ],
)
def test_built_in(binding: str, subject: tuple[str, str], namespace: str | None, is_listed: bool) -> None:
    found = _audited(_binding(binding, "ordinary", subject, namespace, **BUILT_IN))
    assert (found != {"built_in": 1}) == is_listed
    if subject[1].startswith("system:serviceaccount:"):
        assert [each["subject"] for each in found["cluster_admins"]] == ["ServiceAccount shop/api"]


def test_what_is_not_listed() -> None:
    masters = _binding("cluster-admin", "ordinary", ("Group", "system:masters"), **BUILT_IN)
    assert _audited(masters) == {"built_in": 1}
    # Somebody was put into the binding that Kubernetes writes.
    joined = _binding("cluster-admin", "ordinary", ("User", "kim"), **BUILT_IN)
    assert [each["subject"] for each in _audited(joined)["cluster_admins"]] == ["User kim"]
    gone = _binding("x", "gone", ("User", "kim"))
    assert _audited(gone) == {"dangling": [{"binding": "ClusterRoleBinding x", "role": "ClusterRole gone"}]}
