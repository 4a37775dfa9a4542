# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A package made of what is installed of it, for versions that no archive has any more."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from ansible_collections.runbook.ops.plugins.module_utils.common.files import private_directory

Ask = Callable[..., str]
# Fields that only say how it is installed here.
_OF_THE_STATUS = ("Status", "Conffiles", "Config-Version", "Triggers-Pending", "Triggers-Awaited")
_OWN = ("list", "md5sums", "md5sums.gz")


def repack(name: str, version: str, place: Path, ask: Ask) -> None:
    """Make C(name_version_architecture.deb) below C(place).

    Its configuration files are as they are on this machine, and they stay as they are anyway.
    """
    with private_directory("runbook-repack-", place) as workshop:
        root = workshop / "root"
        control = root / "DEBIAN"
        control.mkdir(parents=True, mode=0o755)
        root.chmod(0o755)
        stanza = control_of(ask("dpkg-query", "-s", name))
        (control / "control").write_text(stanza, encoding="utf-8")
        for script in ask("dpkg-query", "--control-list", name).split():
            if script not in _OWN:
                shutil.copy2(ask("dpkg-query", "--control-path", name, script).strip(), control / script)
        copy_files(ask("dpkg-query", "-L", name).splitlines(), root)
        architecture = ask("dpkg-query", "-W", "-f=${Architecture}", name).strip()
        file = f"{name}_{version.replace(':', '%3a')}_{architecture}.deb"
        ask("dpkg-deb", "-Zgzip", "-z1", "--build", str(root), str(workshop / file))
        (workshop / file).rename(place / file)


def control_of(status: str) -> str:
    """The C(control) file out of what C(dpkg-query -s) says. Pure."""
    kept = []
    keeps = True
    for line in status.splitlines():
        if not line.startswith((" ", "\t")):
            keeps = line.split(":", 1)[0] not in _OF_THE_STATUS
        if keeps and line.strip():
            kept.append(line)
    return "\n".join([*kept, ""])


def copy_files(paths: Iterable[str], root: Path) -> None:
    """Copy files, links and directories with their owners and modes below C(root)."""
    listed = [path for path in paths if path.startswith("/") and path != "/."]
    # What others lie in is a directory of the package, also where this machine has a link, as /lib is one to /usr/lib.
    parents = {str(parent) for path in listed for parent in Path(path).parents}
    for path in sorted(listed):
        source, target = Path(path), root / path.lstrip("/")
        if not os.path.lexists(source):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        is_directory = path in parents or (source.is_dir() and not source.is_symlink())
        status = source.stat() if is_directory else source.lstat()
        if is_directory:
            target.mkdir(exist_ok=True)
        else:
            shutil.copy2(source, target, follow_symlinks=False)
        os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            target.chmod(stat.S_IMODE(status.st_mode))
