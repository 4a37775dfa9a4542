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


def _write(path: Path, content: Variables) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=110)
    write_private(path, HEADER + text)
