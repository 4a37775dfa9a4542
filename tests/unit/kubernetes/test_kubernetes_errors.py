"""What the person on call reads when the cluster says no, or nothing."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import (
    Attempt,
    retry_seconds,
    silence_error,
    status_error,
    status_of,
)

CLUSTER = "https://k8s.example.com"
CLAIM = Attempt("patch", "persistentvolumeclaims", "shop", "data")


@pytest.mark.parametrize(
    ("status", "message", "kind", "text"),
    [
        (
            403,
            'persistentvolumeclaims "data" is forbidden: User "ops" cannot patch resource "persistentvolumeclaims"',
            "forbidden",
            "https://k8s.example.com refuses to patch persistentvolumeclaims data in namespace shop"
            ' (persistentvolumeclaims "data" is forbidden: User "ops" cannot patch resource "persistentvolumeclaims").'
            " Grant the user the verb patch on persistentvolumeclaims in namespace shop.",
        ),
        (
            403,
            "exceeded quota: storage, requested: requests.storage=100Gi",
            "refused",
            "https://k8s.example.com refused to patch persistentvolumeclaims data in namespace shop (exceeded quota:"
            " storage, requested: requests.storage=100Gi). Change the request, or the rule that is named.",
        ),
        (
            401,
            "Unauthorized",
            "unauthorized",
            "https://k8s.example.com does not accept the login. Correct api_key, or the user of the context in"
            " kubeconfig.",
        ),
        (
            404,
            'persistentvolumeclaims "data" not found',
            "missing",
            "persistentvolumeclaims data in namespace shop is not there on https://k8s.example.com"
            ' (persistentvolumeclaims "data" not found). Correct the name, the namespace or the context.',
        ),
        (
            409,
            "the object has been modified",
            "conflict",
            "persistentvolumeclaims data in namespace shop was changed by somebody else meanwhile. Look at it, and run"
            " the task again.",
        ),
        (
            503,
            "",
            "busy",
            "https://k8s.example.com failed to patch persistentvolumeclaims data in namespace shop, HTTP status 503."
            " Try again; if it lasts, look at the API server.",
        ),
        (
            302,
            "",
            "other",
            "https://k8s.example.com failed to patch persistentvolumeclaims data in namespace shop. HTTP status 302."
            " Correct host, it may be no API server.",
        ),
    ],
)
def test_answers(status: int, message: str, kind: str, text: str) -> None:
    error = status_error(CLAIM, cluster=CLUSTER, status=status, message=message, reason="")
    assert (error.kind, error.message) == (kind, text)


@pytest.mark.parametrize(
    ("names", "kind", "text"),
    [
        (
            ("NewConnectionError", "ConnectTimeoutError"),
            "down",
            "cannot be reached (refused). Start it, or correct host",
        ),
        (("ReadTimeoutError", "TimeoutError"), "timeout", "does not answer in time when asked to patch"),
        (("SSLError",), "tls", "is not accepted (refused). Name its authority in ca_cert"),
        (("ProtocolError",), "interrupted", "broke off when asked to patch persistentvolumeclaims data"),
    ],
)
def test_silence(names: tuple[str, ...], kind: str, text: str) -> None:
    error = silence_error(CLAIM, cluster=CLUSTER, names=names, detail="refused")
    assert error.kind == kind
    assert text in error.message


def test_what_concerns_the_whole_cluster() -> None:
    assert silence_error(CLAIM, cluster=CLUSTER, names=("X",), detail="").is_cluster_wide
    assert not status_error(CLAIM, cluster=CLUSTER, status=404, message="", reason="").is_cluster_wide


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"kind": "Status", "message": "no\\n such.", "reason": "NotFound"}', ("no such", "NotFound")),
        ("<html>Bad\nGateway</html>", ("<html>Bad Gateway</html>", "")),
        ("[]", ("[]", "")),
        ("", ("", "")),
    ],
)
def test_the_body_of_a_failure(body: str, expected: tuple[str, str]) -> None:
    assert status_of(body) == expected


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry-After": "3"}, 3.0),
        (429, {"Retry-After": "0"}, 0.1),
        (429, {}, None),
        (429, None, None),
        (429, {"Retry-After": "Sat, 31 Jan 2026 08:00:00 GMT"}, None),
        # Nobody knows how far it came.
        (503, {"Retry-After": "3"}, None),
    ],
)
def test_when_a_busy_server_wants_to_be_asked_again(
    status: int, headers: dict[str, str] | None, seconds: float | None
) -> None:
    assert retry_seconds(status, headers) == seconds
