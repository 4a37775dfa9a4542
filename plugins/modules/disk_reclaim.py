#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Room on a full disk, by what was declared to be worth nothing any more."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_reclaim
short_description: Make room on a disk - old files of declared directories, the journal, the package cache
version_added: 0.6.0
description:
  - Deletes old files of declared directories by name and age, vacuums the journal to a size, and empties the cache of
    downloaded packages. Nothing else is ever touched.
  - Links are never followed, neither in a declared path nor below it, and other file systems are left alone. Files that
    any process has open stay, because deleting them gives no room back, and files with several names stay as well.
  - Directories of the system are refused, and so is PostgreSQL's data. Its write-ahead log (C(pg_wal)) is not even
    entered; the log directory of a server is accepted.
  - Everything is planned first. A plan above O(max_files) or O(max_bytes) is refused as a whole.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.guards
attributes:
  check_mode:
    support: full
    details:
      - RV(actions) names exactly the files that the run deletes.
  diff_mode:
    support: full
options:
  directories:
    description:
      - Directories whose old files are worth nothing any more. One that is not there is skipped.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description:
          - The absolute path, without links.
        type: path
        required: true
      patterns:
        description:
          - Shell patterns for the names of files that may go, such as V(postgresql-*.log).
        type: list
        elements: str
        required: true
      older_than:
        description:
          - How long ago a file must have been changed for the last time, such as V(7d).
        type: str
        required: true
      recurse:
        description:
          - Whether the directories below are looked through as well.
        type: bool
        default: false
      keep:
        description:
          - The newest so many matching files of each directory stay, whatever their age.
        type: int
        default: 0
  journal_max:
    description:
      - What the archived files of the journal may take in each of its directories, such as V(500M), at least V(1M).
        The files in use stay in any case. The journal is left alone, if not given.
    type: str
  package_cache:
    description:
      - Whether downloaded packages of apt and dnf are deleted. They can be downloaded again.
    type: bool
    default: false
  max_files:
    description:
      - Refuse to delete more files than this in one run.
    type: int
    default: 10000
  max_bytes:
    description:
      - Refuse to delete more than this in one run, such as V(50G). Any amount, if not given.
    type: str
  max_entries:
    description:
      - How many entries are looked at. A directory that was not looked through to its end is refused.
    type: int
    default: 1000000
  timeout:
    description:
      - For how many seconds is looked, and how long the vacuum of the journal may take.
    type: float
    default: 120.0
seealso:
  - module: runbook.ops.disk_usage_info
"""

EXAMPLES = r"""
- name: Make room
  runbook.ops.disk_reclaim:
    directories:
      - path: /var/lib/postgresql/data/log
        patterns: ["*.log", "*.csv", "*.json"]
        older_than: 7d
        keep: 2
    journal_max: 500M
    package_cache: true
    max_bytes: 20G
  become: true
  register: room
"""

RETURN = r"""
actions:
  description: What was deleted, or would be, one entry for each directory and one for the journal.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(delete_files) or V(vacuum_journal).
      type: str
    object:
      description: The directory, or V(journal).
      type: str
    files_count:
      description: How many files.
      type: int
    size_bytes:
      description: What they take of the disk.
      type: int
    files:
      description: The files, below the directory, oldest first.
      type: list
      elements: str
refused:
  description: What was due and was left alone.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The directory, V(journal), or V(disk) for the whole plan.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What to do about it.
      type: str
kept:
  description:
    - By directory, how many files stay, by reason, which is V(open), V(young), V(newest), V(hard_linked) or
      V(other_name).
  returned: success
  type: dict
  sample: {"/var/log/app": {"open": 1, "young": 3}}
planned_files_count:
  description: Files in the plan.
  returned: success
  type: int
planned_bytes:
  description: What they take of the disk.
  returned: success
  type: int
deleted_count:
  description: Files that were deleted. V(null) in check mode, or without anything to do.
  returned: success
  type: int
freed_bytes:
  description: What they took of the disk.
  returned: success
  type: int
stayed_count:
  description: Files of the plan that changed, were opened or went before their turn, and were left alone.
  returned: success
  type: int
before:
  description: By object, what it took of the disk and what was available there, before.
  returned: success
  type: dict
  sample: {"/var/log/app": {"size_bytes": 104857600, "available_bytes": 4096}}
after:
  description: The same, measured again. V(null) in check mode.
  returned: success
  type: dict
diff:
  description: The files that go.
  returned: success
  type: dict
  contains:
    before:
      description: One path a line.
      type: str
    after:
      description: Empty.
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import guard_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import check_refusals
from ansible_collections.runbook.ops.plugins.module_utils.disk.reclaim import reclaim

DIRECTORY = {
    "path": {"type": "path", "required": True},
    "patterns": {"type": "list", "elements": "str", "required": True},
    "older_than": {"type": "str", "required": True},
    "recurse": {"type": "bool", "default": False},
    "keep": {"type": "int", "default": 0},
}


def argument_spec() -> dict[str, Any]:
    return {
        **guard_argument_spec(),
        "directories": {"type": "list", "elements": "dict", "options": DIRECTORY, "default": []},
        "journal_max": {"type": "str"},
        "package_cache": {"type": "bool", "default": False},
        "max_files": {"type": "int", "default": 10000},
        "max_bytes": {"type": "str"},
        "max_entries": {"type": "int", "default": 1000000},
        "timeout": {"type": "float", "default": 120.0},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = reclaim(module.params, check_mode=module.check_mode)
        check_refusals(result, module.params["on_refusal"])
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
