#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pending updates, and the restarts and the reboot that earlier ones left."""

from __future__ import annotations

DOCUMENTATION = r"""
module: package_updates_info
short_description: Pending updates of packages, services that use replaced files, and whether a reboot is needed
version_added: 0.6.0
description:
  - Lists what is newer than what is installed, security apart, with the class that an approval asks for.
  - Lists the services whose processes still use files that an update has replaced, from C(/proc), so that it does not
    depend on another tool. Programs of an interpreter, whose files are read once and closed, are not seen this way.
  - Says whether a reboot is needed, and why, by the kernel that runs and those that are installed, by the mark that
    Debian and Ubuntu leave, and by services that use replaced files and cannot be restarted.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
  - runbook.ops.packages
attributes:
  check_mode:
    details:
      - This module does not change anything that is installed. With O(refresh=true) the package manager's lists are
        read again, also in check mode.
notes:
  - Needs root, for the lists and for the processes of others.
seealso:
  - module: runbook.ops.package_updates
"""

EXAMPLES = r"""
- name: What is pending, and what have earlier updates left
  runbook.ops.package_updates_info:
    refresh: true
  register: packages

- name: Say it
  ansible.builtin.debug:
    msg: >-
      {{ packages.counts.pending }} updates, {{ packages.counts.security }} of them for security;
      restart {{ packages.needs_restart | map(attribute='unit') | join(', ') or 'nothing' }};
      {{ packages.reboot_reasons | join(', ') or 'no reboot' }}
"""

RETURN = r"""
available:
  description: Whether there is a package manager that is known.
  returned: success
  type: bool
  sample: true
reason:
  description: Why not. V(null) if there is.
  returned: success
  type: str
measured_at:
  description: When it was measured, in ISO 8601 UTC.
  returned: success
  type: str
  sample: "2026-01-31T00:15:00Z"
skipped_sections:
  description: What could not be read, such as lists whose source did not answer.
  returned: success
  type: list
  elements: dict
  contains:
    section:
      description: What.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What to do about it.
      type: str
manager:
  description: The package manager. V(null) if there is none.
  returned: success
  type: str
  sample: apt
lists_read_at:
  description: When the lists of packages were read, in ISO 8601 UTC. V(null) if never.
  returned: success
  type: str
lists_age_seconds:
  description: How long ago that is.
  returned: success
  type: float
counts:
  description: How many updates there are.
  returned: success
  type: dict
  contains:
    pending:
      description: All.
      type: int
    security:
      description: Those from a security archive, or with a security advisory.
      type: int
    held:
      description: Those that are on hold.
      type: int
updates:
  description: The pending updates, by what is installed.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The package.
      type: str
    installed:
      description: The version that is installed.
      type: str
    candidate:
      description: The version that would be installed.
      type: str
    architecture:
      description: Its architecture.
      type: str
    origin:
      description: Where the version comes from, in the package manager's words.
      type: str
    is_security:
      description: Whether it comes from a security archive, or has a security advisory.
      type: bool
    is_held:
      description: Whether it is on O(hold) or held on the machine.
      type: bool
    is_kernel:
      description: Whether it is a kernel.
      type: bool
    class:
      description:
        - What an approval asks for, V(security), else V(major) when the first number of the version changes, else
          V(minor).
      type: str
kept_back:
  description: Packages that the package manager keeps back, because something would have to be removed.
  returned: success
  type: list
  elements: str
needs_restart:
  description: What uses replaced files, one entry a unit.
  returned: success
  type: list
  elements: dict
  contains:
    unit:
      description: The unit. C(user.slice) is a person's session; V(null) belongs to no unit.
      type: str
    may_restart:
      description: Whether it can be restarted in passing; not what is on O(hold), and not C(dbus) and the like.
      type: bool
    reason:
      description: Why it cannot. V(null) if it can.
      type: str
    pids:
      description: The processes.
      type: list
      elements: int
    files:
      description: The files, 20 at most.
      type: list
      elements: str
    files_count:
      description: How many they are.
      type: int
kernel:
  description: Kernels.
  returned: success
  type: dict
  contains:
    running:
      description: The one that runs.
      type: str
    newest_installed:
      description: The newest that is installed. V(null) where none is, as in a container.
      type: str
needs_reboot:
  description: Whether a reboot is needed.
  returned: success
  type: bool
reboot_reasons:
  description: Why.
  returned: success
  type: list
  elements: str
record:
  description: The newest run of M(runbook.ops.package_updates).
  returned: success
  type: dict
  contains:
    is_open:
      description: Whether it was neither finished nor undone, because it broke off or is at work.
      type: bool
    started_at:
      description: When it began, in ISO 8601 UTC. V(null) without a run.
      type: str
    finished_at:
      description: When it was finished.
      type: str
    undone_at:
      description: When it was undone.
      type: str
    packages:
      description: What it changed.
      type: list
      elements: dict
      contains:
        name:
          description: The package.
          type: str
        before:
          description: The version before. V(null) was not installed.
          type: str
        after:
          description: The version that the run installed.
          type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.packages.info import survey
from ansible_collections.runbook.ops.plugins.module_utils.packages.manager import manager_argument_spec


def main() -> None:
    module = AnsibleModule(argument_spec=manager_argument_spec(), supports_check_mode=True)
    try:
        result = survey(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, measured_at=iso(utc_now()), **result)


if __name__ == "__main__":
    main()
