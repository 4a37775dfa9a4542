# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a module's result to changes."""

from __future__ import annotations

DOCUMENTATION = r"""
name: changes
short_description: List what a module changed, would change, or refused, with figures before and after
version_added: 0.2.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - Takes the registered result of a changing module and makes a list of changes of one shape, whatever the module.
  - Each entry of C(actions) is a change, each of C(refused) and of C(remaining) a refused one. A task that failed gives
    one failed change with its message, besides the actions that were carried out before it failed. A skipped task gives
    none. After a loop, the results of all turns are taken.
  - Of an action, the pairs C(<figure>_before) and C(<figure>_after) become figures, and what C(before) and C(after) of
    the result say about its object. A side that is missing is null, never 0.
  - A result that is C(changed) and lists no actions gives one change without figures.
options:
  _input:
    description: The registered result.
    type: dict
    required: true
  system:
    description: The system.
    type: str
    default: ""
  host:
    description: The host that the result is of.
    type: str
    default: ""
  source:
    description: The full name of the module.
    type: str
    default: ""
  action:
    description: What was done, as a verb. An action that names its own keeps it.
    type: str
    default: ""
  check_mode:
    description:
      - Whether the task ran in check mode, so that its actions are only planned. Pass C(ansible_check_mode).
      - By default what the result says itself, C(after) being null in check mode.
    type: bool
  at:
    description: The moment, ISO 8601 in UTC, for actions that name none.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Vacuum what needs it
  runbook.ops.postgresql_vacuum:
    login_db: storebridge
  register: vacuumed

- name: Leave a note for the report
  ansible.builtin.set_fact:
    maintenance_changes: >-
      {{ vacuumed | runbook.ops.changes(system=runbook_system, host=inventory_hostname,
         source='runbook.ops.postgresql_vacuum', action='vacuum', check_mode=ansible_check_mode) }}
"""

RETURN = r"""
_value:
  description: The changes, in the order in which they happened.
  type: list
  elements: dict
  contains:
    system:
      description: The system.
      type: str
    host:
      description: The host.
      type: str
    source:
      description: The module.
      type: str
    action:
      description: What was done, as a verb.
      type: str
    object:
      description: What it was done to, such as C(public.jobs), C(public.jobs_pkey) or C(pid 4711).
      type: str
    status:
      description:
        - V(done), or V(planned) in check mode.
        - V(refused) is due and was left alone, for the reason in RV(_value[].reason).
        - V(ineffective) was done, and measuring again showed that it did not help.
        - V(failed) was tried and failed.
      type: str
    summary:
      description: The statement, else the reason, else the message.
      type: str
    figures:
      description: What was measured before and after.
      type: list
      elements: dict
      contains:
        name:
          description: The figure, such as V(dead rows).
          type: str
        before:
          description: The value before, null if unknown.
          type: raw
        after:
          description: The value after, null if unknown, and in check mode. V(gone) when the object was dropped.
          type: raw
        unit:
          description: V(bytes), V(percent), V(seconds), V(milliseconds), V(days), V(ratio), V(count) or V(text).
          type: str
    duration_seconds:
      description: How long it took, null if unknown.
      type: float
    reason:
      description: Why.
      type: str
    remedy:
      description: The next step where something was refused or did not help.
      type: str
    at:
      description: When, ISO 8601 in UTC, empty if unknown.
      type: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.plugin_utils.changes_from_results import Context, changes_of
from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors


@filter_errors
def changes(
    result: Any,
    system: str = "",
    host: str = "",
    source: str = "",
    action: str = "",
    check_mode: bool | None = None,
    at: str = "",
) -> list[dict[str, Any]]:
    """List changes; see DOCUMENTATION."""
    if check_mode is not None and not isinstance(check_mode, bool):
        raise InvalidOption("check_mode", check_mode, "true, false, or nothing to let the result say it")
    return changes_of(
        result, Context(system=system, host=host, source=source, action=action, planned=check_mode, at=at)
    )


class FilterModule:
    """The filter C(runbook.ops.changes)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"changes": changes}
