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
