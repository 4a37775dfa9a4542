"""Packages in several versions, and a repository of them that machines read from a directory of their own."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.hosts.machine import Host

# In the machine.
PLACE = "/srv/packages"


@dataclass(frozen=True)
class Package:
    """One version of a package: its files by absolute path, and the maintainer's script after installation."""

    name: str
    version: str
    files: Mapping[str, str] = field(default_factory=dict)
    postinst: str = ""
    conffiles: Sequence[str] = ()
    section: str = "web"
    # Whether it comes from the security archive.
    security: bool = False

    def build(self, directory: Path) -> Path:
        """Make the C(.deb)."""
        with tempfile.TemporaryDirectory() as workshop:
            root = Path(workshop) / "root"
            for path, content in {f"/usr/share/{self.name}/name": self.name, **self.files}.items():
                target = root / path.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(content, encoding="utf-8")
            control = root / "DEBIAN"
            control.mkdir()
            (control / "control").write_text(
                f"Package: {self.name}\nVersion: {self.version}\nArchitecture: all\nSection: {self.section}\n"
                f"Priority: optional\nMaintainer: Shop <shop@example.com>\nDescription: {self.name} of a shop\n",
                encoding="utf-8",
            )
            if self.conffiles:
                (control / "conffiles").write_text("".join(f"{path}\n" for path in self.conffiles), encoding="utf-8")
            if self.postinst:
                (control / "postinst").write_text(f"#!/bin/sh\nset -e\n{self.postinst}\n", encoding="utf-8")
                (control / "postinst").chmod(0o755)
            made = directory / f"{self.name}_{self.version.replace(':', '%3a')}_all.deb"
            command = ["dpkg-deb", "--build", "--root-owner-group", "-Znone", str(root), str(made)]
            subprocess.run(command, check=True, capture_output=True, timeout=300)
        return made


def publish(host: Host, packages: Sequence[Package]) -> None:
    """Make repositories of exactly these packages in a machine, and the machine's only sources.

    Those for security are in one with the label of Debian's security archive. The lists are not read again: that is for
    who asks.
    """
    with tempfile.TemporaryDirectory() as place:
        top = Path(place) / "packages"
        top.mkdir(mode=0o755)
        for name, label, suite, security in (
            ("main", "Debian", "stable", False),
            ("security", "Debian-Security", "stable-security", True),
        ):
            _repository(top / name, [each for each in packages if each.security == security], label, suite)
        host.run("rm", "-rf", PLACE)
        host.copy_in(top, PLACE)
    host.shell(
        "rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*\n"
        f"printf 'deb [trusted=yes] file:{PLACE}/%s ./\\n' main security >/etc/apt/sources.list.d/shop.list"
    )


def _repository(directory: Path, packages: Sequence[Package], label: str, suite: str) -> None:
    directory.mkdir(mode=0o755)
    entries = []
    for package in packages:
        made = package.build(directory)
        made.chmod(0o644)
        said = subprocess.run(["dpkg-deb", "-f", str(made)], check=True, capture_output=True, text=True, timeout=300)
        digest = hashlib.sha256(made.read_bytes()).hexdigest()
        entries.append(f"{said.stdout}Filename: ./{made.name}\nSize: {made.stat().st_size}\nSHA256: {digest}\n")
    index = "\n".join(entries)
    (directory / "Packages").write_text(index, encoding="utf-8")
    (directory / "Release").write_text(
        f"Origin: Debian\nLabel: {label}\nSuite: {suite}\nCodename: {suite}\nComponents: main\n"
        f"Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n"
        f" {hashlib.sha256(index.encode()).hexdigest()} {len(index.encode())} Packages\n",
        encoding="utf-8",
    )
