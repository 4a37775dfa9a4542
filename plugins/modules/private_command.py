#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command that gets its secrets by its environment or its standard input, and an exit status that is understood."""

from __future__ import annotations

DOCUMENTATION = r"""
module: private_command
short_description: Run a command whose secrets never stand on its command line, and whose exit statuses have meanings
version_added: 0.6.0
description:
  - Runs a program with its arguments as a list. Secrets reach it by its environment or by its standard input, never by
    its arguments, which everybody on the host can read while it runs. An argument that holds one is refused.
  - Everything that the program writes is returned with the secrets masked, also in their URL-encoded spellings.
  - The environment holds C(PATH), C(HOME), C(LC_ALL=C) and what is given, and nothing else of the caller's.
  - Says what an exit status means. Some programs tell their finding by it, as C(yarn outdated) does with 1 for
    outdated packages; that is an answer and no failure. Any status that is not in O(codes) is a failure.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
attributes:
  check_mode:
    support: full
    details:
      - With O(reads=true) the command runs in check mode, too. Otherwise it does not, and is listed in RV(actions).
  diff_mode:
    support: none
options:
  argv:
    description:
      - The program and its arguments. No shell is involved.
    type: list
    elements: str
    required: true
  chdir:
    description:
      - The directory to run it in.
    type: path
  environment:
    description:
      - Environment variables that are no secrets.
    type: dict
    default: {}
  secrets:
    description:
      - Environment variables that are. An empty value is refused.
    type: dict
    default: {}
  stdin:
    description:
      - What it reads from its standard input, such as a password for C(--password-stdin). It counts as a secret.
    type: str
  codes:
    description:
      - The exit statuses that are answers, each with what it means.
    type: dict
    default: {"0": done}
  reads:
    description:
      - Whether the command only reads, so that it changes nothing.
    type: bool
    default: false
  timeout:
    description:
      - Seconds after which it is stopped, and the task fails.
    type: float
    default: 300
  max_output_bytes:
    description:
      - How many characters of each of its outputs are returned, the last ones.
    type: int
    default: 65536
seealso:
  - module: ansible.builtin.command
"""

EXAMPLES = r"""
- name: Send users to the deployment that was tested
  runbook.ops.private_command:
    argv: [vercel, promote, "{{ deployment_url }}", --yes]
    secrets:
      VERCEL_TOKEN: "{{ lookup('ansible.builtin.env', 'VERCEL_TOKEN') }}"

- name: See which packages are outdated
  runbook.ops.private_command:
    argv: [yarn, outdated, --json]
    chdir: /srv/shop/current
    codes: {"0": current, "1": outdated}
    reads: true
  register: packages
"""

RETURN = r"""
exit_status:
  description:
    - The exit status, negative for a signal. V(null) in check mode, where it did not run.
    - It is not called C(rc), which Ansible would take for a failure whenever it is not 0.
  returned: success
  type: int
outcome:
  description: What the exit status means, by O(codes). V(null) where the command did not run.
  returned: success
  type: str
  sample: outdated
stdout:
  description: What it wrote, with secrets masked.
  returned: success
  type: str
stderr:
  description: What it wrote on standard error, with secrets masked.
  returned: success
  type: str
truncated:
  description: Whether it wrote more than O(max_output_bytes).
  returned: success
  type: bool
duration_seconds:
  description: How long it took.
  returned: success
  type: float
argv:
  description: What was run, or would be.
  returned: success
  type: list
  elements: str
environment_names:
  description: The names in its environment that were given. Values are not told.
  returned: success
  type: list
  elements: str
actions:
  description: The command, unless it only reads. In check mode the same.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: Always V(run).
      type: str
    object:
      description: The command.
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.commands.private import (
    checked,
    command_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.releases.options import hidden_values

NOT_RUN = {
    "exit_status": None,
    "outcome": None,
    "stdout": "",
    "stderr": "",
    "truncated": False,
    "duration_seconds": None,
}


def argument_spec() -> dict[str, Any]:
    return {
        "argv": {"type": "list", "elements": "str", "required": True},
        "chdir": {"type": "path"},
        "environment": {"type": "dict", "default": {}},
        "secrets": {"type": "dict", "default": {}, "no_log": True},
        "stdin": {"type": "str", "no_log": True},
        "codes": {"type": "dict", "default": {"0": "done"}},
        "reads": {"type": "bool", "default": False},
        "timeout": {"type": "float", "default": 300},
        "max_output_bytes": {"type": "int", "default": 65536},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    module.no_log_values |= hidden_values(module.params["secrets"])
    try:
        command = command_from(module.params)
        runs = module.params["reads"] or not module.check_mode
        ended = checked(command) if runs else NOT_RUN
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    action = {"action": "run", "object": " ".join(command.argv)}
    module.exit_json(
        changed=not module.params["reads"],
        argv=list(command.argv),
        environment_names=sorted({*command.environment, *command.secrets}),
        actions=[] if module.params["reads"] else [action],
        **ended,
    )


if __name__ == "__main__":
    main()
