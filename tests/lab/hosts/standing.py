"""Machines that outlive the command that started them: a molecule scenario's, between its create and its destroy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from lab.errors import LabError
from lab.hosts.daemon import docker
from lab.hosts.fleet import LABEL, Fleet
from lab.hosts.images import SUITES

FILE = "machines.json"
# With it a machine that ends, because it was told to reboot, comes up again.
OPTIONS = ("--restart", "unless-stopped")


def parsed(text: str) -> dict[str, int]:
    """C(web1=12,web2=13) as names with releases."""
    names = {}
    for part in filter(None, (word.strip() for word in text.split(","))):
        name, separator, release = part.partition("=")
        if not name or (separator and not release.isdigit()) or int(release or 12) not in SUITES:
            raise LabError(f"{part!r} is not NAME=RELEASE, with a release out of {', '.join(map(str, SUITES))}.")
        names[name] = int(release or 12)
    if not names:
        raise LabError("--hosts names no machine, such as web1=12,web2=13.")
    return names


def up(directory: Path, names: Mapping[str, int]) -> list[str]:
    """Start machines and write C(inventory/machines.json) below the directory; those that run already stay."""
    state = directory / FILE
    if state.exists():
        return list(names)
    directory.mkdir(parents=True, exist_ok=True)
    fleet = Fleet(names, OPTIONS, owner=None)
    # Known before it is started, so that nothing is left behind by an end in the middle.
    state.write_text(json.dumps({"network": fleet.network}), encoding="utf-8")
    try:
        with_machines = fleet.__enter__()
    except BaseException:
        state.unlink()
        raise
    with_machines.inventory(directory / "inventory" / "machines.json")
    return list(names)


def down(directory: Path) -> None:
    """Remove the machines of a directory; harmless when there are none."""
    state = directory / FILE
    if not state.exists():
        return
    network = json.loads(state.read_text(encoding="utf-8"))["network"]
    found = docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}", "--filter", f"network={network}").split()
    if found:
        docker("rm", "--force", "--volumes", *found)
    docker("network", "rm", network, check=False)
    (directory / "inventory" / "machines.json").unlink(missing_ok=True)
    state.unlink()
