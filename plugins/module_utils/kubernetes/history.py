# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The revisions of a workload: ReplicaSets of a Deployment, ControllerRevisions of the others. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_state import REVISION
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import condition

CHANGE_CAUSE = "kubernetes.io/change-cause"
# kubectl's own, so that its history and dashboards show our restarts, too.
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
_HASH = "pod-template-hash"
# The numbers that a ReplicaSet had before it was used once more.
_EARLIER = "deployment.kubernetes.io/revision-history"
# What holds a workload's revisions.
HOLDERS = {"deployment": "replicaset", "statefulset": "controllerrevision", "daemonset": "controllerrevision"}


@dataclass(frozen=True)
class Revision:
    """One revision: its number, and the template that it stands for."""

    number: int
    name: str
    template: Mapping[str, Any]
    current: bool
    earlier: tuple[int, ...]
    change_cause: Optional[str]
    created_at: Optional[str]
    # Pods that it has; None where nobody counts them.
    replicas: Optional[int]

    @property
    def is_reused(self) -> bool:
        """Whether it was rolled out, left, and rolled out again."""
        return bool(self.earlier)


def template_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """The pod template of a workload or of a ReplicaSet, without the label that tells ReplicaSets apart."""
    template: dict[str, Any] = _without_nulls((document.get("spec") or {}).get("template") or {})
    metadata = dict(template.get("metadata") or {})
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != _HASH}
    if "labels" in metadata:
        metadata["labels"] = labels
    # The API server writes it into every template; it means nothing there.
    metadata.pop("creationTimestamp", None)
    if metadata or "metadata" in template:
        template["metadata"] = metadata
    return template


def _without_nulls(value: Any) -> Any:
    """A ControllerRevision is kept as it was written, with nulls that newer API servers leave out elsewhere."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def digest_of(template: Mapping[str, Any]) -> str:
    """The same for equal templates, and short enough to be remembered."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def images_of(template: Mapping[str, Any]) -> dict[str, str]:
    """The images of a template by container, those for initialization included."""
    spec = template.get("spec") or {}
    return {
        each["name"]: str(each.get("image") or "")
        for section in ("initContainers", "containers")
        for each in spec.get(section) or ()
    }


def revisions_of(kind: str, workload: Mapping[str, Any], holders: Iterable[Mapping[str, Any]]) -> list[Revision]:
    """The revisions, the oldest first.

    Args:
        kind: The workload's kind.
        workload: Its document.
        holders: ReplicaSets or ControllerRevisions, also those of other workloads.

    """
    uid, template = workload["metadata"].get("uid"), template_of(workload)
    own = [each for each in holders if _is_of(each, uid)]
    read = _of_replicaset if kind == "deployment" else _of_controllerrevision
    found = sorted((revision for each in own if (revision := read(each)) is not None), key=lambda each: each.number)
    # Several may have the same template after an upgrade of the API server; the newest is the one in use.
    current = max((each.number for each in found if each.template == template), default=None)
    return [Revision(**{**vars(each), "current": each.number == current}) for each in found]


def _is_of(holder: Mapping[str, Any], uid: Any) -> bool:
    owners = holder["metadata"].get("ownerReferences") or ()
    return any(each.get("controller") and each.get("uid") == uid for each in owners)


def _of_replicaset(document: Mapping[str, Any]) -> Optional[Revision]:
    metadata = document["metadata"]
    annotations = metadata.get("annotations") or {}
    number = _number(annotations.get(REVISION))
    if number is None:
        # The Deployment's controller has not looked at it.
        return None
    earlier = tuple(found for each in str(annotations.get(_EARLIER) or "").split(",") if (found := _number(each)))
    return Revision(
        number=number,
        name=metadata["name"],
        template=template_of(document),
        current=False,
        earlier=earlier,
        change_cause=annotations.get(CHANGE_CAUSE),
        created_at=metadata.get("creationTimestamp"),
        replicas=int((document.get("status") or {}).get("replicas") or 0),
    )


def _of_controllerrevision(document: Mapping[str, Any]) -> Optional[Revision]:
    metadata = document["metadata"]
    template = template_of(document.get("data") or {})
    # The revision is kept as a patch of the workload.
    template.pop("$patch", None)
    return Revision(
        number=int(document.get("revision") or 0),
        name=metadata["name"],
        template=template,
        current=False,
        earlier=(),
        change_cause=(metadata.get("annotations") or {}).get(CHANGE_CAUSE),
        created_at=metadata.get("creationTimestamp"),
        replicas=None,
    )


def _number(text: Any) -> Optional[int]:
    text = str(text if text is not None else "").strip()
    return int(text) if text.isdigit() else None


def current_of(revisions: Sequence[Revision]) -> Optional[Revision]:
    """The revision that the workload's template is; None when its controller has not made one yet."""
    return next((each for each in revisions if each.current), None)


def without_restart(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """The template as it was rolled out, whether or not it was restarted since: a restart makes a revision, too."""
    metadata = template.get("metadata") or {}
    annotations = {key: each for key, each in (metadata.get("annotations") or {}).items() if key != RESTARTED_AT}
    kept = {key: each for key, each in metadata.items() if key != "annotations"}
    return {**template, "metadata": {**kept, "annotations": annotations}}


def previous(revisions: Sequence[Revision], template: Mapping[str, Any]) -> Optional[Revision]:
    """The revision before a workload's template; one that differs by a restart only is no other one."""
    now = without_restart(template)
    others = [each for each in revisions if without_restart(each.template) != now]
    return others[-1] if others else None


def numbered(revisions: Sequence[Revision], number: int) -> Optional[Revision]:
    """The revision with a number that it has now or had earlier."""
    now = next((each for each in revisions if each.number == number), None)
    return now or next((each for each in revisions if number in each.earlier), None)


def listed(revisions: Sequence[Revision]) -> str:
    """All of them for a message: C(1 (web:1), 2 (web:2), 5 (web:5, current))."""
    return ", ".join(
        f"{each.number} ({', '.join(images_of(each.template).values())}{', current' if each.current else ''})"
        for each in revisions
    )


def deployed_at(workload: Mapping[str, Any], revisions: Sequence[Revision]) -> Optional[str]:
    """When what runs was rolled out, restarts left out, as far as that is known.

    A revision that was used once more keeps the age of its first time, so the Deployment's last progress counts then.
    """
    current = current_of(revisions)
    if current is None:
        return None
    if current.is_reused:
        progressing = condition(workload.get("status") or {}, "Progressing") or {}
        found: Optional[str] = progressing.get("lastUpdateTime") or progressing.get("lastTransitionTime")
        return found
    since = current.created_at
    for each in reversed([each for each in revisions if each.number < current.number]):
        if each.is_reused or without_restart(each.template) != without_restart(current.template):
            break
        since = each.created_at
    return since
