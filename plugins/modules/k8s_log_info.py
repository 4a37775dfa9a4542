#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The logs of all pods of a workload."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_log_info
short_description: Read the logs of all pods and containers of a workload, also from before a restart
version_added: 0.6.0
description:
  - Reads the logs of every pod of a Deployment, StatefulSet, DaemonSet or Job, or of all pods with certain labels, and
    of every container in them. C(kubectl logs deployment/name) reads one pod and says nothing about the others.
  - Of a container that was restarted, the log from before the restart is read as well, which is the one that says why.
  - Counts errors as M(runbook.ops.log_scan_info) does, with the messages that are most frequent over all pods.
  - Every log is bounded, its newest part is kept, and what was cut off is told. Passwords, tokens and personal data
    are hidden in everything that is returned.
  - A log that cannot be read is in RV(skipped_sections), with the reason. A cluster that is down gives
    RV(available=false), not a failure.
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
      - Kind of the workload. Goes together with O(name).
    type: str
    choices: [deployment, statefulset, daemonset, job]
  name:
    description:
      - Name of the workload.
    type: str
  label_selector:
    description:
      - Labels of the pods, such as V(app=web,tier!=cache), in place of O(kind) and O(name).
    type: str
  containers:
    description:
      - Only these containers. All of them, if empty, those for initialization and debugging included.
    type: list
    elements: str
    default: []
  previous:
    description:
      - Whether to read the logs from before a restart, too.
    type: bool
    default: true
  since:
    description:
      - Only lines that are not older than this, such as V(1h) or V(7d). All, if not given.
    type: str
  tail_lines:
    description:
      - How many lines of each log to read, the newest ones.
    type: int
    default: 10000
  max_bytes:
    description:
      - How many bytes of each log to keep, the newest ones.
    type: int
    default: 4194304
  max_pods:
    description:
      - How many pods to read.
    type: int
    default: 100
  lines:
    description:
      - How many lines of each log to return, the newest ones.
    type: int
    default: 20
  top:
    description:
      - How many of the most frequent error messages to return.
    type: int
    default: 10
  samples:
    description:
      - How many errors of each log to return, the newest ones.
    type: int
    default: 3
  timeout:
    description:
      - Seconds for all logs together. What has not been read by then is in RV(skipped_sections).
    type: float
    default: 120
notes:
  - Needs the verbs C(get) on the workload, C(list) on C(pods) and C(get) on C(pods/log).
  - A node keeps of a container's log what came since the file was rotated last, ten mebibytes as a rule, and of earlier
    runs only the last one. What is older is where logs are collected.
seealso:
  - module: runbook.ops.log_scan_info
  - module: runbook.ops.loki_query_info
  - module: kubernetes.core.k8s_log
"""

EXAMPLES = r"""
- name: Read the last hour of all pods of the API
  runbook.ops.k8s_log_info:
    namespace: autoclip
    kind: deployment
    name: autoclip-api
    since: 1h
  register: api

- name: Show which pods have errors
  ansible.builtin.debug:
    msg: "{{ item.pod }}/{{ item.container }}: {{ item.error_count }} errors"
  loop: "{{ api.logs | selectattr('error_count') }}"
  loop_control:
    label: "{{ item.pod }}"

- name: Read one container of all pods with a label
  runbook.ops.k8s_log_info:
    namespace: autoclip
    label_selector: app=n8n
    containers: [worker]
    tail_lines: 500
    lines: 100
"""

RETURN = r"""
available:
  description:
    - Whether the pods could be listed.
    - When it is V(false), RV(reason) says why and there is nothing else.
  returned: always
  type: bool
  sample: true
reason:
  description: Why they could not and what to do next, without secrets. V(null) when RV(available=true).
  returned: always
  type: str
measured_at:
  description: When the reading began, ISO 8601 in UTC.
  returned: always
  type: str
  sample: "2026-01-31T08:00:00Z"
complete:
  description: Whether every log was read from its beginning, or from O(since), to its end. V(null) when not available.
  returned: always
  type: bool
selector:
  description: The labels by which the pods were found.
  returned: always
  type: str
  sample: app=autoclip-api
