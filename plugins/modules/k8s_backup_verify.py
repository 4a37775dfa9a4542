#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proving what a cluster was told."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_backup_verify
short_description: Prove a backup of the objects of a cluster, and remember it beside the backup
version_added: 0.7.0
description:
  - Reads a backup of M(runbook.ops.k8s_backup) to its end, decrypts it if it is encrypted, and holds it against its
    manifest - the bytes, the content, and the objects of every kind. Each object must be as it can be applied, without
    anything that a server wrote.
  - The verdict is V(verified), V(failed) when the backup is bad, or V(error) when that cannot be told, because a key is
    missing. Only V(verified) is good.
  - What was found is kept beside the backup (C(<name>.verified.json)), where M(runbook.ops.backup_info) and
    M(runbook.ops.backup_prune) read it.
  - Needs no cluster. Whether a cluster takes the objects is what M(runbook.ops.k8s_restore) says in check mode.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.backup_decryption
  - runbook.ops.objects_backup
attributes:
  check_mode:
    support: full
    details:
      - Everything is read and judged, and no record is written.
  diff_mode:
    support: full
options:
  timezone:
    description:
      - The time zone of dates in names, as IANA calls it.
    type: str
    default: UTC
  max_age:
    description:
      - How old it may be, such as V(26h). Any age, if not given.
    type: str
  reference_time:
    description:
      - The moment that counts as now for the age, ISO 8601 with time zone. Now, if not given.
    type: str
seealso:
  - module: runbook.ops.k8s_backup
  - module: runbook.ops.k8s_restore
"""

EXAMPLES = r"""
- name: Prove the newest backup of the cluster's objects
  runbook.ops.k8s_backup_verify:
    repository: /var/backups/kubernetes
    name_pattern: storebridge-objects-%Y%m%d-%H%M%S.yaml.age
    decryption:
      identity_file: /etc/recovery/age.key
    max_age: 26h
"""

RETURN = r"""
artefact:
  description: The backup, and how far it is proven.
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
    age_seconds:
      description: How old it is.
      type: int
    objects:
      description: How many objects it has, as its manifest says.
      type: int
    verdict:
      description: V(verified), V(failed) or V(error).
      type: str
    level:
      description: The last level that was reached.
      type: str
    wanted_level:
      description: The level that makes it verified.
      type: str
    reason:
      description: Why it is not verified. V(null) if it is.
      type: str
    levels:
      description: What came of V(fresh), V(bytes) and V(objects).
      type: list
      elements: dict
    notes:
      description: What a reader must know.
      type: list
      elements: str
actions:
  description: The record that was written, or would be, if something else is known of it than before.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(record).
      type: str
    object:
      description: The file of the record.
      type: str
    reason:
      description: The verdict that it holds.
      type: str
refused:
  description: Always empty.
  returned: success
  type: list
  elements: dict
before:
  description: The verdict that was on record before.
  returned: success
  type: dict
  contains: &verdict
    verdict:
      description: The verdict. V(null) if there is none.
      type: str
after:
  description: The same afterwards. V(null) in check mode if it would change.
  returned: success
  type: dict
  contains: *verdict
diff:
  description: Both.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.objects_verify import (
    verify_argument_spec,
    verify_objects,
)


def argument_spec() -> dict[str, dict[str, Any]]:
    return verify_argument_spec()


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = verify_objects(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
