"""Redis 8 beside an older system's own: Debian 13's packages with all their libraries, below the lab's cache.

Nothing is installed. apt works in a directory of its own with the machine's own mirror and proxy, and the programs are
made to use the C library that came with them, because it is newer than the system's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError, MissingServer
from lab.installations import exclusive
from lab.paths import REDIS

MAJOR = 8
RELEASE = "trixie"
PACKAGES = ("redis-server", "patchelf")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
NEEDED = ("apt-get", "apt-config", "dpkg-deb")


def mirror(targets: str, codename: str) -> str | None:
    """The address of the archive that this release's own packages come from, out of ``apt-get indextargets``.

    ``targets`` are lines ``address|release|component``.
    """
    for line in targets.splitlines():
        address, _separator, rest = line.partition("|")
        if rest == f"{codename}|main":
            return address
    return None


def release_of(text: str) -> tuple[str, str]:
    """The distribution and the code name in /etc/os-release: debian, bookworm."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return values.get("ID", "").strip('"'), values.get("VERSION_CODENAME", "").strip('"')


def fetch(target: Path = REDIS / str(MAJOR)) -> Path:
    """Bring Redis 8 into ``target``, where it stays; raises MissingServer where there is none to be had."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(target.parent / ".lock"):
        if not (target / "redis-server").exists():
            shutil.rmtree(target, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{MAJOR}-") as workshop:
                made = Path(workshop) / "made"
                _unpack(_download(Path(workshop) / "apt"), made / "root")
                made.rename(target)
            _settle(target)
    return target


def _download(root: Path) -> list[Path]:
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if missing:
        raise MissingServer(f"Redis {MAJOR} comes from Debian's archive, and {', '.join(missing)} is missing here.")
    distribution, codename = release_of(Path("/etc/os-release").read_text(encoding="utf-8"))
    if distribution != "debian":
        raise MissingServer(
            f"Redis {MAJOR} comes from Debian's archive, and this is {distribution or 'another system'}."
        )
    form = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
    address = mirror(_run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"]), codename)
    if address is None:
        raise MissingServer(f"apt's sources name no archive for {codename}, in which {RELEASE} could be looked for.")
    for folder in ("etc/apt", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/lib/dpkg"):
        (root / folder).mkdir(parents=True)
    # Nothing is installed there, so that everything is downloaded.
    (root / "var/lib/dpkg/status").touch()
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    (root / "etc/apt/sources.list").write_text(f"deb {signed}{address} {RELEASE} main\n", encoding="utf-8")
    configuration = root / "apt.conf"
    # Of the machine's own settings only those about connections: its hooks are for its own packages.
    connections = [line for line in _run(["apt-config", "dump"]).splitlines() if line.startswith("Acquire::")]
    configuration.write_text(
        f'Dir "{root}";\nDir::State::status "{root}/var/lib/dpkg/status";\nDir::Etc::parts "/dev/null";\n'
        'APT::Install-Recommends "false";\nAPT::Sandbox::User "root";\n'
        + "\n".join([*connections, 'Acquire::Languages "none";']) + "\n",
        encoding="utf-8",
    )  # fmt: skip
    _run(["apt-get", "--quiet", "update"], configuration)
    _run(["apt-get", "--quiet", "--yes", "--download-only", "install", *PACKAGES], configuration)
    return sorted((root / "var/cache/apt/archives").glob("*.deb"))


def _unpack(packages: Sequence[Path], root: Path) -> None:
    """The programs and the libraries; what else the packages depend on is for a whole system."""
    root.mkdir(parents=True)
    for package in packages:
        if package.name.startswith(("lib", "redis-", "zlib", "patchelf")):
            _run(["dpkg-deb", "--extract", str(package), str(root)])


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
            _run([*edit, *where, str(program)])
        # Absolute, as are the paths in the programs: where the checkout was moved to, they are not found.
        (target / program.name).symlink_to(program)


def _run(command: Sequence[str], configuration: Path | None = None) -> str:
    environment = {**os.environ, "LC_ALL": "C", **({"APT_CONFIG": str(configuration)} if configuration else {})}
    try:
        done = subprocess.run(
            list(command), capture_output=True, text=True, timeout=300, check=False, env=environment
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise MissingServer(f"{' '.join(command)} did not end within five minutes.") from None
    if done.returncode:
        raise MissingServer(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
    return done.stdout
