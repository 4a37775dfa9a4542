# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs changed, in a file of the machine: which versions were there before, so that they can come back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, write_file

_KEPT_RUNS = 20
_FILE = "updates.json"


@dataclass
class Run:
    """One run of updates. C(packages) has the version before by name; None was not installed."""

    started_at: str
    packages: dict[str, Optional[str]] = field(default_factory=dict)
    versions: dict[str, Optional[str]] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    restarted: list[str] = field(default_factory=list)
    finished_at: Optional[str] = None
    undone_at: Optional[str] = None

    @property
    def is_open(self) -> bool:
        """Whether it was neither finished nor undone: it broke off, or is at work."""
        return self.finished_at is None and self.undone_at is None

    def add(self, before: Mapping[str, Optional[str]], after: Mapping[str, Optional[str]]) -> None:
        """More packages; the first version before counts, because it is the one to go back to."""
        for name, version in before.items():
            self.packages.setdefault(name, version)
        self.versions.update(after)


@dataclass
class Record:
    """The runs of a machine, the newest last."""

    place: Path
    runs: list[Run] = field(default_factory=list)

    @classmethod
    def load(cls, place: Path) -> Record:
        """What is kept below C(place); an empty record where nothing is."""
        path = place / _FILE
        if not path.exists():
            return cls(place)
        with explained("read", path):
            text = path.read_text(encoding="utf-8")
        try:
            return cls(place, [Run(**each) for each in json.loads(text)["runs"]])
        except (ValueError, KeyError, TypeError):
            raise RunbookError(
                f"{path} is not a record of updates. Move it away; without it nothing can be undone."
            ) from None

    def save(self) -> None:
        """Write it, whole or not at all."""
        with explained("make", self.place):
            self.place.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = {"version": 1, "runs": [asdict(run) for run in self.runs[-_KEPT_RUNS:]]}
        write_file(self.place / _FILE, json.dumps(content, indent=1).encode())

    @property
    def last(self) -> Optional[Run]:
        """The newest run that was not undone."""
        return next((run for run in reversed(self.runs) if run.undone_at is None), None)

    def opened(self, moment: str) -> Run:
        """The run that broke off, or a new one."""
        last = self.runs[-1] if self.runs else None
        if last is None or not last.is_open:
            last = Run(moment)
            self.runs.append(last)
        return last

    def facts(self) -> dict[str, Any]:
        """The newest run, for results."""
        last = self.runs[-1] if self.runs else None
        return {
            "is_open": bool(last and last.is_open),
            "started_at": last.started_at if last else None,
            "finished_at": last.finished_at if last else None,
            "undone_at": last.undone_at if last else None,
            "packages": [
                {"name": name, "before": before, "after": last.versions.get(name)}
                for name, before in (last.packages if last else {}).items()
                if last
            ],
        }
