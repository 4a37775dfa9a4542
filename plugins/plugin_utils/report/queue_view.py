# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Job queues as people read them: why jobs fail first, then how full every queue is. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.judging.humanise import humanise, plain_line
from ansible_collections.runbook.ops.plugins.plugin_utils.report.wording import inventory_options

# The modules whose facts hold queues in the one shape (module_utils/queues/model.py).
SOURCES = ("runbook.ops.redis_queue_info", "runbook.ops.solid_queue_info")
# Systems whose failed jobs redis_queue_retry can put back.
RETRYABLE = frozenset({"bull", "bullmq", "celery", "rq", "sidekiq"})
MOST_QUEUES = 60
MOST_REASONS = 20
# All that is filled into a command: no quote, no brace, nothing that a shell, YAML or Jinja reads.
_HARMLESS = re.compile(r"[^A-Za-z0-9 .,_:/@+-]")
_NAME = re.compile(r"[A-Za-z0-9._:@+-]+")


@dataclass(frozen=True)
class QueueLine:
    """One queue. Figures are texts; C(marks) say in words what is wrong with it, the worst first."""

    host: str
    name: str
    system: str
    waiting: str
    active: str
    later: str
    failed: str
    oldest: str
    rate: str
    drained: str
    marks: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class FailureLine:
    """Why jobs of a queue fail, how often, since when, and the command that puts them back."""

    host: str
    queue: str
    count: str
    reason: str
    example: str
    when: str
    ids: str
    command: str
    weight: int


@dataclass(frozen=True)
class QueueView:
    """All queues of a report. What is left out is counted."""

    failures: tuple[FailureLine, ...]
    queues: tuple[QueueLine, ...]
    failures_left_out: int
    queues_left_out: int


def queue_view(facts: Mapping[str, Mapping[str, Any]], inventories: Sequence[str] = ()) -> QueueView | None:
    """The queues among the facts of all hosts (C({host: {source: facts}})); None if there are none.

    C(inventories) are the run's own, so that the commands can be copied as they stand.
    """
    queues: list[QueueLine] = []
    failures: list[FailureLine] = []
    for host, sources in facts.items():
        for source in SOURCES:
            measured = sources.get(source)
            if not isinstance(measured, Mapping):
                continue
            for queue in _mappings(measured.get("queues")):
                queues.append(_queue(str(host), queue))
                failures += _failures(str(host), queue, queue.get("failures"), inventories)
            failures += _unattributed(str(host), measured)
    if not queues:
        return None
    failures.sort(key=lambda line: (-line.weight, line.host, line.queue, line.reason))
    return QueueView(
        failures=tuple(failures[:MOST_REASONS]),
        queues=tuple(queues[:MOST_QUEUES]),
        failures_left_out=max(0, len(failures) - MOST_REASONS),
        queues_left_out=max(0, len(queues) - MOST_QUEUES),
    )


def _queue(host: str, queue: Mapping[str, Any]) -> QueueLine:
    counts = queue.get("counts")
    counts = counts if isinstance(counts, Mapping) else {}
    later = [counts.get(state) for state in ("delayed", "blocked", "retrying")]
    known = [count for count in later if isinstance(count, int)]
    measured = queue.get("rate")
    measured = measured if isinstance(measured, Mapping) else {}
    version = queue.get("library_version")
    return QueueLine(
        host=plain_line(host),
        name=plain_line(str(queue.get("name") or "")),
        system=" ".join(str(part) for part in (queue.get("system"), version) if part),
        waiting=_count(counts.get("waiting")),
        active=_count(counts.get("active")),
        later=_count(sum(known) if known else None),
        failed=_count(counts.get("failed")),
        oldest=_age(queue),
        rate=_rate(measured),
        drained=_drained(queue, measured),
        marks=tuple(_marks(queue)),
    )


def _count(value: object) -> str:
    return "?" if value is None else humanise(value, "count")


def _age(queue: Mapping[str, Any]) -> str:
    seconds = queue.get("oldest_age_seconds")
    if seconds is None:
        return "-"
    shown = humanise(seconds, "seconds")
    # Without a look at every job it is at least so old.
    return shown if queue.get("oldest_age_exact") else f"≥ {shown}"


