# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the lines of a file are wrapped and dated, from its first ones. Pure."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.logs.framing import DockerJson, Framing, Plain
from ansible_collections.runbook.ops.plugins.module_utils.logs.moments import Clock, Layout, layout_of

_DOCKER_KEYS = {"log", "stream", "time"}


@dataclass(frozen=True)
class Recognised:
    """A framing, and the name of the layout of its moments; None when they have none."""

    framing: Framing
    layout: Optional[str]


def recognise(
    lines: Sequence[bytes], zone: dt.tzinfo | None, reference: float, custom: Layout | None = None
) -> Recognised:
    """The framing of lines like these."""
    texts = _docker_texts(lines)
    if texts:
        inner = layout_of(texts, zone, reference, custom)
        return Recognised(DockerJson(Clock(inner, zone, reference) if inner else None), "docker_json")
    layout = layout_of(lines, zone, reference, custom)
    if layout is None:
        return Recognised(Plain(None), None)
    return Recognised(Plain(Clock(layout, zone, reference)), layout.name)


def _docker_texts(lines: Sequence[bytes]) -> list[bytes]:
    texts = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            return []
        if not isinstance(record, dict) or not set(record) >= _DOCKER_KEYS or not isinstance(record["log"], str):
            return []
        texts.append(record["log"].rstrip("\n").encode("utf-8", "surrogateescape"))
    return texts
