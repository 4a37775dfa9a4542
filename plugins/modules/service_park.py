#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stopping services, and bringing back those that ran."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_park
short_description: Stop units of systemd and services of Compose, and bring back those that ran
version_added: 0.7.0
description:
  - Parking stops services, one after the other. Whether each of them ran is written to a file of the machine before it
    is stopped, so that a run that is killed at any moment loses nothing. Parked once more, a service is left alone, and
    what is remembered never becomes less.
  - Bringing back starts what is remembered to have run, and nothing else. A service that did not run before stays as it
    was. What is remembered goes once the service runs.
  - The containers of a service of Compose are stopped and started, not created anew, and only those that ran.
  - Waits until everything has stopped, or runs, and says what does not.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
attributes:
  check_mode:
    support: full
    details:
      - Looks in the same way, and tells the same actions. Nothing is stopped, started or written.
  diff_mode:
    support: full
options:
  services:
    description:
      - The services, in the order in which they are stopped or started. Of a service that a timer, a socket or a path
        starts again, name that unit, too, and before it.
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
  state:
    description:
      - V(parked) stops the services, V(running) brings back those that ran.
    type: str
    choices: [parked, running]
    default: parked
  state_path:
    description:
      - The file in which is remembered what ran. All runs must use the same one.
    type: path
    default: /var/lib/runbook-ops/parked.json
  wait_timeout:
    description:
      - Seconds until each of the services must have stopped, or run. Running the task again waits on.
    type: float
    default: 120
  docker:
    description:
      - How Docker is called, as a list of words, such as V([podman]).
    type: list
    elements: str
    default: [docker]
  timeout:
    description:
      - Seconds that one question to systemd or Docker may take.
    type: float
    default: 20
notes:
  - Stopping a unit takes root; asking and ordering Docker takes root or the group C(docker).
seealso:
  - module: runbook.ops.service_restart
  - module: runbook.ops.k8s_park
"""

EXAMPLES = r"""
- name: Nobody writes while the database is restored
  runbook.ops.service_park:
    services:
      - name: nightly-import.timer
      - name: excelapp-rails
      - {name: api, kind: compose, project: stockboom}
    state: parked

- name: Those that ran come back, what was stopped first as the last
  runbook.ops.service_park:
    services:
      - {name: api, kind: compose, project: stockboom}
      - name: excelapp-rails
      - name: nightly-import.timer
    state: running
"""

RETURN = r"""
actions:
  description: What was done, or would be, in this order; on failure, what was done.
  returned: success, and when it failed on the way
  type: list
  elements: dict
  contains:
    action:
      description: V(park) or V(unpark).
      type: str
    object:
      description: The service, such as V(api.service) or V(shop/api).
      type: str
    from:
      description: V(running) or V(stopped).
      type: str
    to:
      description: V(stopped) or V(running).
      type: str
refused:
  description: Always empty, because what is refused fails the task.
  returned: success
  type: list
  elements: dict
before:
  description:
    - The services as they were found, by what people call them. Each has C(running), C(parked) and
      C(remembered_running), which is V(null) where nothing is remembered.
  returned: success
  type: dict
  sample: {"api.service": {"running": true, "parked": false, "remembered_running": null}}
after:
  description: The same afterwards. V(null) in check mode.
  returned: success
  type: dict
notes:
  description: What is worth knowing, such as a service that did not run before it was parked.
  returned: success
  type: list
  elements: str
diff:
  description: The services before and after.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.services.park import STATES, park_services


def argument_spec() -> dict[str, Any]:
    service = {
        "name": {"type": "str", "required": True},
        "kind": {"type": "str", "choices": ["unit", "compose"], "default": "unit"},
        "project": {"type": "str"},
    }
    return {
        "services": {"type": "list", "elements": "dict", "required": True, "options": service},
        "state": {"type": "str", "choices": list(STATES), "default": "parked"},
        "state_path": {"type": "path", "default": "/var/lib/runbook-ops/parked.json"},
        "wait_timeout": {"type": "float", "default": 120},
        "docker": {"type": "list", "elements": "str", "default": ["docker"]},
        "timeout": {"type": "float", "default": 20},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = park_services(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
