# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what is dangerous, by what roles contain and not by what they are called. Pure.

The verbs are those of https://kubernetes.io/docs/concepts/security/rbac-good-practices/.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

ADMIN, WILDCARD, SECRETS, ESCALATE = "admin", "wildcard", "secrets", "escalate"
_ANONYMOUS = {("User", "system:anonymous"), ("Group", "system:unauthenticated")}
_EVERYBODY = {("Group", "system:authenticated"), ("Group", "system:serviceaccounts")}
_BUILT_IN_LABEL = ("kubernetes.io/bootstrapping", "rbac-defaults")
_RBAC_GROUP = "rbac.authorization.k8s.io"
_ROLES = ("roles", "clusterroles")
_PERSONS = ("users", "groups", "serviceaccounts", "userextras", "uids")
Rule = Mapping[str, Any]


@dataclass(frozen=True)
class Grant:
    """One subject of one binding, and the rules it gets in C(scope), a namespace or None for the whole cluster."""

    kind: str
    name: str
    namespace: Optional[str]
    binding: str
    role: str
    scope: Optional[str]
    rules: Sequence[Rule]
    is_built_in: bool

    @property
    def subject(self) -> str:
        """Such as C(ServiceAccount shop/default) or C(Group developers)."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody has to log in for it."""
        return (self.kind, self.name) in _ANONYMOUS

    @property
    def is_everybody(self) -> bool:
        """Whether every login, or every pod, has it."""
        return (self.kind, self.name) in _EVERYBODY or self.name.startswith("system:serviceaccounts:")

    @property
    def is_default_account(self) -> bool:
        """Whether every pod of a namespace has it that says nothing about its account."""
        return self.kind == "ServiceAccount" and self.name == "default"

    def facts(self, detail: str) -> dict[str, Any]:
        """As results have it."""
        return {
            "subject": self.subject,
            "binding": self.binding,
            "role": self.role,
            "scope": self.scope or "the whole cluster",
            "is_everybody": self.is_everybody,
            "detail": detail,
        }


def powers_of(rules: Iterable[Rule]) -> dict[str, str]:
    """The dangerous powers that rules give, each with what it consists of."""
    found: dict[str, str] = {}
    for rule in rules:
        verbs, resources = set(rule.get("verbs") or ()), set(rule.get("resources") or ())
        groups = set(rule.get("apiGroups") or ())
        if not resources:
            continue
        if "*" in verbs and "*" in resources and "*" in groups:
            return {ADMIN: "every verb on everything"}
        for power, detail in _powers(verbs, resources, groups, rule.get("resourceNames") or ()):
            found.setdefault(power, detail)
    return found


def _powers(verbs: set[str], resources: set[str], groups: set[str], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    shown = ", ".join(sorted(resources))
    if "*" in verbs:
        yield WILDCARD, f"every verb on {shown}"
    reads = sorted(verbs & {"get", "list", "watch", "*"})
    if reads and resources & {"secrets", "*"} and groups & {"", "*"}:
        only = f" {', '.join(names)}" if names else ""
        yield SECRETS, f"{', '.join(reads)} on secrets{only}"
    raises = sorted(verbs & {"escalate", "bind", "*"})
    if raises and resources & {*_ROLES, "*"} and groups & {_RBAC_GROUP, "*"}:
        yield ESCALATE, f"{', '.join(raises)} on {shown}"
    if "impersonate" in verbs and resources & {*_PERSONS, "*"}:
        yield ESCALATE, f"impersonate on {shown}"


def grants_of(
    roles: Iterable[Mapping[str, Any]],
    cluster_roles: Iterable[Mapping[str, Any]],
    bindings: Iterable[Mapping[str, Any]],
    cluster_bindings: Iterable[Mapping[str, Any]],
) -> tuple[list[Grant], list[dict[str, Any]]]:
    """Every subject with the rules it gets, and bindings to roles that are not there."""
    known: dict[tuple[Optional[str], str], Sequence[Rule]] = {}
    for each in cluster_roles:
        known[(None, each["metadata"]["name"])] = each.get("rules") or ()
    for each in roles:
        known[(each["metadata"]["namespace"], each["metadata"]["name"])] = each.get("rules") or ()
    found: list[Grant] = []
    dangling = []
    for kind, binding in [
        *(("ClusterRoleBinding", each) for each in cluster_bindings),
        *(("RoleBinding", each) for each in bindings),
    ]:
        metadata, reference = binding["metadata"], binding["roleRef"]
        scope = metadata.get("namespace") if kind == "RoleBinding" else None
        shown = f"{kind} {scope}/{metadata['name']}" if scope else f"{kind} {metadata['name']}"
        place = None if reference["kind"] == "ClusterRole" else scope
        role = f"{reference['kind']} {reference['name']}"
        rules = known.get((place, reference["name"]))
        if rules is None:
            dangling.append({"binding": shown, "role": role})
            continue
        label, value = _BUILT_IN_LABEL
        for subject in binding.get("subjects") or ():
            # Kubernetes writes these bindings anew when it starts; whoever else is in one was put there.
            built_in = (metadata.get("labels") or {}).get(label) == value and str(subject["name"]).startswith("system:")
            namespace = (subject.get("namespace") or scope) if subject["kind"] == "ServiceAccount" else None
            found.append(Grant(subject["kind"], subject["name"], namespace, shown, role, scope, rules, built_in))
    return found, dangling


def audit(grants: Iterable[Grant], dangling: list[dict[str, Any]], expected: Iterable[str] = ()) -> dict[str, Any]:
    """The lists that rules judge.

    Args:
        grants: Of C(grants_of).
        dangling: Of C(grants_of).
        expected: Subjects that have their powers for a reason, as C(Grant.subject) names them.

    """
    known = set(expected)
    lists: dict[str, list[dict[str, Any]]] = {
        name: []
        for name in (
            "cluster_admins", "namespace_admins", "wildcards", "secret_readers", "escalators", "anonymous",
            "default_accounts", "expected",
        )
    }  # fmt: skip
    built_in = 0
    for grant in grants:
        powers = powers_of(grant.rules)
        if grant.is_built_in:
            built_in += 1
            continue
        if grant.is_anonymous:
            lists["anonymous"].append(grant.facts(", ".join(powers.values()) or "what the role allows"))
            continue
        if grant.is_default_account and grant.rules:
            lists["default_accounts"].append(grant.facts(", ".join(powers.values()) or "what the role allows"))
        for power, detail in powers.items():
            if grant.subject in known:
                lists["expected"].append(grant.facts(detail))
                continue
            lists[_list_of(power, grant)].append(grant.facts(detail))
    for entries in lists.values():
        entries.sort(key=lambda entry: (entry["subject"], entry["binding"]))
    return {**lists, "dangling": sorted(dangling, key=lambda each: str(each["binding"])), "built_in": built_in}


def _list_of(power: str, grant: Grant) -> str:
    if power == ADMIN:
        return "namespace_admins" if grant.scope else "cluster_admins"
    return {WILDCARD: "wildcards", SECRETS: "secret_readers", ESCALATE: "escalators"}[power]
