#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clearing a Docker engine's disk without losing what somebody may need."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_cleanup
short_description: Remove old unused images, left-over containers and build cache, never volumes
version_added: 0.6.0
description:
  - Removes images that no container uses, not even a stopped one, that a release of M(runbook.ops.compose_release) does
    not go back to, and that have been on the host for longer than O(images_until). C(docker image prune) counts the age
    from when an image was built, so that it takes one that was fetched today.
  - Keeps the newest images of every name.
  - Never removes volumes. Those that no container uses are listed in RV(unused_volumes), for a person to decide.
  - Never uses force. What somebody began to use meanwhile stays and is in RV(refused).
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.compose_project.docker
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  images_until:
    description:
      - How long an image must have been here, such as V(14d). Images are left alone, if empty.
    type: str
    default: 14d
  keep_newest:
    description:
      - How many images of every name are kept in any case.
    type: int
    default: 2
  keep_images:
    description:
      - Patterns of names that are kept, such as V(registry.example.com/base/*).
    type: list
    elements: str
    default: []
  only:
    description:
      - Patterns of names of images and containers that may be removed. All, if empty.
    type: list
    elements: str
    default: []
  max_images:
    description:
      - How many images may be removed at once. More are refused, and nothing is removed.
    type: int
    default: 200
  containers_until:
    description:
      - How long ago a container must have ended. Containers are left alone, if empty.
      - Those of Compose services are never removed; those that C(docker compose run) left are.
    type: str
    default: ""
  build_cache_limit:
    description:
      - The size down to which the build cache is cleared, such as V(5g). It is left alone, if empty.
    type: str
    default: ""
  state_root:
    description:
      - The folder that holds the state directories of projects, or a state directory.
      - If it is there and cannot be read, or a record in it is damaged, nothing is removed, because nobody knows which
        images releases go back to. The directories are their owner's, so that this needs C(become) as a rule.
    type: path
    default: /var/lib/runbook/compose
  reference_time:
    description:
      - The moment that ages are counted from, ISO 8601 with time zone. Now, if not given.
    type: str
seealso:
  - module: community.docker.docker_prune
"""

EXAMPLES = r"""
- name: Clear away what nobody needs
  runbook.ops.docker_cleanup:
    images_until: 14d
    containers_until: 7d
    build_cache_limit: 5g
"""

RETURN = r"""
actions:
  description: What was removed, or would be.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(remove) or V(prune).
      type: str
    kind:
      description: V(container), V(image) or V(build cache).
      type: str
    object:
      description: Its name.
      type: str
    id:
      description: Its id.
      type: str
    names:
      description: All names of an image.
      type: list
      elements: str
    bytes:
      description: Its size. Layers that other images share stay, so that less may come free.
      type: int
    age_seconds:
      description: How long it has been here. V(null) for the build cache.
      type: int
refused:
  description: What could not be removed.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: Its name.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What to do about it.
      type: str
before:
  description: What was taken before.
  returned: success
  type: dict
  contains:
    images_bytes:
      description: Images.
      type: int
    containers_bytes:
      description: Containers.
      type: int
    volumes_bytes:
      description: Volumes.
      type: int
    build_cache_bytes:
      description: Build cache.
      type: int
after:
  description: The same afterwards. V(null) in check mode.
  returned: success
  type: dict
  contains:
    images_bytes:
      description: Images.
      type: int
    containers_bytes:
      description: Containers.
      type: int
    volumes_bytes:
      description: Volumes.
      type: int
    build_cache_bytes:
      description: Build cache.
      type: int
kept:
  description: What was spared.
  returned: success
  type: dict
  contains:
    images_used:
      description: Images that containers use.
      type: int
    images_of_releases:
      description: Images that releases may go back to.
      type: int
unused_volumes:
  description: Volumes that no container uses. They are never removed.
  returned: success
  type: list
  elements: str
diff:
  description: What is removed, one a line.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import reference_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.compose.cleanup.run import clean_up
from ansible_collections.runbook.ops.plugins.module_utils.compose.options import STATE_ROOT, docker_argument_spec


def argument_spec() -> dict[str, Any]:
    return {
        **docker_argument_spec(),
        "images_until": {"type": "str", "default": "14d"},
        "keep_newest": {"type": "int", "default": 2},
        "keep_images": {"type": "list", "elements": "str", "default": []},
        "only": {"type": "list", "elements": "str", "default": []},
        "max_images": {"type": "int", "default": 200},
        "containers_until": {"type": "str", "default": ""},
        "build_cache_limit": {"type": "str", "default": ""},
        "state_root": {"type": "path", "default": STATE_ROOT},
        "reference_time": {"type": "str"},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        now = reference_moment(module.params["reference_time"])
        result = clean_up(module.params, now, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
