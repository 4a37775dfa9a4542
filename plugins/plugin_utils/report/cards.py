# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One finding becomes one card."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.judging.humanise import humanise
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.thresholds import ThresholdError, parse_threshold
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.texts import FLAGS
from ansible_collections.runbook.ops.plugins.plugin_utils.report.bars import Limit, ladder_bar
from ansible_collections.runbook.ops.plugins.plugin_utils.report.evidence import Clean, Excerpt, FactsIndex, excerpt
from ansible_collections.runbook.ops.plugins.plugin_utils.report.model import Card
from ansible_collections.runbook.ops.plugins.plugin_utils.report.past import Past, number_or_none
from ansible_collections.runbook.ops.plugins.plugin_utils.report.wording import (
    Finding,
    moment_or_none,
    show_moment,
    split_remedy,
)

_EXCERPT_CHARACTERS = 4_000


class CardBuilder:
    """Makes cards; remembers the facts it has searched."""

    def __init__(
        self,
        facts: Mapping[str, Mapping[str, Any]],
        clean: Clean,
        anchors: Mapping[tuple[str, str], str],
        past: Past,
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
        """The card of a finding, numbered in the order of asking."""
        severity, unit = str(finding["severity"]), finding.get("unit")
        ladder = finding.get("ladder") or {}
        written = {name: str(ladder[name]) for name in ("warning", "critical") if ladder.get(name)}
        limits = {name: _limit(expression, unit) for name, expression in written.items()}
        steps = tuple(
            (name, f"{limit.operator} {limit.label}" if (limit := limits[name]) else FLAGS.get(expression, expression))
            for name, expression in written.items()
        )
        value = finding.get("value")
        drawn = None
        if (value is None and severity == "unknown") or number_or_none(value) is not None:
            drawn = ladder_bar(number_or_none(value), unit, limits.get("warning"), limits.get("critical"))
        shown = humanise(value, unit)
        said = " and ".join(f"{name} {expression}" for name, expression in steps)
        moment = moment_or_none(finding.get("measured_at"))
        host, source = str(finding.get("host") or ""), str(finding.get("source") or "")
        piece, anchor = (None, "") if severity == "ok" else self._behind(finding, host, source)
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
            ladder=drawn,
            ladder_label=f"{shown}; {said}" if value is not None else f"not measured; {said}",
            unit=unit,
            trend=self._past.trend(finding),
            remedy=split_remedy(str(finding.get("remedy") or "")),
            excerpt=piece,
            facts_anchor=anchor,
            fresh=self._past.is_fresh(finding),
        )

    def _behind(self, finding: Finding, host: str, source: str) -> tuple[Excerpt | None, str]:
        """The facts a finding stands on, and the anchor of all facts of their source.

        Where no facts carry the name of the finding's source, every source of the host is searched.
        """
        of_host = self._facts.get(host, {})
        for name in [source] if source in of_host else sorted(of_host):
            facts = of_host[name]
            if not isinstance(facts, Mapping):
                continue
            if (host, name) not in self._indexes:
                self._indexes[(host, name)] = FactsIndex(facts)
            found = self._indexes[(host, name)].find(finding)
            if found:
                piece = excerpt(found[1], found[0], _EXCERPT_CHARACTERS, self._clean)
                return piece, self._anchors.get((host, name), "")
        return None, self._anchors.get((host, source), "")


def _limit(expression: str, unit: str | None) -> Limit | None:
    """A step that can be drawn: a number with a direction. Equality and text have no place on an axis."""
    try:
        threshold = parse_threshold(expression, unit)
    except ThresholdError:
        return None
    number = number_or_none(threshold.literal)
    if number is None or threshold.direction == "equality":
        return None
    written = threshold.text.removeprefix(threshold.operator).strip()
    bare = written.replace(".", "", 1).isdigit()
    return Limit(threshold.operator, number, humanise(number, unit) if bare else written)
