"""What clients send: manifests and patches."""

from __future__ import annotations

import base64
from typing import Any

from lab.kubernetes.errors import ApiError, bad_request
from lab.kubernetes.kinds import Kind, Object
from lab.kubernetes.patches import json_patch, merge_patch, strategic_patch
from lab.kubernetes.request import Address, Request

APPLY = ("application/apply-patch+yaml", "application/apply-patch+json")
STRATEGIC = "application/strategic-merge-patch+json"


def manifest_of(content: Any, address: Address) -> Object:
    """A body that is an object of the address's kind, name and namespace."""
    if not isinstance(content, dict):
        raise bad_request("the body is no object")
    kind = address.kind
    if content.get("kind", kind.name) != kind.name or content.get("apiVersion", kind.api_version) != kind.api_version:
        raise bad_request(
            f'{content.get("kind")} in version "{str(content.get("apiVersion")).rpartition("/")[2]}" cannot be handled '
            f"as a {kind.name}: it is no {kind.name} of {kind.api_version}"
        )
    metadata = dict(content.get("metadata") or {})
    if metadata.get("namespace", address.namespace) != address.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    if address.name and metadata.get("name", address.name) != address.name:
        raise bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL ({address.name})"
        )
    return {**content, "metadata": metadata}


def patched(request: Request, kind: Kind, old: Object) -> Object:
    """The object after a patch that is no apply of a whole manifest."""
    patch = request.content()
    how = request.content_type
    if how == "application/json-patch+json":
        return json_patch(old, patch)
    if not isinstance(patch, dict):
        raise bad_request("json: cannot unmarshal array into Go value of type map[string]interface {}")
    if how == "application/merge-patch+json":
        new: Object = merge_patch(old, patch)
    elif (how == STRATEGIC and not kind.custom) or how in APPLY:
        new = strategic_patch(old, patch)
    else:
        accepted = ["application/json-patch+json", "application/merge-patch+json"]
        if not kind.custom:
            accepted.append(STRATEGIC)
        raise ApiError(
            415,
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join((*accepted, APPLY[0])),
        )
    return new


def fold_string_data(secret: Object) -> None:
    """A secret's stringData is written only: it is read as data."""
    given = secret.pop("stringData", None) or {}
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in given.items()}
    if encoded:
        secret["data"] = {**(secret.get("data") or {}), **encoded}
    secret.setdefault("type", "Opaque")
