#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Auditing who may do what in a cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_rbac_info
short_description: Tell who has dangerous powers in a cluster, by what roles contain
version_added: 0.7.0
description:
  - Reads roles and bindings and tells who may do everything, by what the roles contain and not by what they or their
    bindings are called. Names say nothing; a binding called C(monitoring) can make an administrator.
  - Tells as well who has all verbs on something, who may read Secrets, who may raise their own powers (C(escalate),
    C(bind), C(impersonate), tokens, certificates), who may enter pods, what needs no login at all, what everybody has,
    and which default ServiceAccounts have rights, which every pod gets that names no account.
  - The bindings that Kubernetes and kubeadm themselves write for their own parts are counted and not listed. Whoever
    was put into one of them is listed.
  - Changes nothing, and reads no Secret.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
  - runbook.ops.attributes.actiongroup_k8s
  - runbook.ops.kubernetes
options:
  namespaces:
    description:
      - Look at roles and bindings of these namespaces, beside those of the whole cluster. At all, if empty.
    type: list
    elements: str
    default: []
  expected:
    description:
      - Subjects that have their powers for a reason, such as V(Group platform-admins) or
        V(ServiceAccount argocd/argocd-application-controller). They are listed in RV(rbac.expected) instead. What needs
        no login, what everybody has, and default accounts, are never expected.
    type: list
    elements: str
    default: []
notes:
  - Needs the verb C(list) on C(clusterroles), C(clusterrolebindings), C(roles) and C(rolebindings).
seealso:
  - name: Role Based Access Control Good Practices
    description: What Kubernetes says about it.
    link: https://kubernetes.io/docs/concepts/security/rbac-good-practices/
"""

EXAMPLES = r"""
- name: See who may do everything
  runbook.ops.k8s_rbac_info:
    expected:
      - Group platform-admins
  register: access

- name: Name them
  ansible.builtin.debug:
    msg: "{{ access.rbac.cluster_admins | map(attribute='subject') | unique }}"
  when: access.available
"""

RETURN = r"""
available:
  description: Whether the cluster let its roles and bindings be listed.
  returned: success
  type: bool
reason:
  description: Why not.
  returned: success
  type: str
measured_at:
  description: When, in ISO 8601 UTC.
  returned: success
  type: str
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
rbac:
  description: The lists. Empty when RV(available) is V(false).
  returned: success
  type: dict
  contains:
    cluster_admins:
      description: Who may do everything in the whole cluster.
      type: list
      elements: dict
      contains: &grant
        subject:
          description: Such as V(ServiceAccount shop/api) or V(Group developers).
          type: str
        binding:
          description: The binding.
          type: str
        role:
          description: The role.
          type: str
        scope:
          description: The namespace, or V(the whole cluster).
          type: str
        is_everybody:
          description: Whether every login or every pod has it.
          type: bool
        detail:
          description: What it consists of.
          type: str
    namespace_admins:
      description: Who may do everything in a namespace.
      type: list
      elements: dict
      contains: *grant
    wildcards:
      description: Who has all verbs on something.
      type: list
      elements: dict
      contains: *grant
    secret_readers:
      description:
        - Who may read Secrets that are not named one by one (C(resourceNames)). Who may do everything is not repeated
          here.
      type: list
      elements: dict
      contains: *grant
    escalators:
      description: Who may raise their own powers.
      type: list
      elements: dict
      contains: *grant
    executors:
      description:
        - Who may enter pods or nodes (C(pods/exec), C(pods/attach), C(pods/ephemeralcontainers), C(nodes/proxy)), or
          act as the accounts of a namespace (C(impersonate), C(serviceaccounts/token)), and so has what those have.
          The roles C(edit) and C(admin) of Kubernetes contain it.
      type: list
      elements: dict
      contains: *grant
    anonymous:
      description: What needs no login.
      type: list
      elements: dict
      contains: *grant
    everybody:
      description: Dangerous powers that every login or every pod has. They are never expected.
      type: list
      elements: dict
      contains: *grant
    default_accounts:
      description: Default ServiceAccounts that have any rights.
      type: list
      elements: dict
      contains: *grant
    expected:
      description: The powers of the subjects in O(expected).
      type: list
      elements: dict
      contains: *grant
    dangling:
      description: Bindings to roles that are not there. Whoever makes the role decides what the binding gives.
      type: list
      elements: dict
      contains:
        binding:
          description: The binding.
          type: str
        role:
          description: The role.
          type: str
    is_complete:
      description: Whether roles and bindings of namespaces could be read as well. If not, the lists lack what is there.
      type: bool
    built_in:
      description: How many grants of Kubernetes itself were not listed.
      type: int
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.options import kubernetes_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rbac_info import read_rbac


def argument_spec() -> dict[str, dict[str, Any]]:
    return {
        **kubernetes_argument_spec(),
        "namespaces": {"type": "list", "elements": "str", "default": []},
        "expected": {"type": "list", "elements": "str", "default": []},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = read_rbac(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
