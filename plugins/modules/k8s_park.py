#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parking workloads of Kubernetes, and bringing them back as they were."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_park
short_description: Park workloads of Kubernetes, and bring them back in stages as they were
version_added: 0.7.0
description:
  - Parking takes a Deployment or a StatefulSet to no replicas and suspends a CronJob. How many replicas it had is
    remembered on the object itself, by the very patch that stops it, so that a run that is killed at any moment loses
    nothing. Parked once more, it is left alone, and what is remembered never becomes less.
  - Bringing back starts what was remembered, all of it or as far as O(stage) goes, and never a number that somebody
    has written into a runbook. Without O(workloads) it brings back everything in the namespace that remembers
    something, so that no workload is forgotten. The memory goes when everything is back and ready.
  - A HorizontalPodAutoscaler is off while its workload has no replicas. While a workload comes back in stages, its
    bounds are kept at the stage, and are put back with the last one, unless somebody has set others since. A
    ScaledObject of KEDA, which would start it again from zero, is paused by its own annotation.
  - Nothing is begun before the server has agreed to all of it by a dry run.
  - Waits until the pods are gone, or until those that were started are ready, and says why they are not.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_k8s
  - runbook.ops.guards
  - runbook.ops.kubernetes
  - runbook.ops.kubernetes.gitops
  - runbook.ops.kubernetes.wait
attributes:
  check_mode:
    support: full
    details:
      - Decides in the same way, and asks the server by dry runs whether it would take every change.
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
      - The workloads, in the order in which they are stopped or started, as C(kind/name) with one of the kinds
        V(deployment), V(statefulset) and V(cronjob), or the bare name of a Deployment. Name everything that writes.
      - With O(state=running) everything that remembers something, if empty, what was stopped first as the last. So park
        what feeds the others, such as a scheduler, first.
    type: list
    elements: str
    default: []
  state:
    description:
      - V(parked) stops the workloads.
      - V(running) brings them back.
    type: str
    choices: [parked, running]
    default: parked
  stage:
    description:
      - With O(state=running), how much comes back. V(1) is one replica of each, V(50%) is half of what was remembered,
        and at least one. Nothing is made less by it.
      - Only V(100%) ends the parking. Everything before it keeps what is remembered, so that the next stage follows or
        the workload is parked again.
      - A CronJob comes back with V(100%).
    type: str
    default: 100%
  replicas:
    description:
      - The number of replicas by workload, for those that have none and remember none because something else stopped
        them. What was remembered is not changed by it.
    type: dict
    default: {}
  purpose:
    description:
      - For what the workloads are parked, a word that is remembered with the rest. With O(state=running) only what was
        parked for it comes back, and what was stopped before, for something else, stays as it is.
      - What is parked for something else, and runs again in part, is refused.
      - Without it everything comes back.
    type: str
  wait:
    description:
      - Whether to wait until the pods and the running jobs of CronJobs are gone, or until the pods are ready.
      - Without it the memory goes with the last stage whether the pods come up or not.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait, for all workloads together. The task fails when they are over, and nothing is taken back.
        Running the task again waits on.
    type: float
    default: 600
notes:
  - Needs the verbs C(get), C(list) and C(patch) on C(deployments), C(statefulsets) and C(cronjobs), as far as there
    are such workloads, the same on C(horizontalpodautoscalers) and, with KEDA, on C(scaledobjects), and C(list) on
    C(pods). For the reason why pods do not come up, C(list) on C(replicasets) and C(events).
  - What is remembered is in the annotation C(runbook-ops.github.io/parked). C(kubectl get deployments,cronjobs -o yaml)
    shows it.
  - A job that a CronJob has started is not ended. It is waited for. A CronJob that comes back starts a job at once if
    one was due meanwhile, unless its C(startingDeadlineSeconds) is over; the result says so in RV(notes).
  - Pods that are stopped get their C(terminationGracePeriodSeconds), and what they do is cut off then. Pause the queue
    and let long jobs end before, or give the workload more seconds.
seealso:
  - module: runbook.ops.k8s_scale
  - module: runbook.ops.redis_queue
"""

EXAMPLES = r"""
- name: Park everything that calls the API that limits us
  runbook.ops.k8s_park:
    namespace: shop
    workloads:
      - cronjob/nightly-sync
      - worker-normal
      - worker-batch
    state: parked

- name: Bring one worker of each back
  runbook.ops.k8s_park:
    namespace: shop
    state: running
    stage: 1

- name: Bring everything back that was parked
  runbook.ops.k8s_park:
    namespace: shop
    state: running
"""

RETURN = r"""
workloads:
  description: The workloads that it is about, in their order.
  returned: success
  type: list
  elements: str
  sample: [deployment/worker-normal]
notes:
  description: What is worth knowing, such as a workload that had no replicas before it was parked.
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
  description: What was done, or would be, in this order. In check mode the same list; on failure, what was done.
  returned: success, and when it failed on the way
  type: list
  elements: dict
  contains:
    action:
      description: V(park), V(unpark), V(limit_autoscaler) or V(release_autoscaler).
      type: str
    object:
      description: Kind, namespace and name.
      type: str
      sample: Deployment shop/worker-normal
    from:
      description: What it was.
      type: str
      sample: 4 replicas
    to:
      description: What it is.
      type: str
      sample: 0 replicas
refused:
  description: Why nothing was changed. One refusal is enough for that.
  returned: success, and when it was refused
  type: list
  elements: dict
  contains:
    object:
      description: The object.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What helps.
      type: str
before:
  description:
    - The workloads and their autoscalers as they were found, by names such as C(deployment/worker-normal).
    - A Deployment or StatefulSet has C(replicas), C(remembered_replicas) and C(parked), a CronJob C(suspend),
      C(remembered_suspend) and C(parked), an autoscaler C(min_replicas), C(max_replicas) and, of KEDA,
      C(paused_replicas).
  returned: success
  type: dict
  sample: {"deployment/worker-normal": {"replicas": 4, "remembered_replicas": null, "parked": false}}
after:
  description: The same afterwards. V(null) in check mode.
  returned: success
  type: dict
diff:
  description: Both.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import guard_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.options import kubernetes_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.park import STATES, park_workloads
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.waiting import (
    gitops_argument_spec,
    wait_argument_spec,
)


def argument_spec() -> dict[str, Any]:
    return {
        **kubernetes_argument_spec(),
        **guard_argument_spec(),
        "namespace": {"type": "str", "required": True},
        "workloads": {"type": "list", "elements": "str", "default": []},
        "state": {"type": "str", "choices": list(STATES), "default": "parked"},
        "stage": {"type": "str", "default": "100%"},
        "replicas": {"type": "dict", "default": {}},
        "purpose": {"type": "str"},
        **gitops_argument_spec(),
        **wait_argument_spec(),
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = park_workloads(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        error.details.pop("warnings", None)
        module.fail_json(msg=error.message, **error.details)
    for each in result.pop("warnings"):
        module.warn(each)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
