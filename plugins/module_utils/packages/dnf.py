# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RHEL family's packages: dnf and rpm without a question, and never killed in the middle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import ChildFailed, run
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.packages.apt_output import Simulated
from ansible_collections.runbook.ops.plugins.module_utils.packages.detached import run_to_end
from ansible_collections.runbook.ops.plugins.module_utils.packages.dnf_output import (
    read_check_update,
    read_rpm,
    read_security,
    read_transaction,
)
from ansible_collections.runbook.ops.plugins.module_utils.packages.model import Installed, natural

_QUERY = "%{NAME}\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\t%{ARCH}\n"
_UPDATES_ARE_PENDING = 100
_ENVIRONMENT = {"LC_ALL": "C", "COLUMNS": "500"}


class Dnf:
    """One machine's packages."""

    name = "dnf"

    def __init__(self, query_seconds: float, lock_seconds: float, change_seconds: float, log: Path) -> None:
        self.query_seconds = query_seconds
        self.lock_seconds = lock_seconds
        self.change_seconds = change_seconds
        self.log = log

    def wait_for_lock(self) -> None:
        """Nothing: dnf itself waits for another run, within the time of a query."""

    def refresh(self) -> None:
        """Read the repositories again."""
        self._ask("dnf", "-q", "makecache", "--refresh")

    def lists_at(self) -> Optional[float]:
        """When a repository was read last, in seconds since 1970; None without any."""
        stamps = [path.stat().st_mtime for path in Path("/var/cache/dnf").glob("*/repodata/repomd.xml")]
        return max(stamps, default=None)

    def pending(self) -> Simulated:
        """What is newer than what is installed."""
        listed = self._ask("dnf", "-q", "check-update", fine=(0, _UPDATES_ARE_PENDING))
        advised = self._ask("dnf", "-q", "updateinfo", "list", "--updates", "--security")
        return Simulated(read_check_update(listed, self.installed(), read_security(advised)))

    def installed(self) -> dict[str, Installed]:
        """All packages that are there."""
        return read_rpm(self._ask("rpm", "-qa", "--qf", _QUERY))

    def kernels(self) -> list[str]:
        """The releases of the installed kernels."""
        listed = self._ask(
            "rpm", "-q", "kernel-core", "kernel", "--qf", "%{VERSION}-%{RELEASE}.%{ARCH}\n", fine=(0, 1, 2)
        )
        return [line for line in listed.splitlines() if line and " " not in line]

    def interrupted(self) -> bool:
        """Whether a package is there twice or by half: rpm's transactions are whole, so that it is not looked for."""
        return False

    def repair(self) -> None:
        """Nothing: see C(interrupted)."""

    def simulate(self, wanted: Mapping[str, Optional[str]], files: Sequence[str] = ()) -> Simulated:  # noqa: ARG002
        """What exactly a change would do, dependencies included."""
        there = self.installed()
        found = Simulated()
        for argv in _changes(wanted, there):
            # It prints the transaction and answers its own question with no, which is exit code 1.
            part = read_transaction(self._ask(*argv[:1], "--assumeno", *argv[1:], fine=(0, 1)), there)
            found.installs += part.installs
            found.removals += part.removals
        return found

    def change(self, wanted: Mapping[str, Optional[str]], files: Sequence[str] = ()) -> None:  # noqa: ARG002
        """Bring packages to these versions (None removes one). It goes on to its end whatever becomes of us."""
        for argv in _changes(wanted, self.installed()):
            code, words = run_to_end([*argv[:1], "-y", *argv[1:]], _ENVIRONMENT, self.log, self.change_seconds)
            if code:
                said = next((line for line in words.splitlines() if line.startswith("Error")), words.strip()[-300:])
                raise RunbookError(f"dnf failed with status {code}: {said}. All that it said is in {self.log}.")

    def keep(self, versions: Mapping[str, str], place: Path) -> dict[str, str]:  # noqa: ARG002
        """The versions that a repository still has; files are not kept."""
        kept = {}
        for name, version in versions.items():
            found = self._ask("dnf", "-q", "repoquery", "--qf", "%{epoch}:%{version}-%{release}", f"{name}-{version}")
            if version in found.split():
                kept[name] = ""
        return kept

    def _ask(self, *argv: str, fine: Sequence[int] = (0,)) -> str:
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", **_ENVIRONMENT}
        with_codes = [
            "sh",
            "-c",
            '"$@"; code=$?; for fine in $FINE; do [ $code = $fine ] && exit 0; done; exit $code',
            "sh",
        ]
        try:
            return run(
                [*with_codes, *argv],
                environment={**environment, "FINE": " ".join(map(str, fine))},
                seconds=self.query_seconds,
            )
        except ChildFailed as error:
            raise ChildFailed(
                f"{argv[0]}: {error.words.strip()[-300:] or error.message}. Correct it on the machine, and "
                "run this again.",
                code=error.code, words=error.words,
            ) from None  # fmt: skip


def _changes(wanted: Mapping[str, Optional[str]], there: Mapping[str, Installed]) -> list[list[str]]:
    """The calls: what becomes newer, what becomes older, what goes."""
    verbs: dict[str, list[str]] = {"install": [], "downgrade": [], "remove": []}
    for name, version in wanted.items():
        if version is None:
            verbs["remove"].append(name)
        else:
            now = there.get(name)
            older = now is not None and natural(version) < natural(now.version)
            verbs["downgrade" if older else "install"].append(f"{name}-{version}")
    return [["dnf", verb, *names] for verb, names in verbs.items() if names]
