"""Packages of another Debian release, downloaded with all they need and unpacked nowhere yet.

Nothing is installed. apt works in a directory of its own with the machine's own mirror and proxy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.errors import MissingServer

RELEASE = "trixie"
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


def download(root: Path, packages: Sequence[str], what: str) -> list[Path]:
    """The packages and all that they depend on, below ``root``; raises MissingServer where there are none to be had."""
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if missing:
        raise MissingServer(f"{what} comes from Debian's archive, and {', '.join(missing)} is missing here.")
    distribution, codename = release_of(Path("/etc/os-release").read_text(encoding="utf-8"))
    if distribution != "debian":
        raise MissingServer(f"{what} comes from Debian's archive, and this is {distribution or 'another system'}.")
    form = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
    address = mirror(run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"]), codename)
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
    connections = [line for line in run(["apt-config", "dump"]).splitlines() if line.startswith("Acquire::")]
    configuration.write_text(
        f'Dir "{root}";\nDir::State::status "{root}/var/lib/dpkg/status";\nDir::Etc::parts "/dev/null";\n'
        'APT::Install-Recommends "false";\nAPT::Sandbox::User "root";\n'
        + "\n".join([*connections, 'Acquire::Languages "none";']) + "\n",
        encoding="utf-8",
    )  # fmt: skip
    run(["apt-get", "--quiet", "update"], configuration)
    run(["apt-get", "--quiet", "--yes", "--download-only", "install", *packages], configuration)
    return sorted((root / "var/cache/apt/archives").glob("*.deb"))


def run(command: Sequence[str], configuration: Path | None = None) -> str:
    """Run a program of the packages' and give what it wrote; MissingServer when it fails."""
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
