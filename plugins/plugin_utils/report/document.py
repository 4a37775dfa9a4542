# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the page says, without a word of HTML: findings, facts and history become one view model."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import (
    SEVERITIES,
    counted,
    identity,
    sorted_findings,
    totals,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.humanise import humanise
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.thresholds import ThresholdError, parse_threshold
from ansible_collections.runbook.ops.plugins.plugin_utils.report.bars import Bar, Limit, ladder_bar
from ansible_collections.runbook.ops.plugins.plugin_utils.report.evidence import Clean, Excerpt, FactsIndex, excerpt
from ansible_collections.runbook.ops.plugins.plugin_utils.report.history import Run

Finding = Mapping[str, Any]

# The page stays usable with 20,000 findings: lists are bounded and say what they leave out.
MOST_CARDS_PER_GROUP = 200
MOST_CARDS_PER_RULE = 25
MOST_OK_ROWS = 500
MOST_HOSTS = 60
MOST_RESOLVED = 40
SPARK_RUNS = 30
_EXCERPT_CHARACTERS = 4_000
_FACTS_CHARACTERS = 24_000
_ALL_FACTS_CHARACTERS = 1_500_000


@dataclass(frozen=True)
class Moment:
    """A moment in the business timezone, with UTC beside it where they differ."""

    local: str
    zone: str
    utc: str
    iso: str


@dataclass(frozen=True)
class Remedy:
    """What to do, taken apart: sentences to read and commands to copy, in their order."""

    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Trend:
    """The course of a value over past runs, this run last. C(label) says the same in words."""

    values: tuple[float | None, ...]
    text: str
    label: str


@dataclass(frozen=True)
class Card:
    """One finding as shown. C(missing) means that there is no value because nothing could be measured."""

    anchor: str
    severity: str
    priority: str
    summary: str
    host: str
    object: str
    rule: str
    source: str
    measured: str
    value: str
    missing: bool
    steps: tuple[tuple[str, str], ...]
    bar: Bar | None
    bar_label: str
    unit: str | None
    trend: Trend | None
    remedy: Remedy
    excerpt: Excerpt | None
    facts_anchor: str
    fresh: bool


@dataclass(frozen=True)
class Group:
    """The findings of one severity in one system; C(left_out) names the rules whose findings are counted only."""

    severity: str
    total: int
    cards: tuple[Card, ...]
    left_out: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Section:
    """One system."""

    name: str
    counts: Mapping[str, int]
    groups: tuple[Group, ...]
    ok: tuple[Card, ...]
    ok_total: int


@dataclass(frozen=True)
class Tile:
    """A count with how it moved since the run before (None without history)."""

    severity: str
    count: int
    change: int | None


@dataclass(frozen=True)
class HostLine:
    """A host and how many findings of each severity it has; C(anchor) is its worst finding on the page."""

    name: str
    anchor: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class FactsOf:
    """The facts of one host from one source."""

    anchor: str
    host: str
    source: str
    excerpt: Excerpt


@dataclass(frozen=True)
class Gone:
    """Something the run before complained of and this run measured as fine."""

    severity: str
    host: str
    object: str
    rule: str


@dataclass(frozen=True)
class Document:
    """The whole page."""

    title: str
    severity: str
    headline: str
    detail: str
    measured: Moment
    tiles: tuple[Tile, ...]
    total: int
    systems: int
    hosts: tuple[HostLine, ...]
    hosts_total: int
    previous: str
    runs: tuple[Mapping[str, int], ...]
    fresh_total: int
    gone: tuple[Gone, ...]
    gone_total: int
    sections: tuple[Section, ...]
    facts: tuple[FactsOf, ...]
    facts_left_out: int
    notes: tuple[str, ...] = field(default=())


def measured_moment(findings: Sequence[Finding], reference_time: str | None, now: dt.datetime) -> dt.datetime:
    """The moment the report stands for: the one asked for, else the newest measurement, else now.

    Taken from the findings so that rendering the same findings twice gives the same files.
    """
    if reference_time:
        return parse_moment(reference_time)
    return max((moment for finding in findings if (moment := _moment_or_none(finding.get("measured_at")))), default=now)


