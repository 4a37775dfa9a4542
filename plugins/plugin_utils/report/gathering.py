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

_FACTS = re.compile(r"(?!_|ansible_)\w+_facts")
_FINDINGS = re.compile(r"(?!_)\w+_findings")
# What a check role registers on its way, before there are facts.
_BEGUN = re.compile(r"__check_\w+")


def gather_facts(hosts: object, names: object) -> dict[str, dict[str, Any]]:
    """C({host: {source: facts}}) of every host that has variables C(check_<x>_facts).

    The source is the module that the host's findings name. A role that asks several modules keeps C({part: facts});
    each part then belongs to the source whose name holds it. What belongs to no one source keeps the variable's name.

    A host on which a check role began to measure, but which has no facts, is there with none.
    """
    if not isinstance(hosts, Mapping):
        raise InvalidOption("input", type(hosts).__name__, "hostvars")
    if not isinstance(names, Sequence) or isinstance(names, (str, bytes)):
        raise InvalidOption("names", type(names).__name__, "the list of host names")
    gathered: dict[str, dict[str, Any]] = {}
    for name in names:
        # Not .get(): hostvars answer it with an undefined value instead of the default.
        variables = hosts[name] if name in hosts else {}  # noqa: SIM401
        keys = sorted(key for key in variables if isinstance(key, str))
        # Only these are touched: every variable of a host is a template that is rendered on access.
        sources = {key: _sources(variables[key]) for key in keys if _FINDINGS.fullmatch(key)}
        if any(_BEGUN.fullmatch(key) for key in keys):
            gathered[str(name)] = {}
        for key in keys:
            facts = variables[key] if _FACTS.fullmatch(key) else None
            if isinstance(facts, Mapping) and facts:
                gathered.setdefault(str(name), {}).update(_by_source(key.removesuffix("_facts"), facts, sources))
    return gathered


def _sources(findings: object) -> set[str]:
    if isinstance(findings, Undefined) or not isinstance(findings, Sequence) or isinstance(findings, (str, bytes)):
        return set()
    named = (str(each.get("source") or "") for each in findings if isinstance(each, Mapping))
    return {source for source in named if source}


def _by_source(role: str, facts: Mapping[str, Any], sources: Mapping[str, set[str]]) -> dict[str, Any]:
    own = sources.get(f"{role}_findings", set())
    if len(own) == 1:
        return {next(iter(own)): facts}
    by_part: dict[str, Any] = {}
    for part, value in facts.items():
        owners = [source for source in own if _words(str(part)) & _words(source)]
        if len(owners) == 1 and isinstance(value, Mapping) and owners[0] not in by_part:
            by_part[owners[0]] = value
    if len(by_part) == len(facts):
        return by_part
    # check_postgresql_query is of postgresql_query_info, although its findings are among those of check_postgresql.
    words = _words(role).union(*(_words(str(part)) for part in facts))
    scores = sorted(((len(words & _words(source)), source) for source in set().union(*sources.values())), reverse=True)
    if scores and scores[0][0] > (scores[1][0] if len(scores) > 1 else 1):
        return {scores[0][1]: facts}
    return {role: facts}


def _words(name: str) -> set[str]:
    """The words of the last part of a name, in the singular: C(runbook.ops.redis_key_info) is redis and key."""
    return {word.removesuffix("s") for word in name.lower().rsplit(".", 1)[-1].split("_")} - {"check", "info"}


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
