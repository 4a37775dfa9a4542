#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What takes the room of a disk: directories, large files, and files that only processes still see."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_usage_info
short_description: Measure what directories take, and deleted files that are still open
version_added: 0.6.0
description:
  - Adds up directories as C(du -x) does, on one file system, hard links once, sparse files by what they take of the
    disk, and stops at a time and a number of entries. What was not looked at is said.
  - Lists files that were deleted and are still open. They take room that no directory shows, which is why C(df) and
    C(du) disagree, until their process closes them.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
options:
  roots:
    description:
      - The directories to measure, as absolute paths.
    type: list
    elements: path
    required: true
  depth:
    description:
      - How many levels below a root are told one by one, from 0 to 10.
    type: int
    default: 1
  top:
    description:
      - How many directories and files of each root are listed, from 1 to 1000.
    type: int
    default: 20
  min_file_bytes:
    description:
      - What counts as a large file.
    type: int
    default: 104857600
  max_entries:
    description:
      - How many entries are looked at, all roots together.
    type: int
    default: 1000000
  timeout:
    description:
      - For how many seconds is looked, all roots together.
    type: float
    default: 60.0
seealso:
  - module: runbook.ops.disk_reclaim
"""

EXAMPLES = r"""
- name: What takes the room below /var
  runbook.ops.disk_usage_info:
    roots: [/var]
    depth: 2
  become: true
  register: usage
"""

RETURN = r"""
measured_at:
  description: When it was measured, in ISO 8601 UTC.
  returned: success
  type: str
roots:
  description: One entry for each root that could be looked at.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The root.
      type: str
    bytes:
      description: What everything in it takes of the disk.
      type: int
    apparent_bytes:
      description: The lengths of its files, which is more for sparse files.
      type: int
    files_count:
      description: Its files.
      type: int
    directories:
      description: The directories below it to O(depth), largest first, each with everything in it.
      type: list
      elements: dict
      contains:
        path:
          description: The directory.
          type: str
        bytes:
          description: What it takes of the disk.
          type: int
        apparent_bytes:
          description: The lengths of its files.
          type: int
        files_count:
          description: Its files.
          type: int
    directories_count:
      description: How many directories there are to O(depth), also those that are not listed.
      type: int
    large_files:
      description: The largest files.
      type: list
      elements: dict
      contains:
        path:
          description: The file.
          type: str
        bytes:
          description: What it takes of the disk.
          type: int
        modified_at:
          description: When it was changed.
          type: str
    other_file_systems:
      description: Mount points below the root, which are not counted.
      type: list
      elements: str
    unreadable:
      description: Directories that could not be read, at most 20.
      type: list
      elements: str
    unreadable_count:
      description: How many there are.
      type: int
    is_complete:
      description: Whether everything was counted.
      type: bool
    reason:
      description: Why not.
      type: str
deleted_open:
  description: Deleted files of at least O(min_file_bytes) that are still open, largest first.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: Where it was.
      type: str
    bytes:
      description: What it takes of the disk.
      type: int
    processes:
      description: Who has it open.
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
          description: The number of the open file in the process.
          type: int
deleted_open_bytes:
  description: What all such files take. V(null) if not all processes could be looked into.
  returned: success
  type: int
skipped_sections:
  description: What could not be looked at, or only in part.
  returned: success
  type: list
  elements: dict
  contains:
    section:
      description: What it is about.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What would help.
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.disk.usage import checked, usage_report


def argument_spec() -> dict[str, Any]:
    return {
        "roots": {"type": "list", "elements": "path", "required": True},
        "depth": {"type": "int", "default": 1},
        "top": {"type": "int", "default": 20},
        "min_file_bytes": {"type": "int", "default": 104857600},
        "max_entries": {"type": "int", "default": 1000000},
        "timeout": {"type": "float", "default": 60.0},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        options = checked(module.params)
        measured_at = iso(utc_now())
        facts = usage_report(options)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, measured_at=measured_at, **facts)


if __name__ == "__main__":
    main()
