# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking into a recovered cluster: what it holds, its indexes against its tables, the checksum of every page."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import ChildFailed, first_words, run
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Census, Scope
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.questions import (
    Answer,
    ask,
    databases,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.recover import Recovered
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.telling import failed, noted, undecided
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.consistency import check_consistency
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.findings import Report
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import CONSISTENCY, SEMANTICS
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.request import Request
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.semantics import census_of, check_minimum
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.target import Target

_CHECKS_SECONDS = 86400.0
_BAD_BLOCK = re.compile(r'checksum verification failed in file "([^"]+)", block (\d+)')
_ADMINISTRATION = "postgres"


@dataclass
class Inside:
    """What is found in one recovered cluster. C(database) is the one that minimum, watermarks and assertions are of."""

    report: Report
    state: Recovered
    request: Request
    params: Mapping[str, Any]
    progress: Progress
    answers: list[Answer] = field(default_factory=list)
    census: Optional[Census] = None

    def __post_init__(self) -> None:
        self.databases = list(databases(self.state))
        # The one that is not there for administration, if there is just one.
        own = [name for name in self.databases if name != _ADMINISTRATION]
        self.database = self.request.database or (own[0] if len(own) == 1 else _ADMINISTRATION)

    def content(self) -> None:
        """Whether it holds what it must."""
        request = self.request
        if request.database and request.database not in self.databases:
            failed(
                self.report,
                "identity_mismatch",
                f"it has no database {request.database}",
                request.database,
                expected=request.database,
                found=", ".join(self.databases),
            )
            return
        self._ask()
        if request.minimum or request.watermarks:
            self.census = census_of(
                self._target(self.database), None, request.watermarks, Scope(), request.jobs, self.progress
            )
            check_minimum(request.minimum, self.census, self.report)
        if self.answers or request.minimum or request.watermarks:
            self.report.passed(SEMANTICS, "it holds what it must")
            return
        self.report.leave_open(
            "what the cluster must hold: its files are as the server had them, and nothing says what should be in them "
            "(must_see, minimum, watermarks, assertions)"
        )
        self.report.skipped(SEMANTICS, "nothing was asked")

    def pages(self, data: Path, *, checksums: Optional[bool]) -> None:
        """Run amcheck and assertions, then shut the server down and have the checksum of every page compared."""
        for name in self.databases:
            request = self.request if name == self.database else dataclasses.replace(self.request, assertions=())
            check_consistency(self._target(name), request, self.report, self.progress)
        if checksums is None:
            with self.state.connect() as session:
                checksums = session.query("SHOW data_checksums")[0]["data_checksums"] == "on"
        if checksums:
            self._checksums(data)
        else:
            noted(self.report, "checksums_off", "The cluster has no data checksums: only amcheck looked at its pages")
        self.report.passed(CONSISTENCY, f"{len(self.databases)} databases looked into")

    def told_target(self) -> dict[str, Any]:
        """The server, for the module's result."""
        return self._target(self.database).as_dict()

    def _ask(self) -> None:
        self.answers = ask(self.state, self.params)
        for answer in self.answers:
            if answer.rows is None:
                undecided(self.report, "question_error", answer.problem, answer.db)
            elif not answer.holds:
                failed(self.report, answer.kind, answer.problem, answer.db)

    def _target(self, database: str) -> Target:
        server = self.state.server
        return Target(
            self.state.options(database),
            server.installation,
            "scratch",
            server.installation.version_num,
            restores_roles=False,
            throwaway=True,
            proof=dict(server.proof),
        )

    def _checksums(self, data: Path) -> None:
        self.progress.phase("checksums", str(data))
        self.state.shut_down()
        server = self.state.server
        try:
            argv = [server.installation.program("pg_checksums"), "--check", "-D", str(data)]
            run(argv, seconds=_CHECKS_SECONDS, account=server.place.account.ids, cwd="/")
        except ChildFailed as error:
            blocks = _BAD_BLOCK.findall(error.words)
            for file, block in blocks:
                relative = file.removeprefix(f"{data}/")
                failed(self.report, "page_corruption", f"{relative}, block {block}: its checksum is wrong", relative)
            if not blocks:
                undecided(self.report, "assertion_error", f"pg_checksums failed: {first_words(error.words)}")
        except RunbookError as error:
            undecided(self.report, "assertion_error", f"pg_checksums cannot be run: {error.message}")
