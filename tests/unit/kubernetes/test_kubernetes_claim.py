"""What growing a claim takes, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.claim import (
    Claim,
    claim_of,
    class_refusal,
    decide,
    mounting,
    patch_of,
)


def claim(requested: str = "100Gi", capacity: str | None = "100Gi", **more: Any) -> Claim:
    status: dict[str, Any] = {"phase": more.get("phase", "Bound"), "conditions": more.get("conditions")}
    if capacity:
        status["capacity"] = {"storage": capacity}
    if "resize" in more:
        status["allocatedResourceStatuses"] = {"storage": more["resize"]}
    metadata = {"name": "data", "namespace": "shop", "resourceVersion": "41"}
    if more.get("deleted"):
        metadata["deletionTimestamp"] = "2026-01-31T08:00:00Z"
    spec = {"resources": {"requests": {"storage": requested}}, "storageClassName": more.get("storage_class", "fast")}
    return claim_of({"metadata": metadata, "spec": spec, "status": status})


UNDER_WAY = "it has 100Gi and asks for 200Gi, and 150Gi is less; a volume cannot shrink"


@pytest.mark.parametrize(
    ("found", "size", "step", "reason"),
    [
        (claim(), "200Gi", "grow", ""),
        (claim(), "100Gi", "nothing", ""),
        (claim(), "107374182400", "nothing", ""),
        (claim(), "0.1Ti", "grow", ""),
        # The storage rounded up.
        (claim("100G", "94Gi"), "100G", "nothing", ""),
        (claim("100G", "94Gi"), "94Gi", "nothing", ""),
        (claim("200Gi", "100Gi"), "200Gi", "wait", ""),
        (claim("200Gi", "100Gi"), "204800Mi", "wait", ""),
        (claim(), "50Gi", "refuse", "it has 100Gi, and 50Gi is less; a volume cannot shrink"),
        (claim(), "100G", "refuse", "it has 100Gi, and 100G is less; a volume cannot shrink"),
        (claim("100Gi", "110Gi"), "105Gi", "refuse", "it has 110Gi, and 105Gi is less; a volume cannot shrink"),
        (claim("200Gi", "100Gi"), "150Gi", "refuse", UNDER_WAY),
        (claim("200Gi", "100Gi"), "300Gi", "refuse", "a growth from 100Gi to 200Gi is still under way"),
        (claim(), "2Ti", "refuse", "2Ti is more than max_size, which is 500Gi"),
        (claim(capacity=None, phase="Pending"), "200Gi", "refuse", "it is Pending, so that there is no volume to grow"),
        (claim(phase="Lost"), "200Gi", "refuse", "it is Lost, so that there is no volume to grow"),
        (claim(deleted=True), "200Gi", "refuse", "it is being deleted"),
    ],
)
def test_decisions(found: Claim, size: str, step: str, reason: str) -> None:
    decision = decide(found, size, "500Gi")
    assert (decision.step, decision.reason) == (step, reason)
    assert bool(decision.remedy) == (step == "refuse")


def test_a_size_that_it_has_is_no_matter_of_the_limit() -> None:
    assert decide(claim(), "100Gi", "50Gi").step == "nothing"


@pytest.mark.parametrize(
    ("found", "storage_class", "reason"),
    [
        (claim(), {"allowVolumeExpansion": True}, None),
        (claim(), {"allowVolumeExpansion": False}, "its StorageClass fast does not allow expansion"),
        (claim(), {}, "its StorageClass fast does not allow expansion"),
        (claim(), None, "its StorageClass fast is missing"),
        (
            claim(storage_class=""),
            None,
            "it has no StorageClass, and only a volume that was provisioned by one can grow",
        ),
    ],
)
def test_the_class_decides_as_well(found: Claim, storage_class: dict[str, Any] | None, reason: str | None) -> None:
    refusal = class_refusal(found, storage_class)
    assert (refusal.reason if refusal else None) == reason


def test_conditions() -> None:
    pending = {"type": "FileSystemResizePending", "status": "True", "message": "Waiting for user to restart"}
    found = claim("200Gi", conditions=[pending, {"type": "Resizing", "status": "False"}])
    assert found.waits_for_filesystem
    assert found.figures()["conditions"] == [
        {"type": "FileSystemResizePending", "message": "Waiting for user to restart"}
    ]
    assert claim(resize="NodeResizeInfeasible").is_infeasible
    assert not claim(resize="ControllerResizeInProgress").is_infeasible


def test_one_field_is_patched() -> None:
    assert patch_of(claim(), "200Gi") == {
        "metadata": {"resourceVersion": "41"},
        "spec": {"resources": {"requests": {"storage": "200Gi"}}},
    }


def test_pods_that_use_a_claim() -> None:
    def pod(name: str, volume: dict[str, Any], phase: str = "Running") -> dict[str, Any]:
        owners = [{"kind": "StatefulSet", "name": "db", "controller": True}]
        return {
            "metadata": {"name": name, "ownerReferences": owners},
            "spec": {"volumes": [volume], "nodeName": "a"},
            "status": {"phase": phase},
        }

    uses = {"name": "v", "persistentVolumeClaim": {"claimName": "db-0-v"}}
    pods = [
        pod("first", uses),
        pod("done", uses, "Succeeded"),
        pod("db-0", {"name": "v", "ephemeral": {}} | {"ephemeral": {"volumeClaimTemplate": {}}}),
        pod("other", {"name": "v", "persistentVolumeClaim": {"claimName": "db"}}),
        {"metadata": {"name": "bare"}, "spec": {}},
    ]
    assert [each["name"] for each in mounting("db-0-v", pods)] == ["first", "db-0"]
    assert mounting("db-0-v", pods[:1]) == [{"name": "first", "node": "a", "owner": "StatefulSet/db"}]
