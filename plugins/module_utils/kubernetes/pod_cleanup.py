# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removes pods that are left over, one at a time, after all that is known about them was kept."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, write_file
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import check_guards, window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal, check_refusals, outcome
from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text
from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import moment
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes import pod_logs
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster, connect
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.left_over import (
    FAILED,
    SUCCEEDED,
    Limits,
    evidence_of,
    in_words,
    shown,
    why_kept,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import Log, logs_of
from ansible_collections.runbook.ops.plugins.module_utils.logs.tally import shown as line_of

_WORKERS = 8
_LOG_BYTES = 256 * 1024
# The kubelet answers, and has nothing: neither trying again nor a right changes that.
_NO_LOG = frozenset({"missing", "invalid", "gone"})
_AGAIN = "Run the task again; what is gone by then is not asked for once more."
Document = dict[str, Any]


def clean_up(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The whole result of the module.

    Raises:
        InvalidOption: before anything is asked.
        Refused: something that is due was left alone, and C(on_refusal) says that this fails.
        ClusterError: nothing could be listed.

    """
    limits = _limits(params)
    cluster = connect(params, connections=_WORKERS)
    result = _Cleanup(cluster, params, limits, moment(params["reference_time"]), check_mode).run()
    check_refusals(result, params["on_refusal"])
    return result


def _limits(params: Mapping[str, Any]) -> Limits:
    check_guards(params)
    if not params["namespaces"] or not all(params["namespaces"]):
        raise InvalidOption("namespaces", params["namespaces"], "the names of one namespace or more")
    for option, lowest, highest in (("max_pods", 1, 10000), ("log_lines", 0, 1000), ("log_timeout", 0.001, 3600)):
        if not lowest <= params[option] <= highest:
            raise InvalidOption(option, params[option], f"{lowest:g} to {highest:g}")
    completed = params["completed_older_than"]
    return Limits(
        failed_age=parse_seconds(params["older_than"], "older_than"),
        completed_age=parse_seconds(completed, "completed_older_than") if completed else None,
        also_of=frozenset(each.lower() for each in params["also_of"]),
    )


@dataclass
class _Cleanup:
    cluster: Cluster
    params: Mapping[str, Any]
    limits: Limits
    now: dt.datetime
    check_mode: bool
    actions: list[dict[str, Any]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    evidence: list[dict[str, Any]] = field(default_factory=list)

    def run(self) -> dict[str, Any]:
        namespaces = sorted(set(self.params["namespaces"]))
        listed = {each: self._listed(each) for each in namespaces}
        pods = sorted((pod for found in listed.values() for pod in found or ()), key=shown)
        judged = [(pod, why_kept(pod, self.limits, self.now)) for pod in pods]
        due = [pod for pod, why in judged if why is None]
        kept = Counter(why for _pod, why in judged if why is not None)
        for pod in (pod for pod, why in judged if why == "undated"):
            self._refuse(shown(pod), "nobody says when it ended", "Look at it, then remove it by hand.")
        refusal = self._refusal(due)
        if refusal is not None:
            self.refused.append(refusal)
        else:
            self._remove_all(due)
        names = "".join(f"{each['object']}\n" for each in self.actions)
        before = {each: self._figures(listed[each]) for each in namespaces}
        after = None if self.check_mode else before
        if self.actions and not self.check_mode:
            after = {each: self._figures(self._listed(each, again=True)) for each in namespaces}
        return outcome(
            changed=bool(self.actions),
            actions=self.actions,
            refused=self.refused,
            before=before,
            after=after,
            evidence=self.evidence,
            kept=dict(sorted(kept.items())),
            diff={"before": names, "after": ""},
        )

    # --- which
    @property
    def _phases(self) -> list[str]:
        return [FAILED] if self.limits.completed_age is None else [FAILED, SUCCEEDED]

    def _listed(self, namespace: str, *, again: bool = False) -> Optional[list[Document]]:
        """The pods of a namespace that have ended; None where it cannot be looked at."""
        try:
            found = [
                pod
                for phase in self._phases
                for pod in self.cluster.list("pod", namespace, field_selector=f"status.phase={phase}")
            ]
            # A namespace that does not exist has no pods either, says the server.
            if not found and not again and self._is_missing(namespace):
                self._refuse(namespace, "this namespace does not exist", "Correct namespaces, or the context.")
                return None
        except ClusterError as error:
            if again:
                return None
            if error.is_cluster_wide:
                raise
            self._refuse(namespace, error.message, "Run the task again when that is mended.")
            return None
        return found

    def _is_missing(self, namespace: str) -> bool:
        try:
            return self.cluster.find("namespace", None, namespace) is None
        except ClusterError:
            # Who may list its pods need not be allowed to look at it.
            return False

    def _figures(self, pods: Optional[Sequence[Document]]) -> dict[str, Any]:
        phases = None if pods is None else Counter((pod.get("status") or {}).get("phase") for pod in pods)
        figures = {"failed_count": None if phases is None else phases[FAILED]}
        if SUCCEEDED in self._phases:
            figures["completed_count"] = None if phases is None else phases[SUCCEEDED]
        return figures

    def _refusal(self, due: Sequence[Document]) -> Optional[Refusal]:
        """Why nothing is removed at all."""
        most = self.params["max_pods"]
        if len(due) > most:
            reason = f"{len(due)} pods would be removed, which is more than max_pods ({most})"
            return Refusal("pods", reason, "Find out what ends so many, then raise max_pods.")
        refusal = window_refusal(self.params) if due else None
        return None if refusal is None else Refusal("pods", *refusal)

    # --- what is known about them
    def _logs(self, due: Sequence[Document]) -> list[tuple[list[dict[str, Any]], Optional[str]]]:
        """Of each pod the last lines, and why they could not be had although there may be some."""
        lines = self.params["log_lines"]
        limits = pod_logs.Limits(max(1, lines), _LOG_BYTES, time.monotonic() + self.params["log_timeout"])
        wanted = [(at, log) for at, pod in enumerate(due) if lines for log in logs_of(pod, previous=True)]

        def read(each: tuple[int, Log]) -> pod_logs.Text:
            return pod_logs.text_of(self.cluster, due[each[0]]["metadata"]["namespace"], each[1], limits)

        found: list[tuple[list[dict[str, Any]], Optional[str]]] = [([], None) for _each in due]
        with ThreadPoolExecutor(_WORKERS) as pool:
            for (at, log), text in zip(wanted, pool.map(read, wanted)):
                logs, missing = found[at]
                logs.append(_log_facts(log, text, lines))
                found[at] = logs, missing or _missing(log, text)
        return found

    # --- away with them
    def _remove_all(self, due: Sequence[Document]) -> None:
        stopped: Optional[str] = None
        for pod, (logs, missing) in zip(due, self._logs(due)):
            evidence = evidence_of(pod, logs, self.now)
            self.evidence.append(evidence)
            if stopped is not None:
                self._refuse(evidence["object"], f"it was not tried: {stopped}", _AGAIN)
            elif missing is not None:
                remedy = "Mend that and run the task again, or go without logs (log_lines: 0)."
                self._refuse(evidence["object"], missing, remedy)
            else:
                stopped = self._tried(pod, evidence)

    def _tried(self, pod: Document, evidence: Mapping[str, Any]) -> Optional[str]:
        """Remove one; why no other needs to be tried, when the cluster or the disk does not take it any more."""
        try:
            self._remove(pod, evidence)
        except RunbookError as error:
            failed = error if isinstance(error, ClusterError) else None
            if failed is not None and failed.kind == "missing":
                return None
            self._refuse(evidence["object"], error.message, _AGAIN)
            return error.message.rstrip(".") if failed is None or failed.is_cluster_wide else None
        return None

    def _remove(self, pod: Document, evidence: Mapping[str, Any]) -> None:
        namespace, name, uid = evidence["namespace"], evidence["name"], evidence["uid"]
        current = self.cluster.find("pod", namespace, name)
        if current is None or current["metadata"]["uid"] != uid:
            # Somebody else was faster, and what has its name now is another one.
            return
        kept = why_kept(current, self.limits, self.now)
        if kept is not None:
            self._refuse(evidence["object"], f"it changed while it was looked at ({kept})", _AGAIN)
            return
        self._save(evidence)
        self.cluster.delete("pod", namespace, name, uid=uid, dry_run=self.check_mode)
        self.actions.append(
            {
                "action": "remove",
                "object": evidence["object"],
                "outcome": "planned" if self.check_mode else "removed",
                "uid": uid,
                "age_seconds": evidence["age_seconds"],
                "finalizers": list(pod["metadata"].get("finalizers") or ()),
                "reason": in_words(evidence),
            }
        )

    def _save(self, evidence: Mapping[str, Any]) -> None:
        """On the disk before the pod goes, so that a run that is killed has lost nothing."""
        place = self.params["evidence_directory"]
        if not place or self.check_mode:
            return
        path = Path(place) / f"{evidence['namespace']}_{evidence['name']}_{evidence['uid']}.json"
        with explained("create", path.parent):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(path, json.dumps(evidence, indent=2, ensure_ascii=False).encode() + b"\n")

    def _refuse(self, object_: str, reason: str, remedy: str) -> None:
        self.refused.append(Refusal(object_, redact_text(reason).rstrip("."), remedy))


def _log_facts(log: Log, text: pod_logs.Text, lines: int) -> dict[str, Any]:
    reason = log.missing_reason or (text.error.message if text.error else None)
    last = text.data.splitlines()[-lines:]
    return {
        "container": log.container,
        "previous": log.previous,
        "available": reason is None,
        "reason": None if reason is None else redact_text(reason),
        "lines": [line_of(line) for line in last],
    }


def _missing(log: Log, text: pod_logs.Text) -> Optional[str]:
    """Why lines are missing that may be there."""
    if text.cut_by == "timeout":
        return f"the log of its container {log.container} was not read in time (log_timeout)"
    if text.error is not None and text.error.kind not in _NO_LOG:
        return f"the log of its container {log.container} could not be read: {text.error.message}"
    return None
