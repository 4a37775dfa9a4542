# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings the objects of a backup back: read it, decide, rehearse, make or change one after the other, look again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import (
    decryption_argument_spec,
    decryption_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import check_guards, window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import (
    Refusal,
    Refused,
    check_refusals,
    outcome,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.present import present
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster, connect
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.kinds import KINDS, Kind
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.objects_backup import (
    ObjectsBackup,
    find_backup,
    source_argument_spec,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.objects_plan import (
    CREATE,
    DIFFERENT,
    MISSING,
    SAME,
    Document,
    ObjectPlan,
    Policy,
    missing_secrets,
    plan_object,
    seen_by_the_server,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.persistence import anew
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.waiting import gitops_argument_spec

# https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#side-effects
_NO_REHEARSAL = "does not support dry run"
CHOICES = ("keep", "replace")
_BY_NAME = {(kind.api_version, kind.name): kind for kind in KINDS.values()}


def restore_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of k8s_restore beside connection and guards."""
    return {
        **decryption_argument_spec(),
        **gitops_argument_spec(),
        **source_argument_spec(),
        "namespaces": {"type": "list", "elements": "str", "default": []},
        "kinds": {"type": "list", "elements": "str", "default": []},
        "existing": {"type": "str", "choices": list(CHOICES), "default": "keep"},
        "secrets": {"type": "str", "choices": list(CHOICES), "default": "keep", "no_log": False},
    }


def restore_objects(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The module's result; raises RunbookError."""
    check_guards(params)
    decryption = decryption_from(params)
    progress = Progress(params["progress_path"])
    with progress.stoppable():
        backup = find_backup(params)
        progress.phase("read", backup.address)
        try:
            documents = backup.documents(decryption)
        except (Damaged, Undecided) as error:
            message = (
                f"{backup.address} was not restored: {error.message}. Name another backup, or the key that opens it."
            )
            raise RunbookError(message, **error.details) from None
        run = _Run(connect(params), params, check_mode, backup, progress)
        return run.run(_chosen(documents, params))


def _chosen(documents: Sequence[Document], params: Mapping[str, Any]) -> list[Document]:
    """What is asked for of it; raises InvalidOption for what is not in it."""
    kinds = {each.lower() for each in params["kinds"]}
    namespaces = set(params["namespaces"])
    for option, wanted, there in (
        ("kinds", kinds, {str(each["kind"]).lower() for each in documents}),
        ("namespaces", namespaces, {_namespace(each) for each in documents}),
    ):
        unknown = sorted(wanted - there)
        if unknown:
            raise InvalidOption(option, unknown[0], f"what the backup has: {', '.join(sorted(there - {''}))}")
    return [
        each
        for each in documents
        if (not kinds or str(each["kind"]).lower() in kinds) and (not namespaces or _namespace(each) in namespaces)
    ]


def _namespace(document: Mapping[str, Any]) -> str:
    """Where it is; of a Namespace its own name, of what belongs to the whole cluster nothing."""
    metadata = document["metadata"]
    return str(metadata["name"] if document["kind"] == "Namespace" else metadata.get("namespace") or "")


@dataclass
class _Run:
    cluster: Cluster
    params: Mapping[str, Any]
    check_mode: bool
    backup: ObjectsBackup
    progress: Progress
    kinds: dict[tuple[str, str], Optional[Kind]] = field(default_factory=dict)
    done: list[dict[str, Any]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def run(self, documents: Sequence[Document]) -> dict[str, Any]:
        self.progress.phase("look", self.cluster.name)
        policy = Policy(self.params["existing"], self.params["secrets"], self.params["gitops"])
        plans = [self._plan(each, policy) for each in documents]
        self.refused = [each.refusal for each in plans if each.refusal]
        due = self._rehearsed([each for each in plans if each.action])
        no = window_refusal(self.params) if due else None
        if no:
            raise Refused(f"Nothing was restored: {no[0]}. {no[1]}", changed=False)
        needs = missing_secrets(documents, self._secrets(documents))
        before = _counts(plans)
        if self.check_mode:
            return self._result(plans, due, before, None, needs)
        self._apply(due, policy)
        after = _counts([self._plan(each, policy) for each in documents])
        return self._result(plans, due, before, after, needs)

    # --- deciding
    def _plan(self, manifest: Document, policy: Policy) -> ObjectPlan:
        kind = self._kind(manifest)
        if kind is None:
            bare = ObjectPlan(manifest, MISSING)
            what = f"{manifest['kind']} of {manifest['apiVersion']}"
            remedy = "Install what brings the kind, such as its operator, and run this again."
            return replace(bare, refusal=Refusal(bare.shown, f"the cluster does not know {what}", remedy))
        found = self._found(kind, manifest)
        plan = plan_object(manifest, found, policy)
        if found is not None and plan.state == DIFFERENT:
            plan = self._asked(plan, kind, found)
        self.warnings += [each for each in plan.warnings if each not in self.warnings]
        if plan.action == CREATE and manifest["kind"] == "PersistentVolumeClaim":
            return self._with_volume(plan)
        return plan

    def _asked(self, plan: ObjectPlan, kind: Kind, found: Document) -> ObjectPlan:
        try:
            foreseen = self._written(kind, plan, dry_run=True)
        except ClusterError as error:
            if error.is_cluster_wide:
                raise
            # Whether it may be changed is asked again, if it is to be.
            return plan
        return seen_by_the_server(plan, found, foreseen)

    def _with_volume(self, plan: ObjectPlan) -> ObjectPlan:
        """A claim that names a volume which is not there would wait for it for ever."""
        volume = (plan.manifest.get("spec") or {}).get("volumeName")
        if not volume or self.cluster.find("persistentvolume", None, volume):
            return plan
        note = f"{plan.shown}: its volume {volume} is not there, so that it gets a new and empty one. Restore its data."
        if note not in self.notes:
            self.notes.append(note)
        spec = {key: value for key, value in plan.manifest["spec"].items() if key != "volumeName"}
        return replace(plan, body={**plan.manifest, "spec": spec})

    def _found(self, kind: Kind, manifest: Document) -> Optional[Document]:
        metadata = manifest["metadata"]
        return self.cluster.find(kind, metadata.get("namespace"), metadata["name"])

    def _kind(self, manifest: Document) -> Optional[Kind]:
        key = (str(manifest["apiVersion"]), str(manifest["kind"]))
        if key in _BY_NAME:
            return _BY_NAME[key]
        if key not in self.kinds:
            self.kinds[key] = self._discovered(*key)
        return self.kinds[key]

    def _discovered(self, api_version: str, name: str) -> Optional[Kind]:
        group, _slash, version = api_version.rpartition("/")
        try:
            resources = self.cluster.get(f"/apis/{api_version}" if group else f"/api/{version}").get("resources") or ()
        except ClusterError as error:
            if error.kind == "missing":
                return None
            raise
        for each in resources:
            if each["kind"] == name and "/" not in each["name"]:
                return Kind(group, version, each["name"], name, bool(each["namespaced"]))
        return None

    def _secrets(self, documents: Sequence[Document]) -> dict[tuple[str, str], Sequence[str]]:
        """The Secrets that there are, or will be, by their names."""
        there: dict[tuple[str, str], Sequence[str]] = {}
        for namespace in sorted({_namespace(each) for each in documents} - {""}):
            try:
                for each in self.cluster.list("secret", namespace):
                    there[(namespace, each["metadata"]["name"])] = ()
            except ClusterError as error:
                if error.kind != "forbidden":
                    raise
                self.notes.append(f"Which Secrets are missing is not known: {error.message}")
        for each in documents:
            if each["kind"] == "Secret":
                there[(_namespace(each), each["metadata"]["name"])] = ()
        return there

    # --- changing
    def _rehearsed(self, plans: Sequence[ObjectPlan]) -> list[ObjectPlan]:
        """Those that the server would take. What goes into a namespace that is not there yet it cannot say."""
        new = {
            _namespace(each.manifest)
            for each in plans
            if each.manifest["kind"] == "Namespace" and each.action == CREATE
        }
        taken = []
        unknown = 0
        for each in plans:
            if each.manifest["kind"] != "Namespace" and _namespace(each.manifest) in new:
                unknown += 1
            elif not self._would_be_taken(each):
                continue
            taken.append(each)
        if unknown:
            self.notes.append(f"{unknown} objects go into a new namespace, so that the server could not rehearse them.")
        return taken

    def _would_be_taken(self, plan: ObjectPlan) -> bool:
        """Ask the server; False, and a refusal more, when it does not take it."""
        try:
            self._written(present(self._kind(plan.manifest), "the kind"), plan, dry_run=True)
        except ClusterError as error:
            if _NO_REHEARSAL in error.message:
                return True
            self._refuse(plan, error)
            return False
        return True

    def _refuse(self, plan: ObjectPlan, error: ClusterError) -> None:
        if error.is_cluster_wide:
            error.details.setdefault("actions", list(self.done))
            raise error
        remedy = "Mend that, or delete the object if it cannot be changed, and run this again."
        self.refused.append(Refusal(plan.shown, error.message.rstrip("."), remedy))

    def _written(self, kind: Kind, plan: ObjectPlan, *, dry_run: bool) -> Document:
        """What comes of it. A rehearsal leaves the version out: a status that is written meanwhile is no reason."""
        metadata = plan.manifest["metadata"]
        body = dict(plan.body or {})
        if plan.state == MISSING:
            return self.cluster.create(kind, metadata.get("namespace"), body, dry_run=dry_run)
        if dry_run:
            body["metadata"] = {key: value for key, value in body["metadata"].items() if key != "resourceVersion"}
        return self.cluster.patch(kind, metadata.get("namespace"), metadata["name"], body, dry_run=dry_run)

    def _apply(self, due: Sequence[ObjectPlan], policy: Policy) -> None:
        self.progress.phase("restore", total=len(due), unit="objects")
        for number, each in enumerate(due):
            self.progress.at(number, each.shown)
            try:
                anew(partial(self._restore, each.manifest, policy))
            except ClusterError as error:
                self._refuse(each, error)
        self.progress.at(len(due))

    def _restore(self, manifest: Document, policy: Policy) -> None:
        """Read and decide once more: controllers write to what comes back, and what it needs may be there by now."""
        plan = self._plan(manifest, policy)
        if plan.action:
            self._written(present(self._kind(manifest), "the kind"), plan, dry_run=False)
            self.done.append(plan.as_action())

    # --- telling
    def _result(
        self,
        plans: Sequence[ObjectPlan],
        due: Sequence[ObjectPlan],
        before: Mapping[str, int],
        after: Optional[Mapping[str, int]],
        needs: Sequence[Mapping[str, Any]],
    ) -> dict[str, Any]:
        actions = [each.as_action() for each in due] if self.check_mode else self.done
        lines = {each["object"]: each for each in actions}
        result = outcome(
            changed=bool(actions),
            actions=actions,
            refused=self.refused,
            before=before,
            after=after,
            backup={
                "name": self.backup.name,
                "address": self.backup.address,
                "taken_at": self.backup.entry["taken_at"],
                "cluster": self.backup.entry["cluster"],
                "objects": self.backup.entry["objects"],
            },
            kept=[
                {"object": each.shown, "reason": each.kept, "fields": list(each.fields)} for each in plans if each.kept
            ],
            missing_secrets=list(needs),
            notes=self.notes,
            warnings=self.warnings,
            diff={
                "before": "".join(f"{each.shown}: {each.state}\n" for each in plans if each.shown in lines),
                "after": "".join(f"{each.shown}: as in the backup\n" for each in plans if each.shown in lines),
            },
        )
        check_refusals(result, self.params["on_refusal"])
        return result


def _counts(plans: Sequence[ObjectPlan]) -> dict[str, int]:
    counted = Counter(each.state for each in plans)
    return {state: counted[state] for state in (MISSING, DIFFERENT, SAME)}
