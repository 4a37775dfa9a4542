# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the modules' C(method) leads to when it is not C(dump)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.options import PGBACKREST
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.pgbackrest.run import (
    restore_with_pgbackrest,
    take_with_pgbackrest,
    verify_with_pgbackrest,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.restore import restore_base_backup
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.take import take_base_backup
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.verify import verify_base_backup


def take_physical_backup(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The result of postgresql_backup with C(method=basebackup) or C(pgbackrest).

    Args:
        params: The module's options: C(postgresql_argument_spec), C(guard_argument_spec),
            C(physical_backup_argument_spec), C(encryption_argument_spec), the object store's, and C(repository),
            C(name_pattern), C(timezone), C(bin_directory).
        check_mode: Whether nothing may be changed.

    Raises:
        RunbookError: it was not taken.

    """
    if params["method"] == PGBACKREST:
        return take_with_pgbackrest(params, check_mode=check_mode)
    return take_base_backup(params, check_mode=check_mode)


def verify_physical(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The result of postgresql_backup_verify with C(method=basebackup) or C(pgbackrest).

    Args:
        params: The module's options: C(physical_verify_argument_spec), C(decryption_argument_spec), the object store's,
            and C(repository), C(name_pattern), C(timezone), C(name), C(level), C(max_age), C(on_failure),
            C(bin_directory), C(scratch_directory).
        check_mode: Whether nothing may be changed.

    Raises:
        RunbookError: it is not verified and the task shall fail; or an option is wrong.

    """
    if params["method"] == PGBACKREST:
        return verify_with_pgbackrest(params, check_mode=check_mode)
    return verify_base_backup(params, check_mode=check_mode)


def restore_to_moment(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The result of postgresql_restore with C(method=basebackup) or C(pgbackrest).

    Args:
        params: The module's options: C(physical_restore_argument_spec), C(guard_argument_spec),
            C(decryption_argument_spec), the object store's, and C(repository), C(name_pattern), C(timezone),
            C(name), C(bin_directory).
        check_mode: Whether nothing may be changed.

    Raises:
        RunbookError: it was not restored; Refused when nothing was touched.

    """
    if params["method"] == PGBACKREST:
        return restore_with_pgbackrest(params, check_mode=check_mode)
    return restore_base_backup(params, check_mode=check_mode)
