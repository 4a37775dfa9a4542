# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups are kept: grandfather, father and son over those that are proven to be good. Pure.

Age alone deletes good backups while bad ones follow each other (C(find -mtime +30 -delete) leaves nothing after a month
of failures). Here only a good backup takes a place, and nothing is deleted while the newest ones are bad.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional
from zoneinfo import ZoneInfo

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

GOOD, BAD, OPEN = "good", "bad", "open"
_PHYSICAL = "basebackup"
_MANAGED = "pgbackrest"
_PERIODS: dict[str, Callable[[dt.date], str]] = {
    "daily": lambda day: day.isoformat(),
    "weekly": lambda day: "{}-W{:02}".format(*day.isocalendar()),
    "monthly": lambda day: f"{day:%Y-%m}",
    "yearly": lambda day: f"{day:%Y}",
}


@dataclass(frozen=True)
class Copy:
    """One backup: C(state) is good, bad or open (not proven), C(requires) what it cannot be restored without.

    C(why_bad) of a good one is what is wrong with the WAL behind it: it can be brought to its own moment, not beyond.
    """

    name: str
    taken_at: dt.datetime
    state: str
    bytes: Optional[int] = None
    method: Optional[str] = None
    requires: tuple[str, ...] = ()
    why_bad: Optional[str] = None


@dataclass(frozen=True)
class Policy:
    """How many backups to keep.

    Args:
        daily: The newest good backup of each of the last so many days that have one; so for the others.
        weekly: By ISO weeks.
        monthly: By months.
        yearly: By years.
        zone: Where days begin.
        rpo_seconds: Nothing is deleted while the newest good backup is older than this.
        min_keep: At least so many good backups are kept, at least one.
        max_deletes: Refuse to delete more than so many at once.
        keep_within_seconds: Whatever is younger than this is kept; None for nothing.
        wal_window_seconds: The time within which every moment must be reachable from physical backups; None for none.
        is_proof_required: Whether good means proven, or just not known to be bad.

    """

    daily: int
    weekly: int
    monthly: int
    yearly: int
    zone: ZoneInfo
    rpo_seconds: float
    min_keep: int = 3
    max_deletes: int = 50
    keep_within_seconds: Optional[float] = None
    wal_window_seconds: Optional[float] = None
    is_proof_required: bool = True

    def check(self) -> None:
        """Raise InvalidOption for a policy that cannot be meant."""
        counts = {name: getattr(self, name) for name in _PERIODS}
        for name, count in {**counts, "max_deletes": self.max_deletes}.items():
            if count < 0:
                raise InvalidOption(name, count, "0 or more")
        if self.min_keep < 1:
            raise InvalidOption("min_keep", self.min_keep, "1 or more; the last good backup is never deleted")
        if not any(counts.values()):
            raise InvalidOption("daily", 0, "at least one of daily, weekly, monthly and yearly above 0")


@dataclass(frozen=True)
class KeepPlan:
    """What is kept and what may go, newest first; C(refusal) is why nothing may, with the next step."""

    kept: list[tuple[Copy, list[str]]] = field(default_factory=list)
    doomed: list[tuple[Copy, str]] = field(default_factory=list)
    newest_good: Optional[Copy] = None
    refusal: Optional[tuple[str, str]] = None

    @property
    def is_failing(self) -> bool:
        """Whether there is a bad one newer than every good one."""
        return any(
            each.state == BAD and (self.newest_good is None or each.taken_at > self.newest_good.taken_at)
            for each in [*(copy for copy, _reasons in self.kept), *(copy for copy, _reason in self.doomed)]
        )

    @property
    def is_refused(self) -> bool:
        """Whether something is due and must not be deleted, or the backups fail, so that nothing may become due."""
        return self.refusal is not None and (bool(self.doomed) or self.is_failing)


def state_of(facts: Mapping[str, Any], *, is_proof_required: bool) -> tuple[str, str | None]:
    """Whether a backup is good by its facts of backup_info, and what is bad.

    What was read to its end and is not whole is bad, whatever an older record says. A base backup is good for its own
    moment, whatever is wrong with the WAL behind it.
    """
    verified, inspected = facts.get("verified") or {}, facts.get("inspected") or {}
    if inspected.get("complete") is False:
        return BAD, str(inspected.get("reason"))
    if verified.get("verdict") == "failed" and verified.get("is_current"):
        return GOOD if verified.get("is_restorable") is True else BAD, str(verified.get("reason"))
    if verified.get("is_proven") is True or not is_proof_required:
        return GOOD, None
    return OPEN, None


def copies_of(artefacts: Iterable[Mapping[str, Any]], *, is_proof_required: bool) -> list[Copy]:
    """Backups by their facts of backup_info (C(artefacts)).

    Raises:
        InvalidOption: they are none.

    """
    found = []
    for number, facts in enumerate(artefacts):
        try:
            name, moment = str(facts["name"]), parse_moment(str(facts["taken_at"]))
        except (KeyError, TypeError, InvalidOption):
            raise InvalidOption(
                f"artefacts[{number}]", facts, "the artefacts of runbook.ops.backup_info, with name and taken_at"
            ) from None
        manifest = facts.get("manifest") or {}
        state, why = state_of(facts, is_proof_required=is_proof_required)
        requires = tuple(str(each) for each in manifest.get("requires") or ())
        found.append(Copy(name, moment, state, facts.get("size_bytes"), manifest.get("method"), requires, why))
    return found


