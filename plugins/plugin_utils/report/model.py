# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The view model: what the page shows, without a word of HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.runbook.ops.plugins.plugin_utils.report.bars import Bar
from ansible_collections.runbook.ops.plugins.plugin_utils.report.evidence import Excerpt
from ansible_collections.runbook.ops.plugins.plugin_utils.report.queue_view import QueueView
from ansible_collections.runbook.ops.plugins.plugin_utils.report.recovery_view import Recovery
from ansible_collections.runbook.ops.plugins.plugin_utils.report.wording import Moment, Remedy


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
    ladder: Bar | None
    ladder_label: str
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
class FigureLine:
    """A figure before and after a change, and how long the bars of both are, in percent of the longer one.

    C(after) is empty where the time after has not come; C(bars) is None where there is nothing to compare.
    """

    name: str
    before: str
    after: str
    moved: str
    bars: tuple[float, float] | None


@dataclass(frozen=True)
class ChangeRow:
    """One change as shown. C(said) is why it failed, was refused, did not help, or is to be done."""

    status: str
    action: str
    host: str
    object: str
    said: str
    statement: str
    remedy: Remedy
    figures: tuple[FigureLine, ...]
    figures_left_out: int
    took: str
    source: str
    at: str


@dataclass(frozen=True)
class Changes:
    """What a run changed. C(folded) are rows that only open on demand, C(left_out) how many are in the file only."""

    heading: str
    counts: Mapping[str, int]
    total: int
    rows: tuple[ChangeRow, ...]
    folded: tuple[ChangeRow, ...]
    left_out: int


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
    changes: Changes | None = None
    queues: QueueView | None = None
    recoveries: tuple[Recovery, ...] = ()
    notes: tuple[str, ...] = ()
