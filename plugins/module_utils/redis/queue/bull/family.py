# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queues of Bull and of BullMQ in one database, found and read once for both readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import QueueFacts, plural
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import show
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.library import BULL, Library, recognise
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.look import (
    Cutoffs,
    Look,
    look_commands,
    look_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.naming import QueueKeys
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.orphans import OrphanSearch
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.round import SMALL_REPLIES
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.sampling import Sampler
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.search import OWN_PREFIXES, Candidates
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.states import (
    count_jobs,
    n8n_note,
    read_switches,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.subject import MOST_ACTIVE, Subject
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.reading import Reading
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Scan

# Queues whose first look is taken together.
LOOK_QUEUES = 1000


@dataclass(frozen=True)
class OrphanOutcome:
    """Whether the search for orphans came to its end, and how far."""

    scan: Scan
    complete: bool


class Family:
    """What both readers share: the same keys are looked at once, and each queue belongs to one of them."""

    def __init__(self, reading: Reading, wanted: frozenset[str]) -> None:
        """C(wanted): the systems whose queues are read in depth."""
        self.reading = reading
        self.request = reading.request
        self.candidates = Candidates(self.request.prefix)
        self.wanted = wanted
        self.orphans: Optional[OrphanOutcome] = None
        self._subjects: Optional[list[Subject]] = None
        self._claimed_by: Optional[str] = None

    def claim(self, system: str) -> bool:
        """Whether this reader is the first one, which does for both what is to be done once."""
        self._claimed_by = self._claimed_by or system
        return self._claimed_by == system

    @property
    def subjects(self) -> list[Subject]:
        """Every queue that is there, with its figures; read at the first call."""
        if self._subjects is None:
            self._subjects = self._read()
        return self._subjects

    def of(self, system: str) -> list[Subject]:
        """The queues of one system."""
        return [subject for subject in self.subjects if subject.library.system == system]

    def look_at(self, queues: Sequence[QueueKeys]) -> list[Look]:
        """The first look at many queues, in one round trip for hundreds of them."""
        now = self.reading.now
        within = self.request.failed_within
        cutoffs = Cutoffs(int(now * 1000), None if within is None else int((now - within) * 1000))
        looks: list[Look] = []
        for start in range(0, len(queues), LOOK_QUEUES):
            part = queues[start : start + LOOK_QUEUES]
            asked = [look_commands(keys, cutoffs) for keys in part]
            replies = self.reading.client.pipeline(
                [command for commands in asked for command in commands], batch=SMALL_REPLIES
            )
            for keys, commands in zip(part, asked):
                looks.append(look_from(keys, replies[: len(commands)]))
                replies = replies[len(commands) :]
        return looks

    def existing(
        self, queues: Sequence[QueueKeys], candidates: Optional[Candidates] = None
    ) -> list[tuple[Look, Library]]:
        """Those that are queues, with their library; C(candidates) where they come from, None if they were named."""
        looks = self.look_at(queues)
        known = [(look, library_of(look, candidates is None or candidates.is_own(look.keys))) for look in looks]
        return [(look, library) for look, library in known if library is not None]

    def _read(self) -> list[Subject]:
        found = self._named() if self.request.queues else self.existing(self.candidates.all(), self.candidates)
        subjects = [Subject(look, library, self._facts(look, library)) for look, library in found]
        for subject in subjects:
            count_jobs(subject.facts, subject.look, subject.library)
            read_switches(subject.facts, subject.look, subject.library)
        deep = [subject for subject in subjects if subject.library.system in self.wanted]
        Sampler(self.reading.client, self.request, self.reading.now, len(deep)).look_into(deep)
        if self.request.orphans and deep:
            self._search_orphans(deep)
        for subject in deep:
            explain(subject)
        return subjects

    def _named(self) -> list[tuple[Look, Library]]:
        """The named queues under the prefix that was given; without one under Bull's own, then a cluster's."""
        left = list(self.request.queues)
        found: list[tuple[Look, Library]] = []
        for prefix in OWN_PREFIXES if self.request.prefix is None else (self.request.prefix,):
            if left:
                found += self.existing([QueueKeys(prefix, queue) for queue in left])
                known = {look.keys.queue for look, library in found}
                left = [queue for queue in left if queue not in known]
        order = {queue: place for place, queue in enumerate(self.request.queues)}
        return sorted(found, key=lambda pair: order[pair[0].keys.queue])

    def _facts(self, look: Look, library: Library) -> QueueFacts:
        keys = look.keys
        return QueueFacts(
            show(keys.queue),
            library.system,
            show(keys.prefix),
            raw=keys.queue,
            raw_prefix=keys.prefix,
            library_version=library.version or (f"{library.major}.x" if library.major else None),
        )

    def _search_orphans(self, subjects: Sequence[Subject]) -> None:
        search = OrphanSearch(self.reading, [subject.look for subject in subjects])
        self.orphans = OrphanOutcome(search.scan, search.go())
        for subject in subjects:
            if self.orphans.complete:
                subject.facts.orphans = search.counts[subject.look.keys]
                examples = ", ".join(show(job) for job in search.examples.get(subject.look.keys, ()))
                if subject.facts.orphans:
                    subject.facts.notes.append(
                        f"{plural(subject.facts.orphans, 'job')} in no state, which nobody runs or removes: {examples}"
                    )


def library_of(look: Look, asked_for: bool) -> Optional[Library]:
    """The library of what was looked at, None if it is no queue.

    C(asked_for): whether its name or its prefix says already that it is one. Without, it must hold jobs: other
    applications have keys such as user:17:id, too.
    """
    library = recognise(look.signs)
    if library is None:
        # No trace of either, but jobs: a job's id may have overwritten the tell-tale keys.
        evidence = "it has jobs, but the keys that tell its library are missing"
        return Library(BULL, None, None, evidence) if look.holds_jobs and asked_for else None
    if library.system == BULL and not asked_for and not look.holds_jobs:
        return None
    if library.system != BULL or look.signs.has("meta-paused", "string"):
        return library
    return library if look.counter is not None or look.holds_jobs else None


def look_is_odd(look: Look) -> bool:
    """Whether what every queue of Bull has is missing."""
    return look.counter is None


def explain(subject: Subject) -> None:
    """Say in words what the figures mean for the jobs, and where they are from a part of them."""
    facts, lengths = subject.facts, subject.look.lengths
    if subject.library.version is None and (subject.library.system != BULL or look_is_odd(subject.look)):
        facts.notes.append(f"taken for {subject.library.label}: {subject.library.evidence}")
    active = lengths["active"] or 0
    if active > MOST_ACTIVE:
        facts.notes.append(f"stalled: of the {MOST_ACTIVE} oldest of {active} active jobs")
    if facts.stalled:
        facts.notes.append(
            f"{plural(facts.stalled, 'active job')} without a lock: its worker is gone or hangs, and a live one takes "
            "it back at its next check for stalled jobs"
        )
    if facts.ghosts:
        facts.notes.append(
            f"{facts.ghosts} {'entry' if facts.ghosts == 1 else 'entries'} of states without a job (ghosts): "
            "the data is gone, and a worker that gets one fails or runs it without"
        )
    if subject.looked_at < subject.entries:
        facts.notes.append(f"ghosts: of {subject.looked_at} of {subject.entries} entries")
    note = n8n_note(subject.look, subject.library)
    if note:
        facts.notes.append(note)
