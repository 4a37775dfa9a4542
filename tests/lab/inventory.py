"""The inventory of a running lab: addresses and credentials that layer over ``inventories/<system>``.

    ansible-playbook … -i inventories/storebridge -i build/lab/storebridge/inventory

Names, rules and thresholds come from the system's own inventory; this one only says where its endpoints are now.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lab.state import write_private

Variables = Mapping[str, Any]
HEADER = "---\n# Written by `python -m lab up`; gone with `python -m lab down`. Holds the lab's passwords.\n"


def write_inventory(
    directory: Path,
    groups: Mapping[str, list[str]],
    host_variables: Mapping[str, Variables],
    group_variables: Mapping[str, Variables] | None = None,
) -> Path:
    """Write ``hosts.yml``, ``host_vars/<host>/lab.yml`` and ``group_vars/<group>/lab.yml``: the inventory's path."""
    unknown = set(host_variables) - {host for hosts in groups.values() for host in hosts}
    if unknown:
        raise ValueError(f"hosts in no group: {', '.join(sorted(unknown))}")
    children = {group: {"hosts": dict.fromkeys(hosts)} for group, hosts in groups.items()}
    _write(directory / "hosts.yml", {"all": {"children": children}})
    for host, variables in host_variables.items():
        _write(directory / "host_vars" / host / "lab.yml", variables)
    for group, variables in (group_variables or {}).items():
        _write(directory / "group_vars" / group / "lab.yml", variables)
    return directory


def inherited(inventory: Path, group: str, host: str, variable: str) -> dict[str, Any]:
    """What an inventory says about a dictionary, for a host of one group: the last word of all, group and host."""
    value: dict[str, Any] = {}
    for place in (Path("group_vars") / "all", Path("group_vars") / group, Path("host_vars") / host):
        for path in sorted((inventory / place).glob("*.yml")):
            value = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get(variable, value)
    return dict(value)


def compressed(base: Mapping[str, Any], changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Rule overrides with a lab's changes laid over them; a dictionary in an inventory replaces, it does not merge."""
    return {**base, **{rule: {**base.get(rule, {}), **change} for rule, change in changes.items()}}


def _write(path: Path, content: Variables) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=110)
    write_private(path, HEADER + text)
