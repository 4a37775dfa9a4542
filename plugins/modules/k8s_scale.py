#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scaling a workload of Kubernetes through its autoscaler, within limits, with a way back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_scale
short_description: Scale a workload of Kubernetes within limits, through its autoscaler where it has one
version_added: 0.7.0
description:
  - Sees to it that a workload has at least so many pods. Where a HorizontalPodAutoscaler or a ScaledObject of KEDA
    decides about it, that one's bounds are changed, because it takes a number of replicas that is set beside it back
    within seconds. Otherwise the workload's replicas are set.
  - What was there before the first change is remembered on the object, by the same patch. O(state=restored) puts it
    back, unless somebody has changed it since.
  - Refuses more than O(max_replicas_limit), more database connections than are free, several autoscalers that work
    against each other, and objects that Argo CD or Flux would put back. Nothing is cut down to a limit silently.
  - Waits until the autoscaler has followed and the pods are ready, and says why they are not.
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
      - Decides in the same way, and asks the server by a dry run whether it would take the change.
  diff_mode:
    support: full
options:
  namespace:
    description:
      - Namespace of the workload.
    type: str
    required: true
  kind:
    description:
      - Kind of the workload.
    type: str
    choices: [deployment, statefulset]
    default: deployment
  name:
    description:
      - Name of the workload.
    type: str
    required: true
  state:
    description:
      - V(scaled) sees to it that there are O(replicas).
      - V(restored) puts back what was there before.
    type: str
    choices: [scaled, restored]
    default: scaled
  replicas:
    description:
      - How many pods there shall be; with an autoscaler at least. Needed with O(state=scaled). None at all is parking,
        which is M(runbook.ops.k8s_park)'s.
    type: int
  max_replicas:
    description:
      - How far an autoscaler may go. Its upper bound stays, or is raised to O(replicas), if not given.
    type: int
  max_replicas_limit:
    description:
      - Refuses more pods than this, as O(replicas) and as O(max_replicas). Needed with O(state=scaled).
    type: int
  connections_per_replica:
    description:
      - How many database connections one more pod may open. With V(0) they are not looked at.
    type: int
    default: 0
  connections_free:
    description:
      - How many connections the database can still give, such as C(headroom) of the filter
        P(runbook.ops.pool_budget#filter). Refuses more pods than fit. If it is not given although
        O(connections_per_replica) is, more pods are refused.
    type: int
  wait:
    description:
      - Whether to wait until the pods are ready. Pods that become fewer are not waited for.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait. The task fails when they are over, and nothing is taken back.
    type: float
    default: 600
notes:
  - Needs the verbs C(get) and C(patch) on C(deployments) or C(statefulsets), C(list) and C(patch) on
    C(horizontalpodautoscalers) and, with KEDA, on C(scaledobjects). For the reason why pods do not come up, C(list)
    on C(pods), C(replicasets) and C(events).
  - What is remembered is in the annotation C(runbook-ops.github.io/scaled).
seealso:
  - module: runbook.ops.k8s_park
  - module: kubernetes.core.k8s_scale
"""

EXAMPLES = r"""
- name: At least six workers, and not more than the database can bear
  runbook.ops.k8s_scale:
    namespace: shop
    name: worker
    replicas: 6
    max_replicas_limit: 12
    connections_per_replica: 5
    connections_free: 40

- name: Go back to what it was
  runbook.ops.k8s_scale:
    namespace: shop
    name: worker
    state: restored
"""

RETURN = r"""
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
  description: What was done, or would be. In check mode the same list; on failure, what was done.
  returned: success, and when it failed on the way
  type: list
  elements: dict
  contains:
    action:
      description: V(scale) or V(restore).
      type: str
    object:
      description: Kind, namespace and name of what is changed.
      type: str
      sample: HorizontalPodAutoscaler shop/worker
    from:
      description: What it was.
      type: str
      sample: 2 to 10 replicas
    to:
      description: What it is.
      type: str
      sample: 6 to 10 replicas
refused:
  description: Why nothing was changed.
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
    - The workload and its autoscalers as they were found, by names such as C(deployment/worker).
    - A workload has C(replicas) and C(scaled), an autoscaler C(min_replicas), C(max_replicas) and C(scaled), which
      says whether it remembers what was there before.
  returned: success
  type: dict
  sample: {"deployment/worker": {"replicas": 2, "scaled": false}}
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
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.scale import STATES, scale_workload
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.scaling import SCALED_KINDS
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.waiting import (
    gitops_argument_spec,
    wait_argument_spec,
)


def argument_spec() -> dict[str, Any]:
    return {
        **kubernetes_argument_spec(),
        **guard_argument_spec(),
        "namespace": {"type": "str", "required": True},
        "kind": {"type": "str", "choices": list(SCALED_KINDS), "default": SCALED_KINDS[0]},
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": list(STATES), "default": "scaled"},
        "replicas": {"type": "int"},
        "max_replicas": {"type": "int"},
        "max_replicas_limit": {"type": "int"},
        "connections_per_replica": {"type": "int", "default": 0},
        "connections_free": {"type": "int"},
        **gitops_argument_spec(),
        **wait_argument_spec(),
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = scale_workload(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        error.details.pop("warnings", None)
        module.fail_json(msg=error.message, **error.details)
    for each in result.pop("warnings"):
        module.warn(each)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
