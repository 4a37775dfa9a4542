# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was found to be wrong with a backup, or could not be told, in one shape. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.verdict import ERROR, FAILED, PASSED, VERIFIED
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import (
    FRESH,
    LEVEL_OF,
    LEVELS,
    verification,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.remedies import remedy_for

NOTED = "noted"
_AGE = "stale"
# Of one code so many are told one by one; how many there are is told always.
_MOST_OF_A_CODE = 25


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong (C(outcome) failed), cannot be told (error), or should be known (noted)."""

    code: str
    level: str
    outcome: str
    object: Optional[str]
    expected: Any
    found: Any
    message: str
    remedy: str

    def as_dict(self) -> dict[str, Any]:
        """For the module's result."""
        return {
            "code": self.code,
            "level": self.level,
            "outcome": self.outcome,
            "object": self.object,
            "expected": self.expected,
            "found": self.found,
            "message": self.message,
            "remedy": self.remedy,
        }


class Report:
    """What is learnt of one artefact, level by level.

    Args:
        wanted: The level that makes it verified.
        accept: Codes, alone or with a shell pattern for the object, that do not change the verdict.

    """

    def __init__(self, wanted: str, accept: Sequence[str] = ()) -> None:
        self.seen = verification(wanted)
        self._accept = accept
        self.findings: list[Finding] = []
        self.unproven: list[str] = []

    def wants(self, level: str) -> bool:
        """Whether the verification goes as far as this level."""
        return self.seen.wants(level)

    def passed(self, level: str, detail: str = "") -> None:
        """A level holds, unless something else was found at it; said once."""
        if self.is_clean(level) and not any(each["level"] == level for each in self.seen.levels):
            self.seen.passed(level, detail)

    def skipped(self, level: str, detail: str) -> None:
        """A level has nothing to look at; what that leaves open belongs into C(unproven)."""
        if self.is_clean(level):
            self.seen.skipped(level, detail)

    def is_clean(self, level: str) -> bool:
        """Whether nothing was found to be wrong or unclear at a level so far."""
        return not any(each.level == level and each.outcome != NOTED for each in self.findings)

    @property
    def is_good(self) -> bool:
        """Whether nothing at all was found to be wrong or unclear so far."""
        return all(each.outcome == NOTED for each in self.findings)

    def failed(self, code: str, message: str, **about: Any) -> None:
        """The backup is bad."""
        self._add(FAILED, code, message, **about)

    def undecided(self, code: str, message: str, **about: Any) -> None:
        """It cannot be told."""
        self._add(ERROR, code, message, **about)

    def noted(self, code: str, message: str, **about: Any) -> None:
        """Something that does not change the verdict and that people should know."""
        self._add(NOTED, code, message, **about)

    def error(self, error: RunbookError, code: str, **about: Any) -> None:
        """What was raised, as something that cannot be told; the error's own C(code) wins, if it is one of ours."""
        own = str(error.details.get("code"))
        self.undecided(own if own in LEVEL_OF else code, error.message, **about)

    def leave_open(self, what: str) -> None:
        """Something that nothing here can prove."""
        if what not in self.unproven:
            self.unproven.append(what)

    def forget_from(self, level: str) -> None:
        """Drop what was concluded from bytes that turned out to be bad, from a level on."""
        doomed = set(LEVELS[LEVELS.index(level) :])
        self.findings = [each for each in self.findings if each.level not in doomed]
        self.seen.levels = [each for each in self.seen.levels if each["level"] not in doomed]

    def _add(
        self,
        outcome: str,
        code: str,
        message: str,
        *,
        object_: Optional[str] = None,
        expected: Any = None,
        found: Any = None,
        level: Optional[str] = None,
        remedy: Optional[str] = None,
    ) -> None:
        at = level or LEVEL_OF[code]
        if outcome == FAILED and self._is_accepted(code, object_ or ""):
            outcome = NOTED
        finding = Finding(
            code,
            at,
            outcome,
            object_ or None,
            expected,
            found,
            message.rstrip("."),
            remedy or remedy_for(code, outcome),
        )
        if finding in self.findings:
            return
        self.findings.append(finding)
        if outcome == FAILED:
            self.seen.failed(at, finding.message, code, object_ or "")
        elif outcome == ERROR:
            self.seen.undecided(at, finding.message, code, object_ or "")
        else:
            self.seen.notes.append(finding.message)

    def _is_accepted(self, code: str, object_: str) -> bool:
        for each in self._accept:
            accepted, _colon, shell = each.partition(":")
            if code == accepted and fnmatch.fnmatchcase(object_, shell or "*"):
                return True
        return False

    @property
    def verdict(self) -> str:
        """C(verified), C(failed) or C(error)."""
        return self.seen.verdict

    @property
    def level(self) -> Optional[str]:
        """The last level that holds together with all before it; what had nothing to look at does not count."""
        reached = None
        for level in LEVELS:
            outcomes = [each["outcome"] for each in self.seen.levels if each["level"] == level]
            if not outcomes or any(each in (FAILED, ERROR) for each in outcomes):
                break
            if PASSED in outcomes:
                reached = level
        return reached

    def of_the_artefact(self) -> Report:
        """The same without its age: a good backup does not become a bad one by growing old."""
        ageless = Report(self.seen.wanted)
        ageless.unproven = self.unproven
        ageless.findings = [each for each in self.findings if each.code != _AGE]
        ageless.seen.notes = self.seen.notes
        ageless.seen.levels = [each for each in self.seen.levels if each.get("code") != _AGE]
        if not any(each["level"] == FRESH for each in ageless.seen.levels):
            ageless.passed(FRESH, "its age was not looked at")
        return ageless

    @property
    def reason(self) -> Optional[str]:
        """Why it is not verified, in one sentence; None if it is."""
        if self.verdict == VERIFIED:
            return None
        first = next((each for each in self.ordered() if each.outcome == self.verdict), None)
        if first is None:
            return "it was not looked at to the end"
        others = sum(each.outcome != NOTED for each in self.findings) - 1
        return f"{first.level}: {first.message}" + (f" (and {others} more findings)" if others else "")

    def ordered(self) -> list[Finding]:
        """The findings: what is wrong before what is unclear, the easiest level first."""
        weight = {FAILED: 0, ERROR: 1, NOTED: 2}
        return sorted(self.findings, key=lambda each: (weight[each.outcome], LEVELS.index(each.level)))

    def told_levels(self) -> list[dict[str, str]]:
        """What came of each level, in their order."""
        return sorted(self.seen.levels, key=lambda each: LEVELS.index(each["level"]))

    def told(self) -> list[dict[str, Any]]:
        """The findings for the result; of one code not more than a person reads."""
        return [each.as_dict() for each in _few(self.ordered())]


def _few(findings: Iterable[Finding]) -> list[Finding]:
    counts: dict[str, int] = {}
    kept = []
    for each in findings:
        counts[each.code] = counts.get(each.code, 0) + 1
        if counts[each.code] <= _MOST_OF_A_CODE:
            kept.append(each)
    return kept
