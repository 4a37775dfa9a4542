# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the definition of a CronJob, whatever its last run did. Pure; names of secrets only."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.common import Document, Facts, name_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.moments import age_seconds, moment_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.plain_secrets import plain_secrets
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.references import pod_spec_of
from ansible_collections.runbook.ops.plugins.module_utils.schedule.lint import BACKUP

# The controller looks every ten seconds; a start that must not be later than that may never be made.
_SHORTEST_DEADLINE = 10
# Of a job that is due more often, a hundred starts are missed within three days.
_OFTEN = 2592
_SHELLS = ("sh", "bash", "ash", "dash", "ksh", "zsh")
_DATE = re.compile(r"(?<!\d)(20\d{2})([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?:\d{4}|\d{6})?(?!\d)")
_FILE = re.compile(
    r"[\w.:+-]*\.(?:sql|dump|backup|bak|rdb|csv|json|ya?ml|log|txt|tar|tgz|gz|bz2|xz|zst|zip|7z|gpg|age|enc)\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"")
_JOINED_LINES = re.compile(r"\\\n")
_REDIRECTION = re.compile(r"[0-9]*>&[0-9-]|&>>?")
_PIPE = re.compile(r"(?:^|[;&|\n(`{])([^;&|\n(`{]*)(?=\|&?\s*(?:sudo\s+)?([\w./-]+))")
# What makes the data that somebody wants to have; an empty stream of it is compressed as well as any other.
_DUMPS = frozenset(
    (
        *("pg_dump", "pg_dumpall", "pg_basebackup", "mysqldump", "mariadb-dump", "mongodump", "xtrabackup"),
        *("mariabackup", "sqlite3", "tar", "cpio", "restic", "borg"),
    )
)
_SOURCES = frozenset(("psql", "mysql", "mariadb", "curl", "wget", "aws", "gsutil", "mc", "rclone", "ssh", "redis-cli"))
_COMPRESSORS = frozenset(("gzip", "pigz", "bzip2", "xz", "zstd", "lz4", "gpg", "openssl", "age"))
_CONSUMERS = _COMPRESSORS | {
    "tar",
    "psql",
    "mysql",
    "mariadb",
    "pg_restore",
    "aws",
    "gsutil",
    "mc",
    "rclone",
    "dd",
    "sh",
}


def definition_facts(
    cron_job: Document,
    jobs: Iterable[Document],
    now: dt.datetime,
    *,
    shortest: Optional[int],
    is_clock_bound: Optional[bool],
) -> Facts:
    """What a CronJob's definition says, and what is wrong with it.

    Args:
        cron_job: The object as it is in the cluster.
        jobs: Its jobs that are there.
        now: The moment that counts as now.
        shortest: The seconds between the two starts that are closest.
        is_clock_bound: Whether the hour matters, and a time zone with it. False where the schedule names one itself.

    """
    spec = cron_job.get("spec") or {}
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    pod = pod_spec_of(cron_job)
    words = list(_words(pod))
    is_backup = any(BACKUP.search(each) for each in (name_of(cron_job), *words))
    policy = str(spec.get("concurrencyPolicy") or "Allow")
    deadlines = [each for each in (job.get("activeDeadlineSeconds"), pod.get("activeDeadlineSeconds")) if each]
    deadline = min(deadlines, default=None)
    runs = (_run_seconds(each, now) for each in jobs)
    longest = max((each for each in runs if each is not None), default=None)
    start_deadline = spec.get("startingDeadlineSeconds")
    active = len((cron_job.get("status") or {}).get("active") or ())
    overlap = "" if policy != "Allow" else _overlap(active, longest, deadline, shortest, is_backup=is_backup)
    unbounded = list(_unbounded(policy, deadline, start_deadline, shortest, is_backup=is_backup))
    lost = list(_lost(spec, pod, is_backup=is_backup))
    dates = sorted({date for word in words for date in _frozen(word, _moments(cron_job))})
    pipes = sorted({program for script in _scripts(pod) for program in unwatched_pipes(script)})
    secrets = [each.rpartition(" in CronJob ")[0] for each in plain_secrets({**cron_job, "kind": "CronJob"})]
    return {
        "is_backup": is_backup,
        "is_zone_assumed": False if spec.get("timeZone") else is_clock_bound,
        "concurrency_policy": policy,
        "overlap": overlap,
        "may_overlap": bool(overlap),
        "longest_run_seconds": longest,
        "starting_deadline_seconds": start_deadline,
        "is_start_impossible": start_deadline is not None and int(start_deadline) < _SHORTEST_DEADLINE,
        "active_deadline_seconds": deadline,
        "unbounded": "; ".join(unbounded),
        "unbounded_count": len(unbounded),
        "successful_history_limit": _number(spec.get("successfulJobsHistoryLimit"), 3),
        "failed_history_limit": _number(spec.get("failedJobsHistoryLimit"), 1),
        "backoff_limit": _number(job.get("backoffLimit"), 6),
        "restart_policy": pod.get("restartPolicy"),
        "lost_traces": "; ".join(lost),
        "lost_traces_count": len(lost),
        "frozen_dates": ", ".join(dates),
        "frozen_dates_count": len(dates),
        "unwatched_pipes": ", ".join(pipes),
        "unwatched_pipes_count": len(pipes),
        "plain_secrets": ", ".join(secrets),
        "plain_secrets_count": len(secrets),
    }


def _overlap(
    active: int, longest: Optional[int], deadline: Optional[int], shortest: Optional[int], *, is_backup: bool
) -> str:
    """Why two of its jobs go on at once, or will; empty where nothing says so."""
    if active > 1:
        return f"{active} of its jobs go on at once"
    if shortest is None or (deadline is not None and deadline <= shortest):
        return ""
    if longest is not None and longest > shortest:
        return f"one took {longest // 60} min, and it starts every {shortest // 60} min"
    return "it is a backup, and the next one starts beside one that hangs" if is_backup else ""


def _unbounded(
    policy: str, deadline: Optional[int], start_deadline: Any, shortest: Optional[int], *, is_backup: bool
) -> Iterator[str]:
    if deadline is None and policy != "Replace":
        kept_off = "keeps all others off" if policy == "Forbid" else "stays beside the others"
        yield f"without activeDeadlineSeconds one that hangs {kept_off}"
    if start_deadline is None and shortest is not None:
        if shortest < _OFTEN:
            yield "without startingDeadlineSeconds an older controller starts nothing after 100 missed starts"
        elif is_backup:
            yield "without startingDeadlineSeconds a missed start is made up for at any hour"


def _lost(spec: Mapping[str, Any], pod: Mapping[str, Any], *, is_backup: bool) -> Iterator[str]:
    """Why nobody can read later what a run did."""
    for field, what in (("failedJobsHistoryLimit", "failed"), ("successfulJobsHistoryLimit", "good")):
        if spec.get(field) == 0:
            yield f"{field} is 0, so that {what} jobs are deleted with their logs at once"
    if is_backup and pod.get("restartPolicy") == "OnFailure":
        yield "restartPolicy is OnFailure, so that the pod is deleted with its log when the last try fails"


def _run_seconds(job: Document, now: dt.datetime) -> Optional[int]:
    """How long a job took that went well, or has taken until now."""
    status = job.get("status") or {}
    begin, end = moment_of(status.get("startTime")), moment_of(status.get("completionTime"))
    if begin is not None and end is not None:
        return int((end - begin).total_seconds())
    has_ended = any(each.get("status") == "True" for each in status.get("conditions") or ())
    return age_seconds(status.get("startTime"), now) if status.get("active") and not has_ended else None


def _containers(pod: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for section in ("initContainers", "containers"):
        for container in pod.get(section) or ():
            yield [str(each) for field in ("command", "args") for each in container.get(field) or ()]


def _words(pod: Mapping[str, Any]) -> Iterator[str]:
    for words in _containers(pod):
        yield from words


def _scripts(pod: Mapping[str, Any]) -> Iterator[str]:
    """What shells are given, as far as it is not told to end with the first failure of a pipe."""
    for words in _containers(pod):
        if not words or words[0].rpartition("/")[2] not in _SHELLS:
            continue
        at = next((at for at, each in enumerate(words[1:-1], 1) if re.fullmatch(r"-[a-z]*c[a-z]*", each)), None)
        if at is not None and not any("pipefail" in each for each in words):
            yield words[at + 1]


def unwatched_pipes(script: str) -> list[str]:
    """The programs of a script whose failure a pipe hides, such as C(pg_dump) before C(gzip).

    Only those that make what is kept: C(grep) without a match is no failure that anybody wants to see.
    """
    plain = _REDIRECTION.sub("", _QUOTED.sub("Q", _JOINED_LINES.sub(" ", script)))
    found = []
    for before, after in _PIPE.findall(plain):
        words = [each.rpartition("/")[2] for each in before.split()]
        consumer = after.rpartition("/")[2]
        makers = [each for each in words if each in _DUMPS]
        makers += [each for each in words if each in _SOURCES and consumer in _CONSUMERS]
        found += makers[:1]
    return found


def _moments(cron_job: Document) -> list[dt.datetime]:
    """When somebody wrote it."""
    metadata = cron_job["metadata"]
    changes = [each.get("time") for each in metadata.get("managedFields") or () if each.get("subresource") != "status"]
    found = (moment_of(each) for each in (metadata.get("creationTimestamp"), *changes))
    return [each for each in found if each is not None]


def _frozen(word: str, written: Sequence[dt.datetime]) -> Iterator[str]:
    """Dates that every run has the same: in the name of a file, or of the day on which the job was written."""
    for match in _DATE.finditer(word):
        try:
            day = dt.date(int(match.group(1)), int(match.group(3)), int(match.group(4)))
        except ValueError:
            continue
        if _FILE.match(word, match.end()) or any(abs((each.date() - day).days) <= 1 for each in written):
            yield match.group(0)


def _number(value: Any, default: int) -> int:
    return default if value is None else int(value)
