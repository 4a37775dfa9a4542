"""What becomes of the keys of a Secret."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.secret import (
    encoded_data,
    steps_of,
    writer_of,
)


@pytest.mark.parametrize(
    ("present", "wanted", "gone", "steps"),
    [
        ({}, {"a": "1"}, (), {"a": "add"}),
        ({"a": "0"}, {"a": "1"}, (), {"a": "change"}),
        ({"a": "1"}, {"a": "1"}, (), {}),
        ({"a": "1", "b": "2"}, {"a": "1"}, ("b", "c"), {"b": "remove"}),
    ],
)
def test_steps(present: dict[str, str], wanted: dict[str, str], gone: tuple[str, ...], steps: dict[str, str]) -> None:
    assert steps_of(present, wanted, gone) == steps


def test_values_in_base64() -> None:
    assert encoded_data({"a": "pässword"}, encoded=False) == {"a": "cMOkc3N3b3Jk"}
    assert encoded_data({"a": "cMOkc3N3b3Jk"}, encoded=True) == {"a": "cMOkc3N3b3Jk"}
    # The server stores "QQ==" for it, and a second run has nothing to do.
    assert encoded_data({"a": "QR=="}, encoded=True) == {"a": "QQ=="}


@pytest.mark.parametrize(
    ("secret", "writer"),
    [
        ({"metadata": {"annotations": {"cert-manager.io/certificate-name": "shop"}}}, "Certificate shop"),
        ({"metadata": {"annotations": {"reconcile.external-secrets.io/data-hash": "x"}}}, "External Secrets"),
        ({"metadata": {"labels": {"secrets-store.csi.k8s.io/managed": "true"}}}, "the Secrets Store CSI driver"),
        (
            {"metadata": {"ownerReferences": [{"kind": "SealedSecret", "name": "a", "controller": True}]}},
            "SealedSecret a",
        ),
        ({"metadata": {}, "type": "kubernetes.io/service-account-token"}, "the cluster"),
        ({"metadata": {"ownerReferences": [{"kind": "Shop", "name": "a"}]}, "type": "Opaque"}, None),
    ],
)
def test_who_writes_it(secret: dict[str, Any], writer: str | None) -> None:
    assert writer_of(secret) == writer
