"""Reports of the ecosystems' tools, as they write them, and answers that are no report."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.dependencies import model
from ansible_collections.runbook.ops.plugins.module_utils.dependencies.audit import audit_projects
from ansible_collections.runbook.ops.plugins.module_utils.dependencies.tools import ecosystem_of, lockfile_of, tool_of

ADVISORY = {
    "module_name": "lodash",
    "severity": "high",
    "title": "Prototype Pollution",
    "url": "https://npmjs.example/1065",
    "patched_versions": ">=4.17.12",
    "cves": ["CVE-2019-10744"],
    "findings": [{"version": "4.17.11", "paths": ["lodash"]}],
}
VIA = {
    "source": 1065,
    "name": "lodash",
    "dependency": "lodash",
    "title": "Prototype Pollution",
    "url": "https://github.com/advisories/GHSA-jf85",
    "severity": "critical",
    "range": "<4.17.12",
}
NPM = {
    "auditReportVersion": 2,
    "vulnerabilities": {
        "lodash": {"name": "lodash", "via": [VIA], "range": "<4.17.12", "fixAvailable": True},
        "async": {"name": "async", "via": ["lodash"], "range": "*", "fixAvailable": {"name": "async", "version": "3"}},
    },
    "metadata": {"vulnerabilities": {"total": 2}},
}
SUMMARY = {"type": "auditSummary", "data": {"vulnerabilities": {"high": 1}, "dependencies": 2}}
BERRY = {
    "value": "lodash",
    "children": {
        "ID": 1106913,
        "Issue": "Command Injection",
        "URL": "https://github.com/advisories/GHSA-35jh",
        "Severity": "high",
        "Vulnerable Versions": "<4.17.21",
        "Tree Versions": ["4.17.11"],
    },
}
PIP = {
    "dependencies": [
        {"name": "jinja2", "version": "2.4.1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.11.3"], "aliases": []}]},
        {"name": "six", "version": "1.16", "vulns": []},
    ]
}
BUNDLE = {
    "version": "0.9.1",
    "results": [
        {
            "type": "unpatched_gem",
            "gem": {"name": "rack", "version": "2.0.1"},
            "advisory": {
                "id": "CVE-2022-30122",
                "url": "https://x.example",
                "title": "Denial of Service",
                "criticality": "medium",
                "patched_versions": [">= 2.2.3.1"],
            },
        },
        {"type": "insecure_source", "source": "http://rubygems.example/"},
    ],
}
TRIVY = {
    "ArtifactName": "app:1",
    "Results": [
        {
            "Target": "app",
            "Vulnerabilities": [{"PkgName": "openssl", "VulnerabilityID": "CVE-1", "Severity": "CRITICAL"}],
        },
        {"Target": "none", "Vulnerabilities": None},
    ],
}


def lines(*entries: Any) -> str:
    return "\n".join(json.dumps(each) for each in entries) + "\n"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (model.from_npm(json.dumps(NPM)), [("lodash", "GHSA-jf85", "critical")]),
        (model.from_npm(json.dumps({"advisories": {"1065": ADVISORY}})), [("lodash", "CVE-2019-10744", "high")]),
        (
            model.from_yarn_classic(lines({"type": "auditAdvisory", "data": {"advisory": ADVISORY}}, SUMMARY)),
            [("lodash", "CVE-2019-10744", "high")],
        ),
        (model.from_yarn_classic(lines(SUMMARY)), []),
        (model.from_yarn_berry(lines(BERRY), 1), [("lodash", "GHSA-35jh", "high")]),
        (model.from_yarn_berry(json.dumps({"advisories": {"1": ADVISORY}}), 1), [("lodash", "CVE-2019-10744", "high")]),
        (model.from_yarn_berry("", 0), []),
        (model.from_pip_audit(json.dumps(PIP)), [("jinja2", "PYSEC-1", "unknown")]),
        (
            model.from_bundler_audit(json.dumps(BUNDLE)),
            [("rack", "CVE-2022-30122", "moderate"), ("http://rubygems.example/", "insecure-source", "high")],
        ),
        (model.from_trivy(json.dumps(TRIVY)), [("openssl", "CVE-1", "critical")]),
    ],
)
def test_reports(found: list[model.Vulnerability], expected: list[tuple[str, str, str]]) -> None:
    assert [(each.package, each.id, each.severity) for each in found] == expected


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: model.from_npm('{"message": "405 Method Not Allowed", "error": {"summary": ""}}'), "405 Method"),
        (lambda: model.from_npm('{"error": {"code": "ENOLOCK", "summary": "no lock"}}'), "no lock"),
        (lambda: model.from_npm("npm ERR! network"), "npm ERR! network"),
        (lambda: model.from_npm(""), "nothing was written"),
        # Without its summary the list may have been cut.
        (lambda: model.from_yarn_classic(lines({"type": "error", "data": "ENOTFOUND"})), "ENOTFOUND"),
        (lambda: model.from_yarn_berry("Internal Error: ENOTFOUND", 1), "Internal Error"),
        (lambda: model.from_yarn_berry("", 1), "reported nothing"),
        (
            lambda: model.from_pip_audit('{"dependencies": [{"name": "x", "skip_reason": "not on PyPI"}]}'),
            "not looked at",
        ),
        (lambda: model.from_bundler_audit("Failed to download"), "Failed to download"),
        (lambda: model.from_trivy("{}"), "no results"),
    ],
)
def test_what_is_no_report_is_unknown(call: Any, reason: str) -> None:
    with pytest.raises(model.NotUnderstood, match=reason):
        call()


def test_the_worst_comes_first_and_once() -> None:
    kinds = ["low", "unknown", "critical", "high"]
    found = [model.Vulnerability("p", "1", "id", each, "", "", "") for each in (*kinds, "low")]
    assert [each.severity for each in model.worst_first(found)] == ["critical", "high", "low", "unknown"]


@pytest.mark.parametrize(
    ("severities", "severe"),
    [([], 0), (["MEDIUM", "LOW"], 0), (["UNKNOWN"], None), (["LOW", "UNKNOWN"], None), (["HIGH", "UNKNOWN"], 1)],
)
def test_without_severities_it_is_unknown_whether_one_is_severe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, severities: list[str], severe: int | None
) -> None:
    found = [{"PkgName": "openssl", "VulnerabilityID": str(n), "Severity": each} for n, each in enumerate(severities)]
    report = json.dumps({"ArtifactName": "app:1", "Results": [{"Target": "app", "Vulnerabilities": found}]})
    (tmp_path / "report.json").write_text(report, encoding="utf-8")
    # Stands for the tool, which has nothing to look at here: its report is what it printed.
    tool = tmp_path / "trivy"
    tool.write_text(f"#!/bin/sh\ncat {tmp_path}/report.json\n", encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    project = {"name": "app", "path": None, "ecosystem": "image", "image": "app:1", "production_only": False}
    told = audit_projects({"projects": [project], "timeout": 60, "top": 5, "update_database": False})
    (facts,) = told["projects"]
    assert (facts["is_known"], facts["count"], facts["severe_count"]) == (True, len(severities), severe)


def test_the_lock_file_says_which_tool(tmp_path: Path) -> None:
    assert ecosystem_of(tmp_path) is None
    lock = tmp_path / "yarn.lock"
    project = {"production_only": True, "image": None}
    lock.write_text("# yarn lockfile v1\n", encoding="utf-8")
    assert ecosystem_of(tmp_path) == "yarn"
    classic = tool_of(project, "yarn", lockfile_of(tmp_path, "yarn"))
    assert classic.argv == ("yarn", "audit", "--json", "--groups", "dependencies")
    # Its status is a bit for every severity.
    assert 24 in classic.good
    lock.write_text("__metadata:\n  version: 8\n", encoding="utf-8")
    berry = tool_of(project, "yarn", lock)
    assert berry.argv[:3] == ("yarn", "npm", "audit")
    assert berry.good == (0, 1)
    (tmp_path / "package-lock.json").write_text("{}", encoding="utf-8")
    assert tool_of(project, "npm", lockfile_of(tmp_path, "npm")).argv[-1] == "--omit=dev"
    assert tool_of(project, "bundle", tmp_path / "Gemfile.lock").update[:2] == ("bundle-audit", "update")
