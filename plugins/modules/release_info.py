#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which releases of an application there are, and which one is served."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
short_description: Tell which releases of an application there are, which one is served, and where a rollback leads
version_added: 0.6.0
description:
  - Lists the releases below an application's directory, the one that its link C(current) leads to, the one that a
    rollback would go to, those whose making ended early, and whether what is shared is where it should be.
  - A directory that is not there, and a layout that cannot be used, give RV(available=false), not a failure.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
  - runbook.ops.releases
options:
  shared:
    description:
      - Paths below C(shared) to look at.
    type: list
    elements: str
    default: []
  sizes:
    description:
      - Whether the bytes of every release are added up, which reads all its directories.
    type: bool
    default: false
seealso:
  - module: runbook.ops.release
"""

EXAMPLES = r"""
- name: See what is served, and what a rollback would bring
  runbook.ops.release_info:
    path: /srv/shop
    shared: [log, config/master.key]
    sizes: true
  register: releases
"""

RETURN = r"""
available:
  description: Whether there is such a directory, in a layout that can be used.
  returned: success
  type: bool
reason:
  description: Why not, and what to do. V(null) if it is.
  returned: success
  type: str
measured_at:
  description: When this was measured, in ISO 8601 UTC.
  returned: success
  type: str
skipped_sections:
  description: Always empty.
  returned: success
  type: list
  elements: dict
root:
  description: The application's directory.
  returned: success
  type: str
current:
  description: The release that is served. V(null) without one.
  returned: success
  type: str
current_exists:
  description: Whether the link leads to a directory that is there. V(null) if unknown.
  returned: success
  type: bool
confirmed:
  description: Whether it was found healthy since it is served. V(null) if none is served.
  returned: success
  type: bool
previous:
  description: The release that a rollback goes to. V(null) without one.
  returned: success
  type: str
previous_by:
  description: How that is known, V(history) or V(order), which is by the dates of the directories.
  returned: success
  type: str
releases:
  description: The releases, oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Its id.
      type: str
    path:
      description: Its directory.
      type: str
    made_at:
      description: When it was made, in ISO 8601 UTC.
      type: str
    complete:
      description: Whether it is complete. V(null) for one that something else made.
      type: bool
    is_current:
      description: Whether it is served.
      type: bool
    is_previous:
      description: Whether a rollback goes to it.
      type: bool
    revision:
      description: The commit, or the checksum of the archive, that it was made of.
      type: str
    environment_names:
      description: The names in the environment that it was built with.
      type: list
      elements: str
    size_bytes:
      description: What it takes on the disk. V(null) without O(sizes).
      type: int
releases_count:
  description: How many there are.
  returned: success
  type: int
unfinished:
  description: Releases whose making ended early.
  returned: success
  type: list
  elements: str
unfinished_count:
  description: How many.
  returned: success
  type: int
leftovers_count:
  description: How many releases were not removed to the end.
  returned: success
  type: int
size_bytes:
  description: What all releases take. V(null) without O(sizes).
  returned: success
  type: int
history:
  description: The last 20 switches, oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The release that was served then.
      type: str
    from:
      description: The release that was served before.
      type: str
    kind:
      description: V(switch) or V(rollback).
      type: str
    at:
      description: When, in ISO 8601 UTC.
      type: str
    confirmed_at:
      description: When it was found healthy. Missing if it was not.
      type: str
shared:
  description: One entry for each of O(shared).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The path below C(shared).
      type: str
    path:
      description: The whole path.
      type: str
    exists:
      description: Whether it is there.
      type: bool
    linked:
      description: Whether the release that is served sees it. V(null) if none is.
      type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.releases.info import measure_releases
from ansible_collections.runbook.ops.plugins.module_utils.releases.options import layout_argument_spec


def argument_spec() -> dict[str, Any]:
    return {
        **layout_argument_spec(),
        "shared": {"type": "list", "elements": "str", "default": []},
        "sizes": {"type": "bool", "default": False},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        facts = measure_releases(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, **facts)


if __name__ == "__main__":
    main()
