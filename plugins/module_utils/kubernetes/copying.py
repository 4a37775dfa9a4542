# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second Deployment beside one that runs: the other side of a blue-green pair, or a canary. Pure."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.images import (
    CHANGE_CAUSE,
    containers_of,
    template_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.labels import matches, selects, template_labels
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.manifest import manifest_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import PREFIX
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.switching import (
    selector_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import replicas_of

COPY_OF = f"{PREFIX}copy-of"
# By these, tools know the objects that are theirs. A copy with them would be taken for a leftover, and deleted.
_OWNERS = ("argocd.argoproj.io/", "kustomize.toolkit.fluxcd.io/", "helm.toolkit.fluxcd.io/", "meta.helm.sh/")
_NAMES = frozenset({"app.kubernetes.io/managed-by", CHANGE_CAUSE})
Document = Mapping[str, Any]


def copy_of(
    source: Document, name: str, *, labels: Mapping[str, str], images: Mapping[str, str], replicas: int
) -> dict[str, Any]:
    """The manifest of the copy.

    Args:
        source: The Deployment that runs.
        name: The copy's name.
        labels: What tells the copy's pods from the source's; part of its selector.
        images: The images of containers that differ, by name.
        replicas: How many pods.

    """
    made = manifest_of(source)
    metadata, spec = made["metadata"], made["spec"]
    metadata["name"] = name
    for part in ("labels", "annotations"):
        kept = {key: value for key, value in (metadata.get(part) or {}).items() if not _is_owners(key)}
        metadata[part] = kept
    metadata["labels"].update(labels)
    metadata["annotations"][COPY_OF] = json.dumps(source["metadata"]["name"])
    spec["replicas"] = replicas
    spec["selector"].setdefault("matchLabels", {}).update(labels)
    spec.pop("paused", None)
    template = spec["template"]
    template.setdefault("metadata", {}).setdefault("labels", {}).update(labels)
    for section in ("containers", "initContainers"):
        for container in template["spec"].get(section) or ():
            container["image"] = images.get(container["name"], container.get("image"))
    for part in ("affinity", "topologySpreadConstraints"):
        _relabel(template["spec"].get(part), template_labels(source), labels)
    return made


def _relabel(node: Any, before: Mapping[str, str], labels: Mapping[str, str]) -> None:
    """Let rules about how its pods are spread be about the copy's pods where they were about the source's."""
    for each in node if isinstance(node, list) else node.values() if isinstance(node, dict) else ():
        _relabel(each, before, labels)
    wanted = node.get("matchLabels") if isinstance(node, dict) else None
    for key in set(wanted or {}) & set(labels) & set(before):
        if wanted and wanted[key] == before[key]:
            wanted[key] = labels[key]


def _is_owners(key: str) -> bool:
    return key in _NAMES or key.startswith(_OWNERS) or key.startswith(PREFIX)


def replicas_for(share: float, others: int) -> int:
    """How many pods beside so many others have at least a share in percent of all, and never none."""
    return max(1, math.ceil(share * others / (100 - share)))


def is_copy(document: Document, source: str) -> bool:
    """Whether it was made here from that source."""
    text = ((document.get("metadata") or {}).get("annotations") or {}).get(COPY_OF)
    return bool(text == json.dumps(source))


@dataclass(frozen=True)
class Plan:
    """C(create), C(update), C(nothing) or a refusal; the manifest that it shall have."""

    step: str
    wanted: Mapping[str, Any]
    refusal: Optional[Refusal] = None


def plan_copy(
    wanted: Document,
    found: Optional[Document],
    services: Iterable[Document],
    *,
    source_labels: Mapping[str, str],
    never_shrink: bool,
    must_not_serve: bool,
    keep_replicas: bool,
) -> Plan:
    """What is needed so that there is the copy.

    Args:
        wanted: Its manifest.
        found: What there is under its name.
        services: Those of the namespace.
        source_labels: The labels of the pods of the Deployment that is copied.
        never_shrink: Whether one that has the same pods and more of them keeps them, as a run that goes on wants.
        must_not_serve: Whether one that a Service sends to must not be changed.
        keep_replicas: Whether an autoscaler decides how many pods there are, so that they do not become fewer. They
            may become more, because what an idle side needs says nothing about the load to come.

    """
    shown = f"Deployment {wanted['metadata']['namespace']}/{wanted['metadata']['name']}"
    if matches(wanted["spec"]["selector"], source_labels):
        reason = "the labels do not tell its pods from those of the Deployment that is copied"
        remedy = "Give it a label, or a label's value, that the pods of that Deployment do not have."
        return Plan("refuse", wanted, Refusal(shown, reason, remedy))
    if found is None:
        return Plan("create", wanted)
    if (found["metadata"]).get("deletionTimestamp"):
        return Plan("refuse", wanted, Refusal(shown, "it is being deleted", "Run it again when it is gone."))
    spec = found["spec"]
    if not has_selector_of(found, wanted):
        reason = "it is there with another selector, which cannot be changed"
        remedy = "Choose another name, or delete it if it is not needed."
        return Plan("refuse", wanted, Refusal(shown, reason, remedy))
    same = spec.get("template") == wanted["spec"]["template"]
    replicas = replicas_of(found)
    if (keep_replicas or (never_shrink and same)) and replicas > wanted["spec"]["replicas"]:
        changed = copy.deepcopy(dict(wanted))
        changed["spec"]["replicas"] = replicas
        wanted = changed
    if same and replicas == wanted["spec"]["replicas"]:
        return Plan("nothing", wanted)
    using = sorted(each["metadata"]["name"] for each in services if selects(selector_of(each), template_labels(found)))
    if must_not_serve and using and not same:
        reason = f"Service {', '.join(using)} sends to its pods, which would be replaced"
        remedy = "Switch the Service to the other side first."
        return Plan("refuse", wanted, Refusal(shown, reason, remedy))
    return Plan("update", wanted)


def has_selector_of(found: Document, wanted: Document) -> bool:
    """Whether two Deployments have the same selector."""
    return _selector(found["spec"]) == _selector(wanted["spec"])


def _selector(spec: Mapping[str, Any]) -> tuple[Any, Any]:
    selector = spec.get("selector") or {}
    return selector.get("matchLabels") or {}, selector.get("matchExpressions") or []


def patch_of(found: Document, wanted: Document) -> list[dict[str, Any]]:
    """The JSON patch from one to the other; it fails when somebody else was faster."""
    operations: list[dict[str, Any]] = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": found["metadata"]["resourceVersion"]},
    ]
    if found["spec"].get("template") != wanted["spec"]["template"]:
        operations.append({"op": "replace", "path": "/spec/template", "value": wanted["spec"]["template"]})
    if found["spec"].get("replicas") != wanted["spec"]["replicas"]:
        operations.append({"op": "add", "path": "/spec/replicas", "value": wanted["spec"]["replicas"]})
    annotations = dict((found["metadata"]).get("annotations") or {})
    if annotations.get(COPY_OF) != wanted["metadata"]["annotations"][COPY_OF]:
        value = {**annotations, COPY_OF: wanted["metadata"]["annotations"][COPY_OF]}
        if annotations:
            path = f"/metadata/annotations/{COPY_OF.replace('/', '~1')}"
            operations.append({"op": "add", "path": path, "value": value[COPY_OF]})
        else:
            operations.append({"op": "add", "path": "/metadata/annotations", "value": value})
    return operations


def figures(deployment: Optional[Document]) -> dict[str, Any]:
    """Its pods and images, as modules report them; empty when there is none."""
    if deployment is None:
        return {}
    images = {name: image for _section, name, image in containers_of(template_of(deployment))}
    return {"replicas": replicas_of(deployment), "images": images}
