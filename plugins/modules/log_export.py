#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotated logs in an object store, each read back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: log_export
short_description: Export rotated logs to an object store, and prove each of them
version_added: 0.6.0
description:
  - Sends rotated logs of the classes that are exported to an S3 bucket, compressed, each with its SHA-256, which the
    store compares. Then reads it back, and only then records it.
  - Knows a log by its content, so that one that is renamed or compressed by the next rotation is not sent twice.
  - A file that is damaged, or rotated while it is read, is refused, and the others are exported.
  - Never sends a file that is still written. The log itself is passed over, and so is a rotated file that a process
    holds open for writing.
  - Can be interrupted at any time. Running it again goes on from there. What is already in the store is not sent
    again, what has gone from it is.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.log_store
attributes:
  check_mode:
    support: full
    details:
      - Nothing is sent or recorded. The store is asked whether it still has what was exported.
  diff_mode:
    support: none
options:
  bucket:
    description:
      - The bucket.
    type: str
    required: true
  prefix:
    description:
      - What the keys begin with. Class, host and day follow.
    type: str
    default: logs
  host:
    description:
      - The host's name in the keys. Its own, if not given.
    type: str
  max_bytes:
    description:
      - If more is due, nothing is sent.
    type: int
    default: 53687091200
notes:
  - It needs C(s3:PutObject) and C(s3:GetObject), and C(s3:ListBucket), without which stores do not say that an object
    is not there. A key that may not delete cannot lose what was exported; use object lock for records.
  - One file may have five gibibytes when it is compressed.
seealso:
  - module: runbook.ops.log_retention
"""

EXAMPLES = r"""
- name: Send the records of yesterday away
  runbook.ops.log_export:
    bucket: shop-logs
    region: ap-northeast-2
    classes:
      - name: audit
        paths: [/var/log/shop/audit.log*]
        keep_local: 30d
      - name: security
        paths: [/var/log/auth.log*]
      - name: error
        paths: [/srv/shop/shared/log/production.log*]
        export: true
        redact: true
  become: true
"""

RETURN = r"""
actions:
  description: The files that were sent, in check mode those that would be.
  returned: success, and when the export failed
  type: list
  elements: dict
  contains:
    action:
      description: Always V(export).
      type: str
    object:
      description: The file.
      type: str
    reason:
      description: Why.
      type: str
    class:
      description: Its class.
      type: str
    address:
      description: Where it lies in the store.
      type: str
    bytes:
      description: Its size on the host.
      type: int
    content_sha256:
      description: The SHA-256 of its uncompressed content on the host.
      type: str
    sha256:
      description: The SHA-256 of the object, which was read back. V(null) in check mode.
      type: str
    sent_bytes:
      description: The size of the object. V(null) in check mode.
      type: int
    redacted:
      description: Whether it was redacted.
      type: bool
refused:
  description: Files that are due and were left alone.
  returned: success, and when the export failed
  type: list
  elements: dict
  contains:
    object:
      description: The file.
      type: str
    reason:
      description: Why it was left alone.
      type: str
    remedy:
      description: What to do.
      type: str
before:
  description: What was due.
  returned: success, and when the export failed
  type: dict
  contains:
    due_count:
      description: How many files.
      type: int
    due_bytes:
      description: How large they are.
      type: int
    classes:
      description: Files and bytes by class.
      type: dict
after:
  description: What is left. V(null) in check mode.
  returned: success, and when the export failed
  type: dict
  contains:
    due_count:
      description: How many files.
      type: int
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.log_keeping.export import export, export_argument_spec


def main() -> None:
    module = AnsibleModule(argument_spec=export_argument_spec(), supports_check_mode=True)
    try:
        result = export(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