def _rate(measured: Mapping[str, Any]) -> str:
    pair = [measured.get(f"{name}_per_second") for name in ("arrivals", "departures")]
    if all(value is None for value in pair):
        return ""
    return " / ".join("?" if value is None else humanise(value * 60, "count") for value in pair)


def _drained(queue: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    if not measured:
        return ""
    seconds = measured.get("drain_seconds")
    if seconds is not None:
        return humanise(seconds, "seconds") if seconds else "empty"
    growth = measured.get("growth_per_second")
    if growth is None or not queue.get("backlog"):
        return "?"
    return "never: it grows" if growth > 0 else "never: it stands"


def _marks(queue: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with a queue, as severity and words."""
    if queue.get("exists") is False:
        yield "critical", f"does not exist: {plain_line(str(queue.get('reason') or ''))}"
        return
    if queue.get("unconsumed"):
        yield "critical", "jobs wait and no worker fetches any"
    if queue.get("paused"):
        yield "warning", "paused"
    for key, words in (
        ("stalled", "stalled: no worker works on them any more"),
        ("ghosts", "without data: they would run empty"),
        ("overdue", "delayed beyond their time: nobody moves them on"),
        ("orphans", "with data but in no state: they never run"),
    ):
        number = queue.get(key)
        if isinstance(number, int) and number > 0:
            yield "warning", f"{humanise(number, 'count')} {words}"


def _failures(host: str, queue: Mapping[str, Any], groups: object, inventories: Sequence[str]) -> Iterator[FailureLine]:
    name = str(queue.get("name") or "")
    for group in _mappings(groups):
        command = ""
        if queue.get("system") in RETRYABLE:
            command = retry_command(host, queue, str(group.get("reason") or ""), inventories)
        yield _failure(host, name, group, command)


def _unattributed(host: str, measured: Mapping[str, Any]) -> Iterator[FailureLine]:
    """Failures of a system that does not say which queue they were in (Celery without result_extended)."""
    attributed = {
        (group.get("reason"), group.get("example"))
        for queue in _mappings(measured.get("queues"))
        for group in _mappings(queue.get("failures"))
    }
    for group in _mappings(measured.get("failures")):
        if (group.get("reason"), group.get("example")) not in attributed:
            yield _failure(host, "", group, "")


def _failure(host: str, queue: str, group: Mapping[str, Any], command: str) -> FailureLine:
    number = group.get("count")
    ids = [plain_line(str(each), 60) for each in group.get("example_ids") or ()]
    moments = [str(group.get(key) or "")[:16].replace("T", " ") for key in ("first_at", "last_at")]
    when = ""
    if all(moments):
        when = f"at {moments[0]} UTC" if moments[0] == moments[1] else f"from {moments[0]} to {moments[1]} UTC"
    return FailureLine(
        host=plain_line(host),
        queue=plain_line(queue) or "(queue not known)",
        count=_count(number),
        reason=plain_line(str(group.get("reason") or "")),
        example=plain_line(str(group.get("example") or ""), 300),
        when=when,
        ids=", ".join(ids),
        command=command,
        weight=number if isinstance(number, int) else 0,
    )


def retry_command(host: str, queue: Mapping[str, Any], reason: str, inventories: Sequence[str]) -> str:
    """The command that puts the failed jobs of one reason back; empty if a name is not fit for a command line.

    The reason is a server's text. In the command every character of it that means something to a shell, to YAML or to
    a template becomes C(?), which the pattern matches all the same.
    """
    name = str(queue.get("name") or "")
    if not _NAME.fullmatch(name) or not _NAME.fullmatch(host):
        return ""
    pattern = _HARMLESS.sub("?", reason.removesuffix("…")).strip()
    if not pattern.strip("?* "):
        return ""
    prefix = str(queue.get("prefix") or "")
    words = [
        "ansible-playbook runbook.ops.retry_jobs",
        *inventory_options(inventories),
        f"-e targets={host}",
        f"-e queue={name}",
        *([f"-e system={queue['system']}"] if queue.get("system") else []),
        *([f"-e key_prefix={prefix}"] if prefix not in ("", "bull") and _NAME.fullmatch(prefix) else []),
        f"""-e 'reason="{pattern}*"'""",
    ]
    return " ".join(words)


def _mappings(values: object) -> list[Mapping[str, Any]]:
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes)):
        return []
    return [each for each in values if isinstance(each, Mapping)]
