# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a backup is proven: levels, one after the other, and the verdict. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

# exists   the file is there and can be read
# fresh    it is not older than it may be
# format   it begins as an RDB file, of a version that the server at hand reads
# bytes    size and SHA-256 are those of the manifest
# check    redis-check-rdb reads it to its end, and its checksum is right
# loads    a server loads it
# counts   every database has the keys that the live server had
# queues   every queue has the jobs that the live server had
LEVELS = ("exists", "fresh", "format", "bytes", "check", "loads", "counts", "queues")
VERIFIED, FAILED, ERROR = "verified", "failed", "error"
PASSED, SKIPPED = "passed", "skipped"


@dataclass
class Verification:
    """What was looked at, in order, with what came of it."""

    wanted: str = LEVELS[-1]
    levels: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def passed(self, level: str, detail: str = "") -> None:
        """A level holds."""
        self._add(level, PASSED, detail)

    def skipped(self, level: str, detail: str) -> None:
        """A level does not apply, because the user said so."""
        self._add(level, SKIPPED, detail)

    def failed(self, level: str, detail: str) -> None:
        """The backup is bad."""
        self._add(level, FAILED, detail)

    def undecided(self, level: str, detail: str) -> None:
        """Whether it holds cannot be told."""
        self._add(level, ERROR, detail)

    def _add(self, level: str, outcome: str, detail: str) -> None:
        self.levels.append({"level": level, "outcome": outcome, "detail": detail})

    @property
    def verdict(self) -> str:
        """C(failed) when something is wrong, C(verified) when every wanted level passed, else C(error)."""
        outcomes = {each["level"]: each["outcome"] for each in self.levels}
        if FAILED in outcomes.values():
            return FAILED
        wanted = LEVELS[: LEVELS.index(self.wanted) + 1]
        return VERIFIED if all(outcomes.get(level) in (PASSED, SKIPPED) for level in wanted) else ERROR

    @property
    def level(self) -> Optional[str]:
        """The last level that was reached before anything did not hold; None if none was."""
        reached = None
        for each in self.levels:
            if each["outcome"] in (FAILED, ERROR):
                break
            reached = each["level"]
        return reached

    @property
    def reason(self) -> Optional[str]:
        """Why it is not verified; None if it is."""
        for each in self.levels:
            if each["outcome"] in (FAILED, ERROR):
                return f"{each['level']}: {each['detail']}"
        return None if self.verdict == VERIFIED else "it was not looked at"

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
