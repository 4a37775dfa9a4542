#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing back what a cluster was told."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_restore
short_description: Bring the objects of namespaces back from a backup, and nothing more than what is missing
version_added: 0.7.0
description:
  - Reads a backup of M(runbook.ops.k8s_backup) again, holds its bytes, its content and its objects against its
    manifest, decrypts it if it is encrypted, and brings back what it has, in the order of applying.
  - What is missing is made. What is there and differs stays, and is named in RV(kept), unless O(existing=replace) says
    otherwise. Secrets that are there stay in any case, because they may have been rotated since, unless
    O(secrets=replace) says so.
  - What a controller, an operator or a Git repository makes is refused, because it would undo what is done here.
  - Asks the server by dry runs before anything is changed. An object that the server does not take is refused, and the
    others are brought back. Every object is made or changed in one request, so that a run that is killed leaves nothing
    half done, and the next one goes on from there.
  - Names the Secrets that workloads of the backup need and that are neither in the cluster nor in the backup.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_k8s
  - runbook.ops.guards.dated
  - runbook.ops.guards
  - runbook.ops.kubernetes
  - runbook.ops.kubernetes.gitops
  - runbook.ops.backup_decryption
  - runbook.ops.objects_backup
attributes:
  check_mode:
    support: full
    details:
      - The backup is read and proven, and the server rehearses every change by a dry run. What goes into a namespace
        that is not there yet cannot be rehearsed, which RV(notes) says.
  diff_mode:
    support: full
    details:
      - Shows objects, never their values. RV(actions) names the fields that change.
options:
  namespaces:
    description:
      - Only what is in these namespaces, and the namespaces themselves. All that the backup has, if empty.
    type: list
    elements: str
    default: []
  kinds:
    description:
      - Only objects of these kinds, such as V(Deployment), in any case. All, if empty.
    type: list
    elements: str
    default: []
  existing:
    description:
      - What happens to an object that is there and differs from the backup. With V(keep) it stays as it is, with
        V(replace) it is taken back to what the backup has.
    type: str
    choices: [keep, replace]
    default: keep
  secrets:
    description:
      - The same for Secrets. With V(replace) a password that was changed since is the old one again.
    type: str
    choices: [keep, replace]
    default: keep
notes:
  - Needs the verbs C(get) on every kind of the backup, C(create) on what is missing, C(list) on C(secrets), C(get) on
    C(persistentvolumes) for claims, and C(patch) on what is there and differs. Without the last, an object counts as
    different that only lacks what the server would fill in.
  - A PersistentVolumeClaim whose volume is not there gets a new and empty one. Its data come from their own backup.
  - Whether the pods come up is not waited for. M(runbook.ops.k8s_health_info) says it.
seealso:
  - module: runbook.ops.k8s_backup
  - module: runbook.ops.k8s_backup_verify
"""

EXAMPLES = r"""
- name: See what an empty cluster would get
  runbook.ops.k8s_restore:
    repository: /var/backups/kubernetes
    name_pattern: storebridge-objects-%Y%m%d-%H%M%S.yaml.age
    decryption:
      identity_file: /etc/recovery/age.key
  check_mode: true

- name: Bring back the autoscalers that somebody has deleted or changed
  runbook.ops.k8s_restore:
    repository: /var/backups/kubernetes
    name_pattern: storebridge-objects-%Y%m%d-%H%M%S.yaml.age
    decryption:
      identity_file: /etc/recovery/age.key
    kinds: [HorizontalPodAutoscaler]
    existing: replace
"""

RETURN = r"""
actions:
  description: What was done, or would be, in this order; on failure, what was done.
  returned: success, and when it failed on the way
  type: list
  elements: dict
  contains:
    action:
      description: V(create) or V(replace).
      type: str
    object:
      description: Kind, namespace and name.
      type: str
      sample: Deployment shop/web
    fields:
      description: With V(replace), the fields that change, never their values.
      type: list
      elements: str
refused:
  description: What was left alone although it is due.
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
kept:
  description: What is there, differs from the backup, and stays.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The object.
      type: str
    reason:
      description: Why, with the option.
      type: str
    fields:
      description: The fields that differ, never their values.
      type: list
      elements: str
missing_secrets:
  description: Secrets that workloads need and that nobody has.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The Secret.
      type: str
    keys:
      description: The keys that are asked for by name.
      type: list
      elements: str
    needed_by:
      description: The workloads.
      type: list
      elements: str
    reason:
      description: Both in words.
      type: str
backup:
  description: The backup.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
    address:
      description: Its file.
      type: str
    taken_at:
      description: When it was taken, ISO 8601 in UTC.
      type: str
    cluster:
      description: The address of the API server that it is from.
      type: str
    objects:
      description: How many objects it has.
      type: int
before:
  description: How many objects of the backup were missing, different or the same before.
  returned: success
  type: dict
  contains: &counts
    missing:
      description: Those that are not there.
      type: int
    different:
      description: Those that are there, and are not as the backup has them.
      type: int
    same:
      description: Those that are as the backup has them.
      type: int
after:
  description: The same afterwards, read again. V(null) in check mode.
  returned: success
  type: dict
  contains: *counts
notes:
  description: What a reader must know.
  returned: success
  type: list
  elements: str
diff:
  description: The objects that change, before and after.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import guard_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.objects_restore import (
    restore_argument_spec,
    restore_objects,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.options import kubernetes_argument_spec


def argument_spec() -> dict[str, dict[str, Any]]:
    return {**kubernetes_argument_spec(), **guard_argument_spec(), **restore_argument_spec()}


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = restore_objects(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        error.details.pop("warnings", None)
        module.fail_json(msg=error.message, **error.details)
    for each in result.pop("warnings"):
        module.warn(each)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