skipped_sections:
  description: What could not be read.
  returned: always
  type: list
  elements: dict
  contains:
    section:
      description: V(pods), V(containers) or V(logs).
      type: str
    reason:
      description: Which pod and container, and why.
      type: str
    remedy:
      description: What helps.
      type: str
pods_count:
  description: How many pods were found. V(null) when not available, as the other counts.
  returned: always
  type: int
  version_added: 0.7.0
pods_with_errors_count:
  description: In the logs of how many of them errors were found.
  returned: always
  type: int
  version_added: 0.7.0
logs_count:
  description: How many logs they have.
  returned: always
  type: int
  version_added: 0.7.0
unread_count:
  description: How many of these logs could not be read, or not as a whole.
  returned: always
  type: int
  version_added: 0.7.0
pods:
  description: The pods, by name.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
    phase:
      description: Such as V(Running).
      type: str
    ready:
      description: Whether it is ready. V(null) when that is not known.
      type: bool
    node:
      description: The node that it runs on.
      type: str
    restarts:
      description: How often its containers were restarted.
      type: int
logs:
  description: The logs, in the order of the pods and of their containers.
  returned: always
  type: list
  elements: dict
  contains:
    pod:
      description: Name of the pod.
      type: str
    container:
      description: Name of the container.
      type: str
    kind:
      description: V(container), V(init) or V(ephemeral).
      type: str
    previous:
      description: Whether it is the log from before the last restart.
      type: bool
    restarts:
      description: How often the container was restarted.
      type: int
    state:
      description: V(running), V(waiting), V(terminated) or V(unknown).
      type: str
    available:
      description: Whether it could be read. If not, all figures are V(null).
      type: bool
    reason:
      description: Why not.
      type: str
    lines_read:
      description: Lines that were read and looked at.
      type: int
    bytes_read:
      description: Their bytes, with the moment that the node puts in front of each line.
      type: int
    truncated:
      description: Whether there is more than was read.
      type: bool
    truncated_by:
      description: The option that cut it off, V(tail_lines), V(max_bytes) or V(timeout).
      type: str
    error_count:
      description: Errors in what was read.
      type: int
    samples:
      description: The newest of them.
      type: list
      elements: dict
      contains:
        at:
          description: When, ISO 8601 in UTC.
          type: str
        text:
          description: The lines, without what looks like a secret.
          type: str
    lines:
      description: The newest lines, each with its moment, without what looks like a secret.
      type: list
      elements: str
errors:
  description: Errors of all logs together. V(null) when not available.
  returned: always
  type: dict
  contains:
    found_count:
      description: How many there are in what was read.
      type: int
    first_at:
      description: When the first one was, ISO 8601 in UTC.
      type: str
    last_at:
      description: When the last one was.
      type: str
    kinds_count:
      description: How many different messages there are.
      type: int
    top:
      description: The most frequent messages, without what varies from one to the next.
      type: list
      elements: dict
      contains:
        message:
          description: The message.
          type: str
        count:
          description: How often.
          type: int
        example:
          description: The first line of its kind, without what looks like a secret.
          type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.options import kubernetes_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_logs import read_logs
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import WORKLOADS


def argument_spec() -> dict[str, dict[str, Any]]:
    return {
        **kubernetes_argument_spec(),
        "namespace": {"type": "str", "required": True},
        "kind": {"type": "str", "choices": list(WORKLOADS)},
        "name": {"type": "str"},
        "label_selector": {"type": "str"},
        "containers": {"type": "list", "elements": "str", "default": []},
        "previous": {"type": "bool", "default": True},
        "since": {"type": "str"},
        "tail_lines": {"type": "int", "default": 10_000},
        "max_bytes": {"type": "int", "default": 4 * 1024 * 1024},
        "max_pods": {"type": "int", "default": 100},
        "lines": {"type": "int", "default": 20},
        "top": {"type": "int", "default": 10},
        "samples": {"type": "int", "default": 3},
        "timeout": {"type": "float", "default": 120},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        supports_check_mode=True,
        required_one_of=[("name", "label_selector")],
        mutually_exclusive=[("name", "label_selector"), ("kind", "label_selector")],
        required_together=[("kind", "name")],
    )
    try:
        result = read_logs(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
