# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the logs of all pods of a workload, within limits, and counts the errors in them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster, connect
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import (
    Log,
    logs_of,
    pod_facts,
    selector_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.logs.framing import DockerCommand
from ansible_collections.runbook.ops.plugins.module_utils.logs.levels import ERROR_NEEDLES, is_error
from ansible_collections.runbook.ops.plugins.module_utils.logs.scanner import Scanner
from ansible_collections.runbook.ops.plugins.module_utils.logs.tally import ClassDetector, shown

_WORKERS = 8
_LIMITS = (
    ("tail_lines", 1, 1_000_000),
    ("max_bytes", 1024, 64 * 1024 * 1024),
    ("max_pods", 1, 1000),
    ("lines", 0, 1000),
    ("top", 1, 100),
    ("samples", 0, 100),
    ("timeout", 0.001, 3600),
)
_COUNTS = ("pods_count", "pods_with_errors_count", "logs_count", "unread_count")
_FORBIDDEN_REMEDY = "Grant the user the verb get on pods/log in the namespace."


@dataclass(frozen=True)
class Limits:
    """How much of each log is kept: its newest lines, bytes, and those that came before C(deadline)."""

    tail_lines: int
    max_bytes: int
    deadline: float


@dataclass
class Text:
    """The end of a log; C(cut_by) is the option that cut off what is older, None when it is whole."""

    data: bytes = b""
    cut_by: Optional[str] = None
    error: Optional[ClusterError] = None


def read_logs(params: Mapping[str, Any]) -> dict[str, Any]:
    """The whole result of the module.

    Raises:
        InvalidOption: before anything is asked.
        MissingLibrary: kubernetes is missing.

    """
    for option, lowest, highest in _LIMITS:
        if not lowest <= params[option] <= highest:
            raise InvalidOption(option, params[option], f"{lowest:g} to {highest:g}")
    since = parse_seconds(params["since"], "since") if params["since"] else None
    result = {"available": True, "reason": None, "measured_at": iso(utc_now()), "complete": None, "selector": None}
    empty: dict[str, Any] = {"pods": [], "logs": [], "errors": None, "skipped_sections": [], **dict.fromkeys(_COUNTS)}
    cluster = connect(params, connections=_WORKERS)
    try:
        selector = params["label_selector"] or _selector(cluster, params)
        pods = list(cluster.list("pod", params["namespace"], label_selector=selector))
    except Unavailable as error:
        return {**result, **empty, "available": False, "reason": error.message}
    return {**result, "selector": selector, **_Reading(cluster, params, since).run(pods)}


def _selector(cluster: Cluster, params: Mapping[str, Any]) -> str:
    workload = cluster.read(params["kind"], params["namespace"], params["name"])
    selector = selector_of(workload)
    if not selector:
        # Without one, a listing has the pods of everybody.
        raise Unavailable(f"{params['kind']} {params['name']} has no selector. Name its pods with label_selector.")
    return selector


class _Reading:
    def __init__(self, cluster: Cluster, params: Mapping[str, Any], since: int | None) -> None:
        self._cluster = cluster
        self._params = params
        self._since = since
        self._limits = Limits(params["tail_lines"], params["max_bytes"], time.monotonic() + params["timeout"])
        self._all = ClassDetector("errors", is_error, ERROR_NEEDLES, params["top"], 0)
        self._skipped: list[dict[str, str]] = []
        self._is_cut = False

    def run(self, pods: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        pods = sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))
        kept = pods[: self._params["max_pods"]]
        if len(kept) < len(pods):
            reason = f"{len(pods)} pods were found, and the first {len(kept)} were read"
            self._skip("pods", reason, "Raise max_pods.")
        if not pods:
            self._skip("pods", "no pod matches", "Look at the workload's replicas and events with kubectl describe.")
        containers = frozenset(self._params["containers"])
        wanted = [log for pod in kept for log in logs_of(pod, previous=self._params["previous"], containers=containers)]
        for name in sorted(containers - {log.container for log in wanted}):
            self._skip("containers", f"no pod has a container {name}", "Correct containers.")
        logs = [self._counted(log, text) for log, text in self._texts(wanted)]
        counted = self._all.facts()
        return {
            "pods": [pod_facts(pod) for pod in kept],
            "pods_count": len(pods),
            "pods_with_errors_count": len({log["pod"] for log in logs if log["error_count"]}),
            "logs_count": len(logs),
            "unread_count": sum(not log["available"] or bool(log["truncated"]) for log in logs),
            "logs": logs,
            "errors": {name: counted[name] for name in ("found_count", "first_at", "last_at", "top", "kinds_count")},
            "complete": not self._skipped and not self._is_cut,
            "skipped_sections": self._skipped,
        }

    def _skip(self, section: str, reason: str, remedy: str) -> None:
        self._skipped.append({"section": section, "reason": reason, "remedy": remedy})

    def _texts(self, wanted: Sequence[Log]) -> Iterator[tuple[Log, Text]]:
        # A batch at a time, so that memory holds only as many texts as are read side by side.
        with ThreadPoolExecutor(_WORKERS) as pool:
            for at in range(0, len(wanted), _WORKERS):
                batch = wanted[at : at + _WORKERS]
                yield from zip(batch, pool.map(self._text, batch))

    def _text(self, log: Log) -> Text:
        return text_of(self._cluster, self._params["namespace"], log, self._limits, since=self._since)

    def _counted(self, log: Log, text: Text) -> dict[str, Any]:
        reason = log.missing_reason or (text.error.message if text.error else None)
        if text.cut_by == "timeout" and not text.data:
            reason = f"timeout ({self._params['timeout']:g} s) is reached"
        facts: dict[str, Any] = {
            "pod": log.pod,
            "container": log.container,
            "kind": log.kind,
            "previous": log.previous,
            "restarts": log.restarts,
            "state": log.state,
            "available": reason is None,
            "reason": None if reason is None else redact_text(reason),
        }
        if reason is not None:
            self._skip("logs", f"{log.shown}: {redact_text(reason)}", self._remedy(log, text))
            return {**facts, "lines_read": None, "bytes_read": None, "truncated": None, "truncated_by": None} | {
                "error_count": None,
                "samples": [],
                "lines": [],
            }
        if text.cut_by == "timeout":
            self._skip("logs", f"{log.shown}: timeout is reached, newer lines are missing", "Raise timeout.")
        self._is_cut = self._is_cut or text.cut_by is not None
        own = ClassDetector("errors", is_error, ERROR_NEEDLES, 0, self._params["samples"])
        scanner = Scanner((self._all, own), None, None)
        framing = DockerCommand()
        scanner.begin(framing)
        scanner.block(text.data, 0)
        lines = text.data.splitlines()
        last = lines[-self._params["lines"] :] if self._params["lines"] else []
        return {
            **facts,
            "lines_read": len(lines),
            "bytes_read": len(text.data),
            "truncated": text.cut_by is not None,
            "truncated_by": text.cut_by,
            "error_count": own.count,
            "samples": own.facts()["samples"],
            "lines": [shown(line) for line in last],
        }

    def _remedy(self, log: Log, text: Text) -> str:
        if text.error is not None and text.error.kind == "forbidden":
            return _FORBIDDEN_REMEDY
        if text.cut_by == "timeout":
            return "Raise timeout, or read fewer containers."
        if log.previous:
            return "The node has removed it already; look where logs are collected."
        return f"Look with kubectl describe pod {log.pod} --namespace {self._params['namespace']}."


