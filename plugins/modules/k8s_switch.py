#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Service between two Deployments."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_switch
short_description: Switch a Kubernetes Service from one Deployment to another, and back
version_added: 0.7.0
description:
  - Changes one label in the selector of a Service, such as V(version) from V(blue) to V(green), so that all requests go
    to the pods of another Deployment.
  - Does so only when enough pods that the new selector matches are ready, the rollout of their Deployment is complete,
    they have the ports that the Service names, and no pods of anything else have the same labels. A selector that
    matches nothing that is ready is an outage at once.
  - Then it waits until the endpoints of the Service are those of the new side, and switches back by itself if they do
    not come.
  - What was there before is remembered in the annotation C(runbook-ops.github.io/switch) of the Service, for
    O(state=returned). The old side is kept. O(state=removed) deletes it, when the switch was confirmed with
    O(state=kept), is old enough, and nothing sends to it.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_k8s
  - runbook.ops.kubernetes
  - runbook.ops.kubernetes.gitops
  - runbook.ops.kubernetes.wait
attributes:
  check_mode:
    support: full
    details:
      - Looks and decides in the same way, and asks the server by a dry run whether it would take the change.
  diff_mode:
    support: full
options:
  namespace:
    description:
      - Namespace of the Service.
    type: str
    required: true
  service:
    description:
      - Name of the Service.
    type: str
    required: true
  label:
    description:
      - The label that tells the two sides apart.
    type: str
    default: version
  state:
    description:
      - V(status) only looks.
      - V(switched) sends to the side in O(to).
      - V(kept) notes that the new side has proven itself.
      - V(returned) sends to the side that was switched from.
      - V(removed) deletes the Deployment in O(deployment), which must be the side that was switched from.
    type: str
    choices: [status, switched, kept, returned, removed]
    default: switched
  to:
    description:
      - The label's value of the side to send to. Required for O(state=switched).
    type: str
  leave:
    description:
      - With O(state=returned) the side to go back from. The way back needs ready pods and nothing else, so that it is
        open when the old side is a pod short. If the Service sends to another one, nothing is done.
    type: str
  deployment:
    description:
      - Name of the Deployment of the side to send to, needed where several have the value. With O(state=removed) the
        one to delete.
    type: str
  min_ready:
    description:
      - How many pods must be ready. As many as are ready on the side that is served now, if not given, and for
        O(state=returned) one, because the way back must not be barred when something is wrong.
    type: int
  keep_seconds:
    description:
      - With O(state=removed), how long ago the switch must have been.
    type: float
    default: 86400
  wait_timeout:
    description:
      - Seconds to wait for the endpoints.
    type: float
    default: 60
notes:
  - Needs the verbs C(get) and C(patch) on C(services), and C(list) on C(pods) and C(deployments). For O(state=removed)
    C(list) on C(services) and C(delete) on C(deployments) instead of C(patch). Autoscalers, disruption budgets and
    C(endpointslices) that may not be listed are told in RV(skipped_sections).
  - A run can be interrupted at any time. The next one goes on.
seealso:
  - module: runbook.ops.k8s_deployment_copy
  - module: runbook.ops.k8s_image
"""

EXAMPLES = r"""
- name: Send to green
  runbook.ops.k8s_switch:
    namespace: autoclip
    service: autoclip-api
    to: green

- name: Send to blue again
  runbook.ops.k8s_switch:
    namespace: autoclip
    service: autoclip-api
    state: returned
    leave: green
"""

RETURN = r"""
value:
  description: The label's value in the selector now.
  returned: success, and when the endpoints did not follow
  type: str
  sample: green
previous_selector:
  description: The whole selector as it was found.
  returned: success, and when the endpoints did not follow
  type: dict
  sample: {"app": "autoclip-api", "version": "blue"}
switch:
  description: What the Service remembers of the last switch. V(null) when there is nothing.
  returned: success, and when the endpoints did not follow
  type: dict
  contains:
    from:
      description: The side that was switched from.
      type: str
    to:
      description: The side that was switched to.
      type: str
    at:
      description: When, or when it was returned, in ISO 8601 UTC.
      type: str
    state:
      description: V(soaking) until it is confirmed, V(kept) afterwards, V(returned) when it was taken back.
      type: str
sides:
  description: The Deployments that the Service can be switched between.
  returned: success, and when the endpoints did not follow
  type: list
  elements: dict
  contains:
    deployment:
      description: Name of the Deployment.
      type: str
    value:
      description: The label's value of its pods.
      type: str
    serving:
      description: Whether the Service sends to them.
      type: bool
    replicas:
      description: How many it shall have.
      type: int
    ready:
      description: How many are ready.
      type: int
    rolled_out:
      description: Whether its newest change is rolled out.
      type: bool
    images:
      description: The images by container.
      type: dict
switched_back:
  description:
    - Whether the Service sends to the old side again because the endpoints did not follow. V(false) when that was
      tried and failed. V(null) when it was not needed.
  returned: success, and when the endpoints did not follow
  type: bool
notes:
  description: What a reader must know, such as an autoscaler that is about the old side only.
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
      description: The part that is missing.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What helps.
      type: str
actions:
  description: What was done, or would be, in order. In check mode the same list.
  returned: success, and when the endpoints did not follow
  type: list
  elements: dict
  contains:
    action:
      description: V(switch), V(switch_back), V(confirm) or V(remove).
      type: str
    object:
      description: The Service, or the Deployment that is removed.
      type: str
    selector_before:
      description: The label and its value before.
      type: str
    selector_after:
      description: The label and its value after.
      type: str
    side:
      description: With V(confirm) the side that was confirmed.
      type: str
refused:
  description: Why nothing was changed. Empty on success, because a refusal fails the task.
  returned: success, and when it was refused
  type: list
  elements: dict
  contains:
    object:
      description: What was left alone.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What helps.
      type: str
before:
  description: The selector as it was found.
  returned: success
  type: dict
after:
  description: The selector afterwards. V(null) in check mode.
  returned: success
  type: dict
diff:
  description: The selector before and after.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.options import kubernetes_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.switch_run import switch_service
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.waiting import gitops_argument_spec


def argument_spec() -> dict[str, dict[str, Any]]:
    return {
        **kubernetes_argument_spec(),
        "namespace": {"type": "str", "required": True},
        "service": {"type": "str", "required": True},
        "label": {"type": "str", "default": "version"},
        "state": {
            "type": "str",
            "choices": ["status", "switched", "kept", "returned", "removed"],
            "default": "switched",
        },
        "to": {"type": "str"},
        "leave": {"type": "str"},
        "deployment": {"type": "str"},
        "min_ready": {"type": "int"},
        "keep_seconds": {"type": "float", "default": 86400},
        **gitops_argument_spec(),
        "wait_timeout": {"type": "float", "default": 60},
        "wait_sleep": {"type": "float", "default": 2},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = switch_service(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    for note in result["notes"]:
        module.warn(note)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
