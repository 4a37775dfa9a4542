#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a rollout is, and what there is to go back to."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_rollout_info
short_description: Tell how far a rollout of Kubernetes is, why it is stuck, and which revisions there are
version_added: 0.7.0
description:
  - Tells of a Deployment, StatefulSet or DaemonSet whether its newest change runs everywhere, by the rules of
    C(kubectl rollout status), and if not, why. It looks once and does not wait.
  - Lists the revisions with their images, ages and causes, which is what M(runbook.ops.k8s_rollout) can go back to,
    and says when the current one was rolled out.
  - Names what else decides about the workload, such as Argo CD, Flux, Helm and an autoscaler.
  - A cluster that is down, or a workload that is not there, gives RV(available=false), not a failure.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
  - runbook.ops.attributes.actiongroup_k8s
  - runbook.ops.kubernetes
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
    choices: [deployment, statefulset, daemonset]
    default: deployment
  name:
    description:
      - Name of the workload.
    type: str
    required: true
notes:
  - Needs the verb C(get) on the workload, and C(list) on C(pods), C(replicasets) or C(controllerrevisions), C(events)
    and C(horizontalpodautoscalers).
seealso:
  - module: runbook.ops.k8s_rollout
"""

EXAMPLES = r"""
- name: Look at the API
  runbook.ops.k8s_rollout_info:
    namespace: autoclip
    name: autoclip-api
  register: api

- name: Say when it was deployed, and what was before
  ansible.builtin.debug:
    msg: >-
      {{ api.rollout.line }}; deployed {{ api.deployed_at }};
      {{ api.revisions | map(attribute='number') | join(', ') }}
"""

RETURN = r"""
available:
  description:
    - Whether the workload could be read.
    - When it is V(false), RV(reason) says why and there is nothing else.
  returned: always
  type: bool
reason:
  description: Why it could not and what to do next, without secrets. V(null) when RV(available=true).
  returned: always
  type: str
measured_at:
  description: When it was looked at, ISO 8601 in UTC.
  returned: always
  type: str
  sample: "2026-01-31T08:00:00Z"
rollout:
  description: How far the rollout is, as RV(runbook.ops.k8s_rollout#module:rollout) has it. V(null) when not available.
  returned: always
  type: dict
deployed_at:
  description:
    - When what runs was rolled out. A restart makes a revision of its own, but is none of that.
    - V(null) when it is not known.
  returned: always
  type: str
deployed_seconds:
  description: How long ago that was.
  returned: always
  type: int
restarted_at:
  description: The last restart by the annotation C(kubectl.kubernetes.io/restartedAt). V(null) if there was none.
  returned: always
  type: str
previous_number:
  description:
    - The revision that M(runbook.ops.k8s_rollout) goes back to if none is named. V(null) if there is none.
  returned: always
  type: int
revisions:
  description: The revisions, the oldest first. V(null) when they cannot be listed.
  returned: always
  type: list
  elements: dict
  contains:
    number:
      description: Its number, for O(runbook.ops.k8s_rollout#module:revision).
      type: int
    name:
      description: The ReplicaSet or ControllerRevision that holds it.
      type: str
    current:
      description: Whether it is the one in use.
      type: bool
    images:
      description: The images by container.
      type: dict
    change_cause:
      description: What was noted about it (C(kubernetes.io/change-cause)).
      type: str
    created_at:
      description: When it was rolled out first.
      type: str
    age_seconds:
      description: How long ago that was.
      type: int
    replicas:
      description: How many pods it has. V(null) where nobody counts them.
      type: int
    earlier_numbers:
      description: The numbers that it had before it was used once more.
      type: list
      elements: int
gitops_owner:
  description: Who puts the workload back to what a Git repository says. V(null) if nobody does.
  returned: always
  type: str
  sample: Argo CD application autoclip-api
helm_release:
  description: The Helm release that it came with.
  returned: always
  type: str
autoscaler:
  description: What scales it, as RV(runbook.ops.k8s_rollout#module:autoscaler) has it. V(null) if nothing does.
  returned: always
  type: dict
skipped_sections:
  description: What could not be read.
  returned: always
  type: list
  elements: dict
  contains:
    section:
      description: V(revisions), V(autoscaler) or V(problems).
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What helps.
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.options import kubernetes_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_look import look_at_rollout
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_state import ROLLED_OUT


def argument_spec() -> dict[str, dict[str, Any]]:
    return {
        **kubernetes_argument_spec(),
        "namespace": {"type": "str", "required": True},
        "kind": {"type": "str", "choices": list(ROLLED_OUT), "default": "deployment"},
        "name": {"type": "str", "required": True},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = look_at_rollout(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
