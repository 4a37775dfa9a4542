"""Images of Debian that boot: made by mmdebstrap from the distribution's archive, once for every recipe."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.errors import LabError, MissingServer
from lab.hosts.daemon import HOSTS, docker, docker_process, ensure_engine
from lab.installations import exclusive

SUITES = {11: "bullseye", 12: "bookworm", 13: "trixie"}
# What every machine has: an init, a way in, a scheduler, a log, a package manager with its helpers.
BASE = (
    *("systemd", "systemd-sysv", "dbus", "python3", "python3-apt", "openssh-server", "sudo", "procps", "iproute2"),
    *("logrotate", "cron", "rsyslog", "curl", "ca-certificates", "gnupg", "gpgv", "xz-utils", "zstd", "rsync"),
)
# Debian 12 also stands before others, hosts the pages that they show, and has what an audit finds and a block needs.
MORE: dict[int, tuple[str, ...]] = {12: ("haproxy", "nginx-light", "nftables", "redis-server")}
# Containers do not need what only bare metal does, and nothing is to happen by itself while a test looks.
SETTLE = """
set -eu
for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer man-db.timer dpkg-db-backup.timer \
    getty@tty1.service console-getty.service systemd-udevd.service systemd-modules-load.service \
    sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount dev-hugepages.mount; do
    ln -sf /dev/null "$1/etc/systemd/system/$unit"
done
for service in haproxy nginx redis-server; do
    rm -f "$1/etc/systemd/system/multi-user.target.wants/$service.service"
done
# Every machine makes an identity of its own when it boots.
: >"$1/etc/machine-id"
rm -f "$1/var/lib/dbus/machine-id"
"""
REPOSITORY = "runbook-lab"


def image(release: int = 12) -> str:
    """The name of that Debian's image; built when it is not there yet."""
    if release not in SUITES:
        raise LabError(f"There is no image of Debian {release}; there are {', '.join(map(str, SUITES))}.")
    name = _name(release)
    if _present(name):
        return name
    # Two workers that want the same image build it once.
    HOSTS.mkdir(parents=True, exist_ok=True)
    with exclusive(HOSTS / f"image-{release}.lock"):
        if not _present(name):
            _build(release, name)
    return name


def fetch() -> list[str]:
    """All images, built side by side where they are missing."""
    ensure_engine()
    with ThreadPoolExecutor(len(SUITES)) as pool:
        return list(pool.map(image, SUITES))


def _packages(release: int) -> list[str]:
    return sorted({*BASE, *MORE.get(release, ())})


def _name(release: int) -> str:
    recipe = f"{' '.join(_packages(release))} {SETTLE}"
    return f"{REPOSITORY}:debian{release}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def _present(name: str) -> bool:
    return docker_process("image", "inspect", "--format", "{{.Id}}", name).returncode == 0


def _build(release: int, name: str) -> None:
    if shutil.which("mmdebstrap") is None:
        raise MissingServer("There is no mmdebstrap, which makes the machines' images. Install the package mmdebstrap.")
    settle = HOSTS / f"settle-{release}.sh"
    settle.write_text(SETTLE, encoding="utf-8")
    command = [
        *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(_packages(release))}"),
        *("--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*"),
        *("--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=force-unsafe-io"),
        '--aptopt=Acquire::Languages "none"',
        f'--customize-hook=sh {settle} "$1"',
        *(SUITES[release], "-", *_sources(release)),
    ]
    words = HOSTS / f"image-{release}.log"
    with words.open("wb") as log:
        made = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"}
        )
        taken = subprocess.run(
            ["docker", "import", "-", f"{name}-part"], stdin=made.stdout, capture_output=True, text=True, check=False
        )
        if made.stdout:
            made.stdout.close()
        code = made.wait()
    if code or taken.returncode:
        docker("image", "rm", f"{name}-part", check=False)
        text = words.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise LabError(f"Debian {release} could not be made: {text}{taken.stderr}")
    # Half an import has no name that anybody looks for.
    docker("tag", f"{name}-part", name)
    docker("image", "rm", f"{name}-part")


def _sources(release: int) -> list[str]:
    """The archive that this machine itself uses; mmdebstrap's own default without one."""
    for place in sorted(Path("/etc/apt/sources.list.d").glob("*.sources")):
        for line in place.read_text(encoding="utf-8").splitlines():
            if line.startswith("URIs:") and line.rstrip("/").endswith("/debian"):
                return [f"deb {line.split(None, 1)[1]} {SUITES[release]} main"]
    return []
