# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings as JUnit XML: continuous integration shows them as tests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import sorted_findings
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.texts import threshold_text, value_text

FAIL_ON: dict[str, tuple[str, ...]] = {"critical": ("critical",), "warning": ("critical", "warning"), "never": ()}

# What XML 1.0 does not allow, even escaped (section 2.2).
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def findings_junit(findings: Iterable[Mapping[str, Any]], name: str = "runbook.ops", fail_on: str = "critical") -> str:
    """One test suite a host, one test case a finding.

    What C(fail_on) says is a failure; unknown is always an error; everything else passes, a warning that
    passes keeps its text as output.
    """
    if fail_on not in FAIL_ON:
        raise InvalidOption("fail_on", fail_on, ", ".join(FAIL_ON))
    suites: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for each in sorted_findings(findings):
        suites.setdefault((str(each.get("system") or ""), str(each.get("host") or "")), []).append(each)
    root = Element("testsuites", name=_text(name))
    for (system, host), members in sorted(suites.items()):
        _suite(root, ".".join(part for part in (system, host) if part) or name, members, FAIL_ON[fail_on])
    for counter in ("tests", "failures", "errors"):
        root.set(counter, str(sum(int(suite.get(counter, "0")) for suite in root)))
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _suite(root: Element, name: str, members: list[dict[str, Any]], failing: tuple[str, ...]) -> None:
    suite = SubElement(root, "testsuite", name=_text(name))
    outcomes = [_case(suite, name, each, failing) for each in members]
    suite.set("tests", str(len(members)))
    suite.set("failures", str(outcomes.count("failure")))
    suite.set("errors", str(outcomes.count("error")))
    suite.set("skipped", "0")
    suite.set("time", "0")
    moments = [str(each["measured_at"]) for each in members if each.get("measured_at")]
    if moments:
        # The schema wants ISO 8601 without a zone; ours are UTC.
        suite.set("timestamp", _text(min(moments).removesuffix("Z")))


def _case(suite: Element, suite_name: str, each: Mapping[str, Any], failing: tuple[str, ...]) -> str:
    title = f"{each['id']} [{each['object']}]" if each.get("object") else str(each["id"])
    case = SubElement(suite, "testcase", name=_text(title), classname=_text(suite_name), time="0")
    severity = str(each["severity"])
    summary = str(each.get("summary") or each["id"])
    if severity in failing:
        _outcome(case, "failure", severity, summary, each)
        return "failure"
    if severity == "unknown":
        _outcome(case, "error", severity, summary, each)
        return "error"
    if severity != "ok":
        SubElement(case, "system-out").text = _text(f"{severity}: {summary}\n{_details(each)}")
    return "passed"


def _outcome(case: Element, tag: str, severity: str, summary: str, each: Mapping[str, Any]) -> None:
    SubElement(case, tag, message=_text(summary), type=severity).text = _text(_details(each))


def _details(each: Mapping[str, Any]) -> str:
    shown = {
        "value": value_text(each),
        "threshold": threshold_text(each),
        "priority": each.get("priority"),
        "remedy": each.get("remedy"),
        "source": each.get("source"),
        "measured_at": each.get("measured_at"),
    }
    return "\n".join(f"{key}: {value}" for key, value in shown.items() if value)


def _text(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
