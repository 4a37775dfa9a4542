# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup's census held against that of the previous verified backup, and against what the user requires. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.discrepancy import Discrepancy
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Census


def regressions(previous: Census, current: Census, *, volume_percent: float = 30.0) -> list[Discrepancy]:
    """What the previous verified backup had and this one has not.

    Codes: C(identity_mismatch), C(watermark_repeats), C(structure_regression), C(volume_regression).

    Args:
        previous: The previous verified backup's census.
        current: This one's.
        volume_percent: So much of a table's rows, or of all rows, may be gone at most.

    """
    return []


def requirements(
    current: Census, *, minimum_rows: int = 1, tables: Collection[str] = (), table_rows: Mapping[str, int] | None = None
) -> list[Discrepancy]:
    """What the user requires of any backup. Code: C(below_minimum).

    Args:
        current: The census.
        minimum_rows: So many rows in all tables together at least.
        tables: Names of tables that must be there with at least one row, C(public.orders).
        table_rows: Tables with their least number of rows.

    """
    return []
