# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a release is made of: an archive whose checksum is right, or a repository's tree at an exact commit."""

from __future__ import annotations

import contextlib
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import Child, run
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, hash_file
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress


@dataclass(frozen=True)
class Archive:
    """A tar file, compressed or not."""

    path: Path
    sha256: str
    strip: int

    def describe(self) -> dict[str, Any]:
        """What the release's marker says of it."""
        return {"kind": "archive", "sha256": self.sha256}

    def check(self) -> None:
        """Raises Refused where it is not the archive that was meant."""
        if not self.path.is_file():
            raise Refused(f"archive: there is no file {self.path}. Copy it to this host first.")
        _size, found = hash_file(self.path, Progress())
        if found != self.sha256:
            raise Refused(
                f"archive: {self.path} has the SHA-256 {found} and not {self.sha256}. It is another archive, or did "
                "not arrive whole. Copy it again."
            )

    @contextlib.contextmanager
    def opened(self) -> Iterator[tarfile.TarFile]:
        """Its content."""
        with explained("read", self.path), _readable(self.path), tarfile.open(self.path) as tar:
            yield tar


@dataclass(frozen=True)
class Repository:
    """A commit of a git repository on this host; C(fetch) asks its origin for a commit that it does not have."""

    path: Path
    commit: str
    fetch: bool

    def describe(self) -> dict[str, Any]:
        """What the release's marker says of it."""
        return {"kind": "repository", "commit": self.commit}

    def has_commit(self) -> bool:
        """Whether the commit is there; raises Refused where there is no repository."""
        if not self.path.is_dir():
            raise Refused(
                f"repository: there is no directory {self.path}. Clone it to this host first (git clone --bare)."
            )
        with Child([*self._git(), "cat-file", "-e", f"{self.commit}^{{commit}}"]) as child:
            try:
                child.finish(60)
            except RunbookError:
                return False
        return True

    def check(self) -> None:
        """Raises Refused where the commit is not there and will not be."""
        if not self.has_commit() and not self.fetch:
            raise Refused(
                f"commit: {self.path} does not have {self.commit}. Push it there, or let it be fetched with fetch=true."
            )

    def bring(self, seconds: float) -> None:
        """Fetch what is missing."""
        run([*self._git(), "fetch", "--quiet", "--tags", "origin"], seconds=seconds)
        if not self.has_commit():
            raise Refused(f"commit: the origin of {self.path} does not have {self.commit}. Was it pushed?")

    @contextlib.contextmanager
    def opened(self) -> Iterator[tarfile.TarFile]:
        """Its content, as a stream."""
        with Child([*self._git(), "archive", "--format=tar", self.commit]) as child:
            with _readable(self.path), tarfile.open(fileobj=child.stdout, mode="r|") as tar:
                yield tar
            while child.stdout.read1(65536):
                pass
            child.finish(300)

    def _git(self) -> list[str]:
        # Whoever runs this chose the repository by its path: it may be somebody else's.
        return ["git", "-c", f"safe.directory={self.path}", "-C", str(self.path)]


def unpack(source: Archive | Repository, target: Path) -> int:
    """Put the content into a new directory: the number of entries; raises Refused for what would leave it."""
    strip = source.strip if isinstance(source, Archive) else 0
    count = 0
    with source.opened() as tar:
        # Since Python 3.12 it has checks of its own, which refuse less; ours are done.
        tar.extraction_filter = lambda member, _path: member
        links: set[str] = set()
        directories: list[tarfile.TarInfo] = []
        for member in tar:
            placed = place(member, strip, links)
            if placed is None:
                continue
            count += 1
            with explained("unpack", target / placed.name):
                tar.extract(placed, target, set_attrs=not placed.isdir())
            if placed.isdir():
                directories.append(placed)
        for each in sorted(directories, key=lambda one: one.name, reverse=True):
            with contextlib.suppress(OSError):
                (target / each.name).chmod(each.mode)
    if count == 0:
        raise Refused("The source has no files in it" + (f" below {strip} directories" if strip else "") + ".")
    return count


def content_bytes(source: Archive) -> int:
    """The bytes that an archive takes once it is unpacked."""
    with source.opened() as tar:
        return sum(member.size for member in tar)


def place(member: tarfile.TarInfo, strip: int, links: set[str]) -> Optional[tarfile.TarInfo]:
    """An entry as it is to be unpacked, owned by whoever unpacks; None for one that is stripped away.

    Raises:
        Refused: it would be written, or would lead, out of the directory, or is a device.

    """
    parts = _parts(member.name)[strip:]
    if member.name.startswith("/") or ".." in _parts(member.name):
        raise Refused(f"The archive has an entry {member.name!r}, which lies outside it. Nothing of it is used.")
    if not parts:
        return None
    name = "/".join(parts)
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise Refused(f"The archive has an entry {member.name!r} that is neither file, directory nor link.")
    if any(parent in links for parent in _parents(parts)):
        raise Refused(f"The archive has an entry {member.name!r} below a link. Nothing of it is used.")
    if member.issym():
        _check_link(member, parts)
        links.add(name)
    changed: dict[str, Any] = {"name": name, "uid": os.geteuid(), "gid": os.getegid(), "uname": "", "gname": ""}
    if member.islnk():
        changed["linkname"] = "/".join(_parts(member.linkname)[strip:])
    # Not the way with replace(), which Python 3.9 does not have everywhere.
    for key, value in changed.items():
        setattr(member, key, value)
    member.mode = (member.mode & 0o777) | 0o600 | (0o700 if member.isdir() else 0)
    return member


def _check_link(member: tarfile.TarInfo, parts: Sequence[str]) -> None:
    wanted = [part for part in member.linkname.split("/") if part not in ("", ".")]
    up = next((number for number, part in enumerate(wanted) if part != ".."), len(wanted))
    if member.linkname.startswith("/") or ".." in wanted[up:] or up > len(parts) - 1:
        raise Refused(f"The archive has a link {member.name!r} that leads out of it. Nothing of it is used.")


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def _parents(parts: Sequence[str]) -> Iterable[str]:
    return ("/".join(parts[:end]) for end in range(1, len(parts)))


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except tarfile.TarError as error:
        raise RunbookError(f"{path} cannot be unpacked: {error}. Make the archive again, with tar.") from None
