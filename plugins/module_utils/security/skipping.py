# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an audit could not look at: said, with the thing that is missing."""

from __future__ import annotations

from dataclasses import dataclass


class Skipped(Exception):
    """A section cannot be measured; the sentence goes to C(skipped_sections)."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True)
class Gap:
    """A part of a section that is unknown."""

    section: str
    reason: str
    remedy: str

    def as_dict(self) -> dict[str, str]:
        """The entry of C(skipped_sections)."""
        return {"section": self.section, "reason": self.reason, "remedy": self.remedy}
