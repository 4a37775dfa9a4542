# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is learnt of one artefact while it is proven, and how that goes on or ends."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.common.stopwatch import stopwatch
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Census
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.decode import code_of
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.findings import Report
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import (
    LEVEL_OF,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.reading import Following
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.request import Request
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.staging import Staging
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.subject import Subject


@dataclass(frozen=True)
class Previous:
    """The verified artefact before: what it holds, and its bytes' digest."""

    name: str
    census: Optional[Census]
    sha256: Optional[str]


class Ended(Exception):
    """There is no point in going on; why is in the report."""


class Proof:
    """One artefact and what comes of proving it. C(prove) does it.

    Args:
        subject: The artefact.
        request: What is asked.
        progress: Where to show it.
        manifest: Whether it must have a manifest: C(required) or C(optional).
        previous: The verified artefact before it.
        staging: The server to restore into, if not a private one.

    """

    def __init__(
        self,
        subject: Subject,
        request: Request,
        progress: Progress,
        *,
        manifest: str,
        previous: Optional[Previous] = None,
        staging: Optional[Staging] = None,
    ) -> None:
        self.subject = subject
        self.report = Report(request.level, request.accept)
        self.seconds: dict[str, float] = {}
        self.found: Optional[Census] = None
        self.target: Optional[dict[str, Any]] = None
        self.taken_at: Optional[dt.datetime] = None
        self.sha256: Optional[str] = None
        self.blocks: tuple[str, ...] = ()
        self.members: dict[str, str] = {}
        self.kind: Optional[str] = None
        self.read_bytes = 0
        self.content_bytes = 0
        self.request = request
        self.progress = progress
        self.policy = manifest
        self.previous = previous
        self.staging = staging
        self.globals: Optional[str] = None
        self.follower = Following(progress, subject)
        self.oldest = None if request.max_age is None else request.now - dt.timedelta(seconds=request.max_age)

    def end(self, tell: Callable[..., None], code: str, message: str, **about: Any) -> None:
        """Tell a finding after which there is no point in going on."""
        tell(code, message, **about)
        raise Ended

    @contextlib.contextmanager
    def guarded(self, code: str, level: Optional[str] = None) -> Iterator[None]:
        """Put what is raised into the report, and end there; C(code) and C(level) are for what says no better."""
        try:
            yield
        except (Stopped, InvalidOption, Refused):
            raise
        except Damaged as error:
            known = code_of(error)
            self.report.failed(known if known in LEVEL_OF else "restore_failed", error.message)
            raise Ended from None
        except RunbookError as error:
            known = str(error.details.get("code"))
            if known in LEVEL_OF:
                self.report.undecided(known, error.message)
            else:
                self.report.undecided(code, error.message, level=level)
            raise Ended from None

    def timed(self, phase: str) -> contextlib.AbstractContextManager[None]:
        """Add the seconds of the block to a phase."""
        return stopwatch(self.seconds, phase)
