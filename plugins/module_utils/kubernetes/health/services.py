# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services as facts: how many of their endpoints are ready. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.common import (
    Document,
    Facts,
    namespace_of,
)

_SERVICE = "kubernetes.io/service-name"


def services_facts(slices: Iterable[Document]) -> list[Facts]:
    """The section C(services), from EndpointSlices.

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
    return [
        {
            "name": f"{namespace}/{service}",
            "namespace": namespace,
            "service": service,
            "ready_count": sum(states),
            "not_ready_count": len(states) - sum(states),
        }
        for (namespace, service), states in sorted(found.items())
    ]
