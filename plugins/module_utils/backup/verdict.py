# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a backup is proven: levels, one after the other, and the verdict. Pure.

C(verified) and C(failed) are words about the backup; C(error) says that nothing can be said. They are never mixed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

VERIFIED, FAILED, ERROR = "verified", "failed", "error"
PASSED, SKIPPED = "passed", "skipped"


@dataclass
class Verification:
    """What was looked at, in order, with what came of it.

    Args:
        order: The levels that there are, the easiest first.
        wanted: The level that makes a backup verified; the last, if not given.

    """

    order: Sequence[str]
    wanted: str = ""
    levels: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wanted = self.wanted or self.order[-1]

    def wants(self, level: str) -> bool:
        """Whether the verification goes as far as this level."""
        return self.order.index(level) <= self.order.index(self.wanted)

    def passed(self, level: str, detail: str = "") -> None:
        """A level holds."""
        self._add(level, PASSED, detail)

    def skipped(self, level: str, detail: str) -> None:
        """A level does not apply, because the user said so."""
        self._add(level, SKIPPED, detail)

    def failed(self, level: str, detail: str, code: str = "", object_: str = "") -> None:
        """The backup is bad; C(code) is a word for programs, C(object_) what it is about."""
        self._add(level, FAILED, detail, code, object_)

    def undecided(self, level: str, detail: str, code: str = "", object_: str = "") -> None:
        """Whether it holds cannot be told."""
        self._add(level, ERROR, detail, code, object_)

    def _add(self, level: str, outcome: str, detail: str, code: str = "", object_: str = "") -> None:
        entry = {"level": level, "outcome": outcome, "detail": detail}
        if code:
            entry["code"] = code
        if object_:
            entry["object"] = object_
        self.levels.append(entry)

    @property
    def verdict(self) -> str:
        """C(failed) when something is wrong, C(verified) when every wanted level passed, else C(error)."""
        if any(each["outcome"] == FAILED for each in self.levels):
            return FAILED
        if any(each["outcome"] == ERROR for each in self.levels):
            return ERROR
        looked_at = {each["level"] for each in self.levels}
        wanted = self.order[: self.order.index(self.wanted) + 1]
        return VERIFIED if looked_at.issuperset(wanted) else ERROR

    @property
    def level(self) -> Optional[str]:
        """The last level that was reached before anything did not hold; None if none was."""
        bad = {each["level"] for each in self.levels if each["outcome"] in (FAILED, ERROR)}
        reached = None
        for each in self.levels:
            if each["level"] in bad:
                break
            reached = each["level"]
        return reached

    @property
    def reason(self) -> Optional[str]:
        """Why it is not verified; None if it is."""
        found = self._first(FAILED) or self._first(ERROR)
        if found is not None:
            return f"{found['level']}: {found['detail']}"
        return None if self.verdict == VERIFIED else "it was not looked at"

    def _first(self, outcome: str) -> Optional[Mapping[str, str]]:
        return next((each for each in self.levels if each["outcome"] == outcome), None)

    def as_dict(self) -> dict[str, Any]:
        """For results and the manifest."""
        return {
            "verdict": self.verdict,
            "level": self.level,
            "wanted_level": self.wanted,
            "reason": self.reason,
            "levels": self.levels,
            "notes": self.notes,
        }
