# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that every changing PostgreSQL module has, once. The doc fragment C(maintenance) says the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common import guards
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption


def maintenance_argument_spec() -> dict[str, dict[str, Any]]:
    """The argument spec of the guards, with the one of PostgreSQL's own."""
    return {**guards.guard_argument_spec(), "lock_timeout": {"type": "float", "default": 2.0}}


def check_guards(options: Mapping[str, Any]) -> None:
    """Refuse guard options that cannot work, before anything is touched; raises InvalidOption."""
    guards.check_guards(options)
    if not 0.1 <= options["lock_timeout"] <= 60:
        raise InvalidOption("lock_timeout", options["lock_timeout"], "0.1 to 60 seconds")
