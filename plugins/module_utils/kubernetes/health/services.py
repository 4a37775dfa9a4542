# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services as facts: how many of their endpoints are ready, and why none is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.common import (
    Document,
    Facts,
    name_of,
    namespace_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.pods import Pods, Seen
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.selected import (
    Template,
    is_other_side,
    nearest,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.labels import labels_of, selects
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.switching import selector_of

_SERVICE = "kubernetes.io/service-name"
READY, NOT_READY, SELECTS_NOTHING, NO_SELECTOR = "ready", "not_ready", "selects_nothing", "no_selector"
PARKED, SCALED_TO_ZERO, OTHER_SIDE, BETWEEN_RUNS = "parked", "scaled_to_zero", "other_side", "between_runs"
HEADLESS = "headless"
# What is meant so, whoever leads to it, and what is only where no Ingress does.
_ALWAYS_IDLE = frozenset({PARKED, BETWEEN_RUNS})
_IDLE_UNROUTED = frozenset({SCALED_TO_ZERO, OTHER_SIDE, HEADLESS})
Key = tuple[str, str]


@dataclass(frozen=True)
class Around:
    """What a Service's selector is held against.

    C(services) and C(pods) are None where they could not be read, or not all of them. C(templates) are those of the
    workloads, None where these could not be read.
    """

    services: Optional[Sequence[Document]] = None
    pods: Optional[Pods] = None
    templates: Optional[Sequence[Template]] = None
    ingresses: Sequence[Document] = field(default_factory=tuple)


def needs_templates(services: Iterable[Document], pods: Pods) -> bool:
    """Whether a Service selects no pod, so that only workloads can tell whether that is meant so."""
    live: dict[str, list[Mapping[str, str]]] = {}
    for each in pods.seen:
        if each.is_live:
            live.setdefault(namespace_of(each.document), []).append(labels_of(each.document))
    for service in services:
        selector = selector_of(service)
        if selector and not any(selects(selector, labels) for labels in live.get(namespace_of(service), ())):
            return True
    return False


def services_facts(slices: Iterable[Document], around: Around) -> list[Facts]:
    """The section C(services): those with a selector, and those with EndpointSlices of somebody else.

    A ready endpoint without the condition is ready, as
    https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#conditions says.
    """
    states: dict[Key, list[bool]] = {}
    for each in slices:
        service = (each["metadata"].get("labels") or {}).get(_SERVICE)
        if not service:
            continue
        found = states.setdefault((namespace_of(each), str(service)), [])
        for endpoint in each.get("endpoints") or ():
            found.append((endpoint.get("conditions") or {}).get("ready") is not False)
    known = {(namespace_of(each), name_of(each)): each for each in around.services or ()}
    for key, document in known.items():
        if selector_of(document) and (document.get("spec") or {}).get("type") != "ExternalName":
            states.setdefault(key, [])
    routed = {(namespace_of(each), name) for each in around.ingresses for name in _backends(each)}
    look = _Look(around)
    return [_facts(key, found, known.get(key), look, key in routed) for key, found in sorted(states.items())]


def _facts(key: Key, states: Sequence[bool], document: Optional[Document], look: _Look, is_routed: bool) -> Facts:
    state, selected, hint = look.at(document, states)
    return {
        "name": f"{key[0]}/{key[1]}",
        "namespace": key[0],
        "service": key[1],
        "ready_count": sum(states),
        "not_ready_count": len(states) - sum(states),
        "selector": None if document is None else _text(selector_of(document)),
        "selected_count": selected,
        "state": state,
        "selects_nothing": state == SELECTS_NOTHING,
        "nearest": hint,
        "is_routed": is_routed,
        "is_idle": _is_idle(state, has_endpoints=bool(states), is_routed=is_routed),
    }


def _is_idle(state: Optional[str], *, has_endpoints: bool, is_routed: bool) -> Optional[bool]:
    if state in _ALWAYS_IDLE:
        return True
    if state is None:
        return False if is_routed else None
    if state == NO_SELECTOR:
        return not has_endpoints and not is_routed
    return state in _IDLE_UNROUTED and not is_routed


def _text(selector: Mapping[str, str]) -> Optional[str]:
    return ",".join(f"{key}={value}" for key, value in sorted(selector.items())) or None


class _Look:
    """The pods, Services and workloads, by namespace."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._seen: dict[str, list[Seen]] = {}
        for each in around.pods.seen if around.pods else ():
            self._seen.setdefault(namespace_of(each.document), []).append(each)

    def at(
        self, service: Optional[Document], states: Sequence[bool]
    ) -> tuple[Optional[str], Optional[int], Optional[str]]:
        """What one Service is, how many pods it selects, and the labels that come nearest where it selects none."""
        selector = {} if service is None else selector_of(service)
        if service is not None and not selector:
            return NO_SELECTOR, None, None
        by_endpoints = READY if any(states) else NOT_READY if states else None
        if service is None or self._around.pods is None:
            return by_endpoints, None, None
        seen = self._seen.get(namespace_of(service), [])
        of_it = [each for each in seen if selects(selector, labels_of(each.document))]
        selected = sum(1 for each in of_it if each.is_live)
        if selected or any(states):
            return by_endpoints or NOT_READY, selected, None
        return self._without_pods(service, selector, of_it)

    def _without_pods(
        self, service: Document, selector: Mapping[str, str], gone: Sequence[Seen]
    ) -> tuple[Optional[str], int, Optional[str]]:
        namespace = namespace_of(service)
        if self._around.templates is None:
            return None, 0, None
        makers = [
            each for each in self._around.templates if each.namespace == namespace and selects(selector, each.labels)
        ]
        for state, is_so in (
            # Whoever should have pods and has none is told with its state; the selector is right.
            (NOT_READY, any(each.wants_pods for each in makers)),
            (PARKED, any(each.is_parked for each in makers)),
            (SCALED_TO_ZERO, any(not each.is_job for each in makers)),
            (BETWEEN_RUNS, bool(makers) or (bool(gone) and all(each.state.completed for each in gone))),
            (NOT_READY, bool(gone)),
            (OTHER_SIDE, self._is_other_side(service)),
            (HEADLESS, self._is_unused_headless(service)),
        ):
            if is_so:
                return state, 0, None
        live = [each for each in self._seen.get(namespace, []) if each.is_live]
        return SELECTS_NOTHING, 0, nearest(selector, live)

    def _is_other_side(self, service: Document) -> bool:
        others = [
            each
            for each in self._around.services or ()
            if namespace_of(each) == namespace_of(service) and name_of(each) != name_of(service)
        ]
        live = [labels_of(each.document) for each in self._seen.get(namespace_of(service), []) if each.is_live]
        return is_other_side(service, others, live)

    def _is_unused_headless(self, service: Document) -> bool:
        """Whether it is for names only, and no StatefulSet has its names from it."""
        if (service.get("spec") or {}).get("clusterIP") != "None":
            return False
        key = (namespace_of(service), name_of(service))
        return not any(
            (each.namespace, each.governing_service) == key and each.wants_pods for each in self._around.templates or ()
        )


def _backends(ingress: Document) -> Iterator[str]:
    """The Services that an Ingress leads to."""
    spec: Mapping[str, Any] = ingress.get("spec") or {}
    rules = [path for rule in spec.get("rules") or () for path in (rule.get("http") or {}).get("paths") or ()]
    for backend in (spec.get("defaultBackend") or {}, *(path.get("backend") or {} for path in rules)):
        name = (backend.get("service") or {}).get("name")
        if name:
            yield str(name)
