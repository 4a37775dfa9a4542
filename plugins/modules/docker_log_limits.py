#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits for container logs, merged into the file that the engine reads."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_log_limits
short_description: Limit the logs of containers in daemon.json, without stopping any
version_added: 0.6.0
description:
  - Merges a log driver and its limits into the daemon's own file. All other settings stay. The file is checked with
    C(dockerd --validate) where the engine has that (from version 23 on), kept before it is replaced, and replaced at
    once.
  - Works on the file of the engine that answers. It finds its process by the data directory, so that another dockerd on
    the same host does not matter.
  - A file that is broken already is not touched, because its settings would be lost.
  - The daemon reads the limits when it starts, and only containers that are created after that have them. With
    O(restart=true) it is restarted, but only if C(live-restore) keeps the containers running, and that is proven.
  - Says which containers have no limit now, and how they get one.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
attributes:
  check_mode:
    support: full
    details:
      - Everything is checked, the new file with dockerd as well, and nothing is changed.
  diff_mode:
    support: full
options:
  docker_cli:
    description:
      - The client's program.
    type: str
    default: docker
  docker_host:
    description:
      - The engine's address, such as V(unix:///run/docker.sock). What the environment and the client's context say, if
        not given. It has to be on the host that executes the module.
    type: str
  command_timeout:
    description:
      - Seconds for one command of the client.
    type: int
    default: 60
  config_file:
    description:
      - The daemon's file. Only needed where the daemon's process cannot be seen.
    type: path
  log_driver:
    description:
      - The driver for new containers. Both write to files of this host. When it changes, options of the other one go.
    type: str
    choices: [json-file, local]
    default: json-file
  max_size:
    description:
      - How large a file gets before it is rotated.
    type: str
    default: 10m
  max_file:
    description:
      - How many files a container has.
    type: int
    default: 3
  compress:
    description:
      - Whether rotated files are compressed. As the driver does it, if not given.
    type: bool
  log_opts:
    description:
      - Further options of the driver. C(labels), C(labels-regex), C(env), C(env-regex) and C(tag).
    type: dict
    default: {}
  restart:
    description:
      - Whether the daemon is restarted when it has not read the file yet. Refused while containers run without
        C(live-restore).
    type: bool
    default: false
  restart_command:
    description:
      - The command that restarts it.
    type: list
    elements: str
    default: [systemctl, restart, docker.service]
  restart_timeout:
    description:
      - Seconds in which it has to answer again.
    type: int
    default: 120
  backup_directory:
    description:
      - Where the old file is kept.
    type: path
    default: /var/backups/runbook/docker
seealso:
  - module: runbook.ops.logrotate_config
  - module: runbook.ops.journald_limits
"""

EXAMPLES = r"""
- name: New containers keep three files of ten megabytes
  runbook.ops.docker_log_limits:
    max_size: 10m
    max_file: 3
    compress: true
  become: true
  register: limits
"""

RETURN = r"""
actions:
  description: What was done, in check mode what would be.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(create), V(replace) or V(restart).
      type: str
    object:
      description: The file or the command.
      type: str
    reason:
      description: Why.
      type: str
    backup:
      description: Where the old file is kept. V(null) without one.
      type: str
refused:
  description: Always empty. What is refused fails the task, and nothing is changed.
  returned: success
  type: list
  elements: dict
before:
  description: What the file said.
  returned: success
  type: dict
  contains: &limits
    log_driver:
      description: The driver. V(null) if the file says nothing.
      type: str
    log_opts:
      description: Its options. What looks like a secret is hidden.
      type: dict
after:
  description: What it says now, read again. V(null) in check mode.
  returned: success
  type: dict
  contains: *limits
path:
  description: The file.
  returned: success
  type: str
validated_by:
  description: What the new file was checked with, V(json) and, where it can, V(dockerd).
  returned: success
  type: list
  elements: str
version:
  description: The engine's version.
  returned: success
  type: str
live_restore:
  description: Whether containers go on running without their daemon.
  returned: success
  type: bool
restart_needed:
  description: Whether the daemon has not read the file yet.
  returned: success
  type: bool
containers:
  description: The containers that there are, stopped ones too.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    id:
      description: Its id.
      type: str
    project:
      description: Its Compose project. V(null) without one.
      type: str
    service:
      description: Its Compose service. V(null) without one.
      type: str
    is_running:
      description: Whether it runs.
      type: bool
    started_at:
      description: When it was started.
      type: str
    driver:
      description: Its log driver.
      type: str
    max_size:
      description: How large a file of its log gets. V(null) without a limit of its own.
      type: str
    max_file:
      description: How many files it has.
      type: str
    is_limited:
      description: Whether its log ends somewhere.
      type: bool
    log_bytes:
      description: What its log takes now. V(null) where that cannot be seen.
      type: int
    remedy:
      description: How it gets a limit. V(null) if it has one.
      type: str
unlimited:
  description: The names of those without a limit.
  returned: success
  type: list
  elements: str
diff:
  description: The file before and after. What looks like a secret is hidden.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.docker_logs.limits import limit_logs, limits_argument_spec


def main() -> None:
    module = AnsibleModule(argument_spec=limits_argument_spec(), supports_check_mode=True)
    try:
        result = limit_logs(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
