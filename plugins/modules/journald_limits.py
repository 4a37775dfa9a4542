#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of the journal, in a drop-in, with a restart that loses nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: journald_limits
short_description: Limit the journal of systemd by size and age
version_added: 0.6.0
description:
  - Writes a drop-in for C(journald.conf) and restarts journald, which does not delete or lose anything unless it is
    asked to. While it is restarted, numbered lines are sent to it, and afterwards they are counted in the journal.
  - A size that is smaller than what the journal takes now, or an age that is smaller than its oldest entry's, would
    delete a part of it at once, and is refused. So does what holds once a limit is taken out or the drop-in is removed,
    which is what other files say, or journald's default of a tenth of the file system and at most 4 GiB.
  - Limits that another file sets later fail the task, in every run, since they do not hold.
  - If journald cannot be restarted, the drop-in is put back as it was, so that the next run tries again.
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
  name:
    description:
      - The name of the drop-in, without C(.conf). Drop-ins are read in the order of their names.
    type: str
    default: 60-runbook
  state:
    description:
      - Whether the drop-in is there.
    type: str
    choices: [present, absent]
    default: present
  system_max_use:
    description:
      - How much the journal on the disk may take, such as V(1G).
    type: str
  system_keep_free:
    description:
      - How much of the file system it leaves free.
    type: str
  system_max_file_size:
    description:
      - How large one of its files gets.
    type: str
  runtime_max_use:
    description:
      - How much the journal in memory may take.
    type: str
  max_retention:
    description:
      - How old entries get, such as V(30day) or V(1year). What is older goes, whatever the size.
    type: str
  max_file:
    description:
      - After what time a new file is begun. Files are deleted as a whole, so that O(max_retention) is as
        exact as this.
    type: str
  storage:
    description:
      - Where the journal is kept. V(auto) is the disk if C(/var/log/journal) is there.
    type: str
    choices: [auto, persistent, volatile]
  may_delete:
    description:
      - Whether a limit, or the end of one, may delete a part of what is there now.
    type: bool
    default: false
  directory:
    description:
      - The directory of the drop-ins.
    type: path
    default: /etc/systemd/journald.conf.d
  backup_directory:
    description:
      - Where what is replaced or removed is kept.
    type: path
    default: /var/backups/runbook/journald
  restart_timeout:
    description:
      - Seconds in which journald has to be restarted.
    type: int
    default: 120
seealso:
  - module: runbook.ops.logrotate_config
"""

EXAMPLES = r"""
- name: At most two gigabytes and ninety days
  runbook.ops.journald_limits:
    system_max_use: 2G
    max_retention: 90day
    max_file: 1day
  become: true
"""

RETURN = r"""
actions:
  description: What was done, in check mode what would be.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(create), V(replace), V(remove) or V(restart).
      type: str
    object:
      description: The file or the unit.
      type: str
    reason:
      description: Why.
      type: str
    backup:
      description: Where the old file is kept. V(null) without one.
      type: str
refused:
  description: Always empty. What is refused fails the task, and nothing is changed.
  returned: success
  type: list
  elements: dict
before:
  description: How it was.
  returned: success
  type: dict
  contains: &figures
    settings:
      description: The limits that hold, of all files together, by their names in C(journald.conf).
      type: dict
    use_bytes:
      description: What the journal takes.
      type: int
    oldest_at:
      description: The moment of its oldest entry, ISO 8601 in UTC. V(null) if there is none.
      type: str
after:
  description: How it is, measured again. V(null) in check mode.
  returned: success
  type: dict
  contains: *figures
path:
  description: The drop-in.
  returned: success
  type: str
deleted_bytes:
  description: How much of the journal the new limit of its size deletes at once.
  returned: success
  type: int
proof:
  description: What the restart did to the lines that were sent meanwhile. V(null) without a restart.
  returned: success, and when lines were lost
  type: dict
  contains:
    sent_lines:
      description: How many were sent.
      type: int
    lost_lines:
      description: How many of them are not in the journal.
      type: int
diff:
  description: The drop-in before and after.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.journald.limits import limit_journal, limits_argument_spec


def main() -> None:
    module = AnsibleModule(argument_spec=limits_argument_spec(), supports_check_mode=True)
    try:
        result = limit_journal(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
