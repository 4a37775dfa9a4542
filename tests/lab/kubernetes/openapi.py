"""As much of OpenAPI v3 as kubectl needs to leave the checks to the server: which parameters a PATCH has."""

from __future__ import annotations

from lab.kubernetes.kinds import Kind, Kinds, Object

_PREFIX = "/openapi/v3"
_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation", "force")


def openapi(path: str, kinds: Kinds) -> Object | None:
    """The index, or one group's document; None for what is not there."""
    if path == _PREFIX:
        places = {_place(kind) for kind in kinds}
        return {"paths": {place: {"serverRelativeURL": f"{_PREFIX}/{place}"} for place in sorted(places)}}
    served = [kind for kind in kinds if path == f"{_PREFIX}/{_place(kind)}"]
    if not served:
        return None
    paths = {_path(kind): {"patch": _patch(kind)} for kind in served}
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "lab"}, "paths": paths}


def _place(kind: Kind) -> str:
    return f"apis/{kind.api_version}" if kind.group else f"api/{kind.version}"


def _path(kind: Kind) -> str:
    namespaces = "/namespaces/{namespace}" if kind.namespaced else ""
    return f"/{_place(kind)}{namespaces}/{kind.plural}/{{name}}"


def _patch(kind: Kind) -> Object:
    parameters = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in _PARAMETERS]
    about = {"group": kind.group, "version": kind.version, "kind": kind.name}
    return {"parameters": parameters, "responses": {}, "x-kubernetes-group-version-kind": about}
