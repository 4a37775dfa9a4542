# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tool audits which project, by its lock file, and with which arguments. Pure but for a look at the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.dependencies.model import (
    Vulnerability,
    from_bundler_audit,
    from_npm,
    from_pip_audit,
    from_trivy,
    from_yarn_berry,
    from_yarn_classic,
)

ECOSYSTEMS = ("npm", "yarn", "pip", "bundle", "image")
LOCKFILES = {
    "npm": ("package-lock.json", "npm-shrinkwrap.json"),
    "yarn": ("yarn.lock",),
    "pip": ("requirements.txt",),
    "bundle": ("Gemfile.lock", "gems.locked"),
}


@dataclass(frozen=True)
class Tool:
    """A tool with its command; exit statuses in C(good) come with a report, whatever it finds."""

    name: str
    argv: tuple[str, ...]
    parse: Callable[[str, Optional[int]], list[Vulnerability]]
    good: tuple[int, ...]
    version: tuple[str, ...]
    install: str
    update: tuple[str, ...] = ()


def lockfile_of(path: Path, ecosystem: str) -> Optional[Path]:
    """The lock file of a project."""
    return next((path / name for name in LOCKFILES.get(ecosystem, ()) if (path / name).is_file()), None)


def ecosystem_of(path: Path) -> Optional[str]:
    """The ecosystem of a project by the first lock file that is there."""
    return next((each for each in LOCKFILES if lockfile_of(path, each)), None)


def tool_of(project: Mapping[str, Any], ecosystem: str, lockfile: Optional[Path]) -> Tool:
    """How a project is audited."""
    deployed = bool(project["production_only"])
    if ecosystem == "npm":
        omit = ("--omit=dev",) if deployed else ()
        argv = ("npm", "audit", "--json", "--package-lock-only", *omit)
        return Tool("npm", argv, lambda text, _: from_npm(text), (0, 1), ("npm", "--version"), "Install npm.")
    if ecosystem == "yarn":
        return _yarn(deployed, lockfile)
    if ecosystem == "pip":
        argv = ("pip-audit", "--format", "json", "--progress-spinner", "off", "--requirement", str(lockfile))
        return Tool(
            "pip-audit",
            argv,
            lambda text, _: from_pip_audit(text),
            (0, 1),
            ("pip-audit", "--version"),
            "Install pip-audit, in an environment of its own (pipx install pip-audit).",
        )
    if ecosystem == "bundle":
        name = lockfile.name if lockfile else "Gemfile.lock"
        argv = ("bundle-audit", "check", "--format", "json", "--gemfile-lock", name)
        return Tool(
            "bundle-audit",
            argv,
            lambda text, _: from_bundler_audit(text),
            (0, 1),
            ("bundle-audit", "version"),
            "Install bundler-audit (gem install bundler-audit).",
            ("bundle-audit", "update", "--quiet"),
        )
    argv = ("trivy", "image", "--quiet", "--format", "json", "--", project["image"])
    return Tool(
        "trivy",
        argv,
        lambda text, _: from_trivy(text),
        (0,),
        ("trivy", "--version"),
        "Install trivy. docker scan was taken out of Docker.",
    )


def _yarn(deployed: bool, lockfile: Optional[Path]) -> Tool:
    head = lockfile.read_text(encoding="utf-8", errors="replace")[:2000] if lockfile else ""
    install = "Install Yarn (corepack enable)."
    if "__metadata:" in head:
        only = ("--environment", "production") if deployed else ()
        argv: tuple[str, ...] = ("yarn", "npm", "audit", "--all", "--recursive", "--json", *only)
        return Tool("yarn", argv, from_yarn_berry, (0, 1), ("yarn", "--version"), install)
    argv = ("yarn", "audit", "--json", *(("--groups", "dependencies") if deployed else ()))
    # A bit for each severity from 1 (info) to 16 (critical).
    return Tool("yarn", argv, lambda text, _: from_yarn_classic(text), _bits(), ("yarn", "--version"), install)


def _bits() -> tuple[int, ...]:
    return tuple(range(32))
