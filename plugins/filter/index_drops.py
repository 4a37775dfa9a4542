# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which approved indexes are proven to serve nobody."""

from __future__ import annotations

DOCUMENTATION = r"""
name: index_drops
short_description: Which indexes on a list are proven to serve nobody
version_added: 0.2.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - Holds a list of indexes that a person decided to drop against what was measured on the primary and on every standby.
  - An unused index must never have been scanned on any of the servers, each of which must have counted long enough.
    If standbys follow the primary that were not asked, nothing is proven.
  - An invalid index, left by a failed C(CREATE INDEX CONCURRENTLY), serves no query and may go when nobody builds it.
  - Names that do not exist are passed over, because that is what was wanted.
positional: primary, standbys, definitions
options:
  _input:
    description: Names with their schema, such as V(public.idx_orders_note).
    type: list
    elements: str
    required: true
  primary:
    description:
      - The result of M(runbook.ops.postgresql_health_info) for the primary, with the section V(indexes).
      - Its O(runbook.ops.postgresql_health_info#module:top) must be large enough to show all indexes in question.
    type: dict
    required: true
  standbys:
    description: The results for every standby.
    type: list
    elements: dict
    default: []
  definitions:
    description:
      - The statements that make the indexes, as dictionaries with C(name) and C(definition). They come back as C(undo).
    type: list
    elements: dict
    default: []
  min_statistics_age_seconds:
    description: Since when, at least, every server must have counted scans, in seconds.
    type: float
    default: 1209600
"""

EXAMPLES = r"""
- name: Plan the drops
  ansible.builtin.set_fact:
    drops: "{{ ['public.idx_orders_note'] | runbook.ops.index_drops(primary, [standby]) }}"
  vars:
    primary:
      available: true
      health:
        indexes:
          standby_count: 1
          stats_age_seconds: 3000000
          unused: [{schema: public, table: orders, name: idx_orders_note, size_bytes: 81920}]
    standby: "{{ primary }}"

- name: Drop what is proven to be of no use
  ansible.builtin.debug:
    msg: "DROP INDEX CONCURRENTLY {{ item.schema }}.{{ item.index }}"
  loop: "{{ drops.actions }}"
"""

RETURN = r"""
_value:
  description: The plan, in the shape that changing modules return.
  type: dict
  contains:
    changed:
      description: Whether anything is to be dropped.
      type: bool
    actions:
      description: What may be dropped, and why.
      type: list
      elements: dict
    refused:
      description: What must stay, with the reason and what to do.
      type: list
      elements: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors
from ansible_collections.runbook.ops.plugins.plugin_utils.index_drops import plan_index_drops


@filter_errors
def index_drops(
    approved: Sequence[str],
    primary: Mapping[str, Any],
    standbys: Sequence[Mapping[str, Any]] = (),
    definitions: Sequence[Mapping[str, str]] = (),
    min_statistics_age_seconds: float = 1209600,
) -> dict[str, Any]:
    """Which approved indexes are proven to serve nobody; see DOCUMENTATION."""
    return plan_index_drops(
        approved,
        primary,
        standbys,
        definitions=definitions,
        min_statistics_age_seconds=float(min_statistics_age_seconds),
    )


class FilterModule:
    """The filter C(runbook.ops.index_drops)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"index_drops": index_drops}
