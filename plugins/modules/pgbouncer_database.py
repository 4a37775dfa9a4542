#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database behind a PgBouncer held back, and let go."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbouncer_database
short_description: Pause and resume, disable and enable a database behind a PgBouncer, with a deadline
version_added: 0.7.0
description:
  - Holds the clients of a database back before a switch-over, and lets them go afterwards. Of a paused database clients
    wait, and notice nothing but the time; a disabled one refuses new clients.
  - A pause waits until the transactions that are open have ended. If that takes longer than O(timeout), the database is
    resumed and the task fails, so that nobody waits for a client that never ends.
  - A run that is killed leaves a database paused or not, and no third state. O(state=resumed) lets its clients go, and
    O(state=paused) finishes a pause.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.pgbouncer
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_pgbouncer
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  name:
    description:
      - The database, as clients call it.
    type: str
    required: true
  state:
    description:
      - What it is to be.
    type: str
    choices: [paused, resumed, disabled, enabled]
    required: true
  timeout:
    description:
      - Seconds that open transactions have to end in when the database is paused, from 1 to 600.
    type: float
    default: 30
notes:
  - A database of the entry C(*) leaves C(SHOW DATABASES) with its last client, and keeps its pause. It can be resumed;
    the values of RV(before) are V(null) then. Declare databases that are paused by name in C(pgbouncer.ini).
  - Where several processes share a port (C(so_reuseport)), the task is refused unless O(login_unix_socket) names one of
    them. Poolers behind one address, as several pods behind a Service, are asked by their own addresses.
  - O(login_user) is one of the pooler's C(admin_users).
  - A client gives up by itself when it has waited for C(query_wait_timeout). Keep the pause shorter.
  - Resume in an C(always) section, so that a switch-over that fails does not leave clients waiting.
seealso:
  - module: runbook.ops.pgbouncer_info
"""

EXAMPLES = r"""
- name: Switch over while the clients wait
  module_defaults:
    group/runbook.ops.pgbouncer:
      login_host: pgbouncer.internal
      login_user: operator
      login_password: "{{ pgbouncer_admin_password }}"
  block:
    - name: Hold the clients back
      runbook.ops.pgbouncer_database:
        name: shop
        state: paused
        timeout: 20

    - name: Switch over
      ansible.builtin.command: /usr/local/sbin/switch-over shop
      changed_when: true
  always:
    - name: Let the clients go
      runbook.ops.pgbouncer_database:
        name: shop
        state: resumed
"""

RETURN = r"""
database:
  description: The database.
  returned: success
  type: str
  sample: shop
actions:
  description: What was done, or would be.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: The state that it leads to.
      type: str
    database:
      description: The database.
      type: str
    command:
      description: The command for the console.
      type: str
      sample: PAUSE shop
refused:
  description: Always empty; what cannot be done fails.
  returned: success
  type: list
  elements: dict
waited_seconds:
  description: How long the command took.
  returned: success
  type: float
before:
  description: What was found.
  returned: success
  type: dict
  contains: &found
    is_paused:
      description: Whether it is paused.
      type: bool
    is_disabled:
      description: Whether it refuses new clients.
      type: bool
    clients_waiting:
      description: Clients that wait.
      type: int
    servers_active:
      description: Server connections that a client has.
      type: int
    servers:
      description: All server connections.
      type: int
after:
  description: What it is afterwards. V(null) in check mode, if there is something to do.
  returned: success
  type: dict
  contains: *found
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer.database import STATES, run
from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer.options import pgbouncer_argument_spec


def argument_spec() -> dict[str, Any]:
    return {
        **pgbouncer_argument_spec(),
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "required": True, "choices": list(STATES)},
        "timeout": {"type": "float", "default": 30},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = run(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
