# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathering the findings of all hosts, and saying so where there are none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jinja2 import Undefined

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import (
    RANK,
    Finding,
    finding,
    sorted_findings,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.paths import is_list

# Every role's, but not what a role keeps for itself.
PATTERN = r"^(?!_)\w+_findings$"
NOT_MEASURED = "host.not_measured"
NOT_CONFIGURED = "not_configured"
# What every role that did its work leaves behind, if only an empty list.
_RESULT = re.compile(r"^(?!_|ansible_)\w+_(?:findings|changes)$")
NOTHING_CONFIGURED = f"playbook.{NOT_CONFIGURED}"
_SOURCE = "runbook.ops.collect_findings"


def collect(
    hosts: object,
    names: object,
    *,
    domains: Sequence[str] = (),
    pattern: str = PATTERN,
    system: str = "",
    measured_at: str | None = None,
    purpose: str = "",
    needs: str = "",
) -> list[Finding]:
    """The findings of every named host in one list, worst first.

    C(hosts) is C(hostvars), or a list of variable mappings in the order of C(names). Only keys that match
    C(pattern) are read: each host variable is a template that is rendered when it is touched. A host
    without findings, and a domain nobody was checked for, give an unknown finding each. C(purpose) says what should
    have been done, and C(needs) what has to be configured for it: where no role left anything on any host, not even
    empty findings or changes, that is one more unknown finding.
    """
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise InvalidOption("pattern", pattern, f"a regular expression ({error})") from None
    if not isinstance(names, Sequence) or isinstance(names, str):
        raise InvalidOption("names", type(names).__name__, "the list of host names")
    moment = measured_at or iso(utc_now())
    collected: list[Finding] = []
    for name, variables in named(hosts, [str(each) for each in names]):
        found = list(_of_host(name, variables, wanted, system, moment))
        if not found:
            summary = "not measured: no check ran for this host"
            found = [_unknown(NOT_MEASURED, summary, name, system, moment)]
        collected += found
    collected += _missing_domains(collected, domains, system, moment)
    if purpose and not _has_result(hosts, [str(each) for each in names]):
        collected.append(_nothing(purpose, needs, system, moment))
    return sorted_findings(collected)


def _has_result(hosts: object, names: list[str]) -> bool:
    """Whether a role got as far as leaving its findings or changes on any host, even empty ones."""
    return any(
        isinstance(key, str) and _RESULT.search(key) for _name, variables in named(hosts, names) for key in variables
    )


def _nothing(purpose: str, needs: str, system: str, moment: str) -> Finding:
    return finding(
        NOTHING_CONFIGURED,
        "unknown",
        f"Nothing was configured {purpose}",
        system=system,
        # What another playbook lacks is another finding.
        object=purpose,
        remedy=f"{needs or 'Configure it in the inventory'}. Where a host failed before, its message says why.",
        priority="P1",
        source=_SOURCE,
        measured_at=moment,
    )


def named(hosts: object, names: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each name with the variables of that host, none where there is no such host.

    C(hosts) is C(hostvars), or a list of variable mappings in the order of C(names).
    """
    if isinstance(hosts, Mapping):
        for name in names:
            variables = hosts.get(name, {})
            yield name, variables if isinstance(variables, Mapping) else {}
        return
    if not isinstance(hosts, Sequence) or isinstance(hosts, str) or len(hosts) != len(names):
        raise InvalidOption(
            "input",
            f"{len(hosts)} mappings for {len(names)} names" if isinstance(hosts, Sequence) else type(hosts).__name__,
            "hostvars, or a list with one mapping of variables for each name",
        )
    for name, variables in zip(names, hosts):
        yield name, variables if isinstance(variables, Mapping) else {}


def _of_host(
    name: str, variables: Mapping[str, Any], wanted: re.Pattern[str], system: str, moment: str
) -> Iterator[Finding]:
    for key in sorted(key for key in variables if isinstance(key, str) and wanted.search(key)):
        value = variables[key]
        if isinstance(value, Undefined) or not is_list(value):
            what = "undefined" if isinstance(value, Undefined) else type(value).__name__
            yield _unknown(
                NOT_MEASURED,
                f"not measured: {key} is {what}, a list of findings was expected",
                name,
                system,
                moment,
                key,
            )
            continue
        for position, each in enumerate(value):
            if isinstance(each, Mapping) and "id" in each and each.get("severity") in RANK:
                yield dict(each)
            else:
                yield _unknown(
                    NOT_MEASURED, f"not measured: {key}[{position}] is no finding", name, system, moment, key
                )


def _missing_domains(collected: list[Finding], domains: Sequence[str], system: str, moment: str) -> list[Finding]:
    seen = {str(each["id"]).split(".", 1)[0] for each in collected if each["id"] != NOT_MEASURED}
    # A name that is mistyped is seen beside those that are not.
    remedy = (
        "No check of this kind ran. See whether targets, --limit or --tags left it out; then put a host into its "
        "group, or correct the name where it is expected (runbook_capabilities). "
        f"Checked: {', '.join(sorted(seen)) or 'nothing'}."
    )
    return [
        _unknown(f"{domain}.{NOT_CONFIGURED}", f"{domain}: not configured", "", system, moment, remedy=remedy)
        for domain in domains
        if domain not in seen
    ]


def _unknown(
    rule_id: str, summary: str, host: str, system: str, moment: str, name: str = "", remedy: str = ""
) -> Finding:
    return finding(
        rule_id,
        "unknown",
        summary,
        system=system,
        host=host,
        object=name,
        remedy=remedy,
        source=_SOURCE,
        measured_at=moment,
    )
