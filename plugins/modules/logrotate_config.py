#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of logrotate's, from data, tried out before it is put in place."""

from __future__ import annotations

DOCUMENTATION = r"""
module: logrotate_config
short_description: Declare how logs are rotated
version_added: 0.6.0
description:
  - Writes a file into logrotate's directory. Before that, logrotate itself reads the host's whole configuration with
    the new file in it (C(logrotate -d), with a state file that is thrown away). What it does not accept is not
    installed.
  - Refuses what logrotate accepts and what does not work. A directory that others may write to without
    O(entries[].su_user), a reload of a unit that cannot be reloaded, a compression while the writer may still be at the
    old file, patterns that match rotated copies, the database's own directories.
  - Scripts run once for all logs of an entry.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
attributes:
  check_mode:
    support: full
    details:
      - The file is tried out and not installed.
  diff_mode:
    support: full
options:
  name:
    description:
      - The name of the file. Letters, digits, dashes and underscores.
    type: str
    required: true
  state:
    description:
      - Whether the file is there.
    type: str
    choices: [present, absent]
    default: present
  entries:
    description:
      - The entries of the file. What an entry does not say is as the defaults here, not as the main file.
    type: list
    elements: dict
    default: []
    suboptions:
      logs:
        description:
          - Absolute paths of the logs. V(*) is allowed in names that rotated copies do not have, such as V(*.log).
        type: list
        elements: str
        required: true
      frequency:
        description:
          - How often. V(hourly) needs an hourly timer of logrotate.
        type: str
        choices: [hourly, daily, weekly, monthly, yearly]
        default: daily
      rotate:
        description:
          - How many old ones are kept.
        type: int
        default: 14
      max_age_days:
        description:
          - After how many days old ones go, whatever their number.
        type: int
      max_size:
        description:
          - The size from which on it does not wait for its time, such as V(100M). It is looked at when logrotate runs.
        type: str
      min_size:
        description:
          - The size that it needs beside the time.
        type: str
      compress:
        description:
          - Whether old ones are compressed.
        type: bool
        default: true
      delay_compress:
        description:
          - Whether the newest of the old ones is left as it is, until the next rotation. It has to be, with
            O(entries[].reopen.method=reload) and V(signal), because the writer may still be there.
        type: bool
        default: true
      date:
        description:
          - Whether old ones are named by date instead of number. A second rotation on the same day is then none.
        type: bool
        default: false
      missing_ok:
        description:
          - Whether a log that is not there is fine.
        type: bool
        default: true
      rotate_empty:
        description:
          - Whether an empty log is rotated.
        type: bool
        default: false
      mode:
        description:
          - The mode of the new log. Logs hold names and tokens, so that not everybody reads them by default.
        type: str
        default: "0640"
      owner:
        description:
          - The user of the new log, with O(entries[].group). As the old one's, if not given.
        type: str
      group:
        description:
          - The group of the new log.
        type: str
      su_user:
        description:
          - The user as whom logrotate works in the directory, with O(entries[].su_group). Needed where others than root
            may write to the directory.
        type: str
      su_group:
        description:
          - The group.
        type: str
      old_directory:
        description:
          - Where old ones go, on the same file system.
        type: path
      reopen:
        description:
          - How the writer comes to the new log.
        type: dict
        default: {}
        suboptions:
          method:
            description:
              - V(reload) reloads a unit of systemd, V(signal) sends a signal.
              - V(none) is for writers that open the log for each line or each run.
              - V(copytruncate) copies the log and empties it, for writers that cannot reopen. Lines that are written
                between the two are lost. M(runbook.ops.log_rotate) can count them.
            type: str
            choices: [reload, signal, copytruncate, none]
            default: none
          unit:
            description:
              - The unit to reload. It is left alone while it is not active.
            type: str
          signal:
            description:
              - The name of the signal.
            type: str
            default: HUP
          pid_file:
            description:
              - The file with the number of the process.
            type: path
  replaces:
    description:
      - Files that this one takes the place of, such as one written by hand. They are kept in
        O(backup_directory) and removed.
    type: list
    elements: path
    default: []
  config:
    description:
      - The main configuration file.
    type: path
    default: /etc/logrotate.conf
  directory:
    description:
      - The directory that it includes.
    type: path
    default: /etc/logrotate.d
  backup_directory:
    description:
      - Where what is replaced or removed is kept.
    type: path
    default: /var/backups/runbook/logrotate
seealso:
  - module: runbook.ops.logrotate_info
  - module: runbook.ops.log_rotate
"""

EXAMPLES = r"""
- name: The logs of a Rails application whose directory belongs to its group
  runbook.ops.logrotate_config:
    name: shop
    entries:
      - logs: [/srv/shop/shared/log/*.log]
        rotate: 30
        max_size: 500M
        su_user: deploy
        su_group: deploy
        reopen:
          method: reload
          unit: shop.service
      - logs: [/var/log/backup.log]
        frequency: weekly
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
      description: V(create), V(replace) or V(remove).
      type: str
    object:
      description: The file.
      type: str
    reason:
      description: Why.
      type: str
    backup:
      description: Where the old file is kept. V(null) without one, and in check mode.
      type: str
refused:
  description: Always empty. What is refused fails the task, and nothing is changed.
  returned: success
  type: list
  elements: dict
path:
  description: The file.
  returned: success
  type: str
earlier_errors:
  description: What logrotate says of the rest of the host's configuration, which is not this file's fault.
  returned: success
  type: list
  elements: str
before:
  description: The files that change, with their texts.
  returned: success
  type: dict
  contains:
    files:
      description: The texts by path.
      type: dict
after:
  description: The same afterwards, read again. V(null) in check mode.
  returned: success
  type: dict
  contains:
    files:
      description: The texts by path.
      type: dict
errors:
  description: What logrotate does not accept.
  returned: when logrotate does not accept the entries
  type: list
  elements: str
diff:
  description: The texts before and after.
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.rotation.config import config_argument_spec, configure


def main() -> None:
    module = AnsibleModule(argument_spec=config_argument_spec(), supports_check_mode=True)
    try:
        result = configure(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
