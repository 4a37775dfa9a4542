#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies below prefixes of a bucket, versions and unfinished uploads included."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_prefix_info
short_description: Count what lies below prefixes of an S3 bucket, everything that is paid for included
version_added: 0.1.0
description:
  - Counts objects and bytes below one or more prefixes, with the newest, the oldest and the largest object, and what a
    plain listing does not show - noncurrent versions, delete markers and the parts of unfinished multipart uploads.
  - Follows every page of a listing, so a figure is either complete or marked with RV(prefixes[].complete=false); it is
    never the first 1000 keys.
  - Several prefixes are listed side by side. Memory use does not depend on the number of objects.
  - Works with Amazon S3 and with stores that speak its language, such as MinIO and Ceph.
  - A store that is down or refuses the keys gives RV(available=false), not a failure.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
  - runbook.ops.attributes.actiongroup_aws
  - runbook.ops.object_store
options:
  bucket:
    description:
      - The bucket of every entry of O(prefixes) that does not name its own.
    type: str
  prefixes:
    description:
      - What to count. Without it, the whole O(bucket).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - How the result and findings call it. V(bucket/prefix), if not given.
        type: str
      bucket:
        description:
          - The bucket, if it is not O(bucket).
        type: str
      prefix:
        description:
          - Only keys that begin with this. An empty text means the whole bucket.
        type: str
        default: ""
  max_keys:
    description:
      - How many keys (objects, versions and delete markers together) to count for each prefix, and how many unfinished
        uploads. What is beyond is not counted, and RV(prefixes[].complete) is V(false) then.
      - A store lists 1000 keys per request.
    type: int
    default: 1000000
  timeout:
    description:
      - Seconds for everything together. When they are over, what was seen is returned, with
        RV(prefixes[].complete=false).
    type: float
    default: 120
  workers:
    description:
      - How many prefixes to list side by side, from 1 to 32.
    type: int
    default: 8
  reference_time:
    description:
      - The moment ages are counted from, ISO 8601 with timezone. Now, if not given.
    type: str
notes:
  - Needs the permissions C(s3:ListBucket), C(s3:GetBucketVersioning), C(s3:ListBucketVersions),
    C(s3:ListBucketMultipartUploads) and C(s3:ListMultipartUploadParts). What is refused is in RV(skipped_sections).
seealso:
  - module: runbook.ops.backup_info
  - module: amazon.aws.s3_object_info
"""

EXAMPLES = r"""
- name: Measure a bucket of a MinIO server
  runbook.ops.s3_prefix_info:
    endpoint_url: https://minio.example.com:9000
    access_key: monitoring
    secret_key: "{{ minio_secret_key }}"
    bucket: shop-images
  register: images

- name: Measure several prefixes, also of other buckets, in one call
  runbook.ops.s3_prefix_info:
    region: ap-northeast-2
    bucket: shop-content
    prefixes:
      - prefix: videos/
      - prefix: temp/
      - name: nightly dumps
        bucket: shop-backups
    max_keys: 5000000
    timeout: 600

- name: Judge them
  ansible.builtin.debug:
    msg: "{{ images | runbook.ops.judge(rules, system='shop', host='images') | runbook.ops.findings_table }}"
  vars:
    rules:
      - id: object_store.stored_bytes
        each: prefixes
        name: "{name}"
        value: stored_bytes
        warning: "> 500 GB"
        unit: bytes
"""

RETURN = r"""
available:
  description:
    - Whether at least one prefix could be listed.
    - When it is V(false), RV(reason) says why and RV(prefixes) is empty.
  returned: always
  type: bool
  sample: true
reason:
  description: Why nothing could be listed and what to do next, without secrets. V(null) when RV(available=true).
  returned: always
  type: str
measured_at:
  description: When the measuring began, ISO 8601 in UTC.
  returned: always
  type: str
  sample: "2026-01-31T08:00:00Z"
skipped_sections:
  description: What could not be read, or only in part.
  returned: always
  type: list
  elements: dict
  contains:
    section:
      description: The fact that is missing, such as V(noncurrent_bytes) or V(stored_bytes).
      type: str
    reason:
      description: Which prefix, and why.
      type: str
    remedy:
      description: What helps.
      type: str