def keep_plan(copies: Sequence[Copy], policy: Policy, now: dt.datetime) -> KeepPlan:
    """Hold backups against a policy.

    Raises:
        InvalidOption: the policy cannot be meant.

    """
    policy.check()
    ordered = sorted(copies, key=lambda each: (each.taken_at, each.name), reverse=True)
    good = [each for each in ordered if each.state == GOOD]
    reasons: dict[str, list[str]] = {each.name: [] for each in ordered}
    for name, reason in _reasons(ordered, good, policy, now):
        reasons[name].append(reason)
    _keep_required(ordered, reasons)
    kept = [(each, _with_flaw(each, reasons[each.name])) for each in ordered if reasons[each.name]]
    doomed = [(each, _why_doomed(each)) for each in ordered if not reasons[each.name]]
    newest = good[0] if good else None
    return KeepPlan(kept, doomed, newest, _refusal(ordered, newest, len(doomed), policy, now))


def _with_flaw(copy: Copy, reasons: list[str]) -> list[str]:
    """Why it is kept, and that it cannot be brought beyond its own moment."""
    if copy.state != GOOD or copy.why_bad is None:
        return reasons
    return [*reasons, f"good for its own moment only ({copy.why_bad})"]


def _reasons(
    ordered: Sequence[Copy], good: Sequence[Copy], policy: Policy, now: dt.datetime
) -> Iterable[tuple[str, str]]:
    for each in good[: policy.min_keep]:
        yield each.name, "the newest good one" if each is good[0] else f"one of the newest {policy.min_keep} good ones"
    for kind, period in _PERIODS.items():
        seen: set[str] = set()
        for each in good:
            key = period(each.taken_at.astimezone(policy.zone).date())
            if key not in seen and len(seen) < getattr(policy, kind):
                seen.add(key)
                yield each.name, f"{kind} {key}"
    if good:
        for each in ordered:
            # Of the same second, nobody knows which is newer.
            if each.taken_at >= good[0].taken_at and each.name != good[0].name:
                yield each.name, "newer than the newest good one"
    if policy.keep_within_seconds is not None:
        for each in ordered:
            if (now - each.taken_at).total_seconds() <= policy.keep_within_seconds:
                yield each.name, "young"
    for each in ordered:
        if each.method == _MANAGED:
            yield each.name, "pgBackRest expires its own"
    if policy.wal_window_seconds is not None:
        yield from _anchor(good, now - dt.timedelta(seconds=policy.wal_window_seconds))


def _anchor(good: Sequence[Copy], start: dt.datetime) -> Iterable[tuple[str, str]]:
    """The physical backup from which the beginning of the window is reached, or as near to it as there is one."""
    physical = [each for each in good if each.method == _PHYSICAL]
    before = [each for each in physical if each.taken_at <= start]
    anchor = before[0] if before else (physical[-1] if physical else None)
    if anchor is not None:
        limit = "" if anchor.why_bad is None else ", as far as the WAL behind it goes"
        yield anchor.name, f"moments since {iso(max(start, anchor.taken_at))} are reached from it{limit}"


def _keep_required(ordered: Sequence[Copy], reasons: dict[str, list[str]]) -> None:
    """Keep what those that are kept cannot be restored without, and so on."""
    by_name = {each.name: each for each in ordered}
    pending = [each for each in ordered if reasons[each.name]]
    while pending:
        each = pending.pop()
        for name in each.requires:
            if name in by_name and not reasons[name]:
                reasons[name].append(f"{each.name} is not restored without it")
                pending.append(by_name[name])


def _why_doomed(copy: Copy) -> str:
    if copy.state == BAD:
        return f"it is bad ({copy.why_bad}), and there is a newer good one"
    if copy.state == OPEN:
        return "it is not proven to be good, and there is a newer one that is"
    return "no rule keeps it"


def _refusal(
    ordered: Sequence[Copy], newest: Copy | None, doomed: int, policy: Policy, now: dt.datetime
) -> tuple[str, str] | None:
    """Why nothing may be deleted, with the next step."""
    proven = "proven to be good" if policy.is_proof_required else "good"
    if not ordered:
        return None
    if newest is None:
        return (
            f"of {len(ordered)} backups none is {proven}",
            "Make a backup and verify it; until then every old one may be the last hope.",
        )
    age = (now - newest.taken_at).total_seconds()
    bad = [each for each in ordered if each.state == BAD and each.taken_at > newest.taken_at]
    if bad:
        names = ", ".join(each.name for each in bad[:3]) + (f" and {len(bad) - 3} more" if len(bad) > 3 else "")
        return (
            f"the backups after the newest good one, {newest.name}, are bad: {names} ({bad[0].why_bad})",
            "Have the backup job write good ones again, and verify one.",
        )
    if age < 0:
        return (
            f"the newest good backup, {newest.name}, was taken {iso(newest.taken_at)}, which is still to come",
            "Correct the clock of whoever wrote it, or of this host.",
        )
    if age > policy.rpo_seconds:
        return (
            f"the newest backup that is {proven}, {newest.name}, is older ({_span(age)}) than the RPO allows "
            f"({_span(policy.rpo_seconds)})",
            "Make a backup and verify it.",
        )
    if doomed > policy.max_deletes:
        return (
            f"{doomed} backups would be deleted, more than max_deletes={policy.max_deletes}",
            "Look at the list; if it is meant, raise max_deletes for this run.",
        )
    return None


def _span(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} hours"
