#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rotation now, with the proof that it worked."""

from __future__ import annotations

DOCUMENTATION = r"""
module: log_rotate
short_description: Rotate logs now, and prove that their writers came along
version_added: 0.6.0
description:
  - Makes logrotate rotate the entries of chosen logs now, and proves it. Every process that wrote to the old file
    writes to the new one, the old file is there under its new name, and the script ran once.
  - With O(sequence_pattern), it holds numbers that count up against each other across the rotation and says how many
    lines were lost and how many came twice.
  - Refuses where lines would be lost or the rotation would not work. A broken configuration, a writer that nobody would
    tell to reopen, a script that would run for every file, no room for a copy, nothing kept.
  - An entry is rotated as a whole, with all its logs, because its script is.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
attributes:
  check_mode:
    support: full
    details:
      - Everything is checked and nothing is rotated. RV(actions) are those that the run carries out.
  diff_mode:
    support: none
options:
  logs:
    description:
      - Paths or patterns of the logs.
    type: list
    elements: str
    required: true
  config:
    description:
      - The main configuration file.
    type: path
    default: /etc/logrotate.conf
  state_file:
    description:
      - The file in which logrotate keeps when it rotated what. The distribution's, if not given.
    type: path
  sequence_pattern:
    description:
      - A regular expression whose only group is a number that a single writer counts up by one with each line, such as
        V(seq=(\\d+\)). The end of the old file and the beginning of the new one are read, four mebibytes each.
      - This is the only way to see what C(copytruncate) loses.
    type: str
  reopen_timeout:
    description:
      - Seconds in which the writers have to be at the new file.
    type: float
    default: 30
  timeout:
    description:
      - Seconds that logrotate may take, compression and scripts included.
    type: float
    default: 300
  max_logs:
    description:
      - If more logs would be rotated, nothing is.
    type: int
    default: 100
notes:
  - Two rotations of an entry with C(dateext) on one day are one. The second one is told as a log that was not rotated.
seealso:
  - module: runbook.ops.logrotate_info
  - module: runbook.ops.logrotate_config
"""

EXAMPLES = r"""
- name: Rotate the application's logs now
  runbook.ops.log_rotate:
    logs: [/srv/shop/shared/log/production.log]
  become: true
  register: rotation

- name: Count what a copytruncate loses, with a writer that numbers its lines
  runbook.ops.log_rotate:
    logs: [/var/log/probe.log]
    sequence_pattern: seq=(\d+)
  become: true
"""

RETURN = r"""
actions:
  description: The logs that were rotated, in check mode those that would be.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: Always V(rotate).
      type: str
    object:
      description: The log.
      type: str
    reason:
      description: Why.
      type: str
    file:
      description: Where its entry stands.
      type: str
    method:
      description: V(create) or V(copytruncate).
      type: str
refused:
  description: Always empty. What is refused fails the task, and nothing is rotated.
  returned: success
  type: list
  elements: dict
before:
  description: By log, how it was.
  returned: success
  type: dict
  contains: &figures
    inode:
      description: The file's number.
      type: int
    size_bytes:
      description: Its size.
      type: int
    mode:
      description: Its mode.
      type: str
    writers:
      description: Processes that hold it open for writing, with C(pid), C(name) and C(descriptor).
      type: list
      elements: dict
after:
  description: By log, how it is, with what became of the old file. V(null) in check mode.
  returned: success, and when the proof failed
  type: dict
  contains:
    <<: *figures
    left_writers:
      description: Processes that still write to the old file.
      type: list
      elements: dict
    rotated_to:
      description: The old file's new name.
      type: str
    rotated_size_bytes:
      description: Its size.
      type: int
    sequence:
      description: What the numbers say. V(null) without O(sequence_pattern).
      type: dict
      contains:
        seen:
          description: How many there are.
          type: int
        lost:
          description: How many are missing.
          type: int
        doubled:
          description: How many came twice.
          type: int
        first:
          description: The smallest.
          type: int
        last:
          description: The largest.
          type: int
        gaps:
          description: The first ten gaps, each with its first and last missing number.
          type: list
          elements: list
proof:
  description: What was proven. V(null) in check mode.
  returned: success, and when the proof failed
  type: dict
  contains:
    postrotate_count:
      description: How many times a postrotate script ran.
      type: int
    postrotate_expected:
      description: How many times it should.
      type: int
    reopen_seconds:
      description: How long it took until the writers were at the new files.
      type: float
    lost_lines:
      description: Lines that are in neither file. V(null) without numbers to tell.
      type: int
    doubled_lines:
      description: Lines that are there twice. V(null) without numbers to tell.
      type: int
    problems:
      description: What was not as it should be. The task fails over it.
      type: list
      elements: str
errors:
  description: What logrotate does not accept.
  returned: when the configuration is broken
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.rotation.rotate import rotate, rotate_argument_spec


def main() -> None:
    module = AnsibleModule(argument_spec=rotate_argument_spec(), supports_check_mode=True)
    try:
        result = rotate(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
