#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarting, undoing, pausing and resuming a workload."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_rollout
short_description: Restart a workload of Kubernetes, go back to a revision, pause or resume, and say why it is stuck
version_added: 0.7.0
description:
  - Restarts the pods of a Deployment, StatefulSet or DaemonSet one after the other, goes back to an earlier revision,
    or pauses and resumes the rollout of a Deployment. Then it waits as C(kubectl rollout status) does, and when the
    rollout is stuck it ends with the reason, such as an image that cannot be fetched, a key that is missing, a probe
    that fails or a quota that is used up.
  - What does not run is taken back, unless O(on_failure=keep).
  - A restart changes one annotation of the template, C(kubectl.kubernetes.io/restartedAt). An undo changes the
    template and C(kubernetes.io/change-cause). All other annotations stay, which M(kubernetes.core.k8s_rollback)
    replaces. The number of pods is not touched, so that an autoscaler goes on with its own.
  - What was done is remembered on the workload, in C(runbook-ops.github.io/restart) and
    C(runbook-ops.github.io/undo). So the same task can be run again after it was interrupted, and neither restarts
    twice nor goes back twice.
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
      - Reads the workload, decides in the same way, and asks the server by a dry run whether it would take the
        change.
  diff_mode:
    support: full
    details:
      - Shows the pod template, without the values of environment variables.
options:
  namespace:
    description:
      - Namespace of the workload.
    type: str
    required: true
  kind:
    description:
      - Kind of the workload. Only a V(deployment) can be paused and resumed.
    type: str
    choices: [deployment, statefulset, daemonset]
    default: deployment
  name:
    description:
      - Name of the workload.
    type: str
    required: true
  state:
    description:
      - V(restarted) makes all pods anew. It changes something every time, unless O(restart_id) or
        O(unless_restarted_within) says when not.
      - V(undone) goes back to O(revision).
      - V(kept) notes that an undo with O(soak) has proven itself. V(returned) takes such an undo back, to the revision
        that ran before it, and does nothing where there is none, or where it was kept or something else was rolled out
        since.
      - V(paused) keeps changes of a Deployment from being rolled out, V(resumed) lets them go on.
    type: str
    choices: [restarted, undone, kept, returned, paused, resumed]
    required: true
  restart_id:
    description:
      - A name for this restart, such as the number of a ticket or of a pipeline. A workload whose last restart had
        the same name is not restarted again.
    type: str
  unless_restarted_within:
    description:
      - A workload whose last restart is not older than this, such as V(10m), is not restarted again.
    type: str
  revision:
    description:
      - The number of the revision to go back to, as M(runbook.ops.k8s_rollout_info) lists them.
      - With V(0) it is the one before. A revision that differs from the current one by a restart only is left out,
        because going back to it would change nothing.
      - When that was done already, and nothing else was rolled out since, a second run does not go back to what was
        left. Name a number to go further.
    type: int
    default: 0
  schema_compatible:
    description:
      - Confirms that the revision works with the database as it is now. An undo takes back no migration, so that
        without this confirmation there is none.
    type: bool
    default: false
  soak:
    description:
      - Whether an undo is watched before it counts as proven, and remembers until then where it came from, for
        O(state=returned). Say with O(state=kept) that it works.
    type: bool
    default: false
  gitops:
    description:
      - What happens to a workload that Argo CD or Flux puts back to what a Git repository says. V(refuse) changes
        nothing, V(warn) does it and says so, V(ignore) does it. Not for a restart and for V(kept), whose
        annotations they leave alone.
    type: str
    choices: [refuse, warn, ignore]
    default: refuse
  on_failure:
    description:
      - What happens when a restart or an undo is not rolled out in time. V(revert) goes back to what was before and
        waits for it, V(keep) leaves it for a look. The task fails in any case.
    type: str
    choices: [revert, keep]
    default: revert
  wait:
    description:
      - Whether to wait until the rollout is done. Without it nothing is proven or taken back.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait, and once more for going back. An API server that is busy or silent is asked again meanwhile.
        A request that hangs ends with it.
    type: float
    default: 600
  settle:
    description:
      - Seconds that a rollout has to stay done, with no container started again, before it counts as done. Only for
        pods with a container that has no readiness probe, because these are ready as soon as they run, and crash
        later; not where C(minReadySeconds) is as long.
    type: float
    default: 10
notes:
  - Needs the verbs C(get) and C(patch) on the workload, C(list) on C(pods), C(replicasets) or C(controllerrevisions),
    and C(events) for the reasons, and C(list) on C(horizontalpodautoscalers) to name the one that scales it. Going
    back with a StatefulSet needs C(delete) on C(pods), because it waits forever for a pod that never became ready.
  - The run can be interrupted at any time. The rollout goes on by itself; running the task again waits on.
