# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collecting the changes that roles left on hosts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jinja2 import Undefined

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.plugin_utils.changes import Change, change, is_change, sorted_changes
from ansible_collections.runbook.ops.plugins.plugin_utils.collecting import named
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.paths import is_list

# Every role's, but not what a role keeps for itself, and nothing of Ansible's own.
PATTERN = r"^(?!_|ansible_)\w+_changes$"
_SOURCE = "runbook.ops.collect_changes"


def collect(hosts: object, names: object, *, pattern: str = PATTERN, system: str = "") -> list[Change]:
    """The changes of every named host in one list, what somebody has to look at first.

    C(hosts) is C(hostvars), or a list of variable mappings in the order of C(names). Only keys that match C(pattern)
    are read: each host variable is a template that is rendered when it is touched. A host without changes has changed
    nothing. A variable that cannot be read, or holds a change beside something else, gives a failed change, because
    what was changed there is not known. Anything else is somebody's own variable of a like name and is left alone.
    """
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise InvalidOption("pattern", pattern, f"a regular expression ({error})") from None
    if not isinstance(names, Sequence) or isinstance(names, str):
        raise InvalidOption("names", type(names).__name__, "the list of host names")
    return sorted_changes(
        each
        for name, variables in named(hosts, [str(each) for each in names])
        for each in _of_host(name, variables, wanted, system)
    )


def _of_host(name: str, variables: Mapping[str, Any], wanted: re.Pattern[str], system: str) -> Iterator[Change]:
    for key in sorted(key for key in variables if isinstance(key, str) and wanted.search(key)):
        value = variables[key]
        if isinstance(value, Undefined):
            yield _unreadable(f"{key} is undefined", name, key, system)
        elif is_list(value) and any(is_change(each) for each in value):
            for position, each in enumerate(value):
                if is_change(each):
                    yield {**each, "host": each.get("host") or name}
                else:
                    yield _unreadable(f"{key}[{position}] is no change", name, key, system)


def _unreadable(what: str, host: str, key: str, system: str) -> Change:
    return change(
        "failed",
        f"what was changed is not known: {what}, a list of changes was expected",
        system=system,
        host=host,
        object=key,
        source=_SOURCE,
        remedy="Look at what the play of this host printed",
    )
