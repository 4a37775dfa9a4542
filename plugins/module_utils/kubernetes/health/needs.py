# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What workloads' pods need and do not find: Secrets, ConfigMaps, and keys of them, by name. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.common import (
    Document,
    Facts,
    name_of,
    namespace_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.pods import Pods
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.references import (
    Keys,
    keys_of,
    missing_references,
    pod_spec_of,
)

Known = Optional[dict[str, dict[str, frozenset[str]]]]


def known_keys(documents: Optional[Iterable[Document]]) -> Known:
    """The names of keys by namespace and object; the values are let go at once. None for what could not be listed."""
    if documents is None:
        return None
    found: dict[str, dict[str, frozenset[str]]] = {}
    for each in documents:
        found.setdefault(namespace_of(each), {})[name_of(each)] = keys_of(each)
    return found


def references_facts(pods: Pods, secrets: Known, configmaps: Known) -> list[Facts]:
    """The section C(references), each missing thing once a workload."""
    found: dict[tuple[str, ...], Facts] = {}
    for seen in pods.seen:
        if not seen.is_live:
            continue
        kind, namespace, workload = seen.workload
        held = _of(secrets, namespace), _of(configmaps, namespace)
        for each in missing_references(pod_spec_of(seen.document), *held):
            found[namespace, workload, each.shown, each.where] = {
                "name": f"{namespace}/{workload}",
                "namespace": namespace,
                "workload_kind": kind,
                "workload": workload,
                "missing": each.shown,
                "kind": each.kind,
                "object": each.name,
                "key": each.key,
                "where": each.where,
            }
    return [facts for _key, facts in sorted(found.items())]


def _of(known: Known, namespace: str) -> Optional[Keys]:
    return None if known is None else known.get(namespace, {})
