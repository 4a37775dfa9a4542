# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services as facts: how many of their endpoints are ready. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.common import (
    Document,
    Facts,
    namespace_of,
)

_SERVICE = "kubernetes.io/service-name"


def services_facts(slices: Iterable[Document], ingresses: Iterable[Document]) -> list[Facts]:
    """The section C(services), from EndpointSlices.

    One that selects nothing and that no Ingress leads to is idle, as the other one of blue and green is.

    Every Service with a selector has a slice, an empty one where it selects nothing. A ready endpoint without the
    condition is ready, as https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#conditions says.
    """
    found: dict[tuple[str, str], list[bool]] = {}
    for each in slices:
        service = (each["metadata"].get("labels") or {}).get(_SERVICE)
        if not service:
            continue
        states = found.setdefault((namespace_of(each), str(service)), [])
        for endpoint in each.get("endpoints") or ():
            states.append((endpoint.get("conditions") or {}).get("ready") is not False)
    routed = {(namespace_of(each), name) for each in ingresses for name in _backends(each)}
    return [
        {
            "name": f"{namespace}/{service}",
            "namespace": namespace,
            "service": service,
            "ready_count": sum(states),
            "not_ready_count": len(states) - sum(states),
            "is_idle": not states and (namespace, service) not in routed,
        }
        for (namespace, service), states in sorted(found.items())
    ]


def _backends(ingress: Document) -> Iterator[str]:
    """The Services that an Ingress leads to."""
    spec = ingress.get("spec") or {}
    rules = [path for rule in spec.get("rules") or () for path in (rule.get("http") or {}).get("paths") or ()]
    for backend in (spec.get("defaultBackend") or {}, *(path.get("backend") or {} for path in rules)):
        name = (backend.get("service") or {}).get("name")
        if name:
            yield str(name)
