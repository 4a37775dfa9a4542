# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups a policy keeps."""

from __future__ import annotations

DOCUMENTATION = r"""
name: keep_plan
short_description: Which backups a retention policy keeps, counting only good ones
version_added: 0.4.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - Holds a list of backups against a policy of days, weeks, months and years (grandfather, father, son), as
    M(runbook.ops.backup_prune) does, without deleting anything - to try a policy out, or to drive the retention of a
    store that this collection cannot delete from.
  - Only backups that are proven to be good take a place. When the newest ones are bad, when none is good, or when the
    newest good one is older than the RPO, nothing may go.
positional: daily, weekly, monthly, yearly
options:
  _input:
    description:
      - The backups, as RV(runbook.ops.backup_info#module:artefacts). Its O(runbook.ops.backup_info#module:top) must be
        large enough to show all of them.
      - C(name) and C(taken_at) are required, C(verified) (with C(is_proven), C(verdict), C(is_current) and
        C(is_restorable)), C(inspected) and C(manifest) are used.
    type: list
    elements: dict
    required: true
  daily:
    description: Keep the newest good backup of each of the last so many days that have one.
    type: int
    default: 0
  weekly:
    description: The same for weeks, from Monday on.
    type: int
    default: 0
  monthly:
    description: The same for months.
    type: int
    default: 0
  yearly:
    description: The same for years.
    type: int
    default: 0
  rpo:
    description: How old the newest good backup may be for anything to go, such as V(26h).
    type: str
    required: true
  timezone:
    description: Where days begin.
    type: str
    default: UTC
  min_keep:
    description: At least so many good backups are kept.
    type: int
    default: 3
  max_deletes:
    description: Refuse when more would go.
    type: int
    default: 50
  keep_within:
    description: Keep everything that is younger than this.
    type: str
  wal_window:
    description: Keep the base backup from which every moment within this time is reached.
    type: str
  require_verified:
    description: Whether only a backup that is proven to be good counts as good. If not, every one that is not bad.
    type: bool
    default: true
  reference_time:
    description: The moment that counts as now, ISO 8601 with time zone. Now, if not given.
    type: str
"""

EXAMPLES = r"""
- name: Take the inventory
  runbook.ops.backup_info:
    repository: s3://storebridge-backups
    name_pattern: storebridge-%Y%m%d.sql.gz
    timezone: Asia/Seoul
    top: 10000
  register: backups

- name: See what a policy would leave
  ansible.builtin.debug:
    msg: "{{ plan.kept | map(attribute='name') | list }}"
  vars:
    plan: >-
      {{ backups.artefacts | runbook.ops.keep_plan(daily=7, weekly=5, monthly=12, rpo='26h', timezone='Asia/Seoul') }}
"""

RETURN = r"""
_value:
  description: The plan, in the shape that changing modules return.
  type: dict
  contains:
    changed:
      description: Whether anything may go.
      type: bool
    actions:
      description: What may go, newest first, with C(action), C(object), C(reason), C(state), C(taken_at), C(bytes).
      type: list
      elements: dict
    refused:
      description: Why nothing may go although something is due, with C(object), C(reason) and C(remedy).
      type: list
      elements: dict
    kept:
      description: What stays, newest first, with C(name), C(taken_at), C(state) and C(reasons).
      type: list
      elements: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors
from ansible_collections.runbook.ops.plugins.plugin_utils.keep_plan import plan_of


@filter_errors
def keep_plan(
    artefacts: Any,
    daily: int = 0,
    weekly: int = 0,
    monthly: int = 0,
    yearly: int = 0,
    rpo: str = "",
    timezone: str = "UTC",
    min_keep: int = 3,
    max_deletes: int = 50,
    keep_within: str | None = None,
    wal_window: str | None = None,
    require_verified: bool = True,
    reference_time: str | None = None,
) -> dict[str, Any]:
    """Which backups a policy keeps; see DOCUMENTATION."""
    options = {
        "daily": daily,
        "weekly": weekly,
        "monthly": monthly,
        "yearly": yearly,
        "rpo": rpo,
        "timezone": timezone,
        "min_keep": min_keep,
        "max_deletes": max_deletes,
        "keep_within": keep_within,
        "wal_window": wal_window,
        "require_verified": require_verified,
        "reference_time": reference_time,
    }
    return plan_of(artefacts, options)


class FilterModule:
    """The filter C(runbook.ops.keep_plan)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"keep_plan": keep_plan}
