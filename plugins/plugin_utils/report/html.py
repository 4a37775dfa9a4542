# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as one HTML page that needs nothing but itself."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from ansible_collections.runbook.ops.plugins.plugin_utils.report.bars import bar_svg
from ansible_collections.runbook.ops.plugins.plugin_utils.report.model import Card, Document
from ansible_collections.runbook.ops.plugins.plugin_utils.report.sparkline import runs_svg, sparkline_svg
from ansible_collections.runbook.ops.plugins.plugin_utils.report.wording import command_pieces

_TEMPLATES = Path(__file__).parent / "templates"


def render_html(document: Document) -> str:
    """The page as text.

    Everything in the document is escaped. The page forbids itself, by its content security policy, to load anything and
    to run any script but its own, so that a name that slipped through could still do nothing.
    """
    template, style, script = _pieces()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return template.render(
        document=document,
        style=_markup(style),
        script=_markup(script),
        script_hash=f"sha256-{digest}",
        command_pieces=command_pieces,
        ladder=_ladder,
        spark=_spark,
        runs=lambda past: _markup(runs_svg(past)),
    )


@lru_cache(maxsize=1)
def _pieces() -> tuple[Template, str, str]:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return (
        environment.get_template("page.html.j2"),
        (_TEMPLATES / "page.css").read_text(encoding="utf-8").strip(),
        (_TEMPLATES / "page.js").read_text(encoding="utf-8").strip(),
    )


def _markup(ours: str) -> Markup:
    """What our own files and drawings hold, which escape every value themselves."""
    return Markup(ours)  # noqa: S704


def _ladder(card: Card) -> Markup:
    if card.ladder is None:
        return Markup()
    return _markup(bar_svg(card.ladder, card.severity, card.ladder_label))


def _spark(card: Card) -> Markup:
    if card.trend is None:
        return Markup()
    return _markup(sparkline_svg(card.trend.values, card.severity, card.trend.label))
