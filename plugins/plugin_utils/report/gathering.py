# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts behind the findings of all hosts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Undefined

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

_FACTS = re.compile(r"(check_\w+)_facts")


def gather_facts(hosts: object, names: object) -> dict[str, dict[str, Any]]:
    """C({host: {source: facts}}) of every host that has variables C(check_<x>_facts).

    The source is the module that the findings of C(check_<x>_findings) name. A role that asks several modules keeps
    C({part: facts}); each part then belongs to the source whose name holds it. What belongs to no one source keeps the
    variable's name.
    """
    if not isinstance(hosts, Mapping):
        raise InvalidOption("input", type(hosts).__name__, "hostvars")
    if not isinstance(names, Sequence) or isinstance(names, (str, bytes)):
        raise InvalidOption("names", type(names).__name__, "the list of host names")
    gathered: dict[str, dict[str, Any]] = {}
    for name in names:
        # Not .get(): hostvars answer it with an undefined value instead of the default.
        variables = hosts[name] if name in hosts else {}  # noqa: SIM401
        # Only these are touched: every variable of a host is a template that is rendered on access.
        for key in sorted(key for key in variables if isinstance(key, str) and _FACTS.fullmatch(key)):
            facts = variables[key]
            if isinstance(facts, Mapping) and facts:
                role = key.removesuffix("_facts")
                findings = variables[f"{role}_findings"] if f"{role}_findings" in variables else []  # noqa: SIM401
                gathered.setdefault(str(name), {}).update(_by_source(role, facts, _sources(findings)))
    return gathered


def _sources(findings: object) -> list[str]:
    if isinstance(findings, Undefined) or not isinstance(findings, Sequence) or isinstance(findings, (str, bytes)):
        return []
    named = (str(each.get("source") or "") for each in findings if isinstance(each, Mapping))
    return sorted({source for source in named if source})


def _by_source(role: str, facts: Mapping[str, Any], sources: list[str]) -> dict[str, Any]:
    if len(sources) == 1:
        return {sources[0]: facts}
    found: dict[str, Any] = {}
    for part, value in facts.items():
        word = str(part).lower().removesuffix("s")
        owners = [source for source in sources if word in source.rsplit(".", 1)[-1].split("_")]
        if len(owners) != 1 or not isinstance(value, Mapping) or owners[0] in found:
            return {role: facts}
        found[owners[0]] = value
    return found or {role: facts}


def gather_secrets(hosts: object, names: object, variables: object) -> list[str]:
    """The values that the named variables have on the named hosts, each once.

    Very short ones are left out: masking every "a" would make a report unreadable and hide nothing.
    """
    if not isinstance(hosts, Mapping):
        raise InvalidOption("input", type(hosts).__name__, "hostvars")
    for option, value in (("names", names), ("variables", variables)):
        if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
            raise InvalidOption(option, type(value).__name__, "a list of names")
    found: set[str] = set()
    for name in names:  # type: ignore[attr-defined]
        host = hosts[name] if name in hosts else {}  # noqa: SIM401
        for variable in variables:  # type: ignore[attr-defined]
            value = host[variable] if variable in host else None  # noqa: SIM401
            if isinstance(value, str) and len(value) >= _SHORTEST_SECRET:
                found.add(str(value))
    return sorted(found)


_SHORTEST_SECRET = 4
