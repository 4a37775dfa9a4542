#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deleted and overwritten objects brought back, without ever deleting a version."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_undelete
short_description: Bring back deleted or overwritten objects of a bucket with versions
version_added: 0.4.0
description:
  - Brings deleted objects back by removing the delete markers that hide them, and overwritten ones by copying an older
    version over the current one.
  - Never deletes a version that holds data. Right before a delete marker is removed, by its own id, the store is asked
    whether that id is a delete marker and the latest entry of its key at this moment. The command that people use for
    it, C(aws s3api delete-object --version-id), does the same to whatever the id belongs to; with that of a version,
    the version is gone for ever.
  - Follows every page of a listing. If more objects are due than O(max_objects), or more entries have to be looked at
    than O(max_keys), the task fails and nothing was touched.
  - Brings an object back that was deleted several times, by removing all the delete markers above its newest version.
    Markers that have been superseded, because the object was written again later, are left alone.
  - Several objects are dealt with side by side. What fails for one object is in RV(refused), and the others go on.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_aws
  - runbook.ops.guards
  - runbook.ops.object_store
attributes:
  check_mode:
    support: full
    details:
      - Nothing is changed. RV(actions) are those that the run carries out, and what would be refused is refused.
  diff_mode:
    support: full
options:
  bucket:
    description:
      - The bucket. Its versioning must be on; where it is suspended, the task fails and nothing is touched.
    type: str
    required: true
  prefix:
    description:
      - Only keys that begin with this. An empty text means the whole bucket.
    type: str
    default: ""
  mode:
    description:
      - With V(deleted), objects whose latest entry is a delete marker come back as they were when they were deleted.
      - With V(version), objects that were overwritten or deleted since O(before) get the content that they had then, as
        a new version. All others stay, too, so that this can be undone. Objects that did not exist at that moment are
        left alone.
    type: str
    choices: [deleted, version]
    default: deleted
  before:
    description:
      - With O(mode=version), the moment before everything was well, ISO 8601 with timezone, such as
        V(2026-01-31T09:00:00+09:00). The newest version that was written before it comes back.
    type: str
  deleted_since:
    description:
      - With O(mode=deleted), only objects that were deleted at this moment or later, ISO 8601 with timezone. Of an
        object that was deleted several times, the first one counts, since which it has been away.
    type: str
  pattern:
    description:
      - Only keys that match one of these patterns with C(*), which includes slashes, C(?) and C([…]).
    type: list
    elements: str
    default: []
  markers:
    description:
      - With O(mode=deleted), only these delete markers, as C(list-object-versions) shows them. One that is a version
        with data in fact is refused.
    type: list
    elements: dict
    default: []
    suboptions:
      key:
        description:
          - The object.
        type: str
        required: true
      version_id:
        description:
          - The id of the delete marker.
        type: str
        required: true
  max_objects:
    description:
      - How many objects may be brought back. If more are due, the task fails and nothing is touched.
    type: int
    default: 1000
  max_keys:
    description:
      - How many versions and delete markers may be looked at. If there are more, the task fails and nothing is touched.
    type: int
    default: 1000000
notes:
  - Needs the permissions C(s3:ListBucket), C(s3:GetBucketVersioning), C(s3:ListBucketVersions) and C(s3:GetObject);
    C(s3:DeleteObjectVersion) for O(mode=deleted); C(s3:GetObjectVersion), C(s3:GetObjectVersionTagging),
    C(s3:PutObject) and C(s3:PutObjectTagging) for O(mode=version). A bucket with MFA delete lets only its owner remove
    delete markers.
  - A copy has the metadata C(runbook-copy-of), the id of the version it is a copy of, so that a second run knows it.
  - Versions in an archive, and those above 5 GiB, cannot be copied in one request and are refused.
seealso:
  - module: runbook.ops.s3_prefix_info
  - module: amazon.aws.s3_object
"""

EXAMPLES = r"""
- name: See what was deleted below a prefix since this morning
  runbook.ops.s3_undelete:
    region: ap-northeast-2
    bucket: shop-content
    prefix: videos/content-123/
    deleted_since: "2026-01-31T09:00:00+09:00"
  check_mode: true
  register: deleted

- name: Bring it back
  runbook.ops.s3_undelete:
    region: ap-northeast-2
    bucket: shop-content
    prefix: videos/content-123/
    deleted_since: "2026-01-31T09:00:00+09:00"
    max_objects: "{{ deleted.actions | length }}"

- name: Remove one delete marker, and nothing if it is not one
  runbook.ops.s3_undelete:
    region: ap-northeast-2
    bucket: shop-content
    markers:
      - key: videos/content-123/original.mp4
        version_id: 3HL4kqtJlcpXroDTDmjVBH40Nrjfkd

- name: Get back what a faulty job has written over
  runbook.ops.s3_undelete:
    endpoint_url: https://minio.example.com:9000
    access_key: recovery
    secret_key: "{{ minio_secret_key }}"
    bucket: shop-content
    prefix: thumbnails/
    pattern: ["*.jpg"]
    mode: version
    before: "2026-01-31T02:00:00+09:00"
"""

RETURN = r"""
actions:
  description: What is done, one entry an object. The same in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(remove_delete_marker) or V(copy_version).
      type: str
    object:
      description: The key.
      type: str
    version_id:
      description: The version that is back.
      type: str
    written_at:
      description: When it was written, ISO 8601 in UTC.
      type: str
    bytes:
      description: Its size.
      type: int
    delete_markers:
      description: The ids of the delete markers that are removed, newest first.
      type: list
      elements: str
    deleted_at:
      description: When the object was deleted, ISO 8601 in UTC. V(null) when it is copied.
      type: str
    replaced_version_id:
      description: The version that the copy takes the place of, and that stays. V(null) when the object was deleted.
      type: str
refused:
  description: Objects that could not be brought back. By default the task fails over them, see O(on_refusal).
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The key.
      type: str
    reason:
      description: Why not.
      type: str
    remedy:
      description: What to do.
      type: str
before:
  description: What was below the prefix, of the keys that match.
  returned: success
  type: dict
  contains: &figures
    objects:
      description: Objects that are there.
      type: int
    deleted:
      description: Objects that are hidden by a delete marker.
      type: int
    due:
      description: Objects that are to be brought back.
      type: int
after:
  description: The same, counted again afterwards. V(null) in check mode.
  returned: success
  type: dict
  contains: *figures
bucket:
  description: The bucket.
  returned: success
  type: str
versioning:
  description: The versioning state of the bucket, V(enabled).
  returned: success
  type: str
diff:
  description: The objects that are brought back, one a line, as they were and as they are.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import guard_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.object_store.options import object_store_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.object_store.undelete.plan import DELETED, MODES
from ansible_collections.runbook.ops.plugins.module_utils.object_store.undelete.run import undelete


def argument_spec() -> dict[str, Any]:
    return {
        **object_store_argument_spec(),
        **guard_argument_spec(),
        "bucket": {"type": "str", "required": True},
        "prefix": {"type": "str", "default": ""},
        "mode": {"type": "str", "choices": list(MODES), "default": DELETED},
        "before": {"type": "str"},
        "deleted_since": {"type": "str"},
        "pattern": {"type": "list", "elements": "str", "default": []},
        "markers": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                # An object's key is a name, not a secret.
                "key": {"type": "str", "required": True, "no_log": False},
                "version_id": {"type": "str", "required": True},
            },
        },
        "max_objects": {"type": "int", "default": 1000},
        "max_keys": {"type": "int", "default": 1_000_000, "no_log": False},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = undelete(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
