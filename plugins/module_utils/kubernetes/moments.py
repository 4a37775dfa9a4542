# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moments as the API server and kubelets write them: RFC 3339, with a fraction of any length. Pure."""

from __future__ import annotations

import datetime as dt
import re
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

# Python 3.9 reads three or six digits, and kubelets write nine.
_FRACTION = re.compile(r"[.,][0-9]+")


def moment_of(text: Optional[str]) -> Optional[dt.datetime]:
    """A moment of the server, without its fraction; None for none."""
    try:
        return parse_moment(_FRACTION.sub("", str(text))) if text else None
    except InvalidOption:
        return None


def age_seconds(text: Optional[str], now: dt.datetime) -> Optional[int]:
    """Whole seconds since a moment, never below 0; None where it is not known."""
    found = moment_of(text)
    return None if found is None else max(0, int((now - found).total_seconds()))
