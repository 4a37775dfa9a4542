#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shutting addresses out of a machine for a while."""

from __future__ import annotations

DOCUMENTATION = r"""
module: address_block
short_description: Shut addresses out of a machine for a while, in an nftables table of its own
version_added: 0.6.0
description:
  - Drops every packet from the addresses, of established connections too, by a set with a timeout in the table
    C(inet runbook_block). Rules of others are not touched, and all of a call is in force or nothing of it.
  - Addresses are validated as IP addresses or networks in CIDR notation. A host name is refused.
  - This machine's own addresses, those that the task comes from, O(never_block), private networks and very wide ones
    are refused.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  addresses:
    description: Addresses and networks, such as V(198.51.100.7) and V(2001:db8::/48), at most 1000.
    type: list
    elements: str
    required: true
  state:
    description: With V(absent) they are let in again. With the last one, the table goes, too.
    type: str
    choices: [present, absent]
    default: present
  timeout:
    description: For how long, such as V(24h). Empty for as long as the machine runs.
    type: str
    default: 24h
  never_block:
    description: Addresses and networks that are refused, such as the office's and the monitoring's.
    type: list
    elements: str
    default: []
  allow_private:
    description: Whether private networks may be shut out.
    type: bool
    default: false
  allow_wide:
    description: Whether networks wider than /16, or /32 of IPv6, may be shut out.
    type: bool
    default: false
  on_refusal:
    description: Whether the task fails when something was refused, or only says so in RV(refused).
    type: str
    choices: [fail, report]
    default: fail
notes:
  - It takes root (C(become)) and the program C(nft).
  - A reboot empties the table. An address that is shut out already keeps its time, unless less than half of
    O(timeout) is left of it. Then it is shut out for O(timeout) from now.
  - From a container it works on the container's own network.
seealso:
  - module: runbook.ops.account_lock
"""

EXAMPLES = r"""
- name: Shut out who tries passwords
  runbook.ops.address_block:
    addresses: [203.0.113.9, 198.51.100.0/24]
    timeout: 6h
    never_block: [192.0.2.0/24]
  become: true

- name: Let them in again
  runbook.ops.address_block:
    addresses: [203.0.113.9, 198.51.100.0/24]
    state: absent
  become: true
"""

RETURN = r"""
blocked:
  description: What is shut out afterwards, in check mode now, with C(address) and C(left_seconds) (V(null) for ever).
  returned: success
  type: list
  elements: dict
  sample: [{"address": "203.0.113.9", "left_seconds": 21599}]
actions:
  description: One entry for each V(block) and V(unblock), with C(name), the address, and C(timeout_seconds).
  returned: success
  type: list
  elements: dict
refused:
  description: Addresses that were not shut out or let in, as C(object), with C(reason) and C(remedy).
  returned: success
  type: list
  elements: dict
before:
  description: C(blocked_count) as it was.
  returned: success
  type: dict
after:
  description: C(blocked_count) as the kernel lists it afterwards. V(null) in check mode.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.address_block.run import change_addresses
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import ON_REFUSAL


def argument_spec() -> dict[str, Any]:
    return {
        "addresses": {"type": "list", "elements": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "timeout": {"type": "str", "default": "24h"},
        "never_block": {"type": "list", "elements": "str", "default": []},
        "allow_private": {"type": "bool", "default": False},
        "allow_wide": {"type": "bool", "default": False},
        "on_refusal": {"type": "str", "choices": list(ON_REFUSAL), "default": "fail"},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = change_addresses(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
