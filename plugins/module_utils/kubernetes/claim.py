# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PersistentVolumeClaim, and what growing it to a size takes. Pure: the server's documents in, a decision out.

Sources: https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims and the
types of k8s.io/api/core/v1 (PersistentVolumeClaimConditionType, ClaimResourceStatus).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.quantity import bytes_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import has_ended

GROW = "grow"
WAIT = "wait"
NOTHING = "nothing"
REFUSE = "refuse"

PENDING_FILESYSTEM = "FileSystemResizePending"
_INFEASIBLE = ("ControllerResizeInfeasible", "NodeResizeInfeasible")


@dataclass(frozen=True)
class Claim:
    """What matters of a claim; sizes are quantities as the server has them."""

    name: str
    namespace: str
    version: str
    phase: str
    requested: str
    capacity: Optional[str]
    storage_class: Optional[str]
    volume: Optional[str]
    conditions: tuple[tuple[str, str], ...]
    resize_status: Optional[str]
    is_deleted: bool

    @property
    def shown(self) -> str:
        """Its name in messages."""
        return f"PersistentVolumeClaim {self.namespace}/{self.name}"

    @property
    def waits_for_filesystem(self) -> bool:
        """Whether the volume has grown and the file system in it has not."""
        return any(kind == PENDING_FILESYSTEM for kind, _message in self.conditions)

    @property
    def is_infeasible(self) -> bool:
        """Whether the storage says that it cannot have the size."""
        return self.resize_status in _INFEASIBLE

    def has(self, size: str) -> bool:
        """Whether the capacity reaches a size, and with it the file system."""
        return self.capacity is not None and bytes_of(self.capacity) >= bytes_of(size)

    def figures(self) -> dict[str, Any]:
        """The claim as modules report it."""
        return {
            "phase": self.phase,
            "requested": self.requested,
            "requested_bytes": bytes_of(self.requested),
            "capacity": self.capacity,
            "capacity_bytes": None if self.capacity is None else bytes_of(self.capacity),
            "storage_class": self.storage_class,
            "volume": self.volume,
            "conditions": [{"type": kind, "message": message} for kind, message in self.conditions],
        }


def claim_of(document: Mapping[str, Any]) -> Claim:
    """Read a claim's document."""
    metadata, spec, status = (document.get(part) or {} for part in ("metadata", "spec", "status"))
    requests = (spec.get("resources") or {}).get("requests") or {}
    return Claim(
        name=metadata["name"],
        namespace=metadata["namespace"],
        version=str(metadata.get("resourceVersion") or ""),
        phase=status.get("phase") or "Pending",
        requested=str(requests.get("storage") or "0"),
        capacity=(status.get("capacity") or {}).get("storage"),
        storage_class=spec.get("storageClassName") or None,
        volume=spec.get("volumeName") or None,
        conditions=tuple(
            (str(each.get("type")), str(each.get("message") or ""))
            for each in status.get("conditions") or ()
            if each.get("status") == "True"
        ),
        resize_status=(status.get("allocatedResourceStatuses") or {}).get("storage"),
        is_deleted=bool(metadata.get("deletionTimestamp")),
    )


@dataclass(frozen=True)
class Decision:
    """C(GROW), C(WAIT) for a growth that is under way, C(NOTHING), or C(REFUSE) with reason and remedy."""

    step: str
    reason: str = ""
    remedy: str = ""


def decide(claim: Claim, size: str, max_size: str | None = None) -> Decision:
    """What to do with a claim so that it has a size; whether its class allows it is asked afterwards.

    Storage may round up: the capacity may be more than what was requested.
    """
    wanted, requested = bytes_of(size), bytes_of(claim.requested)
    capacity = None if claim.capacity is None else bytes_of(claim.capacity)
    if claim.is_deleted:
        return Decision(REFUSE, "it is being deleted", "Look who deletes it before anything else.")
    if claim.phase != "Bound" or capacity is None:
        reason = f"it is {claim.phase}, so that there is no volume to grow"
        return Decision(REFUSE, reason, "Find out with kubectl describe pvc why it is not bound.")
    if wanted == requested:
        return Decision(NOTHING if capacity >= wanted else WAIT)
    if wanted == capacity and capacity > requested:
        return Decision(NOTHING)
    if wanted < max(requested, capacity):
        # The larger one, as it is written there.
        now = claim.requested if requested >= capacity else claim.capacity
        asks = f" and asks for {now}" if capacity < requested else ""
        return Decision(
            REFUSE,
            f"it has {claim.capacity if asks else now}{asks}, and {size} is less; a volume cannot shrink",
            f"Ask for {now} or more. A smaller volume has to be a new one that the data are copied to.",
        )
    if max_size is not None and wanted > bytes_of(max_size):
        return Decision(
            REFUSE,
            f"{size} is more than max_size, which is {max_size}",
            "Raise max_size if that is meant; a volume that has grown cannot shrink.",
        )
    if capacity < requested:
        return Decision(
            REFUSE,
            f"a growth from {claim.capacity} to {claim.requested} is still under way",
            f"Run it with size {claim.requested}, which waits for it, and then again.",
        )
    return Decision(GROW)


def class_refusal(claim: Claim, storage_class: Mapping[str, Any] | None) -> Decision | None:
    """Why the claim's class forbids growing; None when it allows it. C(storage_class) is None when it is gone."""
    if claim.storage_class is None:
        reason = "it has no StorageClass, and only a volume that was provisioned by one can grow"
        return Decision(
            REFUSE, reason, "Grow the volume where it comes from, or move the data to a claim with a class."
        )
    if storage_class is None:
        reason = f"its StorageClass {claim.storage_class} is missing"
        return Decision(REFUSE, reason, "Create the class again, with allowVolumeExpansion, and run it again.")
    if storage_class.get("allowVolumeExpansion") is not True:
        reason = f"its StorageClass {claim.storage_class} does not allow expansion"
        remedy = "If the storage can do it, set allowVolumeExpansion to true in the class, and run it again."
        return Decision(REFUSE, reason, remedy)
    return None


def patch_of(claim: Claim, size: str) -> dict[str, Any]:
    """The one field that changes, and the version for the server to compare."""
    return {
        "metadata": {"resourceVersion": claim.version},
        "spec": {"resources": {"requests": {"storage": size}}},
    }


def mounting(claim_name: str, pods: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The pods that use a claim, without those that have ended."""
    found = []
    for pod in pods:
        metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
        if has_ended(pod):
            continue
        if any(_claim_name(metadata["name"], volume) == claim_name for volume in spec.get("volumes") or ()):
            owners = metadata.get("ownerReferences") or ()
            owner = next((f"{each['kind']}/{each['name']}" for each in owners if each.get("controller")), None)
            found.append({"name": metadata["name"], "node": spec.get("nodeName"), "owner": owner})
    return found


def _claim_name(pod: str, volume: Mapping[str, Any]) -> str | None:
    if volume.get("ephemeral"):
        # https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#persistentvolumeclaim-naming
        return f"{pod}-{volume['name']}"
    name: str | None = (volume.get("persistentVolumeClaim") or {}).get("claimName")
    return name