seealso:
  - module: runbook.ops.k8s_rollout_info
  - module: kubernetes.core.k8s_rollback
"""

EXAMPLES = r"""
- name: Restart the API once for this ticket
  runbook.ops.k8s_rollout:
    namespace: autoclip
    name: autoclip-api
    state: restarted
    restart_id: OPS-1234

- name: Go back to the revision before, whose code works with the database as it is
  runbook.ops.k8s_rollout:
    namespace: storebridge
    name: storebridge-web
    state: undone
    schema_compatible: true

- name: Keep changes back until all of them are made
  runbook.ops.k8s_rollout:
    namespace: storebridge
    name: storebridge-web
    state: paused
"""

RETURN = r"""
rollout:
  description: How far the rollout is. V(null) when nothing was waited for because of a refusal or of check mode.
  returned: success, and when it is not rolled out
  type: dict
  contains: &rollout
    done:
      description: Whether the newest change runs everywhere.
      type: bool
    reason:
      description: Why not, when waiting did not help.
      type: str
      sample: "pod web-7d9-x2: ImagePullBackOff (container app: the image shop/web:9 cannot be fetched)"
    line:
      description: The same as a line of progress.
      type: str
      sample: 2 of 3 updated, 1 available
    observed:
      description: Whether the workload's controller has seen the newest change.
      type: bool
    paused:
      description: Whether changes are kept back.
      type: bool
    revision:
      description: The revision, a number for a Deployment and a name for a StatefulSet. V(null) for a DaemonSet.
      type: str
    desired:
      description: How many pods there should be.
      type: int
    updated:
      description: How many have the newest template.
      type: int
    ready:
      description: How many are ready.
      type: int
    available:
      description: How many are ready for long enough. V(null) where nobody counts them.
      type: int
    old:
      description: How many have an older template.
      type: int
    problems:
      description: What is wrong with pods, those of the newest template if they have a problem.
      type: list
      elements: dict
      contains:
        pod:
          description: Name of the pod.
          type: str
        container:
          description: Name of the container, where it is one's.
          type: str
        reason:
          description: Kubernetes' word, such as V(CrashLoopBackOff).
          type: str
        detail:
          description: What is known about it.
          type: str
reverted:
  description: Whether what was done was taken back.
  returned: success, and in a failure
  type: bool
soaking:
  description: Whether an undo runs that has not been noted as proven.
  returned: success, and in a failure
  type: bool
autoscaler:
  description: What scales the workload meanwhile. V(null) if nothing does, or if nothing was to be done.
  returned: success, and in a failure
  type: dict
  contains: &autoscaler
    name:
      description: Kind and name.
      type: str
      sample: HorizontalPodAutoscaler web
    min_replicas:
      description: Its lower bound.
      type: int
    max_replicas:
      description: Its ceiling.
      type: int
    current_replicas:
      description: How many pods there are.
      type: int
    desired_replicas:
      description: How many it wants.
      type: int
skipped_sections:
  description: What could not be read.
  returned: success, and in a failure
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
  description: What was done, or would be. In check mode the same list.
  returned: success, and in a failure
  type: list
  elements: dict
  contains:
    action:
      description: V(restart), V(undo), V(confirm), V(return), V(pause), V(resume), V(delete_pod) or V(revert).
      type: str
    object:
      description: The workload, or the pod.
      type: str
    from_revision:
      description: The revision that is left, of V(undo) and V(return).
      type: int
    to_revision:
      description: The revision that is gone back to, of V(undo) and V(return).
      type: int
    from_images:
      description: The images that are left, by container, of V(undo) and V(return).
      type: dict
    to_images:
      description: The images that are gone back to, by container, of V(undo) and V(return).
      type: dict
    reason:
      description: Why, of V(delete_pod).
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
  description: The workload as it was found.
  returned: success, and in a failure
  type: dict
  contains: &figures
    revision:
      description: The revision, as in RV(rollout.revision).
      type: str
    images:
      description: The images by container.
      type: dict
      sample: {"app": "registry.example.com/shop/web@sha256:…"}
    restarted_at:
      description: The last restart by the annotation.
      type: str
      sample: "2026-01-31T08:00:00Z"
    paused:
      description: Whether changes are kept back.
      type: bool
after:
  description: The same afterwards. V(null) in check mode.
  returned: success, and in a failure
  type: dict
  contains: *figures
diff:
  description: The pod template before and after, or whether it is paused.
  returned: success, and in a failure
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.options import kubernetes_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout import roll
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_options import rollout_argument_spec


def argument_spec() -> dict[str, dict[str, Any]]:
    return {**kubernetes_argument_spec(), **rollout_argument_spec()}


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = roll(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
