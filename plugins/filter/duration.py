# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations in both directions."""

from __future__ import annotations

DOCUMENTATION = r"""
name: duration
short_description: Turn 1h30m into seconds and seconds into 1h30m
version_added: 0.1.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - Text such as C(1h30m) becomes a number of seconds, and a number of seconds becomes text.
options:
  _input:
    description:
      - A number of seconds, or text with amounts of the units C(w), C(d), C(h), C(m), C(s), C(ms), largest first.
    type: raw
    required: true
  to:
    description: What is wanted.
    type: str
    choices:
      other: The other form - seconds for text, text for a number.
      seconds: Seconds, whatever came in.
      text: Text, whatever came in.
    default: other
  parts:
    description: At most so many units in text; what is smaller is cut.
    type: int
"""

EXAMPLES = r"""
- name: Both directions
  ansible.builtin.assert:
    that:
      - "'1h30m' | runbook.ops.duration == 5400"
      - 5400 | runbook.ops.duration == '1h30m'
      - 93784 | runbook.ops.duration(parts=2) == '1d2h'
"""

RETURN = r"""
_value:
  description: Seconds (whole if they are), or text.
  type: raw
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.plugin_utils.duration import format_duration, parse_duration
from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors


@filter_errors
def duration(value: Any, to: str = "other", parts: int | None = None) -> int | float | str:
    """Convert a duration; see DOCUMENTATION."""
    if to not in ("other", "seconds", "text"):
        raise InvalidOption("to", to, "other, seconds, text")
    if parts is not None and (isinstance(parts, bool) or not isinstance(parts, int) or parts < 1):
        raise InvalidOption("parts", parts, "a whole number from 1")
    seconds = parse_duration(value)
    if to == "text" or (to == "other" and not isinstance(value, str)):
        return format_duration(seconds, parts)
    return int(seconds) if seconds == int(seconds) else seconds


class FilterModule:
    """The filter C(runbook.ops.duration)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"duration": duration}
