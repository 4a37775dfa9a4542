#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Compose project: what is declared held against what runs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_info
short_description: Gather everything about a Compose project, what is declared held against what runs
version_added: 0.6.0
description:
  - Tells for each service whether it runs as often as it should, whether its health check is content, how often it was
    restarted and why it ended, whether its containers run the image that its name means now, and whether they were made
    from the definition and the environment that the files hold now.
  - Tells what its logs, volumes and memory take, which ports can be reached from outside, and what is wrong in the
    Compose files and in the environment files. Values of variables are never among it, only names.
  - Stopped containers count, which C(docker ps) leaves out.
  - An engine that does not answer and files that are not valid are data, not failures.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
  - runbook.ops.compose_project
  - runbook.ops.compose_project.docker
options:
  expected_services:
    description:
      - The services that should run. All that the files declare in the active profiles, if empty.
    type: list
    elements: str
    default: []
  stateful_services:
    description:
      - The services that keep data. Without the option they are told by the names of their images, such as
        C(postgres) and C(redis).
    type: list
    elements: str
  gather:
    description:
      - What takes longer. V(logs) reads the sizes of log files, V(volumes) lets the engine measure volumes,
        V(resources) takes a sample of processor and memory, which is about two seconds.
    type: list
    elements: str
    choices: [logs, volumes, resources]
    default: [logs, volumes, resources]
  required_keys:
    description:
      - The variables that the environment files must set.
    type: list
    elements: str
    default: []
  min_secret_length:
    description:
      - Characters that a secret needs at least.
    type: int
    default: 16
  reference_time:
    description:
      - The moment that counts as now, in ISO 8601 with its timezone. Now, if not given.
    type: str
seealso:
  - module: runbook.ops.compose_env_info
  - module: runbook.ops.compose_release
"""

EXAMPLES = r"""
- name: Is everything up, and as it is declared
  runbook.ops.compose_info:
    project_name: shop
    project_src: /srv/shop
    files: [docker/docker-compose.yml]
    env_files: [.env.production]
    expected_services: [api, worker, postgres]
  register: shop
"""

RETURN = r"""
available:
  description: Whether the engine answered and Compose is there.
  returned: success
  type: bool
reason:
  description: Why not, and what to do. V(null) if it did.
  returned: success
  type: str
measured_at:
  description: When, in ISO 8601 UTC.
  returned: success
  type: str
skipped_sections:
  description: What could not be measured.
  returned: success
  type: list
  elements: dict
  contains:
    section:
      description: What it is.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What to do about it.
      type: str
project:
  description: The project.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
    directory:
      description: Its folder.
      type: str
    files:
      description: The Compose files.
      type: list
      elements: str
    env_files:
      description: The environment files that were named.
      type: list
      elements: str
    engine_version:
      description: The version of the engine.
      type: str
    compose_version:
      description: The version of Compose.
      type: str
definition:
  description: The Compose files as Compose understands them.
  returned: success
  type: dict
  contains:
    is_valid:
      description: Whether Compose takes them.
      type: bool
    reason:
      description: What is wrong. V(null) if nothing is.
      type: str
    unset_variables:
      description: Variables that nothing sets, so that Compose puts nothing in their place.
      type: list
      elements: str
    unset_count:
      description: How many. V(null) if the files are not valid.
      type: int
services:
  description: One entry for each service that is declared, expected, or has containers.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The service.
      type: str
    is_declared:
      description: Whether the files know it.
      type: bool
    is_expected:
      description: Whether it should run.
      type: bool
    is_stateful:
      description: Whether it keeps data. V(null) if it is not declared.
      type: bool
    runs_once:
      description: Whether another service waits for its end (C(service_completed_successfully)), as for a migration's.
      type: bool
    is_up:
      description: Whether as many of its containers run as are declared, or have ended well if it runs once.
      type: bool
    reason:
      description: Why not. V(null) if they do.
      type: str
    replicas_count:
      description: How many containers are declared.
      type: int
    containers_count:
      description: How many containers there are, stopped ones too.
      type: int
    running_count:
      description: How many run.
      type: int
    has_healthcheck:
      description: Whether there is a health check, in the files or in the image.
      type: bool
    is_healthy:
      description: Whether it is content with all containers. V(null) without one, and while it has not decided.
      type: bool
    health_output:
      description: What the check of an unhealthy container said last.
      type: str
    restarts_count:
      description: How often the engine restarted the container that it restarted most. V(null) without one.
      type: int
    is_restart_loop:
      description: Whether a container is being restarted, or was three times or more and a short time ago.
      type: bool
    exit_code:
      description: The highest exit status of those that do not run. V(null) if all do.
      type: int
    oom_killed:
      description: Whether the kernel ended one for want of memory.
      type: bool
    image:
      description: The image that is declared.
      type: str
    is_pinned:
      description: Whether its name says a version, and not V(latest).
      type: bool
    image_ids:
      description: The images that run.
      type: list
      elements: str
    current_image_id:
      description: The image that the name means on this host now. V(null) if none does.
      type: str
    is_image_here:
      description: Whether its name means any.
      type: bool
    image_drifted:
      description: Whether another image runs. V(null) if there is nothing to compare.
      type: bool
    config_drifted:
      description:
        - Whether containers were made from another definition or environment than the files hold now; C(docker compose
          restart) does not change that. V(null) if there is nothing to compare.
      type: bool
    log_driver:
      description: Where its logs go.
      type: str
    log_limited:
      description: Whether its log cannot grow without end. V(null) without a container.
      type: bool
    log_bytes:
      description: What its log files take, rotated ones included. V(null) if they cannot be read.
      type: int
    is_memory_limited:
      description: Whether a container has a limit.
      type: bool
    memory_limit_bytes:
      description: The memory that a container may take. V(null) without a limit.
      type: int
    memory_bytes:
      description: The memory that its containers take.
      type: int
    memory_percent:
      description: The share of the limit that a container takes. V(null) without a limit.
      type: float
    cpu_percent:
      description: The share of one processor that its containers take.
      type: float
