# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong with a cluster, in sentences for the person on call. Pure: statuses in, text out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable


@dataclass(frozen=True)
class Attempt:
    """What is asked of the API server, in the words of its access rules: C(get) C(pods/log), for example."""

    verb: str
    resource: str
    namespace: Optional[str] = None
    name: Optional[str] = None

    @property
    def subject(self) -> str:
        """The objects, with their place."""
        name = f" {self.name}" if self.name else ""
        place = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.resource}{name}{place}"

    @property
    def text(self) -> str:
        """The attempt as part of a sentence."""
        return f"{self.verb} {self.subject}"


class ClusterError(Unavailable):
    """One request failed; C(kind) is one of the words below, C(status) the HTTP status or None without an answer."""

    def __init__(self, message: str, kind: str, status: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        # Kubernetes' own word, such as C(NotFound).
        self.reason = reason
        # After how many seconds the server wants to be asked again; None where it does not say.
        self.retry_after: Optional[float] = None

    @property
    def is_cluster_wide(self) -> bool:
        """Whether every other request would fail in the same way."""
        return self.kind in {"unauthorized", "down", "timeout", "tls"}


def status_of(body: str) -> tuple[str, str]:
    """C(message) and C(reason) of a Status, Kubernetes' document about a failure; of other text its beginning."""
    try:
        document: Any = json.loads(body)
    except ValueError:
        document = None
    if isinstance(document, dict):
        return _one_line(str(document.get("message") or "")), str(document.get("reason") or "")
    return _one_line(body)[:200], ""


def retry_seconds(status: int, headers: Optional[Mapping[str, str]]) -> Optional[float]:
    """After how many seconds a server that has too much to do wants to be asked again; None where it does not say.

    https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
    """
    said = str((headers or {}).get("Retry-After") or "")
    # A moment in words of HTTP, which API servers do not send.
    return max(0.1, float(said)) if status == 429 and said.isdigit() else None


def status_error(attempt: Attempt, *, cluster: str, status: int, message: str, reason: str) -> ClusterError:
    """The sentence for an answer that is a failure.

    Args:
        attempt: What was asked for.
        cluster: How messages name the cluster.
        status: The HTTP status.
        message: The server's own text, without secrets.
        reason: Kubernetes' word for it.

    """
    said = f" ({message})" if message else ""
    failed = f"{cluster} failed to {attempt.text}{said}."
    if status == 401:
        text = f"{cluster} does not accept the login. Correct api_key, or the user of the context in kubeconfig."
        kind = "unauthorized"
    elif status == 403 and message and " cannot " not in message:
        # Access is granted; a quota or another rule of the cluster says no.
        text = f"{cluster} refused to {attempt.text}{said}. Change the request, or the rule that is named."
        kind = "refused"
    elif status == 403:
        place = f"in namespace {attempt.namespace}" if attempt.namespace else "with a ClusterRole"
        grant = f"Grant the user the verb {attempt.verb} on {attempt.resource} {place}."
        text, kind = f"{cluster} refuses to {attempt.text}{said}. {grant}", "forbidden"
    elif status == 404:
        text = f"{attempt.subject} is not there on {cluster}{said}. Correct the name, the namespace or the context."
        kind = "missing"
    elif status == 409:
        text = f"{attempt.subject} was changed by somebody else meanwhile. Look at it, and run the task again."
        kind = "conflict"
    elif status in {400, 422}:
        text, kind = f"{cluster} does not accept to {attempt.text}{said}. Correct what is named.", "invalid"
    elif status == 410:
        text, kind = f"The listing of {attempt.subject} took too long and is out of date. Run the task again.", "gone"
    elif status == 429 or status >= 500:
        text = f"{failed[:-1]}, HTTP status {status}. Try again; if it lasts, look at the API server."
        kind = "busy"
    else:
        text, kind = f"{failed} HTTP status {status}. Correct host, it may be no API server.", "other"
    return ClusterError(text, kind, status, reason)


_DOWN = "{cluster} cannot be reached ({detail}). Start it, or correct host, the name server or the firewall between."
# Names of exceptions -> kind and sentence.
_SILENCE: tuple[tuple[frozenset[str], str, str], ...] = (
    # Before the timeouts: to urllib3 a refused connection is one of them.
    (frozenset({"NewConnectionError", "NameResolutionError", "ProxyError"}), "down", _DOWN),
    (
        frozenset({"SSLError", "SSLCertVerificationError"}),
        "tls",
        "The certificate of {cluster} is not accepted ({detail}). Name its authority in ca_cert.",
    ),
    (
        frozenset({"ConnectTimeoutError", "ReadTimeoutError", "TimeoutError"}),
        "timeout",
        "{cluster} does not answer in time when asked to {attempt}. Look at it and at the network, or raise"
        " connect_timeout and read_timeout.",
    ),
    (
        frozenset({"IncompleteRead", "ProtocolError", "InvalidChunkLength", "DecodeError"}),
        "interrupted",
        "The answer of {cluster} broke off when asked to {attempt} ({detail}). Try again.",
    ),
)


def silence_error(attempt: Attempt, *, cluster: str, names: tuple[str, ...], detail: str) -> ClusterError:
    """The sentence for no answer, or half of one.

    Args:
        attempt: What was asked for.
        cluster: How messages name the cluster.
        names: The names of the exceptions, the most specific first.
        detail: Their text, without secrets.

    """
    detail = _one_line(detail).rstrip(".")[:300]
    for name in names:
        for known, kind, sentence in _SILENCE:
            if name in known:
                return ClusterError(sentence.format(cluster=cluster, attempt=attempt.text, detail=detail), kind)
    return ClusterError(_DOWN.format(cluster=cluster, detail=detail), "down")


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
