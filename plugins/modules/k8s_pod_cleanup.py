#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clearing away pods that are left over, without the evidence going with them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_pod_cleanup
short_description: Remove pods of Kubernetes that are left over, and keep what is known about why they ended
version_added: 0.7.0
description:
  - Removes pods that have failed and stay, such as those that were evicted or that ended with their node, when they
    have been over for longer than O(older_than). Another pod has taken their place long since.
  - Keeps first what goes with them, in RV(evidence) and, before each removal, in O(evidence_directory) - reason and
    message, node, owner, how each container ended, and the last lines of their logs where the kubelet still has them. A
    pod whose log is there and cannot be read is left alone.
  - Never removes a pod that runs or waits, the pods of Jobs, whose history counts on them, those of controllers that it
    does not know, or those of nodes.
  - Each pod is looked at once more before it goes, and only that very pod goes, by its uid.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_k8s
  - runbook.ops.kubernetes
  - runbook.ops.guards
attributes:
  check_mode:
    support: full
    details:
      - Reads the same, decides in the same way, and asks the server by a dry run whether it would remove each pod.
  diff_mode:
    support: full
options:
  namespaces:
    description:
      - The namespaces to look at.
    type: list
    elements: str
    required: true
  older_than:
    description:
      - How long ago a pod must have failed, such as V(1d). What counts is the last that was said about it, not when it
        was made.
    type: str
    default: 1d
  completed_older_than:
    description:
      - How long ago a pod without an owner must have done its work (phase C(Succeeded)), as C(kubectl run) leaves it.
        Those are left alone, if empty.
    type: str
    default: ""
  also_of:
    description:
      - Kinds of owners whose pods may go, too, such as V(Job). Otherwise pods go of ReplicaSets, StatefulSets,
        DaemonSets and ReplicationControllers, and those without an owner.
    type: list
    elements: str
    default: []
  max_pods:
    description:
      - How many pods may be removed at once. More are refused, and nothing is removed.
    type: int
    default: 100
  log_lines:
    description:
      - How many of the newest lines of each log are kept. With V(0) no log is asked for.
    type: int
    default: 20
  log_timeout:
    description:
      - Seconds for the logs of all pods together. A pod whose log was not read by then is left alone.
    type: float
    default: 120
  evidence_directory:
    description:
      - Folder on the host that executes the module, into which RV(evidence) is written, a file for each pod, before it
        is removed. It is created for its owner alone. Nothing is written, if not given.
    type: path
notes:
  - Needs the verbs C(list), C(get) and C(delete) on C(pods), and C(get) on C(pods/log).
  - The run can be interrupted at any time. Running the task again goes on from there.
seealso:
  - module: runbook.ops.k8s_health_info
  - module: runbook.ops.k8s_log_info
"""

EXAMPLES = r"""
- name: Clear away what evictions left, and keep why
  runbook.ops.k8s_pod_cleanup:
    namespaces: [shop]
    older_than: 1d
    evidence_directory: /var/lib/runbook/pods
  register: cleanup

- name: Say why they ended
  ansible.builtin.debug:
    msg: "{{ cleanup.actions | map(attribute='reason') }}"
"""

RETURN = r"""
actions:
  description: What was removed, or would be.
  returned: success, and when something was refused
  type: list
  elements: dict
  contains:
    action:
      description: Always V(remove).
      type: str
    object:
      description: Namespace and name.
      type: str
      sample: shop/web-7d4b9c-x2x9k
    outcome:
      description: V(removed), or V(planned) in check mode.
      type: str
    uid:
      description: Its uid.
      type: str
    age_seconds:
      description: For how long it had been over.
      type: int
    finalizers:
      description: Who holds it. It is gone when these have let it go.
      type: list
      elements: str
    reason:
      description: Why it ended, with its last words.
      type: str
      sample: "Evicted on node-a 3 d ago: The node was low on resource: memory"
refused:
  description: What was due and was left alone.
  returned: success, and when something was refused
  type: list
  elements: dict
  contains:
    object:
      description: Namespace and name, the namespace, or V(pods) for all of them.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What to do about it.
      type: str
evidence:
  description:
    - What is known about each pod that was due, whether it was removed or not. What looks like a secret is hidden.
  returned: success, and when something was refused
  type: list
  elements: dict
  contains:
    object:
      description: Namespace and name.
      type: str
    namespace:
      description: Its namespace.
      type: str
    name:
      description: Its name.
      type: str
    uid:
      description: Its uid.
      type: str
    phase:
      description: V(Failed) or V(Succeeded).
      type: str
    reason:
      description: Kubernetes' own word, such as V(Evicted), V(NodeShutdown) or V(OOMKilled).
      type: str
    message:
      description: What is said about it.
      type: str
    node:
      description: The node it was on. V(null) for none.
      type: str
    owner:
      description: Kind and name of what made it. V(null) for nobody.
      type: str
      sample: deployment web
    created_at:
      description: When it was made.
      type: str
    ended_at:
      description: When it ended, or the last that was said about it.
      type: str
    age_seconds:
      description: For how long it had been over.
      type: int
    restarts:
      description: How often its containers were restarted.
      type: int
    containers:
      description: How runs of its containers ended.
      type: list
      elements: dict
      contains:
        name:
          description: Its name.
          type: str
        previous:
          description: Whether it is the run before the last one.
          type: bool
        reason:
          description: Such as V(Error).
          type: str
        exit_code:
          description: Its exit code.
          type: int
        signal:
          description: The signal that ended it, such as V(SIGKILL).
          type: str
        finished_at:
          description: When.
          type: str
        message:
          description: Its termination message.
          type: str
    logs:
      description: What its containers said last.
      type: list
      elements: dict
      contains:
        container:
          description: Its name.
          type: str
        previous:
          description: Whether it is the log of the run before the last one.
          type: bool
        available:
          description: Whether there is a log.
          type: bool
        reason:
          description: Why not.
          type: str
        lines:
          description: The newest lines, each with its moment.
          type: list
          elements: str
kept:
  description:
    - How many pods that have ended stay, by reason. V(young) are not old enough, V(of_job) belong to a Job, V(of_other)
      to a controller that is not known or to a node, V(completed) did their work, V(terminating) are being removed, and
      of V(undated) nobody says when they ended, which is in RV(refused), too.
  returned: success, and when something was refused
  type: dict
  sample: {"of_job": 3, "young": 1}
before:
  description:
    - By namespace, how many pods had failed (C(failed_count)) and, with O(completed_older_than), done their work
      (C(completed_count)). V(null) where they could not be listed.
  returned: success, and when something was refused
  type: dict
  sample: {"shop": {"failed_count": 40}}
after:
  description: The same, counted again. V(null) in check mode.
  returned: success, and when something was refused
  type: dict
diff:
  description: The pods that go.
  returned: success, and when something was refused
  type: dict
  contains:
    before:
      description: One a line.
      type: str
    after:
      description: Empty.
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import guard_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.options import kubernetes_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_cleanup import clean_up


def argument_spec() -> dict[str, dict[str, Any]]:
    return {
        **kubernetes_argument_spec(),
        **guard_argument_spec(),
        "namespaces": {"type": "list", "elements": "str", "required": True},
        "older_than": {"type": "str", "default": "1d"},
        "completed_older_than": {"type": "str", "default": ""},
        "also_of": {"type": "list", "elements": "str", "default": []},
        "max_pods": {"type": "int", "default": 100},
        "log_lines": {"type": "int", "default": 20},
        "log_timeout": {"type": "float", "default": 120},
        "evidence_directory": {"type": "path"},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = clean_up(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
