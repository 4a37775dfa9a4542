# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a Service's selector takes no pod: whose pods it is for, and the labels that come nearest. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.common import (
    Document,
    name_of,
    namespace_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.pods import Seen
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.labels import (
    Labels,
    labels_of,
    selects,
    template_labels,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import PARKED, value_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.switching import MEMORY, selector_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import replicas_of

# Labels that say what an application is; another value of one is another application, not the other side of it.
_NAMES = frozenset({"app", "application", "name", "component", "instance", "part-of", "tier", "k8s-app", "service"})
_ALIKE = 0.6


@dataclass(frozen=True)
class Template:
    """The pods that a workload makes, or would make."""

    namespace: str
    labels: Labels
    wants_pods: bool
    is_parked: bool = False
    is_job: bool = False
    # The Service that a StatefulSet's pods have their names from.
    governing_service: Optional[str] = None


def template_of(kind: str, document: Document) -> Template:
    """That of a Deployment, StatefulSet, DaemonSet, Job or CronJob."""
    spec = document.get("spec") or {}
    is_job = kind in ("job", "cronjob")
    if kind == "daemonset":
        wanted = (document.get("status") or {}).get("desiredNumberScheduled") or 0
    else:
        wanted = 0 if is_job else replicas_of(document)
    holder = spec.get("jobTemplate") or {} if kind == "cronjob" else document
    is_parked = PARKED in (document["metadata"].get("annotations") or {})
    return Template(
        namespace_of(document), template_labels(holder), wanted > 0, is_parked, is_job, spec.get("serviceName")
    )


def is_other_side(service: Document, others: Iterable[Document], live: Sequence[Labels]) -> bool:
    """Whether a Service is that of a side which is not in use, such as green while blue serves.

    Another Service differs from it by one label only and has pods, and either was switched between the two values, or
    this one has the value in its name. A label that says which application it is tells no sides apart.

    Args:
        service: The one without pods.
        others: The other Services of its namespace.
        live: The labels of the pods there.

    """
    selector = selector_of(service)
    others = list(others)
    for label, value in selector.items():
        if label.rpartition("/")[2] in _NAMES:
            continue
        rest = {key: each for key, each in selector.items() if key != label}
        for other in others:
            theirs = selector_of(other)
            if {key: each for key, each in theirs.items() if key != label} != rest or not rest:
                continue
            if any(selects(theirs, labels) for labels in live) and (
                _has_word(name_of(service), value) or _was_switched(other, label, value)
            ):
                return True
    return False


def _has_word(name: str, value: str) -> bool:
    return value in name.split("-")


def _was_switched(service: Document, label: str, value: str) -> bool:
    memory = value_of(service, MEMORY)
    return (
        isinstance(memory, Mapping) and memory.get("label") == label and value in (memory.get("from"), memory.get("to"))
    )


def nearest(selector: Labels, live: Iterable[Seen]) -> Optional[str]:
    """The pods that come nearest to what a selector asks for, and by what they differ; None where none is near.

    Near is who has one of the labels, or a value that is spelled almost like it.
    """
    keys = sorted(selector)
    # Pods of one workload differ in no label that matters here, as a rule.
    found = {(each.workload, tuple(labels_of(each.document).get(key) for key in keys)) for each in live}
    best: Optional[tuple[tuple[int, float], str]] = None
    for (kind, _namespace, name), values in sorted(found, key=str):
        other = {key: value for key, value in zip(keys, values) if value != selector[key]}
        likeness = max((_likeness(value, selector[key]) for key, value in other.items()), default=0.0)
        rank = (len(keys) - len(other), likeness)
        if (rank[0] or likeness >= _ALIKE) and (best is None or rank > best[0]):
            has = " and ".join(f"no label {key}" if value is None else f"{key}={value}" for key, value in other.items())
            best = rank, f"pod {name} has {has}" if kind == "pod" else f"the pods of {kind} {name} have {has}"
    return best[1] if best else None


def _likeness(found: Optional[str], wanted: str) -> float:
    return SequenceMatcher(None, found, wanted).ratio() if found else 0.0
