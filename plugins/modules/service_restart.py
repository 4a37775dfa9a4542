#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarting one service: evidence first, within a limit, and proven."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_restart
short_description: Restart or reload one service, with evidence first, within a limit, behind a health gate
version_added: 0.6.0
description:
  - Looks at the service and at what it depends on, keeps its state, processes and last log lines in a file, restarts
    it, and waits until it has been well for a while.
  - Refuses to restart what does not exist, what is masked, what was restarted too often within a time, and what would
    not be helped because something it depends on does not answer.
  - How often is kept in a file on the machine and counted for all runs and playbooks together. A restart is recorded
    before it begins.
  - Without an answer of systemd or Docker nothing is touched.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.services
attributes:
  check_mode:
    support: full
    details:
      - Goes through all guards and returns the actions; no evidence is written.
  diff_mode:
    support: none
    details:
      - A restart leaves no text to compare; RV(before) and RV(after) tell the figures.
options:
  name:
    description:
      - The unit, with or without C(.service), or the service of Compose.
    type: str
    required: true
  kind:
    description:
      - What it is. The containers of a service of Compose are restarted, not created anew.
    type: str
    choices: [unit, compose]
    default: unit
  project:
    description:
      - The Compose project. Needed for, and only for, O(kind=compose).
    type: str
  state:
    description:
      - With V(reloaded) a unit that can reads its configuration again; nothing ends, and the limit does not count it.
    type: str
    choices: [restarted, reloaded]
    default: restarted
  reason:
    description:
      - Why, for the evidence, the record and the report.
    type: str
    required: true
  allowed:
    description:
      - Names of the services that may be restarted at all, as an inventory declares them. Any, if empty.
    type: list
    elements: str
    default: []
  only_unhealthy:
    description:
      - Leaves a service alone that is well, by its state, O(port) and O(url).
    type: bool
    default: false
  max_restarts:
    description:
      - How many restarts of the service there may be within O(window), 1 to 100; one more is refused.
    type: int
    default: 3
  window:
    description:
      - The time in which restarts are counted, such as V(1h).
    type: str
    default: 1h
  evidence_path:
    description:
      - A directory in which the evidence gets a file of its own, or a file that ends with C(.json). None is
        overwritten.
    type: path
    default: /var/lib/runbook-ops/evidence
  state_path:
    description:
      - The record of restarts. All runs must use the same one.
    type: path
    default: /var/lib/runbook-ops/restarts.json
  wait:
    description:
      - Seconds until the service must be well, 1 to 1800.
    type: float
    default: 60
  settle:
    description:
      - Seconds for which it must stay so, with the same process, 0 to 300.
    type: float
    default: 3
  host:
    description:
      - The host that O(port) is a port of.
    type: str
    default: 127.0.0.1
  port:
    description:
      - A port that must accept connections before the service counts as well.
    type: int
  url:
    description:
      - An address that must answer with one of O(expected_status) before it does.
    type: str
  expected_status:
    description:
      - The statuses that are fine.
    type: list
    elements: int
    default: [200]
  on_refusal:
    description:
      - What happens when a guard said no. With V(fail) the task fails, and the failure carries the result.
      - With V(report) it succeeds, and RV(refused) is for the caller to judge.
    type: str
    choices: [fail, report]
    default: fail
seealso:
  - module: runbook.ops.service_info
  - module: ansible.builtin.systemd_service
"""

EXAMPLES = r"""
- name: Restart the application if it is not well, at most twice in an hour
  runbook.ops.service_restart:
    name: excelapp
    reason: the health check failed
    only_unhealthy: true
    max_restarts: 2
    url: http://127.0.0.1:3000/up
    dependencies:
      - name: database
        port: 5432

- name: Let nginx read its configuration again
  runbook.ops.service_restart:
    name: nginx
    state: reloaded
    reason: a certificate was renewed

- name: Restart a service of Compose
  runbook.ops.service_restart:
    name: api
    kind: compose
    project: stockboom
    reason: it does not answer
    port: 3001
"""

RETURN = r"""
evidence:
  description: The file on the machine with the evidence. V(null) if nothing was due or it was refused.
  returned: success
  type: str
healthy:
  description: Whether the service is well at the end. V(null) in check mode.
  returned: success
  type: bool
problem:
  description: What is wrong with it after it was touched. Empty if nothing is; otherwise the task fails.
  returned: always
  type: str
recent_restarts_count:
  description: Restarts of it within O(window), this one included.
  returned: success
  type: int
service:
  description: The service as it was seen last, as RV(runbook.ops.service_info#module:services) describes it.
  returned: success
  type: dict
dependencies:
  description: One entry for each dependency. Empty if nothing was due.
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
actions:
  description: What was done, or would be.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(restart) or V(reload).
      type: str
    object:
      description: The service.
      type: str
    reason:
      description: O(reason).
      type: str
    commands:
      description: What was run for it.
      type: list
      elements: str
    at:
      description: When it was over, in ISO 8601 UTC. Not in check mode.
      type: str
    effective:
      description: Whether the service was well afterwards. Not in check mode.
      type: bool
refused:
  description: Why nothing was done, at most one entry.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The service.
      type: str
    reason:
      description: Which guard said no.
      type: str
    remedy:
      description: What to do.
      type: str
before:
  description: The service as it was found.
  returned: success
  type: dict
  contains: &figures
    state:
      description: Its state.
      type: str
    sub_state:
      description: Its finer state.
      type: str
    healthy:
      description: Whether it was healthy.
      type: bool
    main_pid:
      description: Its main process.
      type: int
    restarts_count:
      description: How often it was started again by itself.
      type: int
    since:
      description: Since when it is so.
      type: str
after:
  description: The same afterwards. V(null) in check mode.
  returned: success
  type: dict
  contains: *figures
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import ON_REFUSAL
from ansible_collections.runbook.ops.plugins.module_utils.services.options import service_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.services.restart import restart_service


def argument_spec() -> dict[str, Any]:
    return {
        **service_argument_spec(),
        "name": {"type": "str", "required": True},
        "kind": {"type": "str", "choices": ["unit", "compose"], "default": "unit"},
        "project": {"type": "str"},
        "state": {"type": "str", "choices": ["restarted", "reloaded"], "default": "restarted"},
        "reason": {"type": "str", "required": True},
        "allowed": {"type": "list", "elements": "str", "default": []},
        "only_unhealthy": {"type": "bool", "default": False},
        "max_restarts": {"type": "int", "default": 3},
        "window": {"type": "str", "default": "1h"},
        "evidence_path": {"type": "path", "default": "/var/lib/runbook-ops/evidence"},
        "state_path": {"type": "path", "default": "/var/lib/runbook-ops/restarts.json"},
        "wait": {"type": "float", "default": 60},
        "settle": {"type": "float", "default": 3},
        "host": {"type": "str", "default": "127.0.0.1"},
        "port": {"type": "int"},
        "url": {"type": "str"},
        "expected_status": {"type": "list", "elements": "int", "default": [200]},
        "on_refusal": {"type": "str", "choices": list(ON_REFUSAL), "default": "fail"},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = restart_service(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
