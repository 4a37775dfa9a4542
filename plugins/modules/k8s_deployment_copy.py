#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second Deployment beside one that runs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_deployment_copy
short_description: Run a copy of a Kubernetes Deployment with another image, as a canary or as the other side of a pair
version_added: 0.7.0
description:
  - Makes a Deployment from one that runs, with other images, labels and number of pods, and waits until its pods are
    available. Nothing is written down twice, so that the copy has the environment, the probes and the limits of the
    Deployment that serves.
  - With O(share) it is a canary. A Service that selects the pods of both sends it about that share of the requests.
    With O(must_not_serve) it is the side of a blue-green pair that serves nobody yet.
  - The Deployment that is copied is never touched, and neither is how many pods it has.
  - Marks of Argo CD, Flux and Helm are left out, so that these do not take the copy for a leftover of theirs.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_k8s
  - runbook.ops.kubernetes
  - runbook.ops.kubernetes.pod_wait
attributes:
  check_mode:
    support: full
    details:
      - Decides in the same way, and asks the server by a dry run whether it would take the change.
  diff_mode:
    support: full
options:
  namespace:
    description:
      - Namespace of both.
    type: str
    required: true
  name:
    description:
      - Name of the Deployment that is copied.
    type: str
    required: true
  copy:
    description:
      - Name of the copy.
    type: str
    required: true
  state:
    description:
      - V(present) makes it, or brings one that is there up to date.
      - V(absent) deletes it with its pods. Only a copy of O(name) that this module made is deleted.
    type: str
    choices: [present, absent]
    default: present
  labels:
    description:
      - Labels that tell the copy's pods from the others. They become part of its selector. Required for
        O(state=present).
    type: dict
    default: {}
  images:
    description:
      - The images that differ, by the name of their containers, with their digests.
    type: dict
    default: {}
  allow_tags:
    description:
      - Whether images without a digest are accepted. One that is C(latest) never is.
    type: bool
    default: false
  replicas:
    description:
      - How many pods. As many as the Deployment that is copied, if neither this nor O(share) is given. Where an
        autoscaler is about the copy, it has no fewer pods than that one gave it.
    type: int
  share:
    description:
      - How many percent of all pods, of both Deployments, shall be the copy's; at least one pod. A copy with more pods
        of the same kind keeps them.
    type: float
  must_not_serve:
    description:
      - Refuses to replace the pods of a copy that a Service sends to.
    type: bool
    default: false
  gitops:
    description:
      - What happens when a copy that is there, and has to change, belongs to Argo CD or Flux, which put it back to what
        a Git repository says.
    type: str
    choices: [refuse, warn, ignore]
    default: refuse
  wait:
    description:
      - Whether to wait until its pods are available, or gone.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait.
    type: float
    default: 600
notes:
  - Needs the verbs C(get), C(create), C(patch) and C(delete) on C(deployments), and C(list) on C(services), C(pods) and
    C(horizontalpodautoscalers).
  - The selector of a Deployment without a label of its own also matches a canary's pods. Kubernetes tells them apart by
    their owners, but an autoscaler's average counts them in while the canary is there.
seealso:
  - module: runbook.ops.k8s_image
  - module: runbook.ops.k8s_switch
"""

EXAMPLES = r"""
- name: Send a tenth of the requests to the new image
  runbook.ops.k8s_deployment_copy:
    namespace: autoclip
    name: autoclip-api
    copy: autoclip-api-canary
    labels:
      runbook-ops.github.io/track: canary
    images:
      api: registry.example.com/api@sha256:4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a
    share: 10

- name: Remove it
  runbook.ops.k8s_deployment_copy:
    namespace: autoclip
    name: autoclip-api
    copy: autoclip-api-canary
    state: absent
"""

RETURN = r"""
share_percent:
  description: How many percent of the pods of both Deployments are the copy's.
  returned: success, and when its pods are not available
  type: float
  sample: 25.0
rollout:
  description: How far its rollout came, with the reason if it is stuck. V(null) where it was not waited for.
  returned: success, and when its pods are not available
  type: dict
  sample: {"done": true, "line": "1 of 1 updated, 1 available", "reason": null}
notes:
  description: What a reader must know, such as that Argo CD may undo it.
  returned: success, and when its pods are not available
  type: list
  elements: str
actions:
  description: What was done, or would be. In check mode the same list.
  returned: success, and when its pods are not available
  type: list
  elements: dict
  contains:
    action:
      description: V(create_copy), V(update_copy) or V(remove_copy).
      type: str
    object:
      description: The copy.
      type: str
    replicas_before:
      description: Its pods before.
      type: int
    replicas_after:
      description: Its pods after.
      type: int
    images:
      description: Its images by container.
      type: dict
refused:
  description: Why nothing was changed. Empty on success, because a refusal fails the task.
  returned: success, and when it was refused
  type: list
  elements: dict
  contains:
    object:
      description: The copy.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What helps.
      type: str
before:
  description: The copy as it was found; empty when there was none.
  returned: success
  type: dict
  contains: &figures
    replicas:
      description: How many pods it shall have.
      type: int
    images:
      description: Its images by container.
      type: dict
after:
  description: The same afterwards. V(null) in check mode.
  returned: success
  type: dict
  contains: *figures
diff:
  description: The same before and after.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.copy_run import copy_deployment
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.options import kubernetes_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.waiting import (
    gitops_argument_spec,
    pod_wait_argument_spec,
)


def argument_spec() -> dict[str, dict[str, Any]]:
    return {
        **kubernetes_argument_spec(),
        "namespace": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "copy": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "labels": {"type": "dict", "default": {}},
        "images": {"type": "dict", "default": {}},
        "allow_tags": {"type": "bool", "default": False},
        "replicas": {"type": "int"},
        "share": {"type": "float"},
        "must_not_serve": {"type": "bool", "default": False},
        **gitops_argument_spec(),
        **pod_wait_argument_spec(),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(), supports_check_mode=True, mutually_exclusive=[("replicas", "share")]
    )
    try:
        result = copy_deployment(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    for note in result["notes"]:
        module.warn(note)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
