"""A file system that is soon full."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lab.errors import LabError
from lab.users import Account, give


@contextlib.contextmanager
def small_disk(place: Path, size_bytes: int, account: Account | None = None) -> Iterator[Path]:
    """Mount a tmpfs of that size at a directory, which the account owns; it needs root."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0755", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        raise LabError(f"A small file system could not be mounted at {place}: {mounted.stderr.strip()} Are you root?")
    try:
        give(place, account)
        yield place
    finally:
        # A server that is ending may still hold a file for a moment.
        subprocess.run(["umount", "--lazy", str(place)], check=False)


def fill(disk: Path, room_bytes: int) -> None:
    """Write a file that leaves so much room."""
    status = os.statvfs(disk)
    (disk / "filler").write_bytes(bytes(max(0, status.f_bavail * status.f_frsize - room_bytes)))
