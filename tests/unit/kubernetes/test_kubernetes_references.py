"""Which Secrets and ConfigMaps a pod misses: by name, and never by value."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.references import (
    keys_of,
    missing_references,
    pod_spec_of,
)

SECRETS = {"db": frozenset({"url"}), "tls": frozenset({"tls.crt"})}
CONFIG = {"app": frozenset({"mode"})}


def _env(field: str, **reference: Any) -> dict[str, Any]:
    return {"containers": [{"name": "app", "env": [{"name": "X", "valueFrom": {field: reference}}]}]}


@pytest.mark.parametrize(
    ("spec", "missing"),
    [
        (_env("secretKeyRef", name="db", key="url"), []),
        (_env("secretKeyRef", name="db", key="user"), [("key user of Secret db", "env X of container app")]),
        (_env("secretKeyRef", name="gone", key="user"), [("Secret gone", "env X of container app")]),
        (_env("secretKeyRef", name="gone", key="user", optional=True), []),
        (_env("configMapKeyRef", name="app", key="mode"), []),
        (_env("configMapKeyRef", name="app", key="level"), [("key level of ConfigMap app", "env X of container app")]),
        (_env("fieldRef", fieldPath="metadata.name"), []),
        (
            {
                "initContainers": [
                    {"name": "migrate", "envFrom": [{"secretRef": {"name": "gone"}}, {"configMapRef": {"name": "app"}}]}
                ]
            },
            [("Secret gone", "envFrom of container migrate")],
        ),
        ({"containers": [{"name": "app", "envFrom": [{"configMapRef": {"name": "no", "optional": True}}]}]}, []),
        ({"volumes": [{"name": "v", "secret": {"secretName": "tls"}}]}, []),
        (
            {"volumes": [{"name": "v", "secret": {"secretName": "tls", "items": [{"key": "tls.key", "path": "k"}]}}]},
            [("key tls.key of Secret tls", "volume v")],
        ),
        ({"volumes": [{"name": "v", "configMap": {"name": "gone"}}]}, [("ConfigMap gone", "volume v")]),
        ({"volumes": [{"name": "v", "configMap": {"name": "gone", "optional": True}}]}, []),
        (
            {
                "volumes": [
                    {
                        "name": "all",
                        "projected": {
                            "sources": [
                                {"secret": {"name": "db", "items": [{"key": "password", "path": "p"}]}},
                                {"configMap": {"name": "app"}},
                                {"serviceAccountToken": {"path": "token"}},
                            ]
                        },
                    }
                ]
            },
            [("key password of Secret db", "volume all")],
        ),
        ({"imagePullSecrets": [{"name": "registry"}, {"name": "db"}]}, [("Secret registry", "imagePullSecrets")]),
        ({"volumes": [{"name": "v", "emptyDir": {}}], "containers": None}, []),
    ],
)
def test_what_is_missing(spec: dict[str, Any], missing: list[tuple[str, str]]) -> None:
    assert [(each.shown, each.where) for each in missing_references(spec, SECRETS, CONFIG)] == missing


def test_what_could_not_be_read_is_not_missing() -> None:
    assert missing_references(_env("secretKeyRef", name="db", key="user"), None, {}) == []


def test_a_missing_secret_is_named_once_a_place() -> None:
    items = [{"key": "a", "path": "a"}, {"key": "b", "path": "b"}]
    spec = {"volumes": [{"name": "v", "secret": {"secretName": "gone", "items": items}}]}
    found = [each.facts() for each in missing_references(spec, {}, {})]
    assert found == [{"kind": "Secret", "name": "gone", "key": None, "where": "volume v"}]


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "Pod", "spec": {"volumes": [1]}},
        {"kind": "Deployment", "spec": {"template": {"spec": {"volumes": [1]}}}},
        {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": {"volumes": [1]}}}}}},
    ],
)
def test_where_the_spec_is(document: dict[str, Any]) -> None:
    assert pod_spec_of(document) == {"volumes": [1]}
    assert pod_spec_of({"kind": "Namespace"}) == {}


def test_names_of_keys() -> None:
    assert keys_of({"data": {"a": "c2VjcmV0"}, "binaryData": {"b": ""}}) == {"a", "b"}
    assert keys_of({"metadata": {}}) == frozenset()
