# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What bringing back one object of a backup takes: make it, change it back, or leave it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.manifest import KEEP, left_out, manifest_of, shown
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.merge import difference
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.ownership import ownership_verdict
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.references import (
    SECRET,
    pod_spec_of,
    references,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.secret import writer_of

CREATE, REPLACE = "create", "replace"
MISSING, DIFFERENT, SAME = "missing", "different", "same"
_MOST_FIELDS = 20
Document = dict[str, Any]


@dataclass(frozen=True)
class Policy:
    """What may be changed of what is there: C(keep) or C(replace), and who else decides."""

    existing: str
    secrets: str
    gitops: str


@dataclass(frozen=True)
class ObjectPlan:
    """One object: how it stands, and what is done. C(body) is the new object, or the merge patch to it."""

    manifest: Document
    state: str
    action: str = ""
    body: Optional[Document] = None
    fields: tuple[str, ...] = ()
    kept: str = ""
    refusal: Optional[Refusal] = None
    warnings: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """Kind, namespace and name."""
        return shown(self.manifest)

    def as_action(self) -> dict[str, Any]:
        """As results show it; names of fields, and never a value."""
        return {"action": self.action, "object": self.shown, "fields": list(self.fields)}


def plan_object(manifest: Document, found: Optional[Mapping[str, Any]], policy: Policy) -> ObjectPlan:
    """Decide on one object.

    Args:
        manifest: As the backup has it.
        found: As the server has it; None where it is not there.
        policy: What may be changed.

    """
    if found is None:
        refusal, warnings = _owned(manifest, manifest, policy)
        if refusal:
            return ObjectPlan(manifest, MISSING, refusal=refusal)
        return ObjectPlan(manifest, MISSING, CREATE, manifest, warnings=tuple(warnings))
    live = typed(found, manifest)
    patch = difference(comparable(live), comparable(manifest))
    if not patch:
        return ObjectPlan(manifest, SAME)
    fields = fields_of(patch)
    metadata = {**(patch.get("metadata") or {}), "resourceVersion": found["metadata"].get("resourceVersion")}
    body = {**patch, "metadata": metadata}
    is_secret = manifest["kind"] == SECRET
    if (policy.secrets if is_secret else policy.existing) == "keep":
        kept = "it may have been changed on purpose since (secrets)" if is_secret else "it is there (existing)"
        return ObjectPlan(manifest, DIFFERENT, body=body, fields=fields, kept=kept)
    refusal, warnings = _owned(manifest, live, policy)
    if refusal:
        return ObjectPlan(manifest, DIFFERENT, body=body, fields=fields, refusal=refusal)
    return ObjectPlan(manifest, DIFFERENT, REPLACE, body, fields, warnings=tuple(warnings))


def typed(found: Mapping[str, Any], manifest: Mapping[str, Any]) -> Document:
    """An object as the server has it, which in lists does not say what it is."""
    return {**found, "apiVersion": manifest["apiVersion"], "kind": manifest["kind"]}


def seen_by_the_server(plan: ObjectPlan, found: Mapping[str, Any], foreseen: Mapping[str, Any]) -> ObjectPlan:
    """The plan of an object that differs, once the server has said what would come of it.

    Fields that a backup of an older server lacks get their defaults again: then nothing would change.
    """
    patch = difference(comparable(typed(found, plan.manifest)), comparable(typed(foreseen, plan.manifest)))
    return replace(plan, fields=fields_of(patch)) if patch else ObjectPlan(plan.manifest, SAME)


def comparable(document: Document) -> Document:
    """As a manifest, without what differs between clusters and nobody wants: the volume of a claim."""
    metadata = {key: value for key, value in document["metadata"].items() if key != "ownerReferences"}
    free = {**document, "metadata": metadata}
    manifest = free if left_out(free) else manifest_of(free, secrets=KEEP)
    if manifest["kind"] != "PersistentVolumeClaim":
        return manifest
    spec = {key: value for key, value in (manifest.get("spec") or {}).items() if key != "volumeName"}
    return {**manifest, "spec": spec}


def _owned(manifest: Document, document: Mapping[str, Any], policy: Policy) -> tuple[Optional[Refusal], list[str]]:
    """Whether something else makes the object, and would undo what is done here."""
    label = shown(manifest)
    reason = left_out(document)
    writer = writer_of(document) if manifest["kind"] == SECRET else None
    if reason or writer:
        why = reason or f"{writer} writes it"
        return Refusal(label, f"{why}, and would undo this", "Let that make it, and look at what it says."), []
    return ownership_verdict(document, label, policy.gitops)


def fields_of(patch: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields that a patch is about, and never a value."""
    return tuple(_paths(patch))[:_MOST_FIELDS]


def _paths(patch: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in sorted(patch.items()):
        path = f"{above}.{key}" if above else str(key)
        if isinstance(value, Mapping) and value:
            yield from _paths(value, path)
        else:
            yield path


def missing_secrets(
    manifests: Sequence[Document], there: Mapping[tuple[str, str], Sequence[str]]
) -> list[dict[str, Any]]:
    """The Secrets that workloads of the backup need, and that are neither in it nor in the cluster.

    Args:
        manifests: The backup's objects.
        there: The Secrets of the cluster and of the backup by namespace and name.

    """
    needed: dict[tuple[str, str], tuple[set[str], set[str]]] = {}
    for each in manifests:
        namespace = str(each["metadata"].get("namespace") or "")
        for reference in references(pod_spec_of(each)):
            if reference.kind == SECRET and not reference.optional and (namespace, reference.name) not in there:
                keys, users = needed.setdefault((namespace, reference.name), (set(), set()))
                users.add(shown(each))
                keys.update([reference.key] if reference.key else [])
    return [
        {
            "object": f"Secret {namespace}/{name}",
            "keys": sorted(keys),
            "needed_by": sorted(users),
            "reason": f"needed by {', '.join(sorted(users))}" + (f" (keys {', '.join(sorted(keys))})" if keys else ""),
        }
        for (namespace, name), (keys, users) in sorted(needed.items())
    ]
