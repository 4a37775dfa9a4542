#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image of named containers of workloads."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_image
short_description: Set the image of containers of Kubernetes workloads, and take back what does not run
version_added: 0.7.0
description:
  - Sets one image in the named containers of one or several workloads, such as the web server, the workers and the
    scheduler that share it. Containers that are not named, such as sidecars, and the number of pods are not touched, so
    that an autoscaler goes on with its own.
  - The image is named by its digest, because a tag can be given to another image at any time.
  - The server tries the whole change by a dry run before any of it is made. Then the rollouts are waited for, and when
    one does not end well, all workloads go back to the images before and are waited for again. The message says why.
  - What was there before is remembered in the annotation C(runbook-ops.github.io/previous-images) of each workload,
    which a later run, or O(state=previous), goes back to.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_k8s
  - runbook.ops.kubernetes
  - runbook.ops.kubernetes.gitops
  - runbook.ops.kubernetes.pod_wait
attributes:
  check_mode:
    support: full
    details:
      - Reads the workloads, decides in the same way, and asks the server by a dry run whether it would take the change.
  diff_mode:
    support: full
options:
  namespace:
    description:
      - Namespace of the workloads.
    type: str
    required: true
  workloads:
    description:
      - The workloads that get the image.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the workload.
        type: str
        required: true
      kind:
        description:
          - Its kind.
        type: str
        choices: [deployment, statefulset, daemonset]
        default: deployment
      containers:
        description:
          - The containers, also those for initialization, that get the image.
        type: list
        elements: str
        required: true
  image:
    description:
      - The image, with its digest. Required for O(state=present).
      - With O(state=previous) the image to go back from. A workload that does not run it is left alone, so that a
        second run does not go back once more.
    type: str
  state:
    description:
      - V(present) sets the image.
      - V(previous) goes back to the images that were remembered. When they do not run, it goes forward again.
      - V(kept) notes that what was set with O(soak) has proven itself.
    type: str
    choices: [present, previous, kept]
    default: present
  allow_tags:
    description:
      - Whether an image without a digest is accepted. One that is C(latest) never is.
    type: bool
    default: false
  soak:
    description:
      - Whether what runs is watched before it counts as proven. Until O(state=kept) says so, the next run waits for it
        again, and takes it back if it does not run.
    type: bool
    default: false
  change_cause:
    description:
      - What the history of the rollout shows for it (C(kubernetes.io/change-cause)). The image, if not given.
    type: str
  wait:
    description:
      - Whether to wait until the rollouts are done. Without it nothing is proven or taken back.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds for all rollouts together, and once more for going back.
    type: float
    default: 600
  on_failure:
    description:
      - Whether what does not run is taken back (V(revert)) or kept for a look (V(keep)). The task fails in any case.
    type: str
    choices: [revert, keep]
    default: revert
notes:
  - Needs the verbs C(get) and C(patch) on the workloads, and C(list) on C(pods), for reasons and for the digests. For
    StatefulSets also C(delete) on C(pods).
  - Where an admission webhook makes another image of the one that is asked for, such as that of a mirror, that one is
    remembered, and the image that was asked for still names it.
  - A run can be interrupted at any time. The next one goes on, and still knows what to go back to.
seealso:
  - module: runbook.ops.k8s_rollout
  - module: runbook.ops.k8s_switch
  - module: kubernetes.core.k8s
"""

EXAMPLES = r"""
- name: Release the shop, whose web server and workers share an image
  runbook.ops.k8s_image:
    namespace: storebridge
    image: registry.example.com/shop/app@sha256:4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a
    workloads:
      - name: storebridge-web
        containers: [web]
      - name: storebridge-worker
        containers: [worker]
  register: release

- name: Go back to the images before
  runbook.ops.k8s_image:
    namespace: storebridge
    state: previous
    workloads:
      - name: storebridge-web
        containers: [web]
      - name: storebridge-worker
        containers: [worker]
"""

RETURN = r"""
rolled_back:
  description:
    - Whether what did not run was taken back, and the images before are available again. V(false) when that was tried
      and is not so. V(null) when there was nothing to take back.
  returned: success, and when the images do not run
  type: bool
soaking:
  description: Whether a change runs that has not been noted as proven.
  returned: success, and when the images do not run
  type: bool
rollouts:
  description: How far the rollout of each workload came, by its name.
  returned: success, and when the images do not run
  type: dict
  sample: {"storebridge-web": {"done": true, "line": "3 of 3 updated, 3 available", "reason": null}}
running:
  description: What the pods run, by what their nodes say. Empty where nothing was waited for.
  returned: success, and when the images do not run
  type: list
  elements: dict
  contains:
    object:
      description: The workload.
      type: str
    container:
      description: The container.
      type: str
    image:
      description: The image in the workload.
      type: str
    pods_count:
      description: How many pods have it.
      type: int
    digests:
      description: The digests that their nodes resolved it to.
      type: list
      elements: str
    proven:
      description:
        - Whether all of them run the digest of the image. V(null) when that is not known. V(false) is no failure. Some
          nodes name the digest of their platform where that of an index of platforms was asked for.
      type: bool
notes:
  description: What a reader must know, such as that a Helm release owns a workload.
  returned: success
  type: list
  elements: str
skipped_sections:
  description: What could not be read.
  returned: success
  type: list
  elements: dict
  contains:
    section:
      description: The part of the result that is missing.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What helps.
      type: str
actions:
  description: What was done, or would be, in order. In check mode the same list.
  returned: success, and when the images do not run
  type: list
  elements: dict
  contains:
    action:
      description:
        - V(set_image), V(return_image) for O(state=previous), V(undo_image) for taking back, V(confirm), or
          V(delete_pod) for a pod of a StatefulSet that never became ready, and that it does not replace by itself.
      type: str
    object:
      description: The workload.
      type: str
      sample: Deployment storebridge/storebridge-web
    container:
      description: The container.
      type: str
    image_before:
      description: Its image before.
      type: str
    image_after:
      description: Its image after.
      type: str
    reason:
      description: With V(delete_pod) what was wrong with the pod.
      type: str
refused:
  description: Why nothing was changed. Empty on success, because a refusal fails the task.
  returned: success, and when it was refused
  type: list
  elements: dict
  contains:
    object:
      description: The workload.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What helps.
      type: str
before:
  description: The images by workload and container as they were found.
  returned: success
  type: dict
after:
  description: The same afterwards. V(null) in check mode.
  returned: success
  type: dict
diff:
  description: The images before and after.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.image_change import set_images
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.options import kubernetes_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_state import ROLLED_OUT
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.waiting import (
    gitops_argument_spec,
    pod_wait_argument_spec,
)

WORKLOAD = {
    "name": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": list(ROLLED_OUT), "default": "deployment"},
    "containers": {"type": "list", "elements": "str", "required": True},
}


def argument_spec() -> dict[str, dict[str, Any]]:
    return {
        **kubernetes_argument_spec(),
        "namespace": {"type": "str", "required": True},
        "workloads": {"type": "list", "elements": "dict", "required": True, "options": WORKLOAD},
        "image": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "previous", "kept"], "default": "present"},
        "allow_tags": {"type": "bool", "default": False},
        "soak": {"type": "bool", "default": False},
        "change_cause": {"type": "str"},
        **gitops_argument_spec(),
        **pod_wait_argument_spec(),
        "on_failure": {"type": "str", "choices": ["revert", "keep"], "default": "revert"},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = set_images(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    for note in result["notes"]:
        module.warn(note)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
