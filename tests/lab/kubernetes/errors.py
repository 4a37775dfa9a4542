"""Refusals in the server's own words: every error is a Status object."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lab.kubernetes.kinds import Kind, Object

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class ApiError(Exception):
    """What the server answers instead of the object."""

    def __init__(
        self, code: int, message: str, reason: str | None = None, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or REASONS.get(code, "Unknown")
        self.details = details or {}

    def status(self) -> Object:
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            **({"details": self.details} if self.details else {}),
            "code": self.code,
        }


def _details(kind: Kind, name: str) -> dict[str, Any]:
    return {"name": name, **({"group": kind.group} if kind.group else {}), "kind": kind.plural}


def not_found(kind: Kind, name: str) -> ApiError:
    return ApiError(404, f'{kind.qualified} "{name}" not found', details=_details(kind, name))


def already_exists(kind: Kind, name: str) -> ApiError:
    return ApiError(409, f'{kind.qualified} "{name}" already exists', "AlreadyExists", _details(kind, name))


def conflict(kind: Kind, name: str, why: str | None = None) -> ApiError:
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {kind.qualified} "{name}": {why}'
    return ApiError(409, message, details=_details(kind, name))


def forbidden(kind: Kind, name: str, why: str) -> ApiError:
    return ApiError(403, f'{kind.qualified} "{name}" is forbidden: {why}', details=_details(kind, name))


def invalid(kind: Kind, name: str, field: str, kind_of_error: str, detail: str) -> ApiError:
    """One field's error: ``kind_of_error`` is ``Forbidden``, ``Required value`` or ``Invalid value: …``."""
    return invalid_fields(kind, name, [(field, kind_of_error, detail)])


_CAUSES = {
    "Required value": "FieldValueRequired",
    "Forbidden": "FieldValueForbidden",
    "Not found": "FieldValueNotFound",
    "Duplicate value": "FieldValueDuplicate",
}


def invalid_fields(kind: Kind, name: str, errors: Iterable[tuple[str, str, str]]) -> ApiError:
    """The errors of several fields."""
    qualified = f"{kind.name}.{kind.group}" if kind.group else kind.name
    causes, texts = [], []
    for field, kind_of_error, detail in errors:
        text = f"{kind_of_error}: {detail}" if detail else kind_of_error
        reason = _CAUSES.get(kind_of_error.partition(": ")[0], "FieldValueInvalid")
        causes.append({"reason": reason, "message": text, "field": field})
        texts.append(f"{field}: {text}")
    shown = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = {**_details(kind, name), "kind": kind.name, "causes": causes}
    return ApiError(422, f'{qualified} "{name}" is invalid: {shown}', details=details)


def bad_request(message: str) -> ApiError:
    return ApiError(400, message)
