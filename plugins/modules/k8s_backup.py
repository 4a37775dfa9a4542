#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backing up what a cluster was told."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_backup
short_description: Back up the objects of namespaces as manifests that can be applied
version_added: 0.7.0
description:
  - Reads every object of the namespaces that somebody wanted, also those that C(kubectl get all) leaves out, and what
    of the whole cluster belongs to them - the bindings of their ServiceAccounts, and the roles that are given.
  - Writes them as one file of YAML in the order of applying, without anything that the server, a controller or a node
    wrote, as P(runbook.ops.k8s_manifest#filter) says. It can be applied to this cluster or to an empty one.
  - Secrets are in it only if it is encrypted. If not, they are left out, and named in RV(left_out) with the names of
    their keys. What looks like a secret in plain text elsewhere, such as a password in the environment of a container,
    is refused then.
  - Proves the file by reading it again before it gets its name. Its manifest, C(<name>.manifest.json), with the number
    of objects of every kind and the checksums comes last. What has no manifest is no backup, so a run that fails or is
    killed leaves nothing that looks like one, and the next run removes what it left.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_k8s
  - runbook.ops.guards.dated
  - runbook.ops.guards
  - runbook.ops.kubernetes
  - runbook.ops.backup_encryption
attributes:
  check_mode:
    support: full
    details:
      - Everything is read, and what would be refused is refused. Nothing is written.
  diff_mode:
    support: full
options:
  namespaces:
    description:
      - The namespaces.
    type: list
    elements: str
    required: true
  kinds:
    description:
      - The kinds of objects, in lower case. Neither pods nor Jobs are among them unless they are named. Those of a
        workload are made by it, and a Job that is applied runs again.
    type: list
    elements: str
    default:
      - resourcequota
      - limitrange
      - serviceaccount
      - role
      - rolebinding
      - networkpolicy
      - configmap
      - secret
      - persistentvolumeclaim
      - service
      - deployment
      - statefulset
      - daemonset
      - horizontalpodautoscaler
      - poddisruptionbudget
      - ingress
      - cronjob
  custom_resources:
    description:
      - Further kinds by plural and group, such as V(scaledobjects.keda.sh). Of kinds of the whole cluster every object
        is taken.
    type: list
    elements: str
    default: []
  repository:
    description:
      - The directory of the host that executes the module which backups lie in. It is made for its owner only, if it
        is not there. M(runbook.ops.backup_copy) sends them on.
    type: path
    required: true
  name_pattern:
    description:
      - The naming rule, such as V(storebridge-objects-%Y%m%d-%H%M%S.yaml), or V(….yaml.age) for encrypted ones. See
        M(runbook.ops.backup_info).
      - A name that is taken is refused, not overwritten.
    type: str
    required: true
  plain_secrets:
    description:
      - What happens when something looks like a secret in plain text, outside of a Secret, and the backup is not
        encrypted. With V(refuse) the task fails and says where it is, but never what. With V(keep) it is taken along.
    type: str
    choices: [refuse, keep]
    default: refuse
  max_age:
    description:
      - Take no backup when the newest one in O(repository) is not older than this, such as V(20h).
    type: str
notes:
  - Needs the verbs C(get) on C(namespaces) and C(list) on every kind. A kind that must not be listed fails the task,
    because a backup without it is not what was asked for. Only C(clusterroles) and C(clusterrolebindings) may be
    missing.
  - To bring it back, decrypt it if it is encrypted, look at what would change with C(kubectl diff -f), and apply it
    with M(kubernetes.core.k8s) or C(kubectl apply -f). Applying it takes every object back to the moment of the backup.
    Leave out the Secrets where they have been changed since, as the second example does.
  - PersistentVolumeClaims come without their data, and name the volume that they had.
seealso:
  - plugin: runbook.ops.k8s_manifest
    plugin_type: filter
  - module: runbook.ops.backup_copy
  - module: kubernetes.core.k8s
"""

EXAMPLES = r"""
- name: Back up the objects of the shop, its Secrets encrypted for the recovery key
  runbook.ops.k8s_backup:
    namespaces: [storebridge]
    custom_resources: [scaledobjects.keda.sh, certificates.cert-manager.io]
    repository: /var/backups/kubernetes
    name_pattern: storebridge-objects-%Y%m%d-%H%M%S.yaml.age
    encryption:
      method: age
      recipients:
        - age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kdstnkqmqr6tqhd

- name: Bring back everything but the Secrets, which have been changed since
  kubernetes.core.k8s:
    apply: true
    definition: "{{ objects | rejectattr('kind', 'eq', 'Secret') | list }}"
  vars:
    objects: "{{ lookup('ansible.builtin.file', 'storebridge-objects.yaml') | from_yaml_all }}"
"""

RETURN = r"""
actions:
  description: What is done, in this order; the same in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(export), V(encrypt) or V(publish).
      type: str
    object:
      description: The cluster, or the file.
      type: str
    reason:
      description: What it consists of.
      type: str
refused:
  description: Always empty; what is refused fails the task, because there is only one thing to do.
  returned: success
  type: list
  elements: dict
before:
  description: The newest backup before.
  returned: success
  type: dict
  contains: &newest
    name:
      description: Its name; null if there is none.
      type: str
    path:
      description: Its file.
      type: str
    taken_at:
      description: When reading began, ISO 8601 in UTC.
      type: str
    bytes:
      description: Its size.
      type: int
    verdict:
      description: V(verified) if it was read again, V(error) if it is encrypted and only its checksum was compared.
      type: str
after:
  description: The newest backup afterwards. V(null) in check mode.
  returned: success
  type: dict
  contains: *newest
backup:
  description: The new backup, as its manifest has it. V(null) if none was taken, and in check mode.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
    address:
      description: Its file.
      type: str
    manifest:
      description: The file of its manifest.
      type: str
    taken_at:
      description: When reading began, ISO 8601 in UTC.
      type: str
    cluster:
      description: The address of the API server.
      type: str
    version:
      description: The version of Kubernetes; V(null) if the server does not say.
      type: str
    namespaces:
      description: The namespaces.
      type: list
      elements: str
    objects:
      description: How many objects are in it.
      type: int
    kinds:
      description: How many of every kind.
      type: dict
    encryption:
      description: Method and public keys of the encryption; V(null) without.
      type: dict
    bytes:
      description: Its size.
      type: int
    sha256:
      description: Its SHA-256.
      type: str
    content_sha256:
      description: The SHA-256 of what was encrypted.
      type: str
    verification:
      description: How it was proven, with C(verdict), C(level), C(wanted_level), C(reason), C(levels) and C(notes).
      type: dict
secrets:
  description: V(included), V(left_out) because the backup is not encrypted, or V(none) if the namespaces have none.
    V(null) if no backup was due.
  returned: success
  type: str
left_out:
  description: Objects that are not in it.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: Kind, namespace and name.
      type: str
    reason:
      description: Why.
      type: str
    keys:
      description: Of a Secret, the names of its keys.
      type: list
      elements: str
skipped_sections:
  description: Kinds that could not be read.
  returned: success
  type: list
  elements: dict
  contains:
    section:
      description: The kind.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What helps.
      type: str
plain_secrets:
  description: What looks like a secret in plain text, by its place.
  returned: when the backup was refused because of it
  type: list
  elements: str
notes:
  description: What a reader must know.
  returned: success
  type: list
  elements: str
diff:
  description: The newest backup before and after.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import guard_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.backup import backup_argument_spec, take_backup
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.options import kubernetes_argument_spec


def argument_spec() -> dict[str, dict[str, Any]]:
    return {**kubernetes_argument_spec(), **guard_argument_spec(), **backup_argument_spec()}


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = take_backup(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
