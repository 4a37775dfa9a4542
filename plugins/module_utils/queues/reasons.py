# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making one reason out of a thousand failures that differ only in their ids. Pure."""

from __future__ import annotations

import re

REASON_CHARACTERS = 160
# More of a text than this is not looked at: the patterns below take their time with a word of many thousand letters.
TEXT_CHARACTERS = 1000

# In this order: what holds numbers inside comes before numbers.
REPLACEMENTS = (
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE), "<uuid>"),
    (re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b"), "<address>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"), "<time>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"), "<ip>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "<hex>"),
    (re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\b", re.IGNORECASE), "<hex>"),
    (re.compile(r"(?<![\w<])[A-Za-z]*\d[\w]*(?:[.,]\d+)*"), "<n>"),
)

# What must not travel into a report, whatever an application wrote into its error messages.
SECRETS = (
    (re.compile(r"(\w+://[^\s:/@]*:)\S+@"), r"\1********@"),
    (
        re.compile(
            r"(?i)\b((?:pass(?:word|wd)?|pwd|secret|token|api[_-]?key|authorization)['\"]?\s*[=:]\s*)"
            r"(?:bearer\s+)?['\"]?[^\s'\",;&]+"
        ),
        r"\1********",
    ),
    (re.compile(r"(?i)\bbearer\s+[\w.~+/=-]+"), "Bearer ********"),
)


def scrub(text: str) -> str:
    """A message without what looks like credentials."""
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text


def normalise(text: str) -> str:
    """A message without what differs from one occurrence to the next: ids, numbers, times, addresses."""
    lines = [line.strip() for line in scrub(text.lstrip()[:TEXT_CHARACTERS]).splitlines() if line.strip()]
    reason = re.sub(r"\s+", " ", lines[0]) if lines else "(no message)"
    for pattern, replacement in REPLACEMENTS:
        reason = pattern.sub(replacement, reason)
    return reason if len(reason) <= REASON_CHARACTERS else reason[: REASON_CHARACTERS - 1] + "…"
