# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole result of k8s_health_info: few listings, shared by all sections."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, reference_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster, connect
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health import workloads
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.ask import Asking, Documents
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.autoscalers import autoscaler_facts
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.claims import (
    budget_facts,
    certificate_facts,
    claim_facts,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.common import Facts, namespace_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.deprecated import (
    deprecated_facts,
    snippet_facts,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.events import event_groups, newest_texts
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.jobs import (
    cron_jobs_facts,
    jobs_facts,
    settled_jobs,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.needs import known_keys, references_facts
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.nodes import nodes_facts
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.pods import (
    BROKEN,
    Pods,
    look_at,
    pods_facts,
    with_events,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.selected import Template, template_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.services import (
    Around,
    needs_templates,
    services_facts,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.usage import node_usage, usage_facts
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.volumes import (
    mounted_claims,
    used_claims,
    volumes_facts,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_state import Times

SECTIONS = (
    "pods",
    "workloads",
    "jobs",
    "autoscalers",
    "claims",
    "certificates",
    "events",
    "nodes",
    "services",
    "usage",
    "budgets",
    "ingresses",
    "references",
    "volumes",
    "version",
)
# Ten requests for a namespace, and one more for the nodes of a whole cluster, which no namespace has.
DEFAULT_SECTIONS = SECTIONS[:8]
OF_NAMESPACES = tuple(section for section in DEFAULT_SECTIONS if section != "nodes")
# Section -> the keys of the result that come from it.
_KEYS = {"jobs": ("jobs", "cron_jobs"), "ingresses": ("snippets",)}
# So many nodes are asked for the figures of their volumes.
_MOST_NODES = 50
_SECONDS = ("restart_window", "starting_after", "pending_after", "not_ready_after", "terminating_after", "event_window")


def read_health(params: Mapping[str, Any]) -> Facts:
    """The whole result of the module.

    Raises:
        InvalidOption: before anything is asked.
        MissingLibrary: kubernetes is missing.

    """
    expected = [_expected(each, params["namespaces"]) for each in params["workloads"]]
    for option in _SECONDS:
        if not 0 <= params[option] <= 31_536_000:
            raise InvalidOption(option, params[option], "seconds from 0 to 31536000")
    for option in ("max_pods", "max_events", "max_unhealthy"):
        if not 1 <= params[option] <= 1_000_000:
            raise InvalidOption(option, params[option], "1 to 1000000")
    now = reference_moment(params["reference_time"] or None)
    return _Health(connect(params), params, expected, now).run()


def _expected(given: Mapping[str, Any], namespaces: Sequence[str]) -> workloads.Expected:
    namespace = given["namespace"] or (namespaces[0] if len(namespaces) == 1 else None)
    if not namespace:
        raise InvalidOption("workloads", given["name"], "a namespace with each workload, unless there is one namespace")
    if namespaces and namespace not in namespaces:
        raise InvalidOption(
            "workloads", f"{namespace}/{given['name']}", "workloads of the namespaces that are looked at"
        )
    return workloads.Expected(given["kind"], namespace, given["name"], given["exactly"])


class _Health:
    def __init__(
        self, cluster: Cluster, params: Mapping[str, Any], expected: Sequence[workloads.Expected], now: dt.datetime
    ) -> None:
        self._cluster = cluster
        self._params = params
        self._wanted = params["sections"] or (OF_NAMESPACES if params["namespaces"] else DEFAULT_SECTIONS)
        self._expected = expected
        self._now = now
        self._ask = Asking(cluster, params["namespaces"])
        self._pods: Optional[Pods] = None
        self._listed: list[tuple[str, Documents]] = []

    def run(self) -> Facts:
        facts: Facts = {
            "available": True,
            "reason": None,
            "measured_at": iso(self._now),
            "cluster": self._cluster.name,
            "namespaces": [],
            **{key: None for section in SECTIONS for key in _KEYS.get(section, (section,))},
            "deprecated": None,
            "is_truncated": False,
        }
        # What others are held against comes first.
        documents = self._list("pod", "pods", limit=self._params["max_pods"])
        if documents is not None:
            self._pods = look_at(documents, self._now, self._times())
        self._fill(facts)
        facts["namespaces"] = self._namespaces()
        facts["deprecated"] = deprecated_facts((kind, each) for kind, found in self._listed for each in found)
        ask = self._ask
        for each in ask.skipped:
            # What else there is of the section was read, so that its facts alone do not show the gap.
            held = facts.get(each["section"].partition(".")[0])
            each["is_partial"] = held is not None and each["section"] != "namespaces" and not each["is_absent"]
        if not ask.answered and ask.skipped:
            reason = (
                ask.broken.message if ask.broken else f"{ask.skipped[0]['reason']}. {ask.skipped[0]['remedy']}".strip()
            )
            empty: Facts = {key: [] if key in ("namespaces",) else None for key in facts}
            kept = {"measured_at": facts["measured_at"], "cluster": facts["cluster"]}
            return {**empty, **kept, "available": False, "reason": reason, "skipped_sections": [], "truncated": []}
        return {
            **facts,
            "is_truncated": bool(ask.truncated),
            "truncated": ask.truncated,
            "skipped_sections": ask.skipped,
        }

    def _times(self) -> Times:
        params = self._params
        return Times(
            restart_window=params["restart_window"],
            starting_after=params["starting_after"],
            unschedulable_after=params["pending_after"],
            not_ready_after=params["not_ready_after"],
            terminating_after=params["terminating_after"],
        )

    def _list(self, kind: str, section: str, **more: Any) -> Optional[Documents]:
        found = self._ask.list(kind, section, **more)
        if found:
            self._listed.append((kind, found))
        return found

    def _fill(self, facts: Facts) -> None:
        events = self._events() if self._wants("events") else None
        if self._pods is not None and events:
            self._pods = with_events(self._pods, newest_texts(events, self._now))
        jobs = self._list("job", "jobs") if self._wants("jobs", "pods") else None
        if self._pods is not None and self._wants("pods"):
            facts["pods"] = pods_facts(
                self._pods,
                settled_jobs=settled_jobs(jobs or ()),
                restart_window=self._params["restart_window"],
                limit=self._params["max_unhealthy"],
            )
        if self._wants("jobs"):
            cron_jobs = self._list("cronjob", "cron_jobs")
            facts["jobs"] = None if jobs is None else jobs_facts(jobs, self._all_pods, self._now, cron_jobs or ())
            facts["cron_jobs"] = None if cron_jobs is None else cron_jobs_facts(cron_jobs, jobs or (), self._now)
        scaled = self._list("horizontalpodautoscaler", "autoscalers") if self._wants("autoscalers") else None
        if scaled is not None:
            facts["autoscalers"] = _sorted(autoscaler_facts(each, self._now) for each in scaled)
        if self._wants("workloads"):
            facts["workloads"] = self._workloads()
        if events is not None:
            unwell = _unwell(self._pods)
            window = self._params["event_window"]
            facts["events"] = event_groups(events, self._pods, unwell, self._now, window)
        self._fill_small(facts)

    @property
    def _all_pods(self) -> Optional[Pods]:
        """The pods, where none is left out; what is not among them may be there all the same."""
        return None if "pod" in self._ask.truncated else self._pods

    def _fill_small(self, facts: Facts) -> None:
        """The sections that need no other."""
        if self._wants("claims"):
            facts["claims"] = self._claims()
        if self._wants("certificates"):
            certificates = self._optional("certificate", "certificates")
            if certificates is not None:
                facts["certificates"] = _sorted(certificate_facts(each, self._now) for each in certificates)
        if self._wants("budgets"):
            budgets = self._list("poddisruptionbudget", "budgets")
            facts["budgets"] = None if budgets is None else _sorted(budget_facts(each) for each in budgets)
        ingresses = self._list("ingress", "snippets") if self._wants("ingresses") else None
        facts["snippets"] = None if ingresses is None else snippet_facts(ingresses)
        if self._wants("services"):
            facts["services"] = self._services(ingresses or [])
        if self._wants("references"):
            self._fill_references(facts)
        if self._wants("nodes"):
            nodes = self._list("node", "nodes")
            # Only the pods of all namespaces say what is asked for of a node.
            pods = None if self._ask.namespaces else self._all_pods
            facts["nodes"] = None if nodes is None else nodes_facts(nodes, pods, self._now)
        if self._wants("usage"):
            self._fill_usage(facts)
        if self._wants("volumes"):
            self._fill_volumes(facts)
        if self._wants("version"):
            facts["version"] = (self._ask.get("/version", "version") or {}).get("gitVersion")

    def _wants(self, *sections: str) -> bool:
        return any(section in self._wanted for section in sections)

    def _events(self) -> Optional[Documents]:
        return self._ask.list("event", "events", limit=self._params["max_events"], field_selector="type=Warning")

    def _workloads(self) -> Optional[list[Facts]]:
        # One without pods is told by no pod, and its events are gone after an hour; so all kinds are listed.
        listed = {kind: self._list(kind, "workloads") for kind in workloads.KINDS}
        if all(found is None for found in listed.values()):
            return None
        return workloads.workloads_facts(listed, self._all_pods, self._expected, self._now)

    def _claims(self) -> Optional[list[Facts]]:
        found = self._list("persistentvolumeclaim", "claims")
        used = None if self._all_pods is None else used_claims(self._all_pods.seen)
        return None if found is None else _sorted(claim_facts(each, self._now, used) for each in found)

    def _services(self, ingresses: Documents) -> Optional[list[Facts]]:
        slices = self._list("endpointslice", "services")
        if slices is None:
            return None
        services, pods = self._list("service", "services.selectors"), self._all_pods
        templates: Optional[list[Template]] = []
        if services is not None and pods is not None and needs_templates(services, pods):
            templates = self._templates()
        return services_facts(slices, Around(services, pods, templates, ingresses))

    def _templates(self) -> Optional[list[Template]]:
        """What pods workloads would make; None where not all of them can be read."""
        listed = {kind: self._list(kind, "services.workloads") for kind in workloads.KINDS}
        if any(found is None for found in listed.values()):
            return None
        if self._wants("jobs"):
            listed |= {kind: self._list(kind, "jobs") for kind in ("job", "cronjob")}
        return [template_of(kind, each) for kind, found in listed.items() for each in found or ()]

    def _optional(self, kind: str, section: str) -> Optional[Documents]:
        """Objects of a definition that a cluster need not have: without it there are none."""
        before = len(self._ask.skipped)
        found = self._list(kind, section)
        if found is None and not self._ask.broken and "is not there on" in self._ask.skipped[before]["reason"]:
            self._ask.answered = True
            missing = "cert-manager" if kind == "certificate" else "metrics server"
            self._ask.skipped[before]["reason"] = f"the cluster has no {missing}"
            self._ask.skipped[before]["is_absent"] = True
            self._ask.skipped[before]["remedy"] = f"Install it, or leave {section.rpartition('.')[2]} out of sections."
            return [] if kind == "certificate" else None
        return found

    def _fill_references(self, facts: Facts) -> None:
        if self._pods is None:
            return
        secrets = known_keys(self._ask.list("secret", "references"))
        configmaps = known_keys(self._ask.list("configmap", "references"))
        if secrets is not None or configmaps is not None:
            facts["references"] = references_facts(self._pods, secrets, configmaps)

    def _fill_usage(self, facts: Facts) -> None:
        metrics = self._optional("podmetrics", "usage")
        if metrics is not None and self._pods is not None:
            facts["usage"] = usage_facts(metrics, self._pods)
        if metrics is not None and facts["nodes"] is not None:
            found = self._optional("nodemetrics", "nodes.usage")
            node_usage(found or (), facts["nodes"])

    def _fill_volumes(self, facts: Facts) -> None:
        if self._pods is None:
            return
        mounted = mounted_claims(self._pods.seen)
        nodes = sorted(set(mounted.values()))
        if len(nodes) > _MOST_NODES:
            self._ask.truncated.append("volumes")
        summaries = {node: self._summary(node) for node in nodes[:_MOST_NODES]}
        facts["volumes"] = volumes_facts(mounted, summaries)

    def _summary(self, node: str) -> Optional[Mapping[str, Any]]:
        found = self._ask.get(f"/api/v1/nodes/{node}/proxy/stats/summary", "volumes")
        if found is None and self._ask.skipped[-1]["remedy"].startswith("Grant "):
            self._ask.skipped[-1]["remedy"] = "Grant the user the verb get on nodes/proxy with a ClusterRole."
        return found

    def _namespaces(self) -> list[Facts]:
        """Whether the namespaces that are wanted exist; those with anything in them that stays do."""
        occupied = {
            namespace_of(each)
            for kind, found in self._listed
            for each in found
            if kind != "podmetrics" and not each["metadata"].get("deletionTimestamp")
        }
        result = []
        for name in self._ask.namespaces:
            exists: Optional[bool] = True
            is_terminating: Optional[bool] = False
            if name not in occupied:
                could_ask, found = self._ask.find("namespace", None, name, "namespaces")
                exists = found is not None if could_ask else None
                is_terminating = _is_terminating(found or {}) if could_ask else None
            result.append({"name": name, "exists": exists, "is_terminating": is_terminating})
        return result


def _is_terminating(namespace: Mapping[str, Any]) -> bool:
    phase = (namespace.get("status") or {}).get("phase")
    return phase == "Terminating" or bool((namespace.get("metadata") or {}).get("deletionTimestamp"))


def _sorted(found: Any) -> list[Facts]:
    return sorted(found, key=lambda facts: str(facts["name"]))


def _unwell(pods: Optional[Pods]) -> frozenset[str]:
    found = pods.seen if pods else ()
    return frozenset(f"{each.workload[1]}/{each.workload[2]}" for each in found if each.effect == BROKEN)
