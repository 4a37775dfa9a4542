#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release of a Compose project: fetched first, one service after the other, taken back when one does not work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_release
short_description: Release services of a Compose project behind a health gate, and go back by itself
version_added: 0.6.0
description:
  - Fetches or builds the images before anything is touched. Then each service that differs is made anew, one after the
    other, without the services it depends on, and watched until its health check is content, until it stayed up for a
    while, and until its image and environment are proven to be the ones that were meant.
  - When one does not come up, the ends of its logs are kept, every service that was touched goes back to the images and
    to the definition and environment of the last good release, and the task fails with RV(rolled_back=true).
  - Services that keep data are left alone. Nothing is stopped as a whole; C(docker compose down) is never used.
  - What was released is recorded in O(state_dir), each release with its whole definition, for the owner only, because
    that holds secrets. C(images.yml) there pins the images by their ids; add it to Compose's files when you work by
    hand.
  - Run again after an interruption, it goes on with what is left; a service that was left out of its balancer is put
    back.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.compose_project
  - runbook.ops.compose_project.docker
attributes:
  check_mode:
    support: full
    details:
      - Nothing is fetched or built, so that what a fetch would bring is told by the images that are on the host.
  diff_mode:
    support: full
options:
  state:
    description:
      - V(released) brings the declared images, definition and environment to the services.
      - V(rolled_back) goes back to the release before, or to O(release).
      - V(recreated) makes O(services) anew from what is released, after it has kept the evidence. Unlike C(docker
        compose restart) it applies the environment. It changes something every time.
    type: str
    choices: [released, rolled_back, recreated]
    default: released
  services:
    description:
      - The services, in the order in which they are made anew. All that keep no data, if empty.
    type: list
    elements: str
    default: []
  stateful_services:
    description:
      - The services that keep data and are not touched. Without the option they are told by the names of their images,
        such as C(postgres) and C(redis).
    type: list
    elements: str
  images:
    description:
      - Images for services, instead of those in the Compose files.
    type: dict
    default: {}
  obtain:
    description:
      - Where images come from. V(pull) fetches, V(build) builds the services that have a build section, V(present)
        takes what is on the host.
      - V(auto) builds those with a build section and fetches the others.
    type: str
    choices: [auto, pull, build, present]
    default: auto
  allow_unpinned:
    description:
      - Whether images may be released whose names say no version. They are pinned by their ids all the same.
    type: bool
    default: false
  allow_unset:
    description:
      - Variables in the Compose files that nothing may set.
    type: list
    elements: str
    default: []
  release:
    description:
      - The release that O(state=rolled_back) goes back to, by its id in RV(release).
    type: str
  drain:
    description:
      - For services the command, as a list of words, that takes them out of their balancer and waits until they are
        idle. It runs on the host before the service is made anew.
    type: dict
    default: {}
  undrain:
    description:
      - For services the command that puts them back. It runs when their gate is open.
    type: dict
    default: {}
  wait_timeout:
    description:
      - Seconds in which a service must become healthy.
    type: int
    default: 120
  settle_seconds:
    description:
      - Seconds for which it is watched after that.
    type: float
    default: 5
  obtain_timeout:
    description:
      - Seconds that fetching one image, or building, may take.
    type: int
    default: 1800
  hook_timeout:
    description:
      - Seconds that a command of O(drain) or O(undrain) may take.
    type: int
    default: 120
  log_lines:
    description:
      - How many of the last lines of a log are kept as evidence. What looks like a secret is taken out.
    type: int
    default: 100
  window:
    description:
      - Times in which releases are allowed, such as V(Mon-Fri 18:00-22:00), on the wall clock of O(timezone). Any time,
        if empty. Going back is always allowed.
    type: list
    elements: str
    default: []
  blocked_window:
    description:
      - Times in which nothing is released, in the same notation. They win over O(window).
    type: list
    elements: str
    default: []
  timezone:
    description:
      - The time zone of O(window) and O(blocked_window), such as V(Asia/Seoul).
    type: str
    default: UTC
  reference_time:
    description:
      - The moment that counts as now for the windows, ISO 8601 with time zone. Now, if not given.
    type: str
seealso:
  - module: runbook.ops.compose_info
  - module: community.docker.docker_compose_v2
