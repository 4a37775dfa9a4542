"""The lab's own door beside the API: what tests arrange in Python, for those who can only send requests.

``POST /lab/fail`` with the header ``X-Lab: 1`` and the arguments of ``KubernetesApi.fail`` as JSON answers
``{"result": …}``. Without the header the path does not exist, as on a cluster.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import yaml

from lab.kubernetes.errors import ApiError, bad_request
from lab.kubernetes.kinds import Object, UnknownKind
from lab.kubernetes.request import Request

PREFIX = "/lab/"
WORDS = frozenset(
    (
        *("create", "get", "exists", "list", "change", "delete", "event", "log", "fail", "heal", "answer", "resize"),
        *("serve", "load", "deny", "allow", "metrics", "node_metrics", "execute", "forget_versions"),
    )
)


def asked_at_the_door(request: Request) -> bool:
    return request.path.startswith(PREFIX) and request.headers.get("x-lab") == "1"


def answer_at_the_door(api: Any, request: Request) -> Object:
    """Do what a request to the door says; a manifest, or several, are enough for ``create``."""
    word = request.path[len(PREFIX) :].strip("/")
    method = getattr(api, word, None) if word in WORDS else None
    if method is None:
        raise ApiError(404, f"the lab's door knows no {word!r}, only {', '.join(sorted(WORDS))}")
    given = yaml.safe_load(request.body) if "yaml" in request.content_type else json.loads(request.body or b"{}")
    try:
        if word == "create":
            return {"result": [api.create(each) for each in manifests(given)]}
        result = method(**given)
    except (TypeError, ValueError, KeyError, UnknownKind) as error:
        raise bad_request(f"{word}: {error}") from None
    return {"result": result if isinstance(result, (dict, list, str, int, float, bool)) else None}


def manifests(content: Any) -> Iterable[Object]:
    """The objects in a document: one, a list, Kubernetes' ``List``, or ``{"manifest": …}``."""
    if isinstance(content, list):
        for each in content:
            yield from manifests(each)
    elif isinstance(content, dict) and isinstance(content.get("manifest"), (dict, list)):
        yield from manifests(content["manifest"])
    elif isinstance(content, dict) and content.get("kind") == "List":
        yield from manifests(content.get("items") or [])
    elif isinstance(content, dict):
        yield content