def text_of(cluster: Cluster, namespace: str, log: Log, limits: Limits, *, since: int | None = None) -> Text:
    """The newest lines of one log, each with its moment; what went wrong is in the answer.

    Args:
        cluster: Where it is.
        namespace: The pod's.
        log: Which one.
        limits: How much of it.
        since: Only the lines of so many seconds.

    """
    if log.missing_reason:
        return Text()
    # One line more tells whether there is more.
    arguments: dict[str, Any] = {"container": log.container, "tail_lines": limits.tail_lines + 1}
    if since is not None:
        arguments["since_seconds"] = since
    text = Text()
    if time.monotonic() >= limits.deadline:
        return Text(cut_by="timeout")
    try:
        chunks = cluster.log(namespace, log.pod, previous=log.previous, timestamps=True, **arguments)
        with contextlib.closing(chunks):
            return newest(chunks, limits)
    except ClusterError as error:
        text.error = error
    return text


def newest(chunks: Iterator[bytes], limits: Limits) -> Text:
    """The newest whole lines of a log that comes in pieces, in memory of about C(max_bytes). Pure but for the clock.

    The server's own limit of bytes would keep the oldest ones.
    """
    kept, dropped, cut_by = bytearray(), False, None
    for chunk in chunks:
        kept += chunk
        if len(kept) > 2 * limits.max_bytes:
            del kept[: len(kept) - limits.max_bytes]
            dropped = True
        if time.monotonic() >= limits.deadline:
            cut_by = "timeout"
            break
    if len(kept) > limits.max_bytes:
        del kept[: len(kept) - limits.max_bytes]
        dropped = True
    if dropped:
        # The first line has lost its beginning; it goes, unless nothing else is there.
        first = kept.find(b"\n") + 1
        if first < len(kept):
            del kept[:first]
        cut_by = cut_by or "max_bytes"
    data = bytes(kept)
    lines = data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
    if lines > limits.tail_lines:
        data = b"\n".join(data.split(b"\n")[lines - limits.tail_lines :])
        cut_by = cut_by or "tail_lines"
    return Text(data, cut_by)
