#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of a haproxy map, in the running process and in its file."""

from __future__ import annotations

DOCUMENTATION = r"""
module: haproxy_map
short_description: Put entries into a haproxy map or take them out, at once and for good
version_added: 0.6.0
description:
  - Changes a map in the running process by its stats socket, so that it holds from the next request on without a
    reload, and in its file, so that it still does after one.
  - The file is replaced as a whole. Its other lines, comments among them, stay, and so do its owner and mode.
  - Where one of the two places has the entries already, only the other one is changed.
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
  socket:
    description:
      - The stats socket, with C(level admin), as a path or as C(host:port).
    type: str
    default: /run/haproxy/admin.sock
  map:
    description:
      - The file of the map, exactly as haproxy's configuration names it.
    type: str
    required: true
  keys:
    description:
      - The keys of the entries.
    type: list
    elements: str
    required: true
  value:
    description:
      - Their value.
    type: str
    default: "1"
  state:
    description:
      - Whether the entries are there, or no entries with these keys.
    type: str
    choices: [present, absent]
    default: present
  runtime:
    description:
      - With V(required) a haproxy that does not answer is a failure, and nothing is changed. With V(if_available) only
        the file is changed then. With V(never) only the file ever is.
    type: str
    choices: [required, if_available, never]
    default: required
  timeout:
    description:
      - Seconds that one command may take.
    type: float
    default: 10
"""

EXAMPLES = r"""
- name: Show the maintenance page instead of the shop
  runbook.ops.haproxy_map:
    map: /etc/haproxy/maintenance.map
    keys: [shop.example.com]

- name: Show the shop again
  runbook.ops.haproxy_map:
    map: /etc/haproxy/maintenance.map
    keys: [shop.example.com]
    state: absent
"""

RETURN = r"""
runtime_available:
  description: Whether the running process was asked and answered.
  returned: success
  type: bool
reason:
  description: Why not. V(null) if it was.
  returned: success
  type: str
actions:
  description: What was done, or would be, in this order. In check mode the same list.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(add), V(set) or V(delete).
      type: str
    object:
      description: The key.
      type: str
    where:
      description: V(file) or V(runtime).
      type: str
    value_before:
      description: The value before. V(null) if there was none.
      type: str
    value_after:
      description: The value afterwards. V(null) if there is none.
      type: str
refused:
  description: Always empty. What this module cannot do right, it does not begin.
  returned: success
  type: list
  elements: dict
before:
  description: The entries as they were found.
  returned: success
  type: dict
  contains: &figures
    file:
      description: The value of each key in the file. V(null) if there is none.
      type: dict
    runtime:
      description: The same in the running process. V(null) if it was not asked.
      type: dict
after:
  description: The same afterwards. V(null) in check mode.
  returned: success
  type: dict
  contains: *figures
diff:
  description: The file before and afterwards.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.haproxy.client import DEFAULT_SOCKET
from ansible_collections.runbook.ops.plugins.module_utils.haproxy.maps import control_map


def argument_spec() -> dict[str, Any]:
    return {
        "socket": {"type": "str", "default": DEFAULT_SOCKET},
        "map": {"type": "str", "required": True},
        "keys": {"type": "list", "elements": "str", "required": True, "no_log": False},
        "value": {"type": "str", "default": "1"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "runtime": {"type": "str", "choices": ["required", "if_available", "never"], "default": "required"},
        "timeout": {"type": "float", "default": 10},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = control_map(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
