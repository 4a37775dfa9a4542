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

ADMIN, WILDCARD, SECRETS, ESCALATE, EXECUTE = "admin", "wildcard", "secrets", "escalate", "execute"
_ANONYMOUS = {("User", "system:anonymous"), ("Group", "system:unauthenticated")}
_EVERYBODY = {("Group", "system:authenticated"), ("Group", "system:serviceaccounts")}
_BUILT_IN_LABEL = ("kubernetes.io/bootstrapping", "rbac-defaults")
# Everybody is in these, by Kubernetes itself, and in the one by which nodes find a cluster of kubeadm.
_BUILT_IN_FOR_EVERYBODY = {
    "system:basic-user", "system:discovery", "system:public-info-viewer", "system:service-account-issuer-discovery",
}  # fmt: skip
_BUILT_IN_OF_KUBEADM = {
    ("kubeadm:bootstrap-signer-clusterinfo", "User", "system:anonymous"),
    ("kubeadm:cluster-admins", "Group", "kubeadm:cluster-admins"),
}
_ACCOUNT_BY_ITS_USER = "system:serviceaccount:"
_RBAC_GROUP = "rbac.authorization.k8s.io"
_ROLES = ("roles", "clusterroles")
_PERSONS = ("users", "groups", "serviceaccounts", "userextras", "uids")
# Whoever is in a pod, or makes a token, has what its account has.
_SHELLS = ("pods/exec", "pods/attach", "pods/ephemeralcontainers", "nodes/proxy")
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


def powers_of(rules: Iterable[Rule], *, in_namespace: bool = False) -> dict[str, str]:
    """The dangerous powers that rules give, each with what it consists of.

    Args:
        rules: Of a role. Those of an aggregated one are filled in by the cluster.
        in_namespace: Whether they are given for one namespace only.

    """
    found: dict[str, str] = {}
    for rule in rules:
        verbs, resources = set(rule.get("verbs") or ()), set(rule.get("resources") or ())
        groups, names = set(rule.get("apiGroups") or ()), rule.get("resourceNames") or ()
        if not resources:
            continue
        if "*" in verbs and "*" in resources and "*" in groups and not names:
            return {ADMIN: "every verb on everything"}
        for power, detail in (
            *_powers(verbs, resources, groups, names),
            *_borrowed(verbs, resources, groups, names, in_namespace),
        ):
            found.setdefault(power, detail)
    return found


def _powers(verbs: set[str], resources: set[str], groups: set[str], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    shown = ", ".join(sorted(resources))
    if "*" in verbs:
        yield WILDCARD, f"every verb on {shown}"
    reads = sorted(verbs & {"get", "list", "watch", "*"})
    # Whose Secrets are named has what it needs, and no more.
    if reads and resources & {"secrets", "*"} and groups & {"", "*"} and not names:
        yield SECRETS, f"{', '.join(reads)} on secrets"
    raises = sorted(verbs & {"escalate", "bind", "*"})
    if raises == ["bind"] and names and "cluster-admin" not in names:
        # It gives away those roles, and nothing else.
        raises = []
    if raises and resources & {*_ROLES, "*"} and groups & {_RBAC_GROUP, "*"}:
        yield ESCALATE, f"{', '.join(raises)} on {shown}"


def _borrowed(
    verbs: set[str], resources: set[str], groups: set[str], names: Sequence[str], in_namespace: bool
) -> Iterator[tuple[str, str]]:
    """Powers of others that one can take: by their names, by their pods, by their tokens, by certificates."""
    shown = ", ".join(sorted(resources))
    is_core, creates = bool(groups & {"", "*"}), bool(verbs & {"create", "*"})
    everyone = not names or any(each.startswith("system:") for each in names)
    if verbs & {"impersonate"} and resources & {*_PERSONS, "*"} and everyone:
        # Users and groups are of no namespace.
        yield (EXECUTE if in_namespace else ESCALATE), f"impersonate on {shown}"
    if creates and is_core and resources & {"serviceaccounts/token", "*/token"} and not names:
        yield (EXECUTE if in_namespace else ESCALATE), f"create on {shown}"
    signs = verbs & {"update", "patch", "*"} and resources & {"certificatesigningrequests/approval", "*/approval"}
    if signs and groups & {"certificates.k8s.io", "*"} and not in_namespace:
        yield ESCALATE, f"{', '.join(sorted(verbs))} on {shown}"
    shells = resources & {*_SHELLS, *(f"*/{each.partition('/')[2]}" for each in _SHELLS), "*"}
    if shells and is_core and verbs & {"create", "get", "update", "patch", "*"} and ("*" not in shells or creates):
        yield EXECUTE, f"{', '.join(sorted(verbs))} on {', '.join(sorted(shells))}"


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
        for subject in binding.get("subjects") or ():
            who = _subject(subject, scope)
            found.append(Grant(*who, shown, role, scope, rules, _is_built_in(metadata, *who)))
    return found, dangling


def _subject(subject: Mapping[str, Any], scope: Optional[str]) -> tuple[str, str, Optional[str]]:
    """Kind, name, and an account's namespace, also when it is written as the user that it logs in as."""
    kind, name = str(subject["kind"]), str(subject["name"])
    if kind == "User" and name.startswith(_ACCOUNT_BY_ITS_USER):
        namespace, _colon, account = name[len(_ACCOUNT_BY_ITS_USER) :].partition(":")
        return "ServiceAccount", account, namespace
    return kind, name, (subject.get("namespace") or scope) if kind == "ServiceAccount" else None


def _is_built_in(metadata: Mapping[str, Any], kind: str, name: str, namespace: Optional[str]) -> bool:
    """Whether Kubernetes itself gives it. It writes its bindings anew; whoever else is in one was put there."""
    binding = str(metadata["name"])
    if (binding, kind, name) in _BUILT_IN_OF_KUBEADM:
        return True
    label, value = _BUILT_IN_LABEL
    if (metadata.get("labels") or {}).get(label) != value:
        return False
    if binding == "cluster-admin":
        return (kind, name) == ("Group", "system:masters")
    if not binding.startswith("system:"):
        return False
    if (kind, name) in _ANONYMOUS | _EVERYBODY:
        return binding in _BUILT_IN_FOR_EVERYBODY
    if kind == "ServiceAccount":
        # The controllers' own, such as system:controller:job-controller.
        return namespace == "kube-system" and binding.endswith((f":{name}", f"-{name}"))
    return name.startswith("system:")


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
            "cluster_admins", "namespace_admins", "wildcards", "secret_readers", "escalators", "executors", "anonymous",
            "everybody", "default_accounts", "expected",
        )
    }  # fmt: skip
    built_in = 0
    for grant in grants:
        powers = powers_of(grant.rules, in_namespace=grant.scope is not None)
        if grant.is_built_in:
            built_in += 1
            continue
        if grant.is_anonymous:
            lists["anonymous"].append(grant.facts(", ".join(powers.values()) or "what the role allows"))
            continue
        if grant.is_everybody and powers:
            lists["everybody"].append(grant.facts(", ".join(powers.values())))
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
    names = {WILDCARD: "wildcards", SECRETS: "secret_readers", ESCALATE: "escalators", EXECUTE: "executors"}
    return names[power]
