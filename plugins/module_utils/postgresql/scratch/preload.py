# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option C(preload), the libraries that a private server loads at its start, for every module that has it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

# The file's name without its ending, as shared_preload_libraries takes it; a path would be one of the host's.
_LIBRARY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


def preload_argument_spec() -> dict[str, dict[str, Any]]:
    """The argument spec of the option."""
    return {"preload": {"type": "list", "elements": "str", "default": []}}


def preload_from(given: Sequence[str]) -> tuple[str, ...]:
    """The option, checked; raises InvalidOption."""
    for name in given:
        if not _LIBRARY.fullmatch(name):
            raise InvalidOption("preload", name, "libraries as in shared_preload_libraries, such as timescaledb")
    return tuple(given)
