#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Closing every way into an account, and opening what was open."""

from __future__ import annotations

DOCUMENTATION = r"""
module: account_lock
short_description: Lock a Unix account in every way it can be used, and unlock it to what it was
version_added: 0.6.0
description:
  - Lets the account expire, locks its password, moves its authorized keys aside, and ends its processes if asked to.
    A locked password alone leaves a key working.
  - How it was before is recorded on the machine, without the password's hash, and V(unlocked) brings back exactly that.
  - Root, the account that the task came in by, and the last account that may use sudo are never locked.
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
  user:
    description: The account, one of F(/etc/passwd).
    type: str
    required: true
  state:
    description:
      - V(unlocked) takes back what V(locked) recorded. An account that was not locked by this module is left as it is.
    type: str
    choices: [locked, unlocked]
    default: locked
  move_keys:
    description:
      - Whether the files with its authorized keys, where sshd looks for them, get the ending C(.runbook-locked).
      - A link on the way there is not followed. It gets the ending itself, and what it points to stays.
    type: bool
    default: true
  end_sessions:
    description: Whether its processes are ended, first asked to and then killed. This cannot be taken back.
    type: bool
    default: false
  state_directory:
    description: Where records are kept, for root only.
    type: path
    default: /var/lib/runbook-ops/account_lock
  on_refusal:
    description: Whether the task fails when something was refused, or only says so in RV(refused).
    type: str
    choices: [fail, report]
    default: fail
notes:
  - It takes root (C(become)).
  - Run it again at any time. An interrupted lock goes on where it was, and does not forget how it was before.
seealso:
  - module: runbook.ops.address_block
"""

EXAMPLES = r"""
- name: Lock an account whose key was stolen, and throw out who uses it
  runbook.ops.account_lock:
    user: deploy
    end_sessions: true
  become: true

- name: Give it back
  runbook.ops.account_lock:
    user: deploy
    state: unlocked
  become: true
"""

RETURN = r"""
user:
  description: The account.
  returned: success
  type: str
record:
  description: The file that says how it was. V(null) if there is none.
  returned: success
  type: str
actions:
  description: >-
    What was done, or would be, in this order, with C(name) and C(target). C(action) is V(expire), V(lock_password),
    V(move_keys), V(end_sessions), and V(return_keys), V(unlock_password), V(restore_expiry).
  returned: success
  type: list
  elements: dict
refused:
  description: What was not done, with C(object), C(reason), C(remedy).
  returned: success
  type: list
  elements: dict
before:
  description: C(password), C(expires_day) (days since 1970), C(key_files), C(key_files_aside) and C(processes).
  returned: success
  type: dict
after:
  description: The same, measured again. V(null) in check mode.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.account_lock.plan import LOCKED, UNLOCKED
from ansible_collections.runbook.ops.plugins.module_utils.account_lock.run import change_account
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import ON_REFUSAL


def argument_spec() -> dict[str, Any]:
    return {
        "user": {"type": "str", "required": True},
        "state": {"type": "str", "choices": [LOCKED, UNLOCKED], "default": LOCKED},
        "move_keys": {"type": "bool", "default": True, "no_log": False},
        "end_sessions": {"type": "bool", "default": False},
        "state_directory": {"type": "path", "default": "/var/lib/runbook-ops/account_lock"},
        "on_refusal": {"type": "str", "choices": list(ON_REFUSAL), "default": "fail"},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = change_account(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
