"""What a client finds out before it asks for objects: versions, groups, resources."""

from __future__ import annotations

from typing import Any

from lab.kubernetes.kinds import Kind, Kinds, Object

VERSION = {
    "major": "1",
    "minor": "34",
    "gitVersion": "v1.34.2",
    "gitCommit": "8cc511e399b929453cd98ae65b419c3cc227ec79",
    "gitTreeState": "clean",
    "buildDate": "2025-11-11T19:03:41Z",
    "goVersion": "go1.24.9",
    "compiler": "gc",
    "platform": "linux/amd64",
}
_PARTS: dict[str, tuple[str, str, str, list[str]]] = {
    "scale": ("autoscaling", "v1", "Scale", ["get", "patch", "update"]),
    "eviction": ("policy", "v1", "Eviction", ["create"]),
    "exec": ("", "v1", "PodExecOptions", ["create", "get"]),
    "log": ("", "", "", ["get"]),
}


def discovery(path: str, kinds: Kinds, host: str) -> Any:
    """The document at a path of the discovery, None where there is none."""
    steps = [step for step in path.split("/") if step]
    if steps == ["version"]:
        return VERSION
    if steps == ["api"]:
        client = [{"clientCIDR": "0.0.0.0/0", "serverAddress": host}]
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": client}
    if steps == ["apis"]:
        groups = [_group(group, versions) for group, versions in kinds.groups().items()]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    if steps[:1] == ["apis"] and len(steps) == 2 and steps[1] in kinds.groups():
        return {"kind": "APIGroup", "apiVersion": "v1", **_group(steps[1], kinds.groups()[steps[1]])}
    if steps[:1] == ["api"] and len(steps) == 2:
        return _resources(kinds.of_version("", steps[1]))
    if steps[:1] == ["apis"] and len(steps) == 3:
        return _resources(kinds.of_version(steps[1], steps[2]))
    return None


def _group(group: str, versions: list[str]) -> Object:
    named = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": named, "preferredVersion": named[0]}


def _resources(kinds: list[Kind]) -> Object | None:
    if not kinds:
        return None
    resources: list[Object] = []
    for kind in kinds:
        shared = {"singularName": "", "namespaced": kind.namespaced}
        whole: Object = {"singularName": kind.name.lower(), "kind": kind.name, "verbs": list(kind.verbs)}
        if kind.short:
            whole["shortNames"] = list(kind.short)
        if kind.categories:
            whole["categories"] = list(kind.categories)
        resources.append({"name": kind.plural, **shared, **whole})
        for subresource in kind.subresources:
            group, version, name, verbs = _PARTS.get(subresource, ("", "", "", ["get", "patch", "update"]))
            each: Object = {"name": f"{kind.plural}/{subresource}", **shared, "kind": name or kind.name, "verbs": verbs}
            if group:
                each |= {"group": group, "version": version}
            resources.append(each)
    served = kinds[0].api_version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": served, "resources": resources}
