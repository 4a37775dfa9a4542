#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services of systemd and of Compose as they are, with what they depend on."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_info
short_description: Tell how services of systemd and Compose are, with their last words and what they depend on
version_added: 0.6.0
description:
  - Tells of each service whether it exists, starts with the machine, runs and is healthy, since when, how often it was
    started again, how its process ended last, and the last lines of its log, without what looks like a secret.
  - A unit that does not exist is said to be so, with the container or the unit that may be meant. C(systemctl restart)
    of such a unit is what many a health check does for years without anybody noticing.
  - Asks what the services depend on from the machine they run on, and adds what is short there - memory and disks.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
  - runbook.ops.services
options:
  services:
    description:
      - The services. May be empty, for the dependencies and the machine alone.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The unit, with or without C(.service), or the service of Compose.
        type: str
        required: true
      kind:
        description: What it is.
        type: str
        choices: [unit, compose]
        default: unit
      project:
        description: The Compose project. Needed for, and only for, O(services[].kind=compose).
        type: str
  log_lines:
    description:
      - How many of the last lines of each log to return, 0 to 1000.
    type: int
    default: 20
notes:
  - Reading the journal takes root or the group C(systemd-journal), and asking Docker root or the group C(docker).
seealso:
  - module: runbook.ops.service_restart
  - module: ansible.builtin.service_facts
"""

EXAMPLES = r"""
- name: How is the application, and what it depends on
  runbook.ops.service_info:
    services:
      - name: excelapp
      - name: nginx
    dependencies:
      - name: database
        port: 5432
      - name: health
        url: http://127.0.0.1:3000/up

- name: How is a service of Compose
  runbook.ops.service_info:
    services:
      - name: api
        kind: compose
        project: stockboom
"""

RETURN = r"""
available:
  description: Whether anything is known about any of the services.
  returned: success
  type: bool
reason:
  description: Why nothing is. V(null) otherwise.
  returned: success
  type: str
measured_at:
  description: When, in ISO 8601 UTC.
  returned: success
  type: str
services:
  description: One entry for each service, in the order given.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name, of a unit with its suffix.
      type: str
    kind:
      description: V(unit) or V(compose).
      type: str
    project:
      description: The Compose project.
      type: str
    label:
      description: What people call it, such as V(api.service) or V(shop/api).
      type: str
      sample: shop/api
    exists:
      description: Whether the machine has it. V(null) where there is nobody to ask.
      type: bool
    enabled:
      description: Whether it starts with the machine. V(null) for units of which that is not said, such as static ones.
      type: bool
    enablement:
      description: The same in the words of systemd, or the restart policy of the container.
      type: str
    active:
      description: Whether it runs.
      type: bool
    healthy:
      description:
        - Whether it runs and, for a container with a health check, is healthy. A unit that runs once is healthy when it
          ended well.
      type: bool
    state:
      description: V(active), V(failed), V(running), V(exited) and so on; V(not-found) if it does not exist.
      type: str
    sub_state:
      description: The finer state of a unit, or the health of a container.
      type: str
    since:
      description: Since when, in ISO 8601 UTC.
      type: str
    since_seconds:
      description: How long that is.
      type: int
    restarts_count:
      description: How often systemd or Docker started it again by itself.
      type: int
    main_pid:
      description: Its main process.
      type: int
    memory_bytes:
      description: The memory that a unit uses. V(null) for containers, and where it is not counted.
      type: int
    type:
      description: The type of the unit, or V(container).
      type: str
    path:
      description: The file of the unit, or the image of the container.
      type: str
    image_id:
      description: The id of the container's image.
      type: str
    can_reload:
      description: Whether the unit can be reloaded.
      type: bool
    is_stale:
      description: Whether the file of the unit was changed and systemd has not read it yet.
      type: bool
    control_group:
      description: The control group of the unit.
      type: str
    containers:
      description: The names of the containers.
      type: list
      elements: str
    last_exit:
      description: How its process ended last. V(null) if it never has.
      type: dict
      contains:
        at:
          description: When, in ISO 8601 UTC.
          type: str
        how:
          description: V(exited), V(killed) or V(dumped).
          type: str
        status:
          description: The exit status, or the number of the signal.
          type: int
        result:
          description: What that means, such as V(success), V(exit-code), V(oom-kill) or V(start-limit-hit).
          type: str
    reason:
      description: What is wrong with it. Empty if nothing is.
      type: str
    did_you_mean:
      description: Of a unit that does not exist, the containers and units that may be meant.
      type: list
      elements: str
      sample: ["the Compose service stockboom/api"]
    log:
      description: Its last lines, without what looks like a secret.
      type: list
      elements: str
    log_reason:
      description: Why there are none.
      type: str
dependencies:
  description: One entry for each dependency, in the order given.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    address:
      description: What was asked.
      type: str
    ok:
      description: Whether it answered.
      type: bool
    reason:
      description: What was wrong.
      type: str
    duration_seconds:
      description: How long the answer took.
      type: float
machine:
  description: What may be short on the machine; V(null) where it cannot be read.
  returned: success
  type: dict
  contains:
    memory_available_bytes:
      description: Memory that can still be had.
      type: int
    memory_available_percent:
      description: The same as a share.
      type: float
    swap_free_bytes:
      description: Free swap.
      type: int
    load_1m:
      description: Processes that run or wait, over one minute.
      type: float
    cpu_count:
      description: Processors.
      type: int
    disks:
      description: The file systems of C(/), C(/var) and C(/tmp), each once.
      type: list
      elements: dict
      contains:
        path:
          description: The path that was asked for.
          type: str
        used_percent:
          description: How full it is, of what ordinary users may use.
          type: float
        free_bytes:
          description: What is left.
          type: int
        inodes_used_percent:
          description: How many of its inodes are used. V(null) where there is no limit.
          type: float
skipped_sections:
  description: The services of which nothing is known.
  returned: success
  type: list
  elements: dict
  contains:
    section:
      description: The service.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What to do about it.
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.services.options import service_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.services.survey import measure_services

SERVICE = {
    "name": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": ["unit", "compose"], "default": "unit"},
    "project": {"type": "str"},
}


def argument_spec() -> dict[str, Any]:
    return {
        **service_argument_spec(),
        "services": {"type": "list", "elements": "dict", "required": True, "options": SERVICE},
        "log_lines": {"type": "int", "default": 20},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        facts = measure_services(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, **facts)


if __name__ == "__main__":
    main()
