# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Ingresses that are there, and whether users would get to see one beside them. Pure.

Which rule wins is the controller's own: the oldest of the same path in ingress-nginx, the order of the group in the AWS
Load Balancer Controller. Where an Ingress has a load balancer of its own, nobody comes by another one.
https://kubernetes.github.io/ingress-nginx/how-it-works/ and .../user-guide/ingress-path-matching/
https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/ingress/annotations/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.closing import Barrier, is_ours

_CLASS = "kubernetes.io/ingress.class"
_ALB, _GROUP, _ORDER = (
    f"alb.ingress.kubernetes.io/{word}" for word in ("", "group.name", "group.order")
)  # fmt: skip
_SPECIAL = re.compile(r"[][()|*+?^$\\]")
Document = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """A path of an Ingress that is not ours."""

    host: str
    path: str
    ingress: str
    ingress_class: str
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_alb(self) -> bool:
        """Whether the AWS Load Balancer Controller serves it."""
        return self.ingress_class == "alb" or any(name.startswith(_ALB) for name in self.annotations)

    @property
    def order(self) -> int:
        """Its place in its group."""
        text = str(self.annotations.get(_ORDER, "0"))
        return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else 0


def rules_of(ingresses: Iterable[Mapping[str, Any]]) -> list[Rule]:
    """The rules of Ingresses that are not ours."""
    found = []
    for ingress in ingresses:
        if is_ours(ingress):
            continue
        metadata, spec = ingress["metadata"], ingress.get("spec") or {}
        annotations = metadata.get("annotations") or {}
        shown = f"{metadata.get('namespace')}/{metadata['name']}"
        given = spec.get("ingressClassName") or annotations.get(_CLASS)
        for rule in spec.get("rules") or ():
            for path in (rule.get("http") or {}).get("paths") or ():
                found.append(Rule(rule.get("host") or "", path.get("path") or "/", shown, given or "", annotations))
    return found


def tls_of(ingresses: Iterable[Mapping[str, Any]], barrier: Barrier, namespace: str) -> list[Document]:
    """The certificates of the application's own Ingresses for the hosts of ours.

    Without them Traefik would not take it for HTTPS. Secrets of other namespaces cannot be named.
    """
    found: dict[Optional[str], list[str]] = {}
    for ingress in ingresses:
        if is_ours(ingress) or ingress["metadata"].get("namespace") != namespace:
            continue
        for each in (ingress.get("spec") or {}).get("tls") or ():
            for host in each.get("hosts") or barrier.hosts:
                if any(_covers(host, ours) for ours in barrier.hosts):
                    hosts = found.setdefault(each.get("secretName"), [])
                    hosts.extend([host] if host and host not in hosts else [])
    return [
        {**({"hosts": hosts} if hosts else {}), **({"secretName": name} if name else {})}
        for name, hosts in found.items()
        if hosts or name
    ]


def _covers(host: str, ours: str) -> bool:
    return host == ours or (host.startswith("*.") and host[1:] == f".{ours.partition('.')[2]}")


def barrier_refusal(barrier: Barrier, shown: str, rules: Iterable[Rule]) -> Optional[Refusal]:
    """Why the barrier would not be what users get to see; None if it would."""
    rules = list(rules)
    for host in barrier.hosts:
        there = [each for each in rules if each.host == host]
        # A host of its own takes all paths away from a rule for every host, or for *.example.com.
        if not there:
            remedy = (
                "Write it as the application's own Ingress has it, which may be *.example.com or empty, or ask whether"
                " the traffic comes by another way than an Ingress, such as a Gateway."
            )
            return Refusal(shown, f"no Ingress has the host {host or '(every host)'}", remedy)
        classes = sorted({each.ingress_class for each in there})
        if (barrier.ingress_class or barrier.annotations.get(_CLASS) or "") not in classes:
            theirs = f"the class {classes[0]}" if classes[0] else "no class"
            reason = f"the Ingress of {host or 'every host'} has {theirs}, and ours has another"
            return Refusal(
                shown, reason, "Say the same in ingress.ingress_class; another controller is not asked by users."
            )
        for each in there:
            refusal = _balancer_refusal(barrier, shown, each) or _path_refusal(barrier, shown, each)
            if refusal:
                return refusal
    return None


def _balancer_refusal(barrier: Barrier, shown: str, there: Rule) -> Optional[Refusal]:
    """Where every Ingress has a load balancer of its own, ours has to be at that of the application."""
    if there.ingress_class.startswith("gce"):
        reason = f"Ingress {there.ingress} has a load balancer of its own, and ours would be another that nobody asks"
        return Refusal(shown, reason, "Close the application by its own flag.")
    if any(name.startswith(("nginx.org/", "nginx.com/")) for name in there.annotations):
        reason = f"the controller of Ingress {there.ingress} gives a host to the oldest Ingress alone"
        return Refusal(shown, reason, "Close the application by its own flag.")
    if not there.is_alb:
        return None
    group = there.annotations.get(_GROUP)
    if not group:
        reason = f"Ingress {there.ingress} has a load balancer of its own, because it is in no group"
        remedy = f"Close the application by its own flag, or give its Ingress a group ({_GROUP})."
        return Refusal(shown, reason, remedy)
    order = str(barrier.annotations.get(_ORDER, "0"))
    comes_first = re.fullmatch(r"-?[0-9]{1,9}", order) is not None and int(order) < there.order
    if barrier.annotations.get(_GROUP) == group and comes_first:
        return None
    reason = f"Ingress {there.ingress} is of the group {group} with the order {there.order}, and ours comes not before"
    remedy = f"Name in ingress.annotations {_GROUP}: {group}, and a lower {_ORDER} such as {there.order - 1}."
    return Refusal(shown, reason, remedy)


def _path_refusal(barrier: Barrier, shown: str, there: Rule) -> Optional[Refusal]:
    # By its order in the group ours comes before all paths of the others.
    if barrier.overrides or there.is_alb:
        return None
    literal = _SPECIAL.split(there.path, maxsplit=1)[0]
    for path in barrier.paths:
        ours, theirs = path.rstrip("/"), there.path.rstrip("/")
        if theirs == ours:
            remedy = (
                "Name a longer path, close the application by its own flag, or give it precedence by annotations of"
                " your controller and say so (overrides)."
            )
            reason = f"Ingress {there.ingress} has the same path {path} of {there.host}, and the older one wins"
            return Refusal(shown, reason, remedy)
        is_regular = literal != there.path
        if is_regular and len(there.path) >= len(path) and _meet(literal, ours):
            reason = f"Ingress {there.ingress} has the regular expression {there.path}, which wins because it is longer"
            remedy = "Close the application by its own flag, or name a path that is longer than it."
            return Refusal(shown, reason, remedy)
        if not is_regular and theirs.startswith(f"{ours}/") and there.path not in barrier.open_paths:
            reason = f"Ingress {there.ingress} has {there.path} below {path}, and the longer path wins and stays open"
            remedy = "Close the application by its own flag, or say that it may stay open (ingress.open_paths)."
            return Refusal(shown, reason, remedy)
    return None


def _meet(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)
