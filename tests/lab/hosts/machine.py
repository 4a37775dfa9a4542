"""One machine: commands and files in it, and how Ansible gets in."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.hosts import ssh
from lab.hosts.daemon import docker, docker_process

# Until systemd says that everything is up; the way in is there before. Failed units end it with their names.
BOOTED = """
mkdir -p -m 0700 ~root/.ssh && cat >~root/.ssh/authorized_keys
end=$(($(date +%s) + 240))
while :; do
    state=$(systemctl is-system-running --wait 2>/dev/null) && exit 0
    [ "$state" != degraded ] && [ "$(date +%s)" -lt "$end" ] || break
    sleep 0.1
done
echo "state: $state"
systemctl --failed --no-pager --plain --no-legend
exit 1
"""


@dataclass
class Host:
    """A container that has booted. C(run) executes a command in it and gives its output."""

    name: str
    container: str
    release: int = 12
    address: str = ""

    def run(self, *argv: str, check: bool = True, text_in: str | None = None, timeout: float = 300) -> str:
        """Run a command there; LabError with its words when it fails."""
        return docker("exec", *_stdin(text_in), self.container, *argv, check=check, text_in=text_in, timeout=timeout)

    def process(self, *argv: str, text_in: str | None = None, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a command there; the caller looks at the exit code."""
        return docker_process("exec", *_stdin(text_in), self.container, *argv, text_in=text_in, timeout=timeout)

    def shell(self, script: str, *, check: bool = True, timeout: float = 300) -> str:
        """Run lines of shell there, ending at the first that fails. One call for many lines is the cheap way."""
        return self.run("sh", "-euc", script, check=check, timeout=timeout)

    def status(self, *argv: str) -> int:
        """The exit status of a command there."""
        return self.process(*argv).returncode

    def write(self, path: str, content: str, mode: str = "0644") -> None:
        """Put a text file there, with the directories above it."""
        script = 'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"'
        self.run("sh", "-euc", script, "sh", path, mode, text_in=content)

    def read(self, path: str) -> str:
        """The text of a file there."""
        return self.process("cat", path).stdout

    def copy_in(self, source: Path, path: str) -> None:
        """Copy a file or a directory there; not below the tmpfs /run and /tmp, which the engine cannot see."""
        docker("cp", str(source), f"{self.container}:{path}")

    def copy_out(self, path: str, target: Path) -> None:
        """Copy a file or a directory from there."""
        docker("cp", f"{self.container}:{path}", str(target))

    def stop(self) -> None:
        """Shut it down in order, as a machine that is switched off."""
        docker("stop", "--time", "60", self.container)

    def start(self) -> None:
        """Switch it on again and wait until it has booted."""
        docker("start", self.container)
        self.wait_for_boot()

    def wait_for_boot(self) -> None:
        """Until systemd says that everything is up; puts our key where sshd looks for it."""
        self.run("sh", "-uc", BOOTED, text_in=ssh.public_key())

    def variables(self) -> dict[str, Any]:
        """What an inventory says of it: Ansible comes in through its sshd, over one connection for all tasks."""
        return {
            "ansible_host": self.address,
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_private_key_file": str(ssh.key()),
            "ansible_ssh_common_args": ssh.arguments(),
            "ansible_ssh_pipelining": True,
            "lab_container": self.container,
        }

    def ssh(self, *argv: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a command through its sshd."""
        command = ["ssh", "-i", str(ssh.key()), *ssh.arguments().split(), f"root@{self.address}", *argv]
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=timeout,
            env=dict(os.environ),
        )  # fmt: skip


def _stdin(text_in: str | None) -> tuple[str, ...]:
    return () if text_in is None else ("--interactive",)
