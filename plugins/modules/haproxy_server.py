#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server of haproxy taken out of the traffic, and put back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: haproxy_server
short_description: Take a server out of haproxy's traffic and put it back, proven
version_added: 0.6.0
description:
  - Sets a server of a backend to V(ready), V(drain) or V(maint) through haproxy's stats socket.
  - Waits until it is so. With V(drain) and V(maint), until nobody is connected to the server any more. With V(ready),
    until haproxy sends it traffic, which its health check decides.
  - Refuses to take a server out when too few others would be left.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - RV(before) and RV(after) tell the state.
options:
  socket:
    description:
      - haproxy's stats socket, a path or V(host:port). In C(haproxy.cfg) it needs C(level admin).
    type: str
    default: /run/haproxy/admin.sock
  backend:
    description:
      - The backend.
    type: str
    required: true
  server:
    description:
      - The server, as the backend calls it.
    type: str
    required: true
  state:
    description:
      - V(drain) lets those who are connected finish and sends nobody else. V(maint) switches the health check off, too.
        V(ready) puts it back.
    type: str
    choices: [ready, drain, maint]
    required: true
  wait:
    description:
      - How long to wait for the state, such as V(5m). Afterwards the task fails, and the server stays as it is.
    type: str
    default: 5m
  min_others:
    description:
      - How many other servers of the backend must take traffic before this one is taken out.
    type: int
    default: 1
notes:
  - The state lives in haproxy's memory. A reload of haproxy forgets it, unless its state is kept in a file.
  - The servers are counted and the state is set without a lock. For several servers of a backend set C(throttle=1), or
    each counts on the others.
seealso:
  - module: community.general.haproxy
"""

EXAMPLES = r"""
- name: Take this host out of the traffic
  runbook.ops.haproxy_server:
    backend: web
    server: "{{ inventory_hostname }}"
    state: drain
    wait: 10m
  delegate_to: balancer

- name: Put it back
  runbook.ops.haproxy_server:
    backend: web
    server: "{{ inventory_hostname }}"
    state: ready
  delegate_to: balancer
"""

RETURN = r"""
actions:
  description: What was done, or would be.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: The state that was set.
      type: str
    object:
      description: Backend and server.
      type: str
    state_before:
      description: The administrative state before.
      type: str
    state_after:
      description: The administrative state afterwards.
      type: str
refused:
  description: Always empty. A server that must not be taken out fails the task.
  returned: success
  type: list
  elements: dict
others:
  description: How many other servers of the backend take traffic.
  returned: success
  type: int
before:
  description: The server as it was found.
  returned: success
  type: dict
  contains: &server
    state:
      description: The administrative state.
      type: str
    status:
      description: What haproxy shows, such as C(UP), C(DOWN) or C(DRAIN).
      type: str
    sessions:
      description: How many are connected to it.
      type: int
    queued:
      description: How many wait for it.
      type: int
after:
  description: The same afterwards. V(null) in check mode.
  returned: success
  type: dict
  contains: *server
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.haproxy.control import control


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "socket": {"type": "str", "default": "/run/haproxy/admin.sock"},
            "backend": {"type": "str", "required": True},
            "server": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["ready", "drain", "maint"], "required": True},
            "wait": {"type": "str", "default": "5m"},
            "min_others": {"type": "int", "default": 1},
        },
        supports_check_mode=True,
    )
    try:
        result = control(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
