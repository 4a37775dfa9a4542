# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting jobs by what is to become of them, in little memory whatever their number. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.queues.model import EXAMPLE_IDS, plural
from ansible_collections.runbook.ops.plugins.module_utils.queues.reasons import normalise
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import show
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.system import FailedJob

# Reasons that differ in every job do not make one entry each.
MOST_REASONS = 200
OTHER_REASONS = "(other reasons)"
MOST_IDS = 100
# So many jobs that were refused while planning are left out when the plan is carried out, by their ids.
MOST_REMEMBERED = 10_000
NO_REMEDY = "Deal with it where the job was made."


@dataclass
class _Group:
    count: int = 0
    ids: list[str] = field(default_factory=list)

    def add(self, identifier: bytes) -> None:
        self.count += 1
        if len(self.ids) < EXAMPLE_IDS:
            self.ids.append(show(identifier))


@dataclass
class Tally:
    """Jobs to be put back, by reason, and jobs that cannot be."""

    limit: Optional[int] = None
    due: int = 0
    left: int = 0
    refused: int = 0
    ids: list[str] = field(default_factory=list)
    remembered: set[bytes] = field(default_factory=set)
    _groups: dict[str, _Group] = field(default_factory=dict)
    _refusals: dict[tuple[str, str], _Group] = field(default_factory=dict)

    @property
    def matched(self) -> int:
        """All jobs that are meant."""
        return self.due + self.left + self.refused

    @property
    def remembers_all(self) -> bool:
        """Whether C(remembered) holds every job that was refused."""
        return self.refused == len(self.remembered)

    def plan(self, job: FailedJob) -> None:
        """Count a job that is meant, the earliest failure first."""
        if job.refusal is not None:
            self.refuse(job, job.refusal, job.remedy or NO_REMEDY)
        elif self.limit is not None and self.due >= self.limit:
            self.left += 1
        else:
            self.take(job)

    def take(self, job: FailedJob) -> None:
        """Count a job that is put back."""
        self.due += 1
        reason = normalise(job.reason)
        if reason not in self._groups and len(self._groups) >= MOST_REASONS:
            reason = OTHER_REASONS
        self._groups.setdefault(reason, _Group()).add(job.id)
        if len(self.ids) < MOST_IDS:
            self.ids.append(show(job.id))

    def refuse(self, job: FailedJob, reason: str, remedy: str) -> None:
        """Count a job that is left alone."""
        self.refused += 1
        self._refusals.setdefault((reason, remedy), _Group()).add(job.id)
        if len(self.remembered) < MOST_REMEMBERED:
            self.remembered.add(job.id)

    def adopt_refusals(self, other: Tally) -> None:
        """Count what another tally refused as refused here."""
        self.refused += other.refused
        for key, group in other._refusals.items():
            mine = self._refusals.setdefault(key, _Group())
            mine.count += group.count
            mine.ids = (mine.ids + group.ids)[:EXAMPLE_IDS]

    def actions(self, queue: str) -> list[dict[str, Any]]:
        """One entry a reason, the most frequent first."""
        ranked = sorted(self._groups.items(), key=lambda item: (-item[1].count, item[0]))
        return [
            {"action": "retry", "queue": queue, "reason": reason, "count": group.count, "example_ids": group.ids}
            for reason, group in ranked
        ]

    def refusals(self, queue: str) -> list[Refusal]:
        """One entry a reason of refusal, with how many jobs and some ids."""
        return [
            Refusal(_several(group, queue), reason, remedy)
            for (reason, remedy), group in sorted(self._refusals.items(), key=lambda item: (-item[1].count, item[0]))
        ]


def _several(group: _Group, queue: str) -> str:
    more = f" and {group.count - len(group.ids)} more" if group.count > len(group.ids) else ""
    return f"{plural(group.count, 'failed job')} of {queue} ({', '.join(group.ids)}{more})"


@dataclass
class Pace:
    """Keeps to a number of jobs a second."""

    per_second: Optional[float]
    clock: Callable[[], float]
    _began: Optional[float] = None

    def pause(self, done: int) -> float:
        """Seconds to wait before the next ones follow the C(done) ones."""
        if self.per_second is None:
            return 0.0
        if self._began is None:
            self._began = self.clock()
        return max(0.0, self._began + done / self.per_second - self.clock())
