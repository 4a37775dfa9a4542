#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Growing a PersistentVolumeClaim."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_volume_claim
short_description: Grow a PersistentVolumeClaim of Kubernetes, and wait until the file system has the size
version_added: 0.6.0
description:
  - Changes one field of the claim, the storage that it requests. The storage's driver grows the volume, so nothing is
    done at the cloud's own interface, where a second growth of the same volume may be refused for hours.
  - Compares the size with what is requested and with what the claim has. A claim that has the size is left alone, in
    whatever notation it is written, and a growth that is under way is waited for, not asked for again.
  - Refuses to shrink, to grow beyond O(max_size), to grow a claim without a StorageClass that allows it, and to grow
    further while a growth is under way. Nothing is deleted or created, and no pod is restarted.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_k8s
  - runbook.ops.kubernetes
  - runbook.ops.kubernetes.wait
attributes:
  check_mode:
    support: full
    details:
      - Reads the claim and its StorageClass, decides in the same way, and asks the server by a dry run whether it would
        take the change, so that a quota speaks up, too.
  diff_mode:
    support: full
options:
  namespace:
    description:
      - Namespace of the claim.
    type: str
    required: true
  name:
    description:
      - Name of the claim.
    type: str
    required: true
  size:
    description:
      - How large it shall be, such as V(200Gi), as Kubernetes writes it.
    type: str
    required: true
  max_size:
    description:
      - Refuses a larger O(size). A volume that has grown cannot shrink. No limit, if not given.
    type: str
  wait:
    description:
      - Whether to wait until the claim has the size.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait. The task fails when they are over. What was asked for stays asked for then, and running the
        task again waits on.
    type: float
    default: 600
  filesystem_timeout:
    description:
      - Seconds to wait for the file system when the volume has grown already (condition C(FileSystemResizePending)).
        Most storage grows it while it is in use. When it has not happened by then, RV(needs_pod_restart) is V(true).
    type: float
    default: 120
notes:
  - Needs the verbs C(get) and C(patch) on C(persistentvolumeclaims), C(get) on C(storageclasses), and C(list) on
    C(pods) in order to name the pods that have to be restarted.
  - The run can be interrupted at any time. Running the task again goes on from there.
seealso:
  - module: kubernetes.core.k8s
  - name: Expanding Persistent Volumes Claims
    description: What Kubernetes says about it.
    link: https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims
"""

EXAMPLES = r"""
- name: Grow the volume of the database, by no means beyond 500 GiB
  runbook.ops.k8s_volume_claim:
    namespace: storebridge
    name: postgres-pvc
    size: 200Gi
    max_size: 500Gi
  register: volume

- name: Say which pods have to be restarted before the database sees the space
  ansible.builtin.debug:
    msg: "Restart {{ volume.pods | map(attribute='name') | join(', ') }} in a quiet hour."
  when: volume.needs_pod_restart
"""

RETURN = r"""
needs_pod_restart:
  description:
    - Whether the volume has grown, and its file system will only when the pods in RV(pods) are started again.
    - A claim that no pod uses needs none. The next pod gets the whole size.
  returned: success
  type: bool
pods:
  description: The pods that have to be restarted. V(null) when there may be some and they cannot be listed.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the pod.
      type: str
    node:
      description: The node that it runs on.
      type: str
    owner:
      description: What it belongs to.
      type: str
      sample: StatefulSet/postgres
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
actions:
  description: What was done, or would be. In check mode the same list.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: Always V(grow).
      type: str
    claim:
      description: Namespace and name.
      type: str
    from:
      description: What was requested before.
      type: str
    to:
      description: What is requested now.
      type: str
refused:
  description: Why nothing was changed. Empty on success, because a refusal fails the task.
  returned: success, and when it was refused
  type: list
  elements: dict
  contains:
    object:
      description: The claim.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What helps.
      type: str
before:
  description: The claim as it was found.
  returned: success
  type: dict
  contains: &figures
    phase:
      description: Such as V(Bound).
      type: str
    requested:
      description: What it asks for.
      type: str
      sample: 100Gi
    requested_bytes:
      description: The same in bytes.
      type: int
    capacity:
      description: What it has.
      type: str
    capacity_bytes:
      description: The same in bytes.
      type: int
    storage_class:
      description: Its StorageClass.
      type: str
    volume:
      description: Its PersistentVolume.
      type: str
    conditions:
      description: What Kubernetes says about a growth that is under way.
      type: list
      elements: dict
      contains:
        type:
          description: Such as V(Resizing) or V(FileSystemResizePending).
          type: str
        message:
          description: Its text.
          type: str
after:
  description: The same afterwards. V(null) in check mode.
  returned: success
  type: dict
  contains: *figures
diff:
  description: What is requested, before and after.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.growth import grow_claim
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.options import kubernetes_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.waiting import wait_argument_spec


def argument_spec() -> dict[str, dict[str, Any]]:
    return {
        **kubernetes_argument_spec(),
        "namespace": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "size": {"type": "str", "required": True},
        "max_size": {"type": "str"},
        **wait_argument_spec(),
        "filesystem_timeout": {"type": "float", "default": 120},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = grow_claim(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
