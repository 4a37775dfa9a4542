# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's and Ubuntu's packages: apt-get and dpkg without a question, and never killed in the middle."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import ChildFailed, run
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.packages.apt_output import (
    Simulated,
    first_error,
    kernels,
    read_simulation,
    read_versions,
)
from ansible_collections.runbook.ops.plugins.module_utils.packages.apt_repack import repack
from ansible_collections.runbook.ops.plugins.module_utils.packages.detached import run_to_end
from ansible_collections.runbook.ops.plugins.module_utils.packages.model import Installed

# Nothing asks, a changed configuration file stays, and no hook restarts services behind our back.
ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive",
    "UCF_FORCE_CONFFOLD": "1",
    "APT_LISTCHANGES_FRONTEND": "none",
    "NEEDRESTART_MODE": "l",
    "NEEDRESTART_SUSPEND": "1",
    "LC_ALL": "C",
}
_KEEP = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold", "-o", "Dpkg::Use-Pty=0")
_QUERY = "-f=${db:Status-Abbrev}\t${Package}\t${Architecture}\t${Version}\n"
_LISTS = Path("/var/lib/apt/lists")
_LOCK = Path("/var/lib/dpkg/lock-frontend")
_ARCHIVES = Path("/var/cache/apt/archives")


class Apt:
    """One machine's packages."""

    name = "apt"

    def __init__(self, query_seconds: float, lock_seconds: float, change_seconds: float, log: Path) -> None:
        self.query_seconds = query_seconds
        self.lock_seconds = lock_seconds
        self.change_seconds = change_seconds
        self.log = log

    def wait_for_lock(self) -> None:
        """Until no other run of apt or dpkg works; raises RunbookError at the deadline."""
        if not _LOCK.exists():
            return
        deadline = time.monotonic() + self.lock_seconds
        with _LOCK.open("r+b") as lock:
            while True:
                try:
                    fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    if time.monotonic() > deadline:
                        raise RunbookError(
                            f"Another run of apt or dpkg still works after {self.lock_seconds:g} s. Wait for it to end "
                            "(ps -C apt-get,dpkg,unattended-upgr), then run this again."
                        ) from None
                    time.sleep(0.2)
                    continue
                fcntl.lockf(lock, fcntl.LOCK_UN)
                return

    def refresh(self) -> None:
        """Read the lists again. A source that does not answer is a failure: what it has would be missing silently."""
        self._ask("apt-get", "-q", "-o", f"DPkg::Lock::Timeout={self.lock_seconds:.0f}",
                  "-o", "APT::Update::Error-Mode=any", "update")  # fmt: skip

    def lists_at(self) -> Optional[float]:
        """When the lists were read, in seconds since 1970; None without lists."""
        stamps = [path.stat().st_mtime for path in _LISTS.glob("*") if path.is_file() and path.name != "lock"]
        stamps += [path.stat().st_mtime for path in (_LISTS / "partial",) if path.is_dir() and stamps]
        return max(stamps, default=None)

    def pending(self) -> Simulated:
        """What is newer than what is installed, also where it is held."""
        held = frozenset(self._ask("apt-mark", "showhold").split())
        return read_simulation(
            self._ask("apt-get", "-s", "-q", "-o", "Debug::NoLocking=1", "--ignore-hold", "--with-new-pkgs", "upgrade"),
            held,
        )

    def installed(self) -> dict[str, Installed]:
        """All packages that are there."""
        native = self._ask("dpkg", "--print-architecture").strip()
        return read_versions(self._ask("dpkg-query", "-W", _QUERY), native)

    def kernels(self) -> list[str]:
        """The releases of the installed kernels."""
        return kernels(self.installed())

    def interrupted(self) -> bool:
        """Whether an earlier run was ended in the middle, so that dpkg has to finish it first."""
        updates = Path("/var/lib/dpkg/updates")
        return any(updates.glob("[0-9]*")) or any(not each.whole for each in self.installed().values())

    def repair(self) -> None:
        """Finish what an earlier run left half done; what cannot be finished is for the coming run to replace."""
        run_to_end(
            ["dpkg", "--configure", "-a", "--force-confdef", "--force-confold"],
            ENVIRONMENT, self.log, self.change_seconds,
        )  # fmt: skip

    def simulate(self, wanted: Mapping[str, Optional[str]], files: Sequence[str] = ()) -> Simulated:
        """What exactly a change would do, dependencies included."""
        return read_simulation(self._ask("apt-get", "-s", "-q", "-o", "Debug::NoLocking=1", *_change(wanted, files)))

    def change(self, wanted: Mapping[str, Optional[str]], files: Sequence[str] = ()) -> None:
        """Bring packages to these versions (None removes one). It goes on to its end whatever becomes of us."""
        command = ["apt-get", "-q", "-y", "-o", f"DPkg::Lock::Timeout={self.lock_seconds:.0f}", *_KEEP]
        code, words = run_to_end([*command, *_change(wanted, files)], ENVIRONMENT, self.log, self.change_seconds)
        if code:
            raise RunbookError(
                f"apt-get failed with status {code}: {first_error(words) or words.strip()[-300:]}. All that it said is "
                f"in {self.log}."
            )

    def keep(self, versions: Mapping[str, str], place: Path) -> dict[str, str]:
        """Files of these versions below C(place), by name: what an archive does not have any more cannot come back."""
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = {}
        for name, version in versions.items():
            pattern = f"{name}_{version.replace(':', '%3a')}_*.deb"
            for way in (self._of_cache, self._of_archive, self._of_machine):
                found = sorted(place.glob(pattern))
                if not found:
                    way(name, version, place)
            found = sorted(place.glob(pattern))
            if found:
                kept[name] = str(found[0])
        return kept

    def _of_cache(self, name: str, version: str, place: Path) -> None:
        for cached in _ARCHIVES.glob(f"{name}_{version.replace(':', '%3a')}_*.deb"):
            shutil.copy2(cached, place / cached.name)

    def _of_archive(self, name: str, version: str, place: Path) -> None:
        # Without a source of this version it fails at once.
        with contextlib.suppress(ChildFailed):
            self._ask("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", f"{name}={version}", cwd=place)

    def _of_machine(self, name: str, version: str, place: Path) -> None:
        with contextlib.suppress(ChildFailed, OSError):
            repack(name, version, place, self._ask)

    def _ask(self, *argv: str, cwd: Optional[Path] = None) -> str:
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", **ENVIRONMENT}
        try:
            return run(argv, environment=environment, seconds=self.query_seconds, cwd=cwd)
        except ChildFailed as error:
            raise ChildFailed(
                f"{' '.join(argv[:1])}: {first_error(error.words) or error.message}. Correct it on the machine, and "
                "run this again.",
                code=error.code, words=error.words,
            ) from None  # fmt: skip


def _change(wanted: Mapping[str, Optional[str]], files: Sequence[str]) -> list[str]:
    named = [f"{name}={version}" if version else f"{name}-" for name, version in wanted.items()]
    return ["--allow-downgrades", "--allow-change-held-packages", "--no-install-recommends", "install", *named, *files]
