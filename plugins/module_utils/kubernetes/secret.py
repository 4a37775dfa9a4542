# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets named keys of one Secret by a patch of these keys, and tells who uses them. Values never leave this file."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.masking import mask_secrets
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal, check_refusals, outcome
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.change_mark import change_mark, mark_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster, connect
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.kinds import KINDS
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.ownership import ownership_verdict
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.persistence import anew
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.references import SECRET, pod_spec_of, references

ADD, CHANGE, REMOVE = "add", "change", "remove"
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_USERS = ("deployment", "statefulset", "daemonset", "cronjob")
# Those that do not, or not always, make themselves its owner.
_WRITERS = {
    "reconcile.external-secrets.io/data-hash": "External Secrets",
    "cert-manager.io/certificate-name": "Certificate",
    "secrets-store.csi.k8s.io/managed": "the Secrets Store CSI driver",
}
Document = dict[str, Any]


def change_secret(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The whole result of the module.

    Raises:
        InvalidOption: before anything is touched.
        Refused: the Secret is not there, must not be changed, or belongs to something that writes it.
        ClusterError: a request failed.

    """
    wanted = encoded_data(params["data"] or {}, encoded=params["encoded"])
    gone = tuple(dict.fromkeys(params["absent_keys"]))
    both = sorted(set(wanted) & set(gone))
    if both:
        raise InvalidOption("absent_keys", both, "keys that are not in data")
    if not wanted and not gone:
        raise InvalidOption("data", "(nothing)", "at least one key with its value, or absent_keys")
    run = _Change(connect(params), params, check_mode, wanted, gone)
    plain = [base64.b64decode(value).decode("utf-8", "replace") for value in wanted.values()]
    hidden = (*_texts(params["data"]), *wanted.values(), *plain)
    try:
        return run.run()
    except ClusterError as error:
        # A server may repeat what it does not accept.
        raise RunbookError(mask_secrets(error.message, hidden), **error.details) from None


def encoded_data(data: Mapping[str, Any], *, encoded: bool) -> dict[str, str]:
    """The values as a Secret holds them, in Base64; raises InvalidOption, which never says a value."""
    found = {}
    for key, value in data.items():
        option = f"data.{key}"
        if not _KEY.fullmatch(str(key)):
            raise InvalidOption("data", str(key), "keys of letters, digits, dots, dashes and underscores")
        if not isinstance(value, str):
            raise InvalidOption(
                option, f"({type(value).__name__})", "text; put numbers and words such as true into quotes"
            )
        if not value.strip():
            raise InvalidOption(
                option, "(empty)", "a value. A lookup that found nothing is empty, too; see where it comes from"
            )
        try:
            # The server writes Base64 anew, without what it leaves open.
            content = base64.b64decode(value, validate=True) if encoded else value.encode()
        except (binascii.Error, ValueError):
            raise InvalidOption(option, "(given)", "Base64, because encoded is true") from None
        found[str(key)] = base64.b64encode(content).decode("ascii")
    return found


def steps_of(present: Mapping[str, str], wanted: Mapping[str, str], gone: Iterable[str]) -> dict[str, str]:
    """What has to be done by key: C(add), C(change) or C(remove); keys that are as they should be are not in it."""
    steps = {
        key: CHANGE if key in present else ADD for key, value in sorted(wanted.items()) if present.get(key) != value
    }
    return {**steps, **{key: REMOVE for key in gone if key in present}}


def writer_of(secret: Mapping[str, Any]) -> Optional[str]:
    """What writes a Secret again and again, such as C(ExternalSecret db); None if nothing is known to."""
    metadata = secret.get("metadata") or {}
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            return f"{owner.get('kind')} {owner.get('name')}"
    marks = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    for mark, writer in _WRITERS.items():
        if mark in marks:
            return f"{writer} {marks[mark]}" if mark.endswith("-name") else writer
    if secret.get("type") == "kubernetes.io/service-account-token":
        return "the cluster"
    return None


def users_of(name: str, keys: Iterable[str], workloads: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The workloads that refer to a Secret or to one of its keys, and whether they see a change without a restart.

    A variable has the value of the moment when its container started. A volume is brought up to date by the kubelet,
    unless a container mounts a single file of it (C(subPath)).
    """
    changed = set(keys)
    found = []
    for workload in workloads:
        spec = pod_spec_of(workload)
        refers = [
            each
            for each in references(spec)
            if each.kind == SECRET and each.name == name and (each.key is None or each.key in changed)
        ]
        places = [each.where for each in refers if each.where != "imagePullSecrets"]
        if not places:
            continue
        fixed = _volumes_by_sub_path(spec)
        by_volume = [place for place in places if place.startswith("volume ")]
        needs = len(by_volume) < len(places) or any(place[len("volume ") :] in fixed for place in by_volume)
        is_cron = workload["kind"] == "CronJob"
        found.append(
            {
                "kind": str(workload["kind"]).lower(),
                "name": workload["metadata"]["name"],
                "where": sorted(set(places)),
                # The next run of a CronJob is a new pod.
                "needs_restart": needs and not is_cron,
            }
        )
    return found


def _volumes_by_sub_path(spec: Mapping[str, Any]) -> set[str]:
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    mounts = [mount for container in containers for mount in container.get("volumeMounts") or ()]
    return {str(mount.get("name")) for mount in mounts if mount.get("subPath") or mount.get("subPathExpr")}


@dataclass
class _Change:
    cluster: Cluster
    params: Mapping[str, Any]
    check_mode: bool
    wanted: Mapping[str, str]
    gone: tuple[str, ...]
    warnings: list[str] = field(default_factory=list)

    @property
    def shown(self) -> str:
        return f"Secret {self.params['namespace']}/{self.params['name']}"

    def run(self) -> dict[str, Any]:
        return anew(self._decided)

    def _decided(self) -> dict[str, Any]:
        found = self.cluster.find("secret", self.params["namespace"], self.params["name"])
        steps = steps_of((found or {}).get("data") or {}, self.wanted, self.gone)
        refusal = self._refusal(found, steps)
        if refusal:
            check_refusals(self._result(found, steps, None, refused=[refusal]), "fail")
        return self._result(found, steps, self._written(found, steps) if steps else found)

    def _refusal(self, found: Optional[Document], steps: Mapping[str, str]) -> Optional[Refusal]:
        if found is None:
            # Where there is nothing, there is nothing to remove.
            if self.params["create"] or not self.wanted:
                return None
            remedy = "Correct namespace and name, or set create to true if it shall be made."
            return Refusal(self.shown, "there is no such Secret", remedy)
        if not steps:
            return None
        if found.get("immutable"):
            remedy = (
                "Make a Secret of another name with the new values (create), let the workloads refer to it, and delete"
                " this one when nobody refers to it any more."
            )
            return Refusal(self.shown, "it is immutable", remedy)
        writer = writer_of(found)
        if writer:
            return Refusal(
                self.shown, f"{writer} writes it and would undo this", f"Change what {writer} takes it from."
            )
        verdict, self.warnings = ownership_verdict({**found, "kind": "Secret"}, self.shown, self.params["gitops"])
        return verdict

    def _written(self, found: Optional[Document], steps: Mapping[str, str]) -> Document:
        namespace, name = self.params["namespace"], self.params["name"]
        if found is None:
            body: Document = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": namespace, "annotations": change_mark()},
                "type": self.params["type"],
                "data": dict(self.wanted),
            }
            return self.cluster.create("secret", namespace, body, dry_run=self.check_mode)
        data = {key: None if step == REMOVE else self.wanted[key] for key, step in steps.items()}
        metadata = {"resourceVersion": found["metadata"]["resourceVersion"], "annotations": change_mark()}
        body = {"metadata": metadata, "data": data}
        return self.cluster.patch("secret", namespace, name, body, dry_run=self.check_mode)

    def _result(
        self,
        found: Optional[Document],
        steps: Mapping[str, str],
        after: Optional[Document],
        refused: Iterable[Refusal] = (),
    ) -> dict[str, Any]:
        refusals = list(refused)
        used_by, skipped = ([], []) if refusals else self._users()
        done = [] if refusals else [{"action": step, "object": self.shown, "key": key} for key, step in steps.items()]
        present = sorted((found or {}).get("data") or {})
        said = {ADD: "added", CHANGE: "changed", REMOVE: "removed"}
        return outcome(
            changed=bool(done),
            actions=done,
            refused=refusals,
            before=_facts(found),
            after=None if self.check_mode or refusals else _facts(after),
            used_by=used_by,
            restart_id=None if refusals else mark_of({**(after or {}), "kind": SECRET}),
            skipped_sections=skipped,
            notes=[*self.warnings, *self._line_breaks()],
            diff={
                "before": dict.fromkeys(present, "present"),
                "after": {key: said.get(steps.get(key, ""), "present") for key in sorted({*present, *steps})},
            },
        )

    def _line_breaks(self) -> list[str]:
        if self.params["encoded"]:
            return []
        keys = [key for key, value in (self.params["data"] or {}).items() if value.endswith("\n")]
        return [
            f"The value of {key} ends with a line break, which most programs take for a part of it." for key in keys
        ]

    def _users(self) -> tuple[Optional[list[dict[str, Any]]], list[dict[str, str]]]:
        """Who has to be restarted; None when it cannot be told."""
        workloads: list[Document] = []
        try:
            for kind in _USERS:
                found = self.cluster.list(kind, self.params["namespace"])
                # The items of a list do not say what they are.
                workloads += [{**each, "kind": KINDS[kind].name} for each in found]
        except ClusterError as error:
            remedy = "Look for the name of the Secret in the workloads, and restart those that have it in a variable."
            return None, [{"section": "used_by", "reason": error.message, "remedy": remedy}]
        return users_of(self.params["name"], {*self.wanted, *self.gone}, workloads), []


def _facts(found: Optional[Document]) -> dict[str, Any]:
    if found is None:
        return {"exists": False, "type": None, "keys": [], "resource_version": None}
    return {
        "exists": True,
        "type": found.get("type"),
        "keys": sorted(found.get("data") or {}),
        "resource_version": (found.get("metadata") or {}).get("resourceVersion"),
    }


def _texts(data: Optional[Mapping[str, Any]]) -> Iterable[str]:
    return [value for value in (data or {}).values() if isinstance(value, str)]
