"""Images of Debian that boot: made by mmdebstrap from the distribution's archive, once for every set of packages."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError, MissingServer
from lab.hosts.daemon import DATA, docker, docker_environment

SUITES = {"bullseye": 11, "bookworm": 12, "trixie": 13}
# What every machine has: an init, a way in, a scheduler, a log, a package manager with its helpers.
BASE = (
    *("systemd", "systemd-sysv", "dbus", "python3", "python3-apt", "openssh-server", "sudo", "procps", "iproute2"),
    *("logrotate", "cron", "rsyslog", "curl", "ca-certificates", "needrestart", "xz-utils", "zstd", "gpgv"),
)
REPOSITORY = "runbook-lab"


def image(suite: str = "bookworm", packages: Sequence[str] = ()) -> str:
    """The name of an image of that suite with those packages beside the base; built when it is not there yet."""
    if suite not in SUITES:
        raise LabError(f"{suite!r} is not one of {', '.join(SUITES)}.")
    included = sorted({*BASE, *packages})
    digest = hashlib.sha256(" ".join(included).encode()).hexdigest()[:12]
    name = f"{REPOSITORY}:{suite}-{digest}"
    # Two workers that want the same image build it once.
    DATA.mkdir(parents=True, exist_ok=True)
    with (DATA / f"image-{suite}-{digest}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if docker("image", "ls", "--quiet", name) == "":
            _build(suite, included, name)
    return name


def _build(suite: str, packages: Sequence[str], name: str) -> None:
    if shutil.which("mmdebstrap") is None:
        raise MissingServer("There is no mmdebstrap, which makes the machines' images. Install the package mmdebstrap.")
    made = DATA / f"{name.partition(':')[2]}.tar"
    ended = subprocess.run(
        [
            *("mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}"),
            # Containers do not need what only bare metal does, and images stay small.
            *("--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*"),
            *("--dpkgopt=path-exclude=/usr/share/locale/*", suite, str(made), *_mirrors(suite)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        made.unlink(missing_ok=True)
        raise LabError(f"mmdebstrap could not make {suite}: {ended.stderr.strip()[-2000:]}")
    try:
        subprocess.run(["docker", "import", str(made), name], env=docker_environment(), check=True, capture_output=True)
    finally:
        made.unlink()


def _mirrors(suite: str) -> list[str]:
    """The archive that this machine itself uses; mmdebstrap's own default without one."""
    for place in sorted(Path("/etc/apt/sources.list.d").glob("*.sources")):
        for line in place.read_text(encoding="utf-8").splitlines():
            if line.startswith("URIs:") and line.rstrip("/").endswith("/debian"):
                return [f"deb {line.split(None, 1)[1]} {suite} main"]
    return []
