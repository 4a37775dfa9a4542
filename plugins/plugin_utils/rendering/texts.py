# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words that every rendering of findings shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.findings import SEVERITIES, totals
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.humanise import humanise, plain_line

# Enough for any sentence; a cut is marked.
LONGEST = 2000
NOTHING = "No findings: nothing was checked."


def value_text(finding: Mapping[str, Any]) -> str:
    """The value with its unit, or nothing for an unknown one."""
    value = finding.get("value")
    return "" if value is None else humanise(value, finding.get("unit"))


# "yes" and "no" are how such values are shown.
FLAGS = {"== false": "if no", "!= true": "if no", "== true": "if yes", "!= false": "if yes"}


def threshold_text(finding: Mapping[str, Any]) -> str:
    """The threshold in the words of the value beside it: C(if no) rather than C(== false)."""
    text = plain_line(str(finding.get("threshold") or ""))
    return FLAGS.get(text, text)


def where_text(finding: Mapping[str, Any]) -> str:
    """C(host object), as far as the finding has them; the system where it has neither."""
    parts = [plain_line(str(finding.get(key) or "")) for key in ("host", "object")]
    return " ".join(part for part in parts if part) or plain_line(str(finding.get("system") or ""))


def totals_text(findings: list[dict[str, Any]]) -> str:
    """C(2 critical, 1 warning, 0 unknown, 40 ok)."""
    counts = totals(findings)
    return ", ".join(f"{counts[severity]:,} {severity}" for severity in SEVERITIES)
