"""Redis 8 beside an older system's own: Debian 13's packages with all their libraries, below the lab's cache.

The programs are made to use the C library that came with them, because it is newer than the system's.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lab.debian_archive import RELEASE, download, run
from lab.errors import LabError
from lab.installations import exclusive
from lab.paths import REDIS

MAJOR = 8
PACKAGES = ("redis-server", "patchelf")


def fetch(target: Path = REDIS / str(MAJOR)) -> Path:
    """Bring Redis 8 into ``target``, where it stays; raises MissingServer where there is none to be had."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(target.parent / ".lock"):
        if not (target / "redis-server").exists():
            shutil.rmtree(target, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{MAJOR}-") as workshop:
                made = Path(workshop) / "made"
                _unpack(download(Path(workshop) / "apt", PACKAGES, f"Redis {MAJOR}"), made / "root")
                made.rename(target)
            _settle(target)
    return target


def _unpack(packages: Sequence[Path], root: Path) -> None:
    """The programs and the libraries; what else the packages depend on is for a whole system."""
    root.mkdir(parents=True)
    for package in packages:
        if package.name.startswith(("lib", "redis-", "zlib", "patchelf")):
            run(["dpkg-deb", "--extract", str(package), str(root)])


def _settle(target: Path) -> None:
    """Make the programs use the C library beside them, and put their names where the lab looks."""
    root = target / "root"
    loader = next(iter(sorted(root.glob("usr/lib/*/ld-linux*.so.*"))), None)
    if loader is None:
        raise LabError(f"The packages of {RELEASE} hold no loader for this machine.")
    libraries = str(loader.parent)
    edit = [str(loader), "--library-path", libraries, str(root / "usr/bin/patchelf")]
    for program in sorted((root / "usr/bin").glob("redis-*")):
        if not program.is_symlink():
            # Not RUNPATH, which would be for the program's own libraries and not for theirs.
            where = ["--set-interpreter", str(loader), "--force-rpath", "--set-rpath", libraries]
            run([*edit, *where, str(program)])
        # Absolute, as are the paths in the programs: where the checkout was moved to, they are not found.
        (target / program.name).symlink_to(program)