def show_moment(moment: dt.datetime, zone: dt.tzinfo) -> Moment:
    """A moment for people: C(Fri 17 Oct 2025, 09:00 KST), and in UTC."""
    local, utc = moment.astimezone(zone), moment.astimezone(dt.timezone.utc)
    # Names by hand: strftime's would follow the controller's locale.
    shown = f"{_DAYS[local.weekday()]} {local.day} {_MONTHS[local.month - 1]} {local.year}, {local:%H:%M}"
    same = local.utcoffset() == dt.timedelta(0)
    return Moment(
        local=shown,
        zone=local.tzname() or "",
        utc="" if same else f"{utc:%H:%M} UTC" if utc.date() == local.date() else f"{utc:%Y-%m-%d %H:%M} UTC",
        iso=utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def build_document(
    findings: Sequence[Finding],
    facts: Mapping[str, Mapping[str, Any]],
    history: Sequence[Run],
    clean: Clean,
    *,
    title: str,
    moment: dt.datetime,
    zone: dt.tzinfo,
    notes: Iterable[str] = (),
) -> Document:
    """Put findings, facts (host -> source -> facts) and past runs (oldest first) into the page's order.

    Findings and history must already be free of secrets. Facts can be huge, so only what is shown of them goes
    through C(clean), which takes secrets out of data.
    """
    ordered = sorted_findings(findings)
    counts: dict[str, int] = {severity: number for severity, number in totals(ordered).items() if severity in SEVERITIES}
    past = _Past(history, zone)
    shown_facts, anchors, facts_left_out = _facts(facts, clean)
    builder = _CardBuilder(facts, clean, anchors, past, zone)
    sections = tuple(_section(name, members, builder) for name, members in _by_system(ordered))
    gone = past.gone(ordered)
    hosts = _hosts(ordered, sections)
    headline, detail = verdict(ordered, counts)
    return Document(
        title=title,
        severity=next((severity for severity in SEVERITIES if counts[severity]), "unknown"),
        headline=headline,
        detail=detail,
        measured=show_moment(moment, zone),
        tiles=tuple(Tile(severity, counts[severity], past.change(severity, counts[severity])) for severity in SEVERITIES),
        total=len(ordered),
        systems=len(sections),
        hosts=hosts[:MOST_HOSTS],
        hosts_total=len(hosts),
        previous=past.previous,
        runs=(*past.counts, counts) if past.counts else (),
        fresh_total=sum(1 for finding in ordered if past.is_fresh(finding)),
        gone=gone[:MOST_RESOLVED],
        gone_total=len(gone),
        sections=sections,
        facts=shown_facts,
        facts_left_out=facts_left_out,
        notes=tuple(notes),
    )


def verdict(ordered: Sequence[Finding], counts: Mapping[str, int]) -> tuple[str, str]:
    """The headline and the sentence beneath it; C(ordered) worst first."""
    critical, warning, unknown, fine = (counts[severity] for severity in SEVERITIES)
    if not ordered:
        return "Nothing was checked", "No host delivered a finding, so nothing is known. Was the round limited to no host?"
    if critical:
        headline = f"{counted(critical, 'critical finding')} {'needs' if critical == 1 else 'need'} action now"
    elif warning:
        headline = f"{counted(warning, 'warning')} to look at, nothing critical"
    elif unknown:
        headline = f"No problem found, but {counted(unknown, 'check')} could not be made"
    else:
        headline = f"All {fine:,} checks are fine" if fine > 1 else "The one check is fine"
    rest = []
    if critical and warning:
        rest.append(counted(warning, "warning"))
    if unknown and (critical or warning):
        rest.append(f"{counted(unknown, 'check')} that could not be made")
    if fine and (critical or warning or unknown):
        rest.append(f"{counted(fine, 'check')} fine")
    if not rest:
        return headline, "Every value was measured and lies within its limits." if not unknown else ""
    sentence = ", ".join(rest[:-1]) + (" and " if len(rest) > 1 else "") + rest[-1]
    return headline, f"Besides: {sentence}."


def split_remedy(text: str) -> Remedy:
    """Take the commands out of a remedy: what stands in backticks, and what begins with a command we know.

    >>> split_remedy("Look first: ansible-playbook runbook.ops.inspect_queues -e queue=batch").parts
    (('text', 'Look first:'), ('command', 'ansible-playbook runbook.ops.inspect_queues -e queue=batch'))
    """
    parts: list[tuple[str, str]] = []
    for line in text.strip().splitlines():
        for at, piece in enumerate(line.split("`")):
            if at % 2:
                parts.append(("command", piece.strip()))
                continue
            match = _COMMAND.search(piece)
            before, command = (piece[: match.start()], piece[match.start() :]) if match else (piece, "")
            # A full stop after a command closes the sentence, it is no argument.
            parts.extend((kind, said) for kind, said in (("text", before.strip()), ("command", command.strip().rstrip(".;"))) if said)
    return Remedy(tuple(part for part in parts if part[1] not in {".", ",", ";"}))


_COMMAND = re.compile(r"(?<![\w/.-])(?:ansible-playbook|ansible-galaxy|ansible|kubectl|psql|redis-cli|curl|systemctl|aws)\s+\S")


def command_pieces(command: str) -> list[str]:
    """A command in pieces that should not be torn apart: an option stays with its value.

    >>> command_pieces("ansible-playbook x -e a=1 --check")
    ['ansible-playbook', 'x', '-e a=1', '--check']
    """
    pieces: list[str] = []
    for word in command.split():
        if pieces and _OPTION.fullmatch(pieces[-1]) and not word.startswith("-"):
            pieces[-1] += f" {word}"
        else:
            pieces.append(word)
    return pieces


_OPTION = re.compile(r"--?[A-Za-z][\w-]*")


class _Past:
    """What the runs before knew of a finding."""

    def __init__(self, history: Sequence[Run], zone: dt.tzinfo) -> None:
        self._runs = list(history)[-SPARK_RUNS:]
        self._zone = zone
        self._by_key: list[dict[tuple[str, str, str], Finding]] = [
            {identity(entry): entry for entry in run["findings"]} for run in self._runs
        ]
        self._last = self._by_key[-1] if self._by_key else {}
        self.counts = [Counter(str(entry.get("severity")) for entry in run["findings"]) for run in self._runs]
        self.previous = self._moment(-1) if self._runs else ""

    def _moment(self, at: int) -> str:
        moment = _moment_or_none(self._runs[at]["measured_at"])
        return show_moment(moment, self._zone).local if moment else ""

    def change(self, severity: str, count: int) -> int | None:
        return count - self.counts[-1][severity] if self.counts else None

    def is_fresh(self, finding: Finding) -> bool:
        """Not ok now, and not complained of in the same words in the run before."""
        if not self._runs or finding["severity"] == "ok":
            return False
        before = self._last.get(identity(finding))
        return before is None or before.get("severity") != finding["severity"]

    def gone(self, ordered: Sequence[Finding]) -> tuple[Gone, ...]:
        """What is no longer complained of. Only where the same rule was judged now: a silent host has solved nothing."""
        now = {identity(finding) for finding in ordered if finding["severity"] != "ok"}
        judged = {(finding["id"], finding["host"]) for finding in ordered if finding["severity"] != "unknown"}
        gone = [
            Gone(str(entry["severity"]), key[1], key[2], key[0])
            for key, entry in self._last.items()
            if entry.get("severity") not in (None, "ok") and key not in now and (key[0], key[1]) in judged
        ]
        return tuple(sorted(gone, key=lambda item: (SEVERITIES.index(item.severity) if item.severity in SEVERITIES else 9, item.host, item.rule, item.object)))

    def trend(self, finding: Finding) -> Trend | None:
        key = identity(finding)
        values = [_number(entries[key].get("value")) if key in entries else None for entries in self._by_key]
        values.append(_number(finding.get("value")))
        first = next((at for at, value in enumerate(values) if value is not None), None)
        known = [value for value in values if value is not None]
        if first is None or first == len(values) - 1 or len(known) < 2:
            return None
        values = values[first:]
        unit = finding.get("unit")
        start, end = known[0], values[-1]
        runs = f"{len(values)} runs"
        since = " ".join(self._moment(first).split()[1:3])
        if end is None:
            text = f"{runs} since {since}"
        elif end == start:
            text = f"unchanged over {runs}"
        else:
            sign = "+" if end > start else "−"
            # Percentages of a whole differ by points; "+10 %" would read as a tenth more.
            moved = humanise(abs(end - start), None if unit == "percent" else unit)
            text = f"{sign}{moved}{' points' if unit == 'percent' else ''} since {since}"
        label = f"Trend over {runs} since {since}: from {humanise(start, unit)} to {humanise(end, unit)}"
        return Trend(tuple(values), text, label)


class _CardBuilder:
    def __init__(
        self,
        facts: Mapping[str, Mapping[str, Any]],
        clean: Clean,
        anchors: Mapping[tuple[str, str], str],
        past: _Past,
        zone: dt.tzinfo,
    ) -> None:
        self._facts = facts
        self._clean = clean
        self._anchors = anchors
        self._past = past
        self._zone = zone
        self._indexes: dict[tuple[str, str], FactsIndex] = {}
        self._made = 0

    def card(self, finding: Finding) -> Card:
        severity, unit = str(finding["severity"]), finding.get("unit")
        ladder = finding.get("ladder") or {}
        written = {name: str(ladder[name]) for name in ("warning", "critical") if ladder.get(name)}
        limits = {name: _limit(expression, unit) for name, expression in written.items()}
        steps = tuple(
            (name, f"{limit.operator} {limit.label}" if (limit := limits[name]) else expression)
            for name, expression in written.items()
        )
        value = finding.get("value")
        bar = None
        if (value is None and severity == "unknown") or _number(value) is not None:
            bar = ladder_bar(_number(value), unit, limits.get("warning"), limits.get("critical"))
        shown = humanise(value, unit)
        said = " and ".join(f"{name} {expression}" for name, expression in steps)
        moment = _moment_or_none(finding.get("measured_at"))
        host, source = str(finding.get("host") or ""), str(finding.get("source") or "")
        self._made += 1
        return Card(
            anchor=f"finding-{self._made}",
            severity=severity,
            priority=str(finding.get("priority") or ""),
            summary=str(finding.get("summary") or ""),
            host=host,
            object=str(finding.get("object") or ""),
            rule=str(finding.get("id") or ""),
            source=source,
            measured=show_moment(moment, self._zone).local if moment else "",
            value=shown if value is not None else "Not measured" if severity == "unknown" else "No value",
            missing=value is None and severity == "unknown",
            steps=steps,
            bar=bar,
            bar_label=f"{shown}; {said}" if value is not None else f"not measured; {said}",
            unit=unit,
            trend=self._past.trend(finding),
            remedy=split_remedy(str(finding.get("remedy") or "")),
            excerpt=self._excerpt(finding, host, source) if severity != "ok" else None,
            facts_anchor=self._anchors.get((host, source), ""),
            fresh=self._past.is_fresh(finding),
        )

    def _excerpt(self, finding: Finding, host: str, source: str) -> Excerpt | None:
        facts = self._facts.get(host, {}).get(source)
        if not isinstance(facts, Mapping):
            return None
        index = self._indexes.get((host, source))
        if index is None:
            index = self._indexes[(host, source)] = FactsIndex(facts)
        found = index.find(finding)
        return excerpt(found[1], found[0], _EXCERPT_CHARACTERS, self._clean) if found else None


def _section(name: str, members: Sequence[Finding], builder: _CardBuilder) -> Section:
    counts = Counter(str(finding["severity"]) for finding in members)
    groups = []
    for severity in SEVERITIES[:-1]:
        chosen, left_out = _bounded([finding for finding in members if finding["severity"] == severity])
        if chosen:
            groups.append(Group(severity, counts[severity], tuple(builder.card(finding) for finding in chosen), left_out))
    fine = [finding for finding in members if finding["severity"] == "ok"]
    return Section(
        name=name,
        counts={severity: counts[severity] for severity in SEVERITIES},
        groups=tuple(groups),
        ok=tuple(builder.card(finding) for finding in fine[:MOST_OK_ROWS]),
        ok_total=len(fine),
    )


def _bounded(members: Sequence[Finding]) -> tuple[list[Finding], tuple[tuple[str, int], ...]]:
    """The findings to show and how many of each rule are only counted: no rule may crowd out the others."""
    chosen: list[Finding] = []
    left_out: Counter[str] = Counter()
    shown: Counter[str] = Counter()
    for finding in members:
        rule = str(finding.get("id") or "")
        if shown[rule] >= MOST_CARDS_PER_RULE or len(chosen) >= MOST_CARDS_PER_GROUP:
            left_out[rule] += 1
            continue
        shown[rule] += 1
        chosen.append(finding)
    return chosen, tuple(left_out.most_common())


def _by_system(ordered: Sequence[Finding]) -> list[tuple[str, list[Finding]]]:
    """Findings by system; the system with the worst finding comes first because C(ordered) is worst first."""
    systems: dict[str, list[Finding]] = {}
    for finding in ordered:
        systems.setdefault(str(finding.get("system") or ""), []).append(finding)
    return list(systems.items())


def _hosts(ordered: Sequence[Finding], sections: Sequence[Section]) -> tuple[HostLine, ...]:
    anchors: dict[str, str] = {}
    for section in sections:
        for card in (*(card for group in section.groups for card in group.cards), *section.ok):
            anchors.setdefault(card.host, card.anchor)
    counts: dict[str, Counter[str]] = {}
    for finding in ordered:
        counts.setdefault(str(finding.get("host") or ""), Counter())[str(finding["severity"])] += 1
    return tuple(
        HostLine(name, anchors.get(name, "findings"), {severity: by[severity] for severity in SEVERITIES})
        for name, by in counts.items()
    )


def _facts(
    facts: Mapping[str, Mapping[str, Any]], clean: Clean
) -> tuple[tuple[FactsOf, ...], dict[tuple[str, str], str], int]:
    """The facts as text, the anchor of each, and how many sources found no more room."""
    shown: list[FactsOf] = []
    anchors: dict[tuple[str, str], str] = {}
    room, left_out = _ALL_FACTS_CHARACTERS, 0
    for host in sorted(facts):
        for source in sorted(facts[host]):
            if room <= 0:
                left_out += 1
                continue
            anchor = f"facts-{len(shown) + 1}"
            piece = excerpt(facts[host][source], source, _FACTS_CHARACTERS, clean)
            room -= len(piece.text)
            shown.append(FactsOf(anchor, host, source, piece))
            anchors[(host, source)] = anchor
    return tuple(shown), anchors, left_out


def _limit(expression: str, unit: str | None) -> Limit | None:
    """A step that can be drawn: a number with a direction. Equality and text have no place on an axis."""
    try:
        threshold = parse_threshold(expression, unit)
    except ThresholdError:
        return None
    number = _number(threshold.literal)
    if number is None or threshold.direction == "equality":
        return None
    written = threshold.text.removeprefix(threshold.operator).strip()
    bare = written.replace(".", "", 1).isdigit()
    return Limit(threshold.operator, number, humanise(number, unit) if bare else written)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _moment_or_none(text: object) -> dt.datetime | None:
    try:
        return parse_moment(str(text)) if text else None
    except RunbookError:
        return None

