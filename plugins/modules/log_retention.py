#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotated logs whose time is over, deleted; records only with proof."""

from __future__ import annotations

DOCUMENTATION = r"""
module: log_retention
short_description: Delete rotated logs whose time is over, records only when the object store has them
version_added: 0.6.0
description:
  - Deletes rotated logs that are older than their class says. A log's age is that of its last line.
  - Files of classes that are exported are deleted only when the store says now that it has them, as they were sent.
    This cannot be switched off for V(audit) and V(security).
  - Works in the directories that the patterns name, follows no links, and never touches the database's own directories,
    the log that is written, or a rotated file that a process still writes to.
  - Objects in the store are deleted by the store, see its lifecycle rules.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.log_store
attributes:
  check_mode:
    support: full
    details:
      - Nothing is deleted. The store is asked for the proofs.
  diff_mode:
    support: none
options:
  max_files:
    description:
      - If more are due, nothing is deleted.
    type: int
    default: 1000
  max_bytes:
    description:
      - If more is due, nothing is deleted. No limit, if not given.
    type: int
seealso:
  - module: runbook.ops.log_export
"""

EXAMPLES = r"""
- name: Delete what is old, and what lies in the bucket
  runbook.ops.log_retention:
    region: ap-northeast-2
    classes:
      - name: real_time
        paths: [/var/log/shop/debug.log*]
      - name: audit
        paths: [/var/log/shop/audit.log*]
        keep_local: 30d
  become: true
"""

RETURN = r"""
actions:
  description: The files that were deleted, in check mode those that would be.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: Always V(delete).
      type: str
    object:
      description: The file.
      type: str
    reason:
      description: Its age, and how long its class is kept.
      type: str
    class:
      description: Its class.
      type: str
    bytes:
      description: Its size.
      type: int
    address:
      description: Where the store has it. V(null) for classes that are not exported.
      type: str
refused:
  description: Files whose time is over and that were left alone.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The file.
      type: str
    reason:
      description: Why it was left alone.
      type: str
    remedy:
      description: What to do.
      type: str
before:
  description: The rotated files there were.
  returned: success
  type: dict
  contains: &figures
    classes:
      description: Files and bytes by class.
      type: dict
after:
  description: Those that there are. V(null) in check mode.
  returned: success
  type: dict
  contains: *figures
freed_bytes:
  description: The size of what was deleted.
  returned: success
  type: int
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.log_keeping.retention import retain, retention_argument_spec


def main() -> None:
    module = AnsibleModule(argument_spec=retention_argument_spec(), supports_check_mode=True)
    try:
        result = retain(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
