#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures from one run to the next, for forecasts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: figures_history
short_description: Keep small series of figures from run to run
version_added: 0.6.0
description:
  - Adds figures to a small file, drops what is too old or too much, and returns all series, for
    P(runbook.ops.forecast#filter).
  - The file is replaced as a whole, so that it is never half written, and only one run writes at a time. A file that
    cannot be read is moved aside, never lost.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
attributes:
  check_mode:
    support: full
    details:
      - Nothing is written; RV(series) has the new points all the same.
  diff_mode:
    support: none
options:
  path:
    description:
      - The file, one for each host. Directories above it are made.
    type: path
    required: true
  figures:
    description:
      - The figures of now, as RV(runbook.ops.host_health_info#module:figures).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - What it is.
        type: str
        required: true
      value:
        description:
          - Its value. Without one, nothing is added.
        type: float
      limit:
        description:
          - The value at which it is full.
        type: float
  keep:
    description:
      - Points that are kept of each series, from 2 to 10000.
    type: int
    default: 400
  max_age:
    description:
      - Points that are older are dropped.
    type: str
    default: 90d
  min_interval:
    description:
      - A figure that comes sooner after the last one is not added, so that a second run changes nothing. V(0) adds
        every one.
    type: str
    default: 1h
  reference_time:
    description:
      - The moment of the figures, in ISO 8601 with its timezone. Now, if not given.
    type: str
seealso:
  - plugin: runbook.ops.forecast
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Keep what fills up
  runbook.ops.figures_history:
    path: "/var/lib/runbook/figures/{{ inventory_hostname }}.json"
    figures: "{{ host.figures }}"
  delegate_to: localhost
  become: false
  register: kept
"""

RETURN = r"""
history_path:
  description: The file.
  returned: success
  type: str
added_count:
  description: How many points are new.
  returned: success
  type: int
problem:
  description: Why the file that was there could not be used. V(null) if it could.
  returned: success
  type: str
series:
  description: All series, by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: What it is.
      type: str
    limit:
      description: The newest limit.
      type: float
    points:
      description: The values, oldest first.
      type: list
      elements: dict
      contains:
        at:
          description: The moment, in ISO 8601 UTC.
          type: str
        value:
          description: The value.
          type: float
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import reference_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.host.history import keep_figures

FIGURE = {
    "name": {"type": "str", "required": True},
    "value": {"type": "float"},
    "limit": {"type": "float"},
}


def argument_spec() -> dict[str, Any]:
    return {
        "path": {"type": "path", "required": True},
        "figures": {"type": "list", "elements": "dict", "options": FIGURE, "default": []},
        "keep": {"type": "int", "default": 400},
        "max_age": {"type": "str", "default": "90d"},
        "min_interval": {"type": "str", "default": "1h"},
        "reference_time": {"type": "str"},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        moment = reference_moment(module.params["reference_time"])
        result = keep_figures(module.params, moment, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
