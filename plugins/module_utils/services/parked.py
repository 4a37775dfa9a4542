# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What services were before they were parked, in a file of the machine that they run on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, write_file


@dataclass(frozen=True)
class Memory:
    """Whether a service ran, and with which containers; C(at) is when it was parked."""

    at: str
    running: bool
    containers: tuple[str, ...] = ()

    def knows(self, containers: Sequence[str]) -> bool:
        """Whether it knows that it ran, with all of these."""
        return self.running and set(containers) <= set(self.containers)

    def with_more(self, other: Memory) -> Memory:
        """What is remembered never becomes less."""
        containers = tuple(dict.fromkeys((*self.containers, *other.containers)))
        return Memory(self.at, self.running or other.running, containers)


Parked = dict[str, Memory]


def read_parked(path: Path) -> Parked:
    """What is remembered, by the label of the service; raises RunbookError for a file that cannot be read."""
    try:
        with explained("read", path):
            kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"parked": {}}
        return {
            str(label): Memory(str(each["at"]), bool(each["running"]), tuple(map(str, each["containers"])))
            for label, each in kept["parked"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RunbookError(
            f"The record of parked services {path} cannot be read, so that nobody knows what ran. Look at it, start"
            " what should run by hand, and move it away."
        ) from None


def write_parked(path: Path, parked: Parked) -> None:
    """Keep it: whole, and on the disk, before anything is stopped."""
    told = {
        label: {"at": each.at, "running": each.running, "containers": list(each.containers)}
        for label, each in sorted(parked.items())
    }
    write_file(path, (json.dumps({"parked": told}, indent=1) + "\n").encode())
