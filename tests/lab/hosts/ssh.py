"""The way in: one key for all machines of this checkout, and connections that tasks share."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from pathlib import Path

from lab.hosts.daemon import HOSTS
from lab.installations import exclusive

# Not below the checkout: the path of a socket has to be short.
SOCKETS = Path(tempfile.gettempdir()) / "runbook-ssh"


def key() -> Path:
    """The private key; made at first use."""
    made = HOSTS / "id_ed25519"
    if not made.exists():
        HOSTS.mkdir(parents=True, exist_ok=True)
        with exclusive(HOSTS / "key.lock"):
            if not made.exists():
                part = HOSTS / "id_part"
                for name in (part, part.with_suffix(".pub")):
                    name.unlink(missing_ok=True)
                command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "runbook-lab", "-f", str(part)]
                subprocess.run(command, check=True, capture_output=True, timeout=300)
                part.with_suffix(".pub").rename(made.with_suffix(".pub"))
                part.rename(made)
    return made


def public_key() -> str:
    return key().with_suffix(".pub").read_text(encoding="utf-8")


def arguments() -> str:
    """For ssh and for Ansible. Machines come and go with the same addresses, so their keys are not remembered."""
    SOCKETS.mkdir(mode=0o700, exist_ok=True)
    return (
        "-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        f" -o ConnectTimeout=60 -o ControlMaster=auto -o ControlPersist=30s -o ControlPath={SOCKETS}/%C"
    )


def hang_up(address: str) -> None:
    """End the shared connection to a machine that is about to go."""
    command = ["ssh", *arguments().split(), "-O", "exit", f"root@{address}"]
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=300)
