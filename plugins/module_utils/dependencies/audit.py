# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Projects audited by their ecosystems' own tools. An exit status says what was found, not that something failed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text
from ansible_collections.runbook.ops.plugins.module_utils.dependencies.model import (
    NotUnderstood,
    Vulnerability,
    worst_first,
)
from ansible_collections.runbook.ops.plugins.module_utils.dependencies.tools import (
    LOCKFILES,
    Tool,
    ecosystem_of,
    lockfile_of,
    tool_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.security.commands import Answer, ask

# How the tools find the network and their registries.
_PASSED = ("http_proxy", "https_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir", "node_extra_ca_certs", "gem_home")
_PASSED_BEGINNINGS = ("npm_config_", "bundle_", "pip_", "yarn_", "trivy_")


def audit_projects(options: Mapping[str, Any]) -> dict[str, Any]:
    """Facts about all projects; raises InvalidOption before any tool is started."""
    for project in options["projects"]:
        if (project["ecosystem"] == "image") != bool(project["image"]):
            raise InvalidOption("projects", project["name"], "an image with the ecosystem image, and only with it")
        if not project["image"] and not project["path"]:
            raise InvalidOption("projects", project["name"], "a path")
    if options["timeout"] < 1 or options["top"] < 1:
        raise InvalidOption("timeout", options["timeout"], "1 or more, as for top")
    told = [_Audit(project, options).facts() for project in options["projects"]]
    known = [each for each in told if each["is_known"]]
    return {
        "available": bool(known),
        "reason": None if known else "; ".join(f"{each['name']}: {each['reason']}" for each in told) or "no projects",
        "skipped_sections": [
            {"section": each["name"], "reason": each["reason"], "remedy": each.pop("remedy")}
            for each in told
            if not each["is_known"]
        ],
        "projects": [{key: value for key, value in each.items() if key != "remedy"} for each in told],
    }


class _Audit:
    """The audit of one project."""

    def __init__(self, project: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        self._project = project
        self._seconds = float(options["timeout"])
        self._top = int(options["top"])
        self._update = bool(options["update_database"])

    def facts(self) -> dict[str, Any]:
        project = self._project
        path = Path(project["path"] or "/")
        ecosystem = project["ecosystem"] or ecosystem_of(path)
        facts: dict[str, Any] = {"name": project["name"], "path": project["path"], "ecosystem": ecosystem}
        if ecosystem is None:
            known = ", ".join(name for names in LOCKFILES.values() for name in names)
            return self._unknown(facts, "there is no lock file", f"Commit one of {known}, or set ecosystem.")
        lockfile = lockfile_of(path, ecosystem)
        facts["lockfile"] = None if lockfile is None else str(lockfile)
        if lockfile is None and ecosystem != "image":
            names = " or ".join(LOCKFILES[ecosystem])
            return self._unknown(
                facts,
                f"there is no {names} in {path}",
                "Commit the lock file: without it nobody knows what is installed.",
            )
        tool = tool_of(project, ecosystem, lockfile)
        return self._audited(facts, tool, str(path))

    def _audited(self, facts: dict[str, Any], tool: Tool, cwd: str) -> dict[str, Any]:
        facts["tool"] = tool.name
        version = self._ask(tool.version, cwd)
        if version.code is None:
            return self._unknown(facts, version.reason, tool.install)
        facts["tool_version"] = version.out.strip().splitlines()[0][:60] if version.out.strip() else None
        stale = ""
        if tool.update and self._update:
            updated = self._ask(tool.update, cwd)
            if updated.code != 0:
                stale = f"its database of advisories could not be updated: {redact_text(updated.words)}"
        answer = self._ask(tool.argv, cwd)
        facts["exit_status"] = answer.code
        if answer.code not in tool.good:
            return self._unknown(facts, f"{tool.name}: {redact_text(answer.words)}", _reach(tool))
        try:
            found = worst_first(tool.parse(answer.out, answer.code))
        except NotUnderstood as why:
            return self._unknown(facts, f"{tool.name}: {redact_text(str(why))}", _reach(tool))
        except (KeyError, TypeError, AttributeError) as error:
            return self._unknown(facts, f"{tool.name}: its report has another shape ({error})", _reach(tool))
        if stale:
            return self._unknown(facts, stale, _reach(tool), found)
        return self._told(facts, found)

    def _ask(self, argv: tuple[str, ...], cwd: str) -> Answer:
        more = {
            name: value
            for name, value in os.environ.items()
            if name.lower() in _PASSED or name.lower().startswith(_PASSED_BEGINNINGS)
        }
        more["npm_config_update_notifier"] = "false"
        return ask(argv, seconds=self._seconds, cwd=cwd, more=more)

    def _told(self, facts: dict[str, Any], found: list[Vulnerability]) -> dict[str, Any]:
        counts = {
            f"{severity}_count": sum(each.severity == severity for each in found)
            for severity in ("critical", "high", "moderate", "low", "unknown")
        }
        # One whose severity nobody tells may be severe; a severe one that is known stays one.
        severe = counts["critical_count"] + counts["high_count"]
        return {
            **_nothing(),
            **facts,
            "is_known": True,
            "count": len(found),
            "found_count": len(found),
            **counts,
            "severe_count": severe if severe or not counts["unknown_count"] else None,
            "vulnerabilities": [each.facts() for each in found[: self._top]],
            "truncated": len(found) > self._top,
        }

    def _unknown(
        self, facts: dict[str, Any], reason: str, remedy: str, found: Optional[list[Vulnerability]] = None
    ) -> dict[str, Any]:
        told = [each.facts() for each in (found or [])[: self._top]]
        return {
            **_nothing(),
            **facts,
            "is_known": False,
            "reason": reason,
            "remedy": remedy,
            "found_count": len(found or []),
            "vulnerabilities": told,
        }


def _nothing() -> dict[str, Any]:
    return {
        **dict.fromkeys(("lockfile", "tool", "tool_version", "exit_status", "reason", "count", "severe_count")),
        **dict.fromkeys(f"{severity}_count" for severity in ("critical", "high", "moderate", "low", "unknown")),
        "truncated": False,
    }


def _reach(tool: Tool) -> str:
    return f"Run {' '.join(tool.argv)} by hand; mostly the registry of advisories cannot be reached."
