#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""logrotate's configuration, the logs it is about, and what is wrong."""

from __future__ import annotations

DOCUMENTATION = r"""
module: logrotate_info
short_description: What logrotate does with which log, and what is wrong with it
version_added: 0.6.0
description:
  - Reads logrotate's configuration with everything it includes, says for each entry what holds for it in the end, which
    files it rotates, who writes to them, and when they were rotated last.
  - Lets logrotate itself read the configuration (C(logrotate -d), with a state file that is thrown away), and looks for
    what it does not say. Entries that it would skip, scripts that run once for each file, writers that nobody tells to
    reopen, logs that everybody can read, logs that no entry rotates.
  - A host without logrotate is data, not a failure.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
options:
  config:
    description:
      - The main configuration file.
    type: path
    default: /etc/logrotate.conf
  state_file:
    description:
      - The file in which logrotate keeps when it rotated what. The distribution's, if not given.
    type: path
  expected_logs:
    description:
      - Paths or patterns of logs that an entry has to rotate, whether they are there yet or not.
    type: list
    elements: str
    default: []
  search:
    description:
      - Directories below which logs that no entry rotates are looked for. The journal limits itself and is left out.
    type: list
    elements: str
    default: [/var/log]
  secret_patterns:
    description:
      - Names of logs that not everybody may read.
    type: list
    elements: str
    default: ["*auth*", "*secure*", "*audit*", "*security*", "*sudo*", "*access*", "*production*", "*backup*", "*mail*"]
  large_bytes:
    description:
      - From this size on a log is a problem.
    type: int
    default: 1073741824
  max_files:
    description:
      - How many files below O(search) are looked at.
    type: int
    default: 20000
seealso:
  - module: runbook.ops.logrotate_config
  - module: runbook.ops.log_rotate
"""

EXAMPLES = r"""
- name: Is every log of the application rotated, and will it work
  runbook.ops.logrotate_info:
    expected_logs:
      - /srv/shop/shared/log/production.log
      - /var/log/backup.log
  become: true
  register: rotation
"""

RETURN = r"""
available:
  description: Whether logrotate and its configuration are there.
  returned: success
  type: bool
reason:
  description: Why not, and what to do. V(null) if they are.
  returned: success
  type: str
version:
  description: The version of logrotate.
  returned: success
  type: str
  sample: 3.21.0
config:
  description: The main configuration file.
  returned: success
  type: str
files:
  description: The files that logrotate reads, in its order.
  returned: success
  type: list
  elements: str
ignored_files:
  description: Files beside them that it does not read.
  returned: success
  type: list
  elements: dict
  contains:
    file:
      description: The file.
      type: str
    reason:
      description: Why not.
      type: str
entries:
  description: The entries, with everything that holds for each of them.
  returned: success
  type: list
  elements: dict
  contains:
    file:
      description: Where it stands.
      type: str
    line:
      description: In which line it begins.
      type: int
    patterns:
      description: The paths and patterns.
      type: list
      elements: str
    is_glob:
      description: Whether a pattern can match several files.
      type: bool
    logs_count:
      description: How many files there are now.
      type: int
    frequency:
      description: V(hourly) to V(yearly). V(null) if only the size counts.
      type: str
    size_bytes:
      description: The size from which on it is rotated, whatever the time.
      type: int
    min_size_bytes:
      description: The size that it needs beside the time.
      type: int
    max_size_bytes:
      description: The size from which on it does not wait for the time.
      type: int
    rotate:
      description: How many old ones are kept.
      type: int
    max_age_days:
      description: After how many days old ones go.
      type: int
    is_compressed:
      description: Whether old ones are compressed.
      type: bool
    is_compression_delayed:
      description: Whether the newest of them is left uncompressed.
      type: bool
    compress_extension:
      description: How the names of compressed ones end.
      type: str
    is_copy_truncate:
      description: Whether the log is copied and truncated instead of renamed.
      type: bool
    is_copy:
      description: Whether it is only copied.
      type: bool
    is_created:
      description: Whether an empty log is made after renaming it.
      type: bool
    create_mode:
      description: With this mode.
      type: str
    create_owner:
      description: For this user.
      type: str
    create_group:
      description: For this group.
      type: str
    su_user:
      description: The user as whom logrotate works there.
      type: str
    su_group:
      description: The group.
      type: str
    has_shared_scripts:
      description: Whether scripts run once for all files together.
      type: bool
    is_missing_ok:
      description: Whether a log that is not there is fine.
      type: bool
    is_empty_rotated:
      description: Whether an empty log is rotated.
      type: bool
    has_date:
      description: Whether old ones are named by date.
      type: bool
    old_directory:
      description: Where old ones go.
      type: str
    postrotate:
      description: The script that runs after the rotation.
      type: str
logs:
  description: The files that entries match.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
    file:
      description: Where its entry stands.
      type: str
    size_bytes:
      description: Its size.
      type: int
    mode:
      description: Its mode.
      type: str
    owner:
      description: Its user.
      type: str
    group:
      description: Its group.
      type: str
    writers:
      description: Processes that hold it open for writing. V(null) if not all processes could be seen.
      type: list
      elements: dict
      contains:
        pid:
          description: The process.
          type: int
        name:
          description: Its name.
          type: str
        descriptor:
          description: The descriptor.
          type: int
    last_rotated_at:
      description: When logrotate rotated it last, or saw it first, on the host's clock. V(null) if never.
      type: str
unmatched:
  description: Files below O(search) that look like logs and that no entry rotates, the largest first.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
    size_bytes:
      description: Its size.
      type: int
valid:
  description: Whether logrotate reads everything without an error. V(null) if not available.
  returned: success
  type: bool
errors:
  description: What logrotate says.
  returned: success
  type: list
  elements: str
problems:
  description: What is wrong, the worst first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description:
        - V(broken), V(ignored_file), V(leaking_directive), V(duplicate), V(insecure_parent), V(unshared_script),
          V(no_reopening), V(reload_fails), V(compressed_at_once), V(copytruncate), V(keeps_nothing),
          V(world_readable), V(large), V(overdue) or V(not_covered).
      type: str
    severity:
      description: V(critical), V(warning) or V(note).
      type: str
    object:
      description: The log, the entry or the file.
      type: str
    detail:
      description: What is wrong.
      type: str
    remedy:
      description: What to do.
      type: str
    file:
      description: Where it stands. V(null) if it is no place in a file.
      type: str
    line:
      description: In which line.
      type: int
skipped_sections:
  description: What could not be measured.
  returned: success
  type: list
  elements: dict
  contains:
    section:
      description: What is missing.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What to do.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.rotation.info import gather, info_argument_spec


def main() -> None:
    module = AnsibleModule(argument_spec=info_argument_spec(), supports_check_mode=True)
    try:
        facts = gather(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, **facts)


if __name__ == "__main__":
    main()
