# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the modules' C(method) leads to when it is not C(dump)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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
    raise NotImplementedError(params["method"], check_mode)


def verify_physical(params: Mapping[str, Any]) -> dict[str, Any]:
    """The result of postgresql_backup_verify with C(method=basebackup) or C(pgbackrest), without C(changed).

    Args:
        params: The module's options: C(physical_verify_argument_spec), C(decryption_argument_spec), the object store's,
            and C(repository), C(name_pattern), C(timezone), C(name), C(level), C(max_age), C(on_failure),
            C(bin_directory), C(scratch_directory).

    Raises:
        RunbookError: it is not verified and the task shall fail; or an option is wrong.

    """
    raise NotImplementedError(params["method"])


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
    raise NotImplementedError(params["method"], check_mode)
