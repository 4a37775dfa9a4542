#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Updates installed without a question, recorded so that they can be undone."""

from __future__ import annotations

DOCUMENTATION = r"""
module: package_updates
short_description: Install updates to exact versions without a question, restart what uses replaced files, and undo it
version_added: 0.6.0
description:
  - Asks the package manager what the update would do, dependencies included, refuses what would go further than was
    meant, and then does exactly that. In check mode it ends before.
  - Nothing asks. A configuration file that was changed on the machine stays as it is.
  - Before anything is changed, the versions that are there, a list of all packages, and the files of the versions
    before are kept in O(state_directory). O(state=undone) brings the newest run's packages back to them.
  - The package manager is never ended in the middle. When the connection is lost or this module is killed, it comes to
    its end, and the next run waits for it and goes on.
  - Afterwards the installed versions are compared with the plan. A package whose script failed is a failure.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.packages
attributes:
  check_mode:
    support: full
    details:
      - The actions are those of a run, but for the restarts that the updates themselves make necessary.
  diff_mode:
    support: full
options:
  state:
    description:
      - V(updated) installs what is pending. V(undone) brings the packages of the newest run back to the versions before
        it. V(finished) closes the record of a run that was found good, so that the next one has a record of its own.
    type: str
    choices: [updated, undone, finished]
    default: updated
  only_open:
    description:
      - With O(state=undone), whether only a run is undone that was not finished yet.
    type: bool
    default: false
  packages:
    description:
      - Names of packages to update. C(*) stands for anything.
    type: list
    elements: str
    default: ["*"]
  versions:
    description:
      - Exact versions by name. With it nothing else is updated, so that what was approved is what is installed. Empty
        is nothing at all.
    type: dict
  security_only:
    description:
      - Whether only updates from a security archive, or with a security advisory, are installed.
    type: bool
    default: false
  max_packages:
    description:
      - How many packages may be changed, dependencies included. More are refused.
    type: int
    default: 200
  require_way_back:
    description:
      - Whether an update is refused when the version that is installed is in no source any more, so that it could not
        come back.
    type: bool
    default: false
  restart_services:
    description:
      - Whether services that use replaced files are restarted, other than those on O(hold) and those that a machine
        does not survive without, such as C(dbus). The first process is told to execute itself anew.
    type: bool
    default: true
  change_timeout:
    description:
      - How long to wait for an installation. After that it is left to itself and the task fails.
    type: str
    default: 1h
notes:
  - Needs root.
seealso:
  - module: runbook.ops.package_updates_info
  - module: ansible.builtin.apt
"""

EXAMPLES = r"""
- name: What would the security updates be
  runbook.ops.package_updates:
    security_only: true
    refresh: true
  check_mode: true
  register: planned

- name: Install exactly those
  runbook.ops.package_updates:
    versions: "{{ dict(planned.actions | selectattr('action', 'eq', 'update')
                       | map(attribute='object') | zip(planned.actions | selectattr('action', 'eq', 'update')
                       | map(attribute='version_after'))) }}"

- name: Everything is well
  runbook.ops.package_updates:
    state: finished

- name: Or it is not, go back
  runbook.ops.package_updates:
    state: undone
"""

RETURN = r"""
actions:
  description: What was done, or would be, in this order.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description:
        - V(update), V(install) (it comes in beside others), V(undo), V(remove), V(restart), or V(finish) (an
          installation that was interrupted, or the record).
      type: str
    object:
      description: The package or the unit.
      type: str
    version_before:
      description: The version before, of a package. V(null) was not installed.
      type: str
    version_after:
      description: The version afterwards, of a package.
      type: str
    is_security:
      description: Whether the version comes from a security archive.
      type: bool
    reason:
      description: Why.
      type: str
refused:
  description: Always empty. What goes too far is refused as a whole, and the task fails.
  returned: success
  type: list
  elements: dict
left:
  description: Updates that were left alone, and units that use replaced files and were not restarted.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The package or the unit.
      type: str
    version:
      description: The version that is pending.
      type: str
    reason:
      description: Why.
      type: str
no_way_back:
  description: Updated packages whose version before is in no source any more, so that they cannot be undone.
  returned: success
  type: list
  elements: str
before:
  description: Versions before, by package.
  returned: success
  type: dict
after:
  description: Versions afterwards, measured. V(null) in check mode.
  returned: success
  type: dict
diff:
  description: Both, one package a line.
  returned: success
  type: dict
needs_restart:
  description: What uses replaced files still, one entry a unit.
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
  description: The newest run, as M(runbook.ops.package_updates_info) returns it.
  returned: success
  type: dict
  contains:
    is_open:
      description: Whether it was neither finished nor undone.
      type: bool
    started_at:
      description: When it began, in ISO 8601 UTC.
      type: str
    finished_at:
      description: When it was finished.
      type: str
    undone_at:
      description: When it was undone.
      type: str
    packages:
      description: What it changed, with C(name), C(before) and C(after).
      type: list
      elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.packages.change import FINISHED, UNDONE, UPDATED, Work
from ansible_collections.runbook.ops.plugins.module_utils.packages.manager import manager_argument_spec


def argument_spec() -> dict[str, Any]:
    return {
        **manager_argument_spec(),
        "state": {"type": "str", "choices": [UPDATED, UNDONE, FINISHED], "default": UPDATED},
        "only_open": {"type": "bool", "default": False},
        "packages": {"type": "list", "elements": "str", "default": ["*"]},
        "versions": {"type": "dict"},
        "security_only": {"type": "bool", "default": False},
        "max_packages": {"type": "int", "default": 200},
        "require_way_back": {"type": "bool", "default": False},
        "restart_services": {"type": "bool", "default": True},
        "change_timeout": {"type": "str", "default": "1h"},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = Work(module.params, module.check_mode).run()
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
