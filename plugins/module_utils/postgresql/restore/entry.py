# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the options of postgresql_restore lead to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import DUMP
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.entry import restore_to_moment
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.moment import restore_database_at
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.run import restore_dump


def restore(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The module's result: a dump, a whole cluster in a new directory, or one database out of a cluster.

    Raises:
        RunbookError: it was not restored; Refused when nothing was touched.

    """
    if params["method"] == DUMP:
        return restore_dump(params, check_mode=check_mode)
    if params.get("data_directory"):
        return restore_to_moment(params, check_mode=check_mode)
    if not params.get("database"):
        accepted = "a new directory for the whole cluster, or database for one database in the live server"
        raise InvalidOption("data_directory", "", accepted)
    return restore_database_at(params, check_mode=check_mode)
