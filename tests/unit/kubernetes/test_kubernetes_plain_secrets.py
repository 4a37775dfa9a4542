"""Secrets in plain text outside of a Secret: by their place, and not too many."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.plain_secrets import plain_secrets


@pytest.mark.parametrize(
    ("name", "value", "is_found"),
    [
        ("DB_PASSWORD", "hunter2", True),
        ("STRIPE_API_KEY", "abc", True),
        ("DATABASE_URL", "postgres://shop:hunter2@db/shop", True),
        ("DATABASE_URL", "postgres://db/shop", False),
        ("DATABASE_URL", "postgres://$(DB_USER):$(DB_PASSWORD)@db/shop", False),
        ("TLS", "-----BEGIN RSA PRIVATE KEY-----\nx", True),
        ("DB_PASSWORD_FILE", "/run/secrets/db", False),
        ("TOKEN_TTL", "3600", False),
        ("DB_PASSWORD", "$(OTHER)", False),
        ("DB_PASSWORD", "", False),
        ("REQUIRE_PASSWORD", "true", False),
        ("LOG_LEVEL", "info", False),
    ],
)
def test_values(name: str, value: str, is_found: bool) -> None:
    pod = {"containers": [{"name": "app", "env": [{"name": name, "value": value}]}]}
    metadata = {"name": "api", "namespace": "shop"}
    deployment: dict[str, Any] = {"kind": "Deployment", "metadata": metadata, "spec": {"template": {"spec": pod}}}
    place = f"env {name} of container app in Deployment shop/api"
    assert plain_secrets(deployment) == ([place] if is_found else [])
    config = {"kind": "ConfigMap", "metadata": metadata, "data": {name: value}}
    assert plain_secrets(config) == ([f"key {name} in ConfigMap shop/api"] if is_found else [])
    assert plain_secrets({"kind": "Secret", "metadata": metadata, "data": {name: value}}) == []


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("LOG_LEVEL=info\nDB_PASSWORD=hunter2\n", True),
        ("spring:\n  datasource:\n    password: 'hunter2'\n", True),
        ('{"user": "shop",\n "apiKey": "abc"}', True),
        ('{"user": "shop", "apiKey": "abc"}', True),
        ("spring.datasource.password=${DB_PASSWORD}", False),
        ("password: {{ .Values.password }}", False),
        ("password_encryption = scram-sha-256\ntokenizer: standard\n", False),
        ("requirepass: true\nuse_token = false\n", False),
        ("# set the password: in the Secret", False),
        ("password:\n  length: 12", False),
        ("proxy_set_header X-Token $http_x_token;", False),
    ],
)
def test_files_in_a_configmap(text: str, is_found: bool) -> None:
    config = {"kind": "ConfigMap", "metadata": {"name": "api", "namespace": "shop"}, "data": {"app.conf": text}}
    assert plain_secrets(config) == (["key app.conf in ConfigMap shop/api"] if is_found else [])


def test_other_places() -> None:
    metadata = {"name": "api", "namespace": "shop"}
    address = "amqp://shop:hunter2@queue/"
    containers = [{"name": "app", "command": ["run"], "args": ["--db-password=hunter2"]}]
    pod = {"kind": "Pod", "metadata": metadata, "spec": {"containers": containers}}
    assert plain_secrets(pod) == ["args of container app in Pod shop/api"]
    scaled = {"kind": "ScaledObject", "metadata": metadata, "spec": {"triggers": [{"metadata": {"host": address}}]}}
    assert plain_secrets(scaled) == ["spec.triggers[0].metadata.host in ScaledObject shop/api"]
    noted = {"kind": "Service", "metadata": {**metadata, "annotations": {"queue": address}}, "spec": {}}
    assert plain_secrets(noted) == ["annotation queue in Service shop/api"]
