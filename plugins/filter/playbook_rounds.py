# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds that run playbooks, as the module C(schedule) takes them."""

from __future__ import annotations

DOCUMENTATION = r"""
name: playbook_rounds
short_description: Make rounds that run playbooks into rounds with commands
version_added: 0.6.0
author:
  - The runbook.ops contributors (@runbook-ops)
description:
  - Gives each round that names a C(playbook) its C(command), from the playbook with its C(tags), C(limit),
    C(extra_vars) and further C(arguments). Rounds with a C(command) of their own stay as they are.
options:
  _input:
    description: The rounds.
    type: list
    elements: dict
    required: true
  ansible_playbook:
    description: The program.
    type: str
    default: ansible-playbook
  inventory:
    description: The inventory to run them with.
    type: str
    default: ""
  defaults:
    description: What rounds have that do not say otherwise, such as V(user) and V(directory).
    type: dict
    default: {}
seealso:
  - module: runbook.ops.schedule
"""

EXAMPLES = r"""
- name: What is run
  ansible.builtin.debug:
    msg: "{{ rounds | runbook.ops.playbook_rounds(inventory='inventories/shop') }}"
  vars:
    rounds:
      - name: morning
        at: 0 9 * * *
        playbook: runbook.ops.check_daily
        tags: [morning]
"""

RETURN = r"""
_value:
  description: The rounds, as O(runbook.ops.schedule#module:rounds) takes them.
  type: list
  elements: dict
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils import playbook_rounds as rounds_of
from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors


@filter_errors
def playbook_rounds(
    rounds: Any,
    ansible_playbook: str = "ansible-playbook",
    inventory: str = "",
    defaults: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Give every round its command."""
    return rounds_of.playbook_rounds(rounds, ansible_playbook, inventory, defaults or {})


class FilterModule:
    """Filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"playbook_rounds": playbook_rounds}
