"""Who may do what: everything, but for what a test denies; the reviews and the requests themselves agree."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import Any

from lab.kubernetes.errors import ApiError, bad_request
from lab.kubernetes.kinds import Kind, Kinds, Object
from lab.kubernetes.request import Address, Request

USER = "runbook"
REVIEWS = ("selfsubjectaccessreviews", "selfsubjectrulesreviews")
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True)
class Action:
    """One thing a client wants to do, in the words of access rules."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def part(self) -> str:
        """``pods/exec``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    def denial(self) -> ApiError:
        """403, as the server says it."""
        place = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        named = f' "{self.name}"' if self.name else ""
        qualified = f"{self.resource}.{self.group}" if self.group else self.resource
        details: Object = {"name": self.name} if self.name else {}
        details |= {"group": self.group} if self.group else {}
        return ApiError(
            403,
            f'{qualified}{named} is forbidden: User "{USER}" cannot {self.verb} resource "{self.part}" '
            f'in API group "{self.group}" {place}',
            details=details | {"kind": self.resource},
        )


def action_of(request: Request, address: Address) -> Action:
    """What a request wants to do."""
    verb = _VERBS.get(request.method, "get")
    if address.subresource == "exec":
        verb = "create"  # by websocket it comes as a GET, and is the same
    elif not address.name:
        if verb == "get":
            verb = "watch" if request.flag("watch") else "list"
        elif verb == "delete":
            verb = "deletecollection"
    kind = address.kind
    return Action(verb, kind.group, kind.plural, address.subresource, address.namespace, address.name)


@dataclass(frozen=True)
class Denial:
    """A rule: ``resource`` is ``pods``, ``pods/exec``, ``deployments.apps`` or ``*``; namespace None is anywhere."""

    verb: str
    resource: str
    namespace: str | None = None

    def concerns(self, action: Action) -> bool:
        subresource = f"/{action.subresource}" if action.subresource else ""
        names = (action.part, f"{action.resource}.{action.group}{subresource}")
        return (
            fnmatch.fnmatchcase(action.verb, self.verb)
            and any(fnmatch.fnmatchcase(name, self.resource) for name in names)
            and (self.namespace is None or fnmatch.fnmatchcase(action.namespace, self.namespace))
        )


class Access:
    """The denials of a cluster."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._denials: list[Denial] = []

    def deny(self, denial: Denial) -> None:
        self._denials.append(denial)

    def allow(self, denial: Denial | None = None) -> None:
        """Take a denial back, or all of them."""
        self._denials = [each for each in self._denials if denial is not None and each != denial]

    def allows(self, action: Action) -> bool:
        return not any(each.concerns(action) for each in self._denials)

    def check(self, request: Request, address: Address) -> None:
        """Refuse what is denied."""
        action = action_of(request, address)
        if address.kind.plural not in REVIEWS and not self.allows(action):
            raise action.denial()

    def review(self, request: Request, kind: Kind) -> Object:
        """The answer to a SelfSubjectAccessReview or a SelfSubjectRulesReview."""
        asked = request.content()
        spec = asked.get("spec") or {} if isinstance(asked, dict) else {}
        status = self._rules(spec) if kind.name == "SelfSubjectRulesReview" else self._verdict(spec)
        return {"kind": kind.name, "apiVersion": kind.api_version, "metadata": {}, "spec": spec, "status": status}

    def _verdict(self, spec: Object) -> Object:
        if spec.get("nonResourceAttributes"):
            return {"allowed": True}
        asked: Any = spec.get("resourceAttributes")
        if not isinstance(asked, dict):
            raise bad_request("spec.resourceAttributes: Invalid value: exactly one of nonResourceAttributes or it")
        names = ("verb", "group", "resource", "subresource", "namespace", "name")
        action = Action(**{name: str(asked.get(name) or "") for name in names})
        return {"allowed": True, "reason": "the lab allows what is not denied"} if self.allows(action) else _NO

    def _rules(self, spec: Object) -> Object:
        namespace = spec.get("namespace")
        if not namespace:
            raise bad_request("no namespace on request")
        rules = []
        for kind in self._kinds:
            for part in ("", *kind.subresources):
                actions = [Action(verb, kind.group, kind.plural, part, namespace) for verb in kind.verbs]
                verbs = [each.verb for each in actions if self.allows(each)]
                if verbs:
                    rules.append({"verbs": verbs, "apiGroups": [kind.group], "resources": [actions[0].part]})
        paths = [{"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/version"]}]
        return {"resourceRules": rules, "nonResourceRules": paths, "incomplete": False}


_NO: Object = {"allowed": False}
