# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose queue it is, decided carefully, because a pause that is not the library's own stops nobody. Pure."""

from __future__ import annotations

import re
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.library import (
    BULL,
    BULLMQ,
    Library,
    Signs,
    recognise,
)

MAJORS = {BULL: (3, 4), BULLMQ: (3, 4, 5, 6)}
_REMEDY = "Say whose queue it is with system (bull or bullmq) and library_version."


def parse_version(text: str) -> int:
    """The major version of C(library_version): C(5), C(5.81.2), C(v4.16). Raises InvalidOption."""
    found = re.fullmatch(r"v?(\d+)(\.\d+){0,2}([-+].*)?", text.strip(), re.ASCII)
    if not found or not any(int(found[1]) in majors for majors in MAJORS.values()):
        raise InvalidOption("library_version", text, "the version of Bull (3 or 4) or BullMQ (3 to 6), such as 5.81.2")
    return int(found[1])


def identify(name: str, signs: Signs, *, system: Optional[str], version: Optional[str]) -> Optional[Library]:
    """The library of the queue C(name); None when there is no trace of it.

    C(system) and C(version) are what the task says, and win over everything but what the queue's meta says itself.
    Raises Refused when the traces contradict each other or the task.
    """
    found = recognise(signs)
    major = parse_version(version) if version else None
    if system is None:
        if found and found.system == BULLMQ and signs.has("meta-paused", "string"):
            raise Refused(f"{name} has keys of Bull (meta-paused) and of BullMQ ({found.evidence}). {_REMEDY}")
        system = found.system if found else None
    if system is None:
        return None
    if found and found.version and found.system != system:
        raise Refused(f"{name} is not a queue of Bull: its meta says {found.label}. Leave system out, or correct it.")
    if found and found.system == system and (major is None or major == found.major):
        return found
    if major is None and not found:
        # Without any trace everything hangs on what the task says.
        return Library(system, None, None, "the task says so") if system == BULL else None
    if major is not None and major not in MAJORS[system]:
        accepted = ", ".join(str(each) for each in MAJORS[system])
        raise InvalidOption("library_version", version, f"a version of {system}: {accepted}")
    if found and found.version and major is not None:
        raise Refused(f"{name} says that it is {found.label}, the task that it is {version}. Correct library_version.")
    return Library(system, major, None, "the task says so")
