"""What is left of a live object so that it can be applied, and what is left out altogether."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.runbook.ops.plugins.filter.k8s_manifest import k8s_manifest
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.manifest import KEEP, manifest_of

VALUE = "c3VwZXItczNjcmV0"


def _object(kind: str, name: str = "api", *, metadata: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    live = {
        "name": name,
        "namespace": "shop",
        "uid": "1",
        "resourceVersion": "2",
        "generation": 3,
        "creationTimestamp": "2026-01-31T00:00:00Z",
        "managedFields": [{"manager": "kubectl"}],
        "selfLink": "/x",
    }
    return {"apiVersion": "v1", "kind": kind, "metadata": {**live, **(metadata or {})}, "status": {"a": 1}, **more}


def _template(**metadata: Any) -> dict[str, Any]:
    return {"metadata": {"creationTimestamp": None, **metadata}, "spec": {"containers": []}}


@pytest.mark.parametrize(
    ("document", "made"),
    [
        (
            _object(
                "Deployment",
                metadata={
                    "annotations": {
                        "deployment.kubernetes.io/revision": "4",
                        "kubectl.kubernetes.io/last-applied-configuration": "{}",
                        "team": "shop",
                    },
                    "labels": {"app": "api"},
                },
                spec={"replicas": 2, "template": _template(labels={"app": "api"})},
            ),
            {
                "metadata": {"annotations": {"team": "shop"}, "labels": {"app": "api"}},
                "spec": {
                    "replicas": 2,
                    "template": {"metadata": {"labels": {"app": "api"}}, "spec": {"containers": []}},
                },
            },
        ),
        (
            _object("Service", spec={"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80}]}),
            {"spec": {"ports": [{"port": 80}]}},
        ),
        (
            _object("Service", spec={"clusterIP": "None", "clusterIPs": ["None"]}),
            {"spec": {"clusterIP": "None", "clusterIPs": ["None"]}},
        ),
        (
            _object("Service", spec={"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}),
            {"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}},
        ),
        (
            _object(
                "Service",
                spec={"type": "LoadBalancer", "healthCheckNodePort": 1, "ports": [{"port": 80, "nodePort": 30080}]},
            ),
            {"spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}},
        ),
        (
            _object(
                "PersistentVolumeClaim",
                metadata={
                    "annotations": {
                        "pv.kubernetes.io/bind-completed": "yes",
                        "volume.kubernetes.io/selected-node": "a",
                    },
                    "finalizers": ["kubernetes.io/pvc-protection", "example.com/keep"],
                },
                spec={"volumeName": "pv-1"},
            ),
            {"metadata": {"finalizers": ["example.com/keep"]}, "spec": {"volumeName": "pv-1"}},
        ),
        (
            _object(
                "Job",
                metadata={"labels": {"controller-uid": "7", "app": "import"}},
                spec={
                    "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "7"}},
                    "template": _template(labels={"controller-uid": "7", "job-name": "x"}),
                },
            ),
            {
                "metadata": {"labels": {"app": "import"}},
                "spec": {"template": {"metadata": {}, "spec": {"containers": []}}},
            },
        ),
        (
            _object("CronJob", spec={"jobTemplate": {"metadata": {"creationTimestamp": None}, "spec": {}}}),
            {"spec": {"jobTemplate": {"metadata": {}, "spec": {}}}},
        ),
        (
            _object(
                "Pod",
                spec={
                    "nodeName": "a",
                    "serviceAccount": "x",
                    "serviceAccountName": "x",
                    "volumes": [{"name": "kube-api-access-1"}],
                    "containers": [{"name": "a", "volumeMounts": [{"name": "kube-api-access-1"}, {"name": "b"}]}],
                },
            ),
            {"spec": {"serviceAccountName": "x", "containers": [{"name": "a", "volumeMounts": [{"name": "b"}]}]}},
        ),
        (
            _object("ServiceAccount", secrets=[{"name": "api-token-x7"}, {"name": "mine"}]),
            {"secrets": [{"name": "mine"}]},
        ),
        (
            _object(
                "StatefulSet",
                spec={"volumeClaimTemplates": [{"metadata": {"name": "d", "creationTimestamp": None}, "status": {}}]},
            ),
            {"spec": {"volumeClaimTemplates": [{"metadata": {"name": "d"}}]}},
        ),
        # An owner that is no controller is forgotten: its uid is another one elsewhere.
        (
            _object("ConfigMap", metadata={"ownerReferences": [{"kind": "App", "name": "a"}]}, data={"a": "b"}),
            {"data": {"a": "b"}},
        ),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) and "kind" in value else "",
)
def test_what_is_left(document: dict[str, Any], made: dict[str, Any]) -> None:
    before = json.dumps(document)
    expected = {"apiVersion": "v1", "kind": document["kind"], **made}
    expected["metadata"] = {"name": "api", "namespace": "shop", **made.get("metadata", {})}
    assert k8s_manifest(document) == expected
    assert json.dumps(document) == before
    # What was made is left as it is when it is made into one again.
    assert k8s_manifest(expected) == expected


@pytest.mark.parametrize(
    "document",
    [
        _object("Pod", metadata={"ownerReferences": [{"kind": "ReplicaSet", "name": "api-1", "controller": True}]}),
        _object("Secret", type="kubernetes.io/service-account-token"),
        _object("ConfigMap", "kube-root-ca.crt"),
        _object("ServiceAccount", "default"),
        _object("EndpointSlice"),
        _object("Service", "kubernetes", metadata={"namespace": "default"}),
        _object("ClusterRole", metadata={"labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}),
    ],
    ids=lambda document: document["kind"],
)
def test_what_something_else_makes(document: dict[str, Any]) -> None:
    assert k8s_manifest([document]) == []
    with pytest.raises(AnsibleFilterError, match=f"There is no manifest of {document['kind']}"):
        k8s_manifest(document)


def test_secrets_never_come_out() -> None:
    secret = _object("Secret", "db", data={"url": VALUE, "user": VALUE}, type="Opaque")
    for given in (secret, [secret]):
        with pytest.raises(AnsibleFilterError) as raised:
            k8s_manifest(given)
        assert "Secret shop/db has the values of url, user" in str(raised.value)
        assert VALUE not in str(raised.value)
    assert k8s_manifest([secret, _object("ConfigMap")], "omit") == k8s_manifest([_object("ConfigMap")])
    named = k8s_manifest(secret, secrets="names")
    assert named["metadata"]["annotations"] == {"runbook-ops.github.io/keys": '["url", "user"]'}
    assert (VALUE in json.dumps(named), named["type"]) == (False, "Opaque")
    assert manifest_of(secret, secrets=KEEP)["data"] == {"url": VALUE, "user": VALUE}


def test_the_order_of_applying() -> None:
    kinds = ["Shop", "CronJob", "Ingress", "Deployment", "Service", "Role", "ServiceAccount", "Namespace", "ConfigMap"]
    found = k8s_manifest([_object(kind) for kind in kinds])
    assert [each["kind"] for each in found] == [
        *("Namespace", "ServiceAccount", "Role", "ConfigMap", "Service", "Deployment", "Ingress", "CronJob", "Shop"),
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("text", "_input: 'str' is not accepted"),
        ({"kind": "Pod"}, "_input: 'dict' is not accepted. Accepted: objects with apiVersion, kind and metadata.name."),
        ([3], "_input: 'int' is not accepted"),
    ],
)
def test_what_is_no_object(given: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError) as raised:
        k8s_manifest(given)
    assert message in str(raised.value)
    for wrong, said in (("show", "secrets: 'show'"), ("omit", "refuse or names for a single object")):
        with pytest.raises(AnsibleFilterError) as raised:
            k8s_manifest(_object("Secret"), wrong)
        assert said in str(raised.value)
