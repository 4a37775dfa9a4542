#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Setting keys of a Secret."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_secret
short_description: Set keys of a Secret of Kubernetes, and leave the others as they are
version_added: 0.7.0
description:
  - Patches the keys that are named, and nothing else. The Secret is never deleted and made again, so there is no moment
    without it, and its other keys, labels and annotations stay.
  - Refuses an empty value, which is what a lookup gives that found nothing, a Secret that is not there unless
    O(create=true), one that is immutable, and one that something else writes, such as an ExternalSecret, Argo CD or
    Flux.
  - Never shows a value, neither in results nor in diffs nor in messages of the server.
  - Tells which workloads refer to what was changed, and which of them see it only when they are started again. It
    restarts none. Do that with M(runbook.ops.k8s_rollout), as the example does.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_k8s
  - runbook.ops.kubernetes
  - runbook.ops.kubernetes.gitops
attributes:
  check_mode:
    support: full
    details:
      - Compares as always, and asks the server by a dry run whether it would take the change.
  diff_mode:
    support: full
    details:
      - Shows the names of the keys, and which of them are added, changed or removed.
options:
  namespace:
    description:
      - Namespace of the Secret.
    type: str
    required: true
  name:
    description:
      - Name of the Secret.
    type: str
    required: true
  data:
    description:
      - The keys and their values, as text.
    type: dict
  encoded:
    description:
      - Whether the values of O(data) are in Base64 already, as binary ones have to be.
    type: bool
    default: false
  absent_keys:
    description:
      - Keys to remove. No other way removes one.
    type: list
    elements: str
    default: []
  create:
    description:
      - Whether a Secret that is not there is made. If not, it is refused, because it is a wrong name most of the time.
    type: bool
    default: false
  type:
    description:
      - The type of a Secret that is made. That of one that is there cannot be changed.
    type: str
    default: Opaque
notes:
  - Needs the verbs C(get) and C(patch) on C(secrets), C(create) with O(create=true), and C(list) on C(deployments),
    C(statefulsets), C(daemonsets) and C(cronjobs) for RV(used_by).
  - The run can be interrupted at any time. Running the task again goes on from there.
seealso:
  - module: runbook.ops.k8s_rollout
  - module: kubernetes.core.k8s
"""

EXAMPLES = r"""
- name: Give the shop its new password of the database
  runbook.ops.k8s_secret:
    namespace: storebridge
    name: storebridge-secrets
    data:
      DB_PASSWORD: "{{ new_password }}"
  register: secret

- name: Restart who has it in a variable, and was not restarted for this change, one after the other
  runbook.ops.k8s_rollout:
    namespace: storebridge
    kind: "{{ item.kind }}"
    name: "{{ item.name }}"
    state: restarted
    restart_id: "{{ secret.restart_id }}"
  loop: "{{ secret.used_by | selectattr('needs_restart') }}"
  loop_control:
    label: "{{ item.kind }} {{ item.name }}"
  when: secret.restart_id is not none
"""

RETURN = r"""
actions:
  description: What was done, or would be. In check mode the same list.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(add), V(change) or V(remove).
      type: str
    object:
      description: The Secret.
      type: str
    key:
      description: The name of the key.
      type: str
refused:
  description: Why nothing was changed. Empty on success, because a refusal fails the task.
  returned: success, and when it was refused
  type: list
  elements: dict
  contains:
    object:
      description: The Secret.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What helps.
      type: str
before:
  description: The Secret as it was found, without its values.
  returned: success
  type: dict
  contains: &facts
    exists:
      description: Whether it is there.
      type: bool
    type:
      description: Its type.
      type: str
    keys:
      description: The names of its keys.
      type: list
      elements: str
    resource_version:
      description: Its version, which is another one after every change.
      type: str
after:
  description: The same afterwards. V(null) in check mode.
  returned: success
  type: dict
  contains: *facts
restart_id:
  description:
    - The name of the last change that this module made to the Secret, for O(runbook.ops.k8s_rollout#module:restart_id).
      So a run that was interrupted before it had restarted everything goes on with those that are left.
    - In check mode it is that of the change that would be made. V(null) if there was never one. It is in the annotation
      C(runbook-ops.github.io/changed).
  returned: success
  type: str
used_by:
  description:
    - The workloads of the namespace that refer to a key that is named, or to all of them.
    - V(null) when they cannot be listed.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: The kind in lower case.
      type: str
    name:
      description: Its name.
      type: str
    where:
      description: The variables and volumes.
      type: list
      elements: str
    needs_restart:
      description: Whether its pods keep the old value until they are started again.
      type: bool
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
notes:
  description: What a reader must know.
  returned: success
  type: list
  elements: str
diff:
  description: The names of the keys before and after, and what becomes of each.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.options import kubernetes_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.secret import change_secret
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.waiting import gitops_argument_spec


def argument_spec() -> dict[str, dict[str, Any]]:
    return {
        **kubernetes_argument_spec(),
        "namespace": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "data": {"type": "dict", "no_log": True},
        "encoded": {"type": "bool", "default": False},
        "absent_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "create": {"type": "bool", "default": False},
        "type": {"type": "str", "default": "Opaque"},
        **gitops_argument_spec(),
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = change_secret(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
