#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Closing an application in Kubernetes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_maintenance
short_description: Close an application in Kubernetes and open it again, by its own flag or by an Ingress beside its own
version_added: 0.7.0
description:
  - With O(flag), sets one key of a ConfigMap that the application reads, and remembers what it was. Other keys stay as
    they are, and no pod is restarted.
  - With O(ingress), puts an Ingress of its own beside that of the application, which sends the paths to a Service that
    answers that it is closed. The application's Ingress is never touched, no configuration is injected into the
    controller, and opening deletes nothing but what was made here.
  - Before anything changes, the server is asked by a dry run, so that an admission webhook speaks up first, and it is
    looked whether users will get to see it - the Service has endpoints that are ready, the hosts are those of an
    Ingress that is there, no older rule with the same path, longer path or regular expression wins, and it is served by
    the same load balancer. The certificates of the application's own Ingress are named in ours, too.
  - Proves nothing by itself. The role P(runbook.ops.maintenance_mode#role) uses it, and asks as users do.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_k8s
  - runbook.ops.kubernetes
attributes:
  check_mode:
    support: full
    details:
      - Decides as always, and asks the server by a dry run whether it would take the change.
  diff_mode:
    support: full
options:
  namespace:
    description:
      - Namespace of the ConfigMap, or of the Ingress and its Service.
    type: str
    required: true
  state:
    description:
      - Whether the application is closed or open.
    type: str
    choices: [closed, open]
    required: true
  flag:
    description:
      - A key of a ConfigMap that the application reads while it runs. An application that has it in a variable sees it
        only after a restart.
    type: dict
    suboptions:
      config_map:
        description:
          - Name of the ConfigMap. It must be there.
        type: str
        required: true
      key:
        description:
          - The key.
        type: str
        required: true
      value:
        description:
          - Its value while the application is closed.
        type: str
        default: "true"
      open_value:
        description:
          - Its value while the application is open, for a flag that somebody else has set. What this module has set is
            remembered in the annotation C(runbook-ops.github.io/maintenance) and put back.
        type: str
  ingress:
    description:
      - An Ingress that is there only while the application is closed.
    type: dict
    suboptions:
      name:
        description:
          - Its name. One of this name that was not made by this module is refused.
        type: str
        default: runbook-maintenance
      hosts:
        description:
          - The hosts, as the application's own Ingress has them, such as V(*.example.com), or an empty one for a rule
            without a host. Another one would take the other paths away from the application.
        type: list
        elements: str
        required: true
      paths:
        description:
          - The paths, with everything below them. A longer path wins over a shorter one, so a part of an application is
            closed by its path alone.
        type: list
        elements: str
        required: true
      service:
        description:
          - The Service that answers 503. It must be there and ready, all the time.
        type: str
        required: true
      port:
        description:
          - Its port.
        type: int
        default: 80
      ingress_class:
        description:
          - The class of the Ingress, as that of the application has it. The cluster's own, if not given. Another class
            than that of the application is refused.
        type: str
      annotations:
        description:
          - Annotations for the controller. Snippets are refused.
        type: dict
        default: {}
      overrides:
        description:
          - Whether O(ingress.annotations) give it precedence over rules with the same or longer paths, as
            C(nginx.ingress.kubernetes.io/canary) with C(canary-weight=100) does for the same path in the same
            namespace, or C(traefik.ingress.kubernetes.io/router.priority). Without that the older rule wins, or
            ingress-nginx denies it, and it is refused.
        type: bool
        default: false
      open_paths:
        description:
          - Paths of other Ingresses below O(ingress.paths) that may stay open. The longer path wins, so others are
            refused.
        type: list
        elements: str
        default: []
  gitops:
    description:
      - What happens when Argo CD or Flux would undo the change of the ConfigMap. V(refuse) fails, V(warn) says so in
        RV(notes), and V(ignore) does not look.
    type: str
    choices: [refuse, warn, ignore]
    default: refuse
notes:
  - Needs the verbs C(get) and C(patch) on C(configmaps) for O(flag). For O(ingress) C(get), C(create), C(patch),
    C(delete) and C(list) on C(ingresses), C(get) on C(services) and C(list) on C(endpointslices).
  - The run can be interrupted at any time. Running the task again goes on from there.
seealso:
  - module: runbook.ops.k8s_park
  - module: runbook.ops.http_probe_info
"""

EXAMPLES = r"""
- name: Close a part of the API
  runbook.ops.k8s_maintenance:
    namespace: autoclip
    state: closed
    ingress:
      hosts: [api.autoclip.example]
      paths: [/api/v1/contents]
      service: maintenance
      ingress_class: nginx

- name: Let the application answer that it is read only
  runbook.ops.k8s_maintenance:
    namespace: autoclip
    state: closed
    flag:
      config_map: autoclip-flags
      key: MAINTENANCE_MODE
"""

RETURN = r"""
actions:
  description: What was done, or would be. In check mode the same list.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(set) for a flag; V(create), V(change) or V(delete) for an Ingress.
      type: str
    object:
      description: The ConfigMap or Ingress.
      type: str
    from:
      description: The flag's value or the closed paths before.
      type: str
    to:
      description: The same afterwards.
      type: str
refused:
  description: Why nothing was changed. Empty on success, because a refusal fails the task.
  returned: success, and when it was refused
  type: list
  elements: dict
  contains:
    object:
      description: The ConfigMap or Ingress.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What helps.
      type: str
before:
  description: How it was found.
  returned: success
  type: dict
  contains: &facts
    closed:
      description: Whether this flag, or this Ingress, closes the application.
      type: bool
    value:
      description: The flag's value, or the closed paths.
      type: str
after:
  description: How it is afterwards. V(null) in check mode.
  returned: success
  type: dict
  contains: *facts
restart_id:
  description:
    - The name of the last change of the flag, for O(runbook.ops.k8s_rollout#module:restart_id) and those who see a flag
      only when they start. So a run that was interrupted before it had restarted them goes on with it.
    - In check mode it is that of the change that would be made. V(null) with O(ingress), and if this module has never
      changed the ConfigMap. It is in the annotation C(runbook-ops.github.io/changed).
  returned: success
  type: str
notes:
  description: What a reader must know.
  returned: success
  type: list
  elements: str
diff:
  description: The same before and after.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.maintenance import CLOSED, OPEN, switch_maintenance
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.options import kubernetes_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.waiting import gitops_argument_spec


def argument_spec() -> dict[str, dict[str, Any]]:
    flag = {
        "config_map": {"type": "str", "required": True},
        # The name of a key, and no secret.
        "key": {"type": "str", "required": True, "no_log": False},
        "value": {"type": "str", "default": "true"},
        "open_value": {"type": "str"},
    }
    ingress = {
        "name": {"type": "str", "default": "runbook-maintenance"},
        "hosts": {"type": "list", "elements": "str", "required": True},
        "paths": {"type": "list", "elements": "str", "required": True},
        "service": {"type": "str", "required": True},
        "port": {"type": "int", "default": 80},
        "ingress_class": {"type": "str"},
        "annotations": {"type": "dict", "default": {}},
        "overrides": {"type": "bool", "default": False},
        "open_paths": {"type": "list", "elements": "str", "default": []},
    }
    return {
        **kubernetes_argument_spec(),
        "namespace": {"type": "str", "required": True},
        "state": {"type": "str", "required": True, "choices": [CLOSED, OPEN]},
        "flag": {"type": "dict", "options": flag},
        "ingress": {"type": "dict", "options": ingress},
        **gitops_argument_spec(),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[("flag", "ingress")],
        required_one_of=[("flag", "ingress")],
        supports_check_mode=True,
    )
    try:
        result = switch_maintenance(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