prefixes:
  description:
    - One entry for each prefix, in the order of O(prefixes).
    - An entry with C(available=false) has nothing but C(name), C(bucket), C(prefix), C(reason) and C(complete).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
      sample: shop-images
    bucket:
      description: Bucket.
      type: str
    prefix:
      description: Prefix.
      type: str
    available:
      description: Whether it could be listed.
      type: bool
    reason:
      description: Why not.
      type: str
    complete:
      description: Whether every page was read. If not, all figures are what was seen, so at least that much.
      type: bool
    incomplete_reason:
      description: Which limit ended the listing.
      type: str
    keys_seen:
      description: Objects, noncurrent versions and delete markers counted.
      type: int
    versioning:
      description: V(enabled), V(suspended) or V(disabled) (never switched on). V(null) when it could not be read.
      type: str
    object_count:
      description: Current objects.
      type: int
    total_bytes:
      description: Bytes of the current objects.
      type: int
    stored_bytes:
      description:
        - Bytes of current objects, noncurrent versions and unfinished uploads together, which is what the store holds.
        - V(null) when a part of it is not known, be it for lack of a permission or because a limit was reached.
      type: int
    newest:
      description: The object modified last. V(null) when there is none.
      type: dict
      contains: &object
        key:
          description: Key.
          type: str
        size_bytes:
          description: Size.
          type: int
        modified_at:
          description: When it was written, ISO 8601 in UTC.
          type: str
        age_seconds:
          description: Seconds since.
          type: int
        storage_class:
          description: Storage class.
          type: str
    oldest:
      description: The object not modified for the longest time. V(null) when there is none.
      type: dict
      contains: *object
    largest:
      description: The largest object. V(null) when there is none.
      type: dict
      contains: *object
    noncurrent_count:
      description: Versions that were overwritten or deleted and are kept. V(null) when they could not be listed.
      type: int
    noncurrent_bytes:
      description: Their bytes. V(null) when they could not be listed.
      type: int
    delete_marker_count:
      description: Delete markers. V(null) when they could not be listed.
      type: int
    deleted_count:
      description: Delete markers that are the latest of their key and so hide an object.
      type: int
    delete_marker_percent:
      description: Share of delete markers in all keys. Many of them slow every listing down.
      type: float
    storage_classes:
      description: Objects and noncurrent versions by storage class.
      type: list
      elements: dict
      contains:
        name:
          description: Storage class.
          type: str
        count:
          description: Objects and versions.
          type: int
        bytes:
          description: Their bytes.
          type: int
    unfinished_uploads:
      description: Multipart uploads that were begun and never completed or aborted. V(null) when not readable.
      type: dict
      contains:
        count:
          description: Uploads.
          type: int
        bytes:
          description: Bytes of the parts they hold. V(null) when the parts could not be listed.
          type: int
        oldest_key:
          description: Key of the oldest one.
          type: str
        oldest_begun_at:
          description: When it was begun, ISO 8601 in UTC.
          type: str
        oldest_age_seconds:
          description: Seconds since. 0 when there is none.
          type: int
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, reference_moment, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.object_store.client import connect
from ansible_collections.runbook.ops.plugins.module_utils.object_store.listing import Limits, measure
from ansible_collections.runbook.ops.plugins.module_utils.object_store.model import places
from ansible_collections.runbook.ops.plugins.module_utils.object_store.options import object_store_argument_spec


def argument_spec() -> dict[str, dict[str, Any]]:
    return {
        **object_store_argument_spec(),
        "bucket": {"type": "str"},
        "prefixes": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "name": {"type": "str"},
                "bucket": {"type": "str"},
                "prefix": {"type": "str", "default": ""},
            },
        },
        "max_keys": {"type": "int", "default": 1_000_000, "no_log": False},
        "timeout": {"type": "float", "default": 120},
        "workers": {"type": "int", "default": 8},
        "reference_time": {"type": "str"},
    }


def run(params: dict[str, Any]) -> dict[str, Any]:
    """Check the options, then measure."""
    for option, lowest, highest in (("max_keys", 1, 10**9), ("timeout", 0.001, 86400), ("workers", 1, 32)):
        if not lowest <= params[option] <= highest:
            raise InvalidOption(option, params[option], f"{lowest:g} to {highest:g}")
    wanted = places(params["bucket"], params["prefixes"])
    now = reference_moment(params["reference_time"])
    result: dict[str, Any] = {"available": True, "reason": None, "measured_at": iso(utc_now()), "skipped_sections": []}
    try:
        store = connect(params, connections=params["workers"])
    except Unavailable as error:
        return {**result, "available": False, "reason": error.message, "prefixes": []}
    limits = Limits(params["max_keys"], params["timeout"])
    prefixes, result["skipped_sections"] = measure(store, wanted, limits, now, params["workers"])
    if any(prefix["available"] for prefix in prefixes):
        return {**result, "prefixes": prefixes}
    reasons = dict.fromkeys(prefix["reason"] for prefix in prefixes)
    return {**result, "available": False, "reason": " ".join(reasons), "prefixes": []}


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = run(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
