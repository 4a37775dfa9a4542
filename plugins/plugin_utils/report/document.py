# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings, facts and history become the page's view model, in the page's order."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.findings import SEVERITIES, sorted_findings, totals
from ansible_collections.runbook.ops.plugins.plugin_utils.report.cards import CardBuilder
from ansible_collections.runbook.ops.plugins.plugin_utils.report.changed import show_changes
from ansible_collections.runbook.ops.plugins.plugin_utils.report.evidence import Clean, excerpt
from ansible_collections.runbook.ops.plugins.plugin_utils.report.history import Run
from ansible_collections.runbook.ops.plugins.plugin_utils.report.model import (
    Document,
    FactsOf,
    Group,
    HostLine,
    Section,
    Tile,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.report.past import Past
from ansible_collections.runbook.ops.plugins.plugin_utils.report.queue_view import QueueView
from ansible_collections.runbook.ops.plugins.plugin_utils.report.recovery_view import Recovery
from ansible_collections.runbook.ops.plugins.plugin_utils.report.wording import Finding, show_moment, verdict

# The page stays usable with 20,000 findings: lists are bounded and say what they leave out.
MOST_CARDS_PER_GROUP = 200
MOST_CARDS_PER_RULE = 25
MOST_OK_ROWS = 500
MOST_HOSTS = 60
MOST_RESOLVED = 40
_FACTS_CHARACTERS = 24_000
_ALL_FACTS_CHARACTERS = 1_500_000


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
    changes: Sequence[Mapping[str, Any]] = (),
    queues: QueueView | None = None,
    recoveries: Sequence[Recovery] = (),
) -> Document:
    """Put findings, facts (host -> source -> facts), past runs (oldest first) and changes into the page's order.

    Findings, changes, queues and history must already be free of secrets. Facts can be huge, so only what is shown goes
    through C(clean), which takes secrets out of data.
    """
    ordered = sorted_findings(findings)
    counts: dict[str, int] = {
        severity: number for severity, number in totals(ordered).items() if severity in SEVERITIES
    }
    past = Past(history, ordered, zone)
    shown_facts, anchors, facts_left_out = _facts(facts, clean)
    builder = CardBuilder(facts, clean, anchors, past, zone)
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
        tiles=tuple(
            Tile(severity, counts[severity], past.change(severity, counts[severity])) for severity in SEVERITIES
        ),
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
        changes=show_changes(changes, moment, zone),
        queues=queues,
        recoveries=tuple(recoveries),
        notes=tuple(notes),
    )


def _section(name: str, members: Sequence[Finding], builder: CardBuilder) -> Section:
    counts = Counter(str(finding["severity"]) for finding in members)
    groups = []
    for severity in SEVERITIES[:-1]:
        chosen, left_out = _bounded([finding for finding in members if finding["severity"] == severity])
        if chosen:
            groups.append(
                Group(severity, counts[severity], tuple(builder.card(finding) for finding in chosen), left_out)
            )
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