containers:
  description: One entry for each container, stopped ones too.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The container.
      type: str
    id:
      description: Its id, shortened.
      type: str
    service:
      description: Its service.
      type: str
    state:
      description: What the engine calls its state, such as V(running), V(exited) or V(restarting).
      type: str
    health:
      description: V(healthy), V(unhealthy) or V(starting). V(null) without a check.
      type: str
    health_output:
      description: What the check said last.
      type: str
    restarts_count:
      description: How often the engine restarted it.
      type: int
    is_restart_loop:
      description: Whether it is being restarted again and again.
      type: bool
    exit_code:
      description: Its exit status. V(null) while it runs.
      type: int
    oom_killed:
      description: Whether the kernel ended it for want of memory.
      type: bool
    started_at:
      description: When it began, in ISO 8601 UTC.
      type: str
    uptime_seconds:
      description: For how long it has been running. V(null) if it does not.
      type: int
    image_id:
      description: Its image.
      type: str
    config_hash:
      description: The fingerprint of the definition that it was made from.
      type: str
    log_driver:
      description: Where its log goes.
      type: str
    log_limited:
      description: Whether its log cannot grow without end.
      type: bool
    memory_limit_bytes:
      description: The memory that it may take. V(null) without a limit.
      type: int
ports:
  description: One entry for each address at which a port can be reached.
  returned: success
  type: list
  elements: dict
  contains:
    service:
      description: The service.
      type: str
    address:
      description: The address, such as V(127.0.0.1).
      type: str
    port:
      description: The port on the host.
      type: int
    target:
      description: The port in the container.
      type: int
    protocol:
      description: V(tcp) or V(udp).
      type: str
    is_public:
      description: Whether it is more than the host itself that can reach it.
      type: bool
    is_stateful:
      description: Whether the service keeps data.
      type: bool
volumes:
  description: The volumes of the project.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The volume, by its whole name.
      type: str
    size_bytes:
      description: What it takes. V(null) if the engine does not know.
      type: int
    services:
      description: The services that use it.
      type: list
      elements: str
lint:
  description: What is wrong in the Compose files.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description:
        - V(obsolete_version), V(unpinned_image), V(no_healthcheck), V(no_memory_limit), V(no_restart_policy), and for
          services without containers V(no_log_limit) and V(exposed_database), which are otherwise seen at those.
      type: str
    service:
      description: The service.
      type: str
    object:
      description: What it is about, such as the service and a port.
      type: str
    message:
      description: What is wrong.
      type: str
    is_wrong:
      description: Always V(true), for rules.
      type: bool
secrets:
  description: Secrets in the services' environment that are none.
  returned: success
  type: list
  elements: dict
  contains:
    service:
      description: The service.
      type: str
    key:
      description: The variable.
      type: str
    object:
      description: Both.
      type: str
    message:
      description: Why it is none. Its value is not told, and neither is its length.
      type: str
    is_known:
      description: Whether it is empty, a default that everybody knows, or a placeholder.
      type: bool
environment_files:
  description: The environment files, as RV(runbook.ops.compose_env_info#module:files) tells them.
  returned: success
  type: list
  elements: dict
environment_problems:
  description: What is wrong in them, as RV(runbook.ops.compose_env_info#module:problems) tells it.
  returned: success
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, reference_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.compose.inspection import EXTRAS, survey
from ansible_collections.runbook.ops.plugins.module_utils.compose.options import project_argument_spec


def argument_spec() -> dict[str, Any]:
    return {
        **project_argument_spec(),
        "expected_services": {"type": "list", "elements": "str", "default": []},
        "stateful_services": {"type": "list", "elements": "str"},
        "gather": {"type": "list", "elements": "str", "choices": list(EXTRAS), "default": list(EXTRAS)},
        "required_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "min_secret_length": {"type": "int", "default": 16, "no_log": False},
        "reference_time": {"type": "str"},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        moment = reference_moment(module.params["reference_time"])
        facts = survey(module.params, moment)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, measured_at=iso(moment), **facts)


if __name__ == "__main__":
    main()