"""

EXAMPLES = r"""
- name: Release, outside the hours of the market
  runbook.ops.compose_release:
    project_name: shop
    project_src: /srv/shop
    env_files: [.env.production]
    services: [api_blue, api_green, worker]
    blocked_window: ["Mon-Fri 09:00-15:30"]
    timezone: Asia/Seoul

- name: Go back to the release before
  runbook.ops.compose_release:
    project_name: shop
    project_src: /srv/shop
    env_files: [.env.production]
    state: rolled_back

- name: Make one service anew, with its log kept first
  runbook.ops.compose_release:
    project_name: shop
    project_src: /srv/shop
    env_files: [.env.production]
    state: recreated
    services: [worker]
"""

RETURN = r"""
actions:
  description: What was done, or would be, in this order. Also in a failure.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(release), V(roll_back), V(recreate), V(remove) or V(undrain).
      type: str
    object:
      description: The service.
      type: str
    reason:
      description: Why it is touched.
      type: str
    image_before:
      description: The image that it ran. V(null) if it did not run.
      type: str
    image_after:
      description: The image that it runs. V(null) in check mode where nobody knows it yet.
      type: str
refused:
  description: Always empty. What this module cannot do right, it does not begin.
  returned: success
  type: list
  elements: dict
release:
  description: The id of the release that runs. In check mode of the one that would.
  returned: success
  type: str
previous:
  description: The id of the release before. V(null) if there is none.
  returned: success
  type: str
is_new:
  description:
    - Whether this run made another release the one that runs, so that RV(previous) is what ran before it. V(false)
      where it only mended services of the release that was there.
  returned: success
  type: bool
rolled_back:
  description: Whether the services went back. In a failure V(false) means that going back failed as well.
  returned: success
  type: bool
failed_service:
  description: The service whose gate closed. V(null) if none did.
  returned: success
  type: str
evidence:
  description: Containers as they were before they were made anew or taken back.
  returned: success
  type: list
  elements: dict
  contains:
    service:
      description: The service.
      type: str
    name:
      description: The container.
      type: str
    id:
      description: Its id, shortened.
      type: str
    state:
      description: What the engine called its state.
      type: str
    health:
      description: What its health check found. V(null) without one.
      type: str
    health_output:
      description: What the check said last.
      type: str
    restarts_count:
      description: How often the engine restarted it.
      type: int
    exit_code:
      description: Its exit status. V(null) while it ran.
      type: int
    oom_killed:
      description: Whether the kernel ended it for want of memory.
      type: bool
    started_at:
      description: When it began, in ISO 8601 UTC.
      type: str
    image_id:
      description: Its image.
      type: str
    log_lines:
      description: The end of its log, with the moments of the lines.
      type: list
      elements: str
before:
  description: What ran before.
  returned: success
  type: dict
  contains:
    images:
      description: The images, by service.
      type: dict
after:
  description: What runs afterwards. V(null) in check mode.
  returned: success
  type: dict
  contains:
    images:
      description: The images, by service.
      type: dict
diff:
  description: Both, one service a line.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import guard_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.compose.options import project_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.compose.release.images import HOW
from ansible_collections.runbook.ops.plugins.module_utils.compose.release.run import (
    RECREATED,
    RELEASED,
    ROLLED_BACK,
    run_release,
)

WINDOWS = ("window", "blocked_window", "timezone", "reference_time")


def argument_spec() -> dict[str, Any]:
    return {
        **project_argument_spec(),
        **{name: option for name, option in guard_argument_spec().items() if name in WINDOWS},
        "state": {"type": "str", "choices": [RELEASED, ROLLED_BACK, RECREATED], "default": RELEASED},
        "services": {"type": "list", "elements": "str", "default": []},
        "stateful_services": {"type": "list", "elements": "str"},
        "images": {"type": "dict", "default": {}},
        "obtain": {"type": "str", "choices": list(HOW), "default": "auto"},
        "allow_unpinned": {"type": "bool", "default": False},
        "allow_unset": {"type": "list", "elements": "str", "default": []},
        "release": {"type": "str"},
        "drain": {"type": "dict", "default": {}},
        "undrain": {"type": "dict", "default": {}},
        "wait_timeout": {"type": "int", "default": 120},
        "settle_seconds": {"type": "float", "default": 5},
        "obtain_timeout": {"type": "int", "default": 1800},
        "hook_timeout": {"type": "int", "default": 120},
        "log_lines": {"type": "int", "default": 100},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = run_release(module.params, utc_now(), check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
