# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an auditing tool found, in one shape, whatever the ecosystem. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Optional

SEVERITIES = ("critical", "high", "moderate", "low", "unknown")
_OTHER_NAMES = {"medium": "moderate", "info": "low", "none": "low", "negligible": "low"}


class NotUnderstood(Exception):
    """The tool's answer is not a report; the sentence says what it is instead."""


@dataclass(frozen=True)
class Vulnerability:
    """One advisory about one package."""

    package: str
    installed: str
    id: str
    severity: str
    title: str
    url: str
    fixed_in: str

    def facts(self) -> dict[str, Any]:
        """The entry."""
        return asdict(self)


def severity_of(text: object) -> str:
    """One of C(SEVERITIES)."""
    word = str(text or "unknown").lower()
    word = _OTHER_NAMES.get(word, word)
    return word if word in SEVERITIES else "unknown"


def worst_first(found: Iterable[Vulnerability]) -> list[Vulnerability]:
    """Each once, the worst first."""
    return sorted(dict.fromkeys(found), key=lambda each: (SEVERITIES.index(each.severity), each.package, each.id))


def from_npm(text: str) -> list[Vulnerability]:
    """The report of C(npm audit --json), of npm 7 and later or of npm 6."""
    told = _object(text)
    if "vulnerabilities" in told and isinstance(told.get("metadata"), Mapping):
        return _npm_advisories(told["vulnerabilities"])
    if "advisories" in told:
        return [_advisory(each) for each in told["advisories"].values()]
    error = told.get("error")
    said = told.get("message") or (error.get("summary") if isinstance(error, Mapping) else error)
    raise NotUnderstood(f"it is no report: {said or 'there is neither a vulnerability nor a summary in it'}")


def _npm_advisories(packages: Mapping[str, Any]) -> list[Vulnerability]:
    found = []
    for package in packages.values():
        fix = package.get("fixAvailable")
        fixed = f"{fix['name']} {fix['version']}" if isinstance(fix, Mapping) else "npm audit fix" if fix else ""
        for via in package.get("via", []):
            # What comes by way of another package is listed with that one.
            if isinstance(via, Mapping):
                found.append(
                    Vulnerability(
                        str(via.get("dependency") or package["name"]),
                        str(via.get("range") or package.get("range") or ""),
                        str(via.get("url") or via.get("source") or "").rpartition("/")[2],
                        severity_of(via.get("severity")),
                        str(via.get("title") or ""),
                        str(via.get("url") or ""),
                        fixed,
                    )
                )
    return found


def _advisory(each: Mapping[str, Any]) -> Vulnerability:
    """An advisory as npm 6 and both Yarns' registries have it."""
    versions = [str(one.get("version")) for one in each.get("findings", []) if isinstance(one, Mapping)]
    return Vulnerability(
        str(each.get("module_name") or ""),
        ", ".join(versions) or str(each.get("vulnerable_versions") or ""),
        str(each.get("github_advisory_id") or (each.get("cves") or [each.get("id")])[0] or ""),
        severity_of(each.get("severity")),
        str(each.get("title") or ""),
        str(each.get("url") or ""),
        str(each.get("patched_versions") or ""),
    )


def from_yarn_classic(text: str) -> list[Vulnerability]:
    """The lines of C(yarn audit --json) of Yarn 1; without its summary it is no report."""
    found, summed, trouble = [], False, ""
    for line in text.splitlines():
        told = _line(line)
        if told is None:
            continue
        if told.get("type") == "auditAdvisory":
            found.append(_advisory(told["data"]["advisory"]))
        elif told.get("type") == "auditSummary":
            summed = True
        elif told.get("type") == "error":
            trouble = str(told.get("data"))
    if not summed:
        raise NotUnderstood(f"it is no report: {trouble or 'its summary is missing'}")
    return found


def from_yarn_berry(text: str, status: Optional[int]) -> list[Vulnerability]:
    """What C(yarn npm audit --json) of Yarn 2 to 4 writes."""
    if text.lstrip().startswith("{") and '"advisories"' in text:
        return from_npm(text)
    found = []
    for line in text.splitlines():
        told = _line(line)
        children = told.get("children") if told else None
        if told is None or not isinstance(children, Mapping) or "Severity" not in children:
            raise NotUnderstood(f"it is no report: {line.strip()[:200]}")
        url = str(children.get("URL") or "")
        found.append(
            Vulnerability(
                str(told.get("value")),
                ", ".join(map(str, children.get("Tree Versions", []))),
                url.rpartition("/")[2] or str(children.get("ID")),
                severity_of(children.get("Severity")),
                str(children.get("Issue") or ""),
                url,
                "",
            )
        )
    if not found and status != 0:
        raise NotUnderstood("it failed and reported nothing")
    return found


def from_pip_audit(text: str) -> list[Vulnerability]:
    """The report of C(pip-audit --format json); what it skipped makes it no complete one."""
    told = _object(text)
    if "dependencies" not in told:
        raise NotUnderstood("it is no report: there are no dependencies in it")
    skipped = [f"{each['name']}: {each['skip_reason']}" for each in told["dependencies"] if "skip_reason" in each]
    if skipped:
        raise NotUnderstood(f"{len(skipped)} packages were not looked at, such as {skipped[0]}")
    return [
        Vulnerability(
            each["name"],
            str(each.get("version") or ""),
            str(one["id"]),
            "unknown",
            " ".join(str(one.get("description") or "").split())[:120],
            f"https://osv.dev/vulnerability/{one['id']}",
            ", ".join(one.get("fix_versions") or []),
        )
        for each in told["dependencies"]
        for one in each.get("vulns", [])
    ]


def from_bundler_audit(text: str) -> list[Vulnerability]:
    """The report of C(bundle-audit check --format json)."""
    told = _object(text)
    if "results" not in told:
        raise NotUnderstood("it is no report: there are no results in it")
    found = []
    for each in told["results"]:
        if each.get("type") == "insecure_source":
            found.append(
                Vulnerability(
                    str(each.get("source")), "", "insecure-source", "high", "Gems come over an open line", "", "https"
                )
            )
            continue
        advice = each["advisory"]
        found.append(
            Vulnerability(
                each["gem"]["name"],
                str(each["gem"].get("version") or ""),
                str(advice.get("id") or ""),
                severity_of(advice.get("criticality")),
                str(advice.get("title") or ""),
                str(advice.get("url") or ""),
                ", ".join(map(str, advice.get("patched_versions") or [])),
            )
        )
    return found


def from_trivy(text: str) -> list[Vulnerability]:
    """The report of C(trivy image --format json)."""
    told = _object(text)
    if "Results" not in told and "ArtifactName" not in told:
        raise NotUnderstood("it is no report: there are no results in it")
    return [
        Vulnerability(
            str(one.get("PkgName") or ""),
            str(one.get("InstalledVersion") or ""),
            str(one.get("VulnerabilityID") or ""),
            severity_of(one.get("Severity")),
            str(one.get("Title") or ""),
            str(one.get("PrimaryURL") or ""),
            str(one.get("FixedVersion") or ""),
        )
        for each in told.get("Results") or []
        for one in each.get("Vulnerabilities") or []
    ]


def _object(text: str) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise NotUnderstood(f"it is no report: {' '.join(text.split())[:200] or 'nothing was written'}")
    return told


def _line(line: str) -> Optional[dict[str, Any]]:
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None
