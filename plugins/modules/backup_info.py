#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of a backup repository: what is there, how old, how large, and whether it is whole."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_info
short_description: Take the inventory of a backup repository and find out whether its backups are whole
version_added: 0.1.0
description:
  - Lists the backups in a directory of the host or in an S3 bucket by their naming rule, and tells age, kind, size
    against history, missing days, duplicates, names that were frozen, objects that nobody will find, and stale
    C(latest) pointers.
  - Reads the newest backup (or more, see O(inspect)) to its end, as a stream - gzip is decoded and its checksum
    verified, a plain dump must end with pg_dump's own marker, and of pg_dump's archives every data block is walked and
    decoded, which C(pg_restore --list) does not do. No temporary file is written, nothing is restored, and no
    PostgreSQL tool is needed.
  - Age counts from the content where the backup or its manifest says when it was taken. Where name and time of writing
    disagree, the older one counts, so neither a copy nor a touch makes a backup newer.
  - Says which backups are proven, by the records that verifications keep beside them (C(<backup>.verified.json)) or by
    the proof in their manifests, and whether the backup is still the one that was proven.
  - A repository that is not there gives RV(available=false), not a failure.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
  - runbook.ops.attributes.actiongroup_aws
  - runbook.ops.object_store
options:
  repository:
    description:
      - Where the backups lie. An absolute directory of the host that executes the module, or V(s3://bucket/prefix).
      - A prefix is taken like a directory, so V(s3://shop/db) means the objects below V(db/).
      - The connection options are for S3 only.
    type: str
    required: true
  name_pattern:
    description:
      - The naming rule that writer, verifier and restorer share, relative to O(repository), such as
        V(storebridge-%Y%m%d.sql.gz) or V(%Y/%m/shop-%Y%m%d-%H%M%S.dump).
      - Knows C(%Y), C(%y), C(%m), C(%d), C(%j), C(%H), C(%M), C(%S), C(%F), C(%T), C(%R), C(%s) (seconds since 1970)
        and C(%%). A finer directive needs the coarser ones. Everything else stands for itself.
      - A directory that follows the rule is a backup, too (C(pg_dump -Fd)).
      - Files with the name of a backup and one of the endings C(.manifest.json), C(.sha256), C(.md5), C(.asc), C(.sig),
        C(.globals.sql) and a few more belong to it.
    type: str
    required: true
  timezone:
    description:
      - The timezone that dates in names are written in, as IANA calls it.
    type: str
    default: UTC
  writer_timezone:
    description:
      - The timezone of the machine that runs pg_dump, whose wall clock stands in the header of its archives.
      - If not given, an archive's time is used only as far as it is right whatever the timezone.
    type: str
  interval:
    description:
      - How often a backup is expected, such as V(1d), V(6h) or V(1w).
    type: str
    default: 1d
  gap_window:
    description:
      - How far back missing backups are looked for. Where older backups are thinned out on purpose, the time in which
        none may be missing.
    type: str
    default: 7d
  name_tolerance:
    description:
      - How long before or after the period of its name a backup may be written, for one that runs past midnight.
    type: str
    default: 6h
  inspect:
    description:
      - Which backups to read to their end.
      - V(none) reads no backup at all, so their kinds stay unknown, too. V(newest) reads the newest, and the ones
        before it until a whole one is found, at most seven. V(all) reads all of them, a number that many from the
        newest on.
      - Backups of at most 64 KiB among the newest O(top) are always read, unless V(none).
      - Of a backup with a manifest, every byte is held against the SHA-256 in it. That works for encrypted ones, too.
      - Manifests and records of verifications are always read.
    type: str
    default: newest
  record_repository:
    description:
      - Where the records of verifications lie, when they are not beside the backups, because whoever verifies may not
        write there. A directory or V(s3://bucket/prefix), in the same store.
    type: str
    version_added: 0.4.0
  inspect_max_bytes:
    description:
      - How many bytes to read for O(inspect) altogether. A backup that is larger than what is left is not read, and
        C(complete) is V(null) for it.
      - Of an uncompressed plain dump only the two ends are read, since it carries no checksum.
    type: int
    default: 2147483648
  ignore:
    description:
      - Shell patterns for names that are none of this survey's business, such as backups of something else in the same
        bucket.
    type: list
    elements: str
    default: []
  max_entries:
    description:
      - How many entries of the repository to list, versions included. If there are more,
        RV(inventory.listing_complete) is V(false).
    type: int
    default: 100000
  top:
    description:
      - How many backups RV(artefacts), and entries the lists in RV(inventory), may have. Counts are always complete.
    type: int
    default: 50
  timeout:
    description:
      - Seconds for everything together. What was not read by then has C(complete) V(null).
    type: float
    default: 300
  workers:
    description:
      - How many beginnings of backups to read side by side, from 1 to 32.
    type: int
    default: 8
  reference_time:
    description:
      - The moment ages are counted from, ISO 8601 with timezone. Now, if not given.
    type: str
notes:
  - In S3 it needs the permissions C(s3:ListBucket) and C(s3:GetObject), and C(s3:GetBucketVersioning) and
    C(s3:ListBucketVersions) for what it says about versions.
  - That a backup is whole does not prove that it can be restored, nor that it holds what it should.
seealso:
  - module: runbook.ops.s3_prefix_info
  - module: runbook.ops.backup_prune
"""

EXAMPLES = r"""
- name: Take the inventory of nightly dumps in a bucket
  runbook.ops.backup_info:
    repository: s3://storebridge-backups
    name_pattern: storebridge-%Y%m%d.sql.gz
    timezone: Asia/Seoul
    region: ap-northeast-2
  register: backups

- name: Take the inventory of a directory on the database server, reading every backup
  runbook.ops.backup_info:
    repository: /var/backups/postgresql
    name_pattern: shop-%Y%m%d-%H%M%S.dump
    writer_timezone: Europe/Berlin
    interval: 6h
    inspect: all
    inspect_max_bytes: 107374182400
    timeout: 1800
  become: true
  become_user: postgres

- name: Stop a deployment unless there is a whole backup of the last day
  ansible.builtin.assert:
    that:
      - backups.available
      - backups.inventory.newest_complete is not none
      - backups.inventory.newest_complete.age_seconds < 26 * 3600
    fail_msg: "{{ backups.reason or 'There is no whole backup of the last 26 hours.' }}"
"""

RETURN = r"""
available:
  description:
    - Whether the repository could be listed.
    - When it is V(false), RV(reason) says why, and RV(repository), RV(inventory) and RV(artefacts) are empty.
  returned: always
  type: bool
  sample: true
reason:
  description: Why it could not be listed and what to do next, without secrets. V(null) when RV(available=true).
  returned: always
  type: str
measured_at:
  description: When the survey began, ISO 8601 in UTC.
  returned: always
  type: str
  sample: "2026-01-31T00:15:00Z"
skipped_sections:
  description: What could not be read, or only in part.
  returned: always
  type: list
  elements: dict
  contains:
    section:
      description: The fact that is missing.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What helps.
      type: str
repository:
  description: Where was looked.
  returned: always
  type: dict
  contains:
    location:
      description: Directory or address.
      type: str
      sample: s3://storebridge-backups/
    kind:
      description: V(directory) or V(s3).
      type: str
    versioning:
      description: Of a bucket, V(enabled), V(suspended) or V(disabled). V(null) for directories and when not readable.
      type: str
    name_pattern:
      description: The naming rule.
      type: str
    ignored_count:
      description: Entries left out because of O(ignore).
      type: int
    bytes_read:
      description: Bytes read for O(inspect).
      type: int
inventory:
  description: The repository as a whole.
  returned: always
  type: dict
  contains:
    count:
      description: Backups that follow the naming rule.
      type: int
    total_bytes:
      description: Their bytes. V(null) when one of them has no size that could be read.
      type: int
    listing_complete:
      description: Whether everything was listed. If not, newer backups may lie beyond what was seen.
      type: bool
    newest:
      description: The newest backup, with the fields of RV(artefacts). V(null) when there is none.
      type: dict
    newest_complete:
      description: The newest backup that was read and is whole, with the fields of RV(artefacts). V(null) if none is.
      type: dict
    oldest_taken_at:
      description: When the oldest backup was taken.
      type: str
    inspected_count:
      description: Backups that were read with a verdict.
      type: int
    complete_count:
      description: Those that are whole.
      type: int
    incomplete_count:
      description: Those that are not.
      type: int
    incomplete:
      description: Which, and why.
      type: list
      elements: dict
      contains:
        name:
          description: Backup.
          type: str
        complete:
          description: V(false).
          type: bool
        is_empty:
          description: Without any data.
          type: bool
        is_newest:
          description: The newest backup.
          type: bool
        reason:
          description: What is wrong.
          type: str
    newest_is_incomplete:
      description: Whether the newest backup was read and is not whole. V(false) too when it could not be read.
      type: bool
    verified_count:
      description: Backups that are proven to be good, and have not changed since.
      type: int
    unverified_count:
      description: Backups that are proven to be neither good nor bad.
      type: int
    failed_verification_count:
      description: Backups that are proven to be bad.
      type: int
    newest_verified:
      description: The newest backup that is proven to be good, with the fields of RV(artefacts). V(null) if none is.
      type: dict
    newest_failed:
      description: The newest backup that is proven to be bad, with the fields of RV(artefacts). V(null) if none is.
      type: dict
    failed_since_verified_count:
      description: Backups proven to be bad that are newer than the newest proven to be good; all, if none is good.
      type: int
    failed_since_verified_names:
      description: The first of those as text.
      type: str
    unverified_since_verified_count:
      description: Unproven backups that are newer than the newest proven to be good; all, if none is good.
      type: int
    empty_count:
      description: Backups without any data, such as the 20 bytes that gzip makes of nothing.
      type: int
    previous_median_bytes:
      description: Median size of the seven backups before the newest. V(null) when there is none.
      type: int
    size_change_percent:
      description: Size of the newest backup against that median; -60 is a loss of 60 %. V(null) without a history.
      type: float
    gap_count:
      description: Backups missing in the last O(gap_window), before the newest one.
      type: int
    gaps:
      description: Which.
      type: list
      elements: dict
      contains:
        date:
          description: Day (in O(timezone)) or moment.
          type: str
        name:
          description: The name that the rule foretells. V(null) when names hold a time.
          type: str
    gap_dates:
      description: The first of them as text.
      type: str
    duplicate_count:
      description: Groups of backups with different dates and the same bytes.
      type: int
    duplicates:
      description: Which.
      type: list
      elements: dict
      contains:
        name:
          description: The first three as text.
          type: str
        names:
          description: Backups.
          type: list
          elements: str
        are_equal:
          description: V(true).
          type: bool
        size_bytes:
          description: Their size.
          type: int
        evidence:
          description: V(etag), or V(content sample) (equal size, beginning and end).
          type: str
    diverging_count:
      description: Backups whose name, time of writing and content do not belong together.
      type: int
    diverging:
      description: Which, and why.
      type: list
      elements: dict
      contains:
        name:
          description: Backup.
          type: str
        diverges:
          description: V(true).
          type: bool
        reason:
          description: What does not fit.
          type: str
    overwritten_count:
      description: Backups with more than one version in the bucket. V(null) without versions.
      type: int
    deleted_count:
      description: Backups hidden by a delete marker. V(null) without versions.
      type: int
    deleted:
      description: Which. V(null) without versions.
      type: list
      elements: dict
      contains:
        name:
          description: Backup.
          type: str
        deleted_at:
          description: When it was deleted.
          type: str
        recoverable_count:
          description: Versions that are still there.
          type: int
    pointers:
      description: Names that claim to be the newest backup, such as C(latest.sql.gz).
      type: list
      elements: dict
      contains:
        name:
          description: Name.
          type: str
        points_to:
          description: The backup that it is, by link or by content. V(null) when it equals none.
          type: str
        modified_at:
          description: When it was written.
          type: str
        size_bytes:
          description: Its size.
          type: int
        is_stale:
          description: Whether it stands for another backup than the newest. V(null) when that cannot be told.
          type: bool
        reason:
          description: Why it is stale, or why that cannot be told.
          type: str
    stale_pointer_count:
      description: Stale pointers.
      type: int
    unrecognised_count:
      description: Entries that do not follow the naming rule and belong to no backup.
      type: int
    unrecognised_newer_count:
      description: Those of them written after the newest backup, perhaps backups whose name nobody will find.
      type: int
    unrecognised_newer_names:
      description: The first of those as text.
      type: str
    unrecognised:
      description: Which, newest first.
      type: list
      elements: dict
      contains:
        name:
          description: Name.
          type: str
        size_bytes:
          description: Its size.
          type: int
        modified_at:
          description: When it was written.
          type: str
        is_newer:
          description: Written after the newest backup.
          type: bool
    truncated:
      description: Whether a list here was cut at O(top).
      type: bool
artefacts:
  description: The backups, newest first, at most O(top).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name, relative to the repository.
      type: str
      sample: storebridge-20260131.sql.gz
    size_bytes:
      description: Size. V(null) when it could not be read.
      type: int
    modified_at:
      description: When it was written, ISO 8601 in UTC.
      type: str
    named_at:
      description: Beginning of the period that its name stands for, ISO 8601 in UTC.
      type: str
    content_at:
      description: When its content was dumped, from its own header. V(null) when the header does not say.
      type: str
    content_uncertain_seconds:
      description: By how much C(content_at) may be wrong, the writer's timezone being unknown. 0 when it is certain.
      type: int
    taken_at:
      description: When it was taken, as far as that can be told.
      type: str
    taken_at_source:
      description: From what, V(manifest), V(content), V(modified) or V(name).
      type: str
    age_seconds:
      description: Seconds since C(taken_at).
      type: int
    kind:
      description:
        - What it is by its first bytes. V(plain), V(custom), V(directory), V(tar), V(redis), V(zstd), V(lz4),
          V(encrypted), V(empty) or V(unknown); compressed ones as V(plain+gzip), V(custom+gzip), V(redis+gzip),
          V(plain+xz) and so on, or just V(gzip) when the content is nothing that pg_dump or Redis writes.
        - V(null) when it was not looked at.
      type: str
    is_symlink:
      description: A symbolic link.
      type: bool
    version_id:
      description: Version in a bucket with versions.
      type: str
    version_count:
      description: Versions of this name that the bucket keeps. V(null) without versions.
      type: int
    etag:
      description: ETag of an object.
      type: str
    is_multipart:
      description: Uploaded in parts, so that the ETag is no MD5. V(null) in directories.
      type: bool
    checksum_algorithms:
      description: Checksums that the store keeps, such as V(SHA256). V(null) in directories.
      type: list
      elements: str
    storage_class:
      description: Storage class of an object.
      type: str
    has_manifest:
      description: Whether its C(.manifest.json) lies beside it.
      type: bool
    companions:
      description: Endings of the files that belong to it.
      type: list
      elements: str
    diverges:
      description: Whether name, time of writing and content do not belong together.
      type: bool
    divergence_reason:
      description: What does not fit.
      type: str
    inspected:
      description: What reading it told.
      type: dict
      contains:
        complete:
          description: Whether it is whole. V(null) when that cannot be told, which is not good news.
          type: bool
        verdict:
          description: The same in words, with the reason.
          type: str
          sample: "whole: gzip decoded, end marker found"
        reason:
          description: What is wrong with it, or why it cannot be told.
          type: str
        method:
          description: How it was proven.
          type: str
          sample: gzip decoded, end marker found
    header:
      description: What its own header says. V(null) when it was not read.
      type: dict
      contains:
        format_version:
          description: Version of the archive format.
          type: str
          sample: 1.14-0
        compression:
          description: Compression inside an archive, V(gzip), V(lz4), V(zstd) or V(none).
          type: str
        database:
          description: Database. V(null) when a plain dump does not name it.
          type: str
        dumped_from:
          description: Version of the server.
          type: str
        dumped_by:
          description: Version of pg_dump.
          type: str
    manifest:
      description: What its manifest says. V(null) without one that this collection understands.
      type: dict
      contains:
        kind:
          description: V(postgresql), V(redis) or V(files).
          type: str
        method:
          description: How it was taken, such as V(dump), V(basebackup), V(file) or V(stream).
          type: str
        taken_at:
          description: The moment of its data, ISO 8601 in UTC.
          type: str
        bytes:
          description: Its size when it was written.
          type: int
        sha256:
          description: Its SHA-256; of a directory, that of the list of its files.
          type: str
        database:
          description: The database.
          type: str
        server_version:
          description: Version of the server.
          type: str
        tables:
          description: How many tables it has.
          type: int
        rows:
          description: How many rows they have together.
          type: int
        keys:
          description: How many keys a backup of Redis has.
          type: int
        files:
          description: How many files a backup of a file tree has.
          type: int
        encrypted:
          description: Whether it is encrypted.
          type: bool
        requires:
          description: Backups that it cannot be restored without.
          type: list
          elements: str
    verified:
      description: How far it is proven, by its record or its manifest. V(null) when nobody tried.
      type: dict
      contains:
        verdict:
          description: V(verified), V(failed), or V(error) when it could not be told.
          type: str
        level:
          description: The last level that was reached.
          type: str
        wanted_level:
          description: The level that made it verified.
          type: str
        reason:
          description: Why it is not verified.
          type: str
        verified_at:
          description: When it was verified, ISO 8601 in UTC.
          type: str
        is_current:
          description:
            - Whether the backup is still the one that was verified, by size, time of writing, ETag and version.
            - V(null) when that cannot be told.
          type: bool
        is_proven:
          description: Whether the backup as it lies there is proven to be good, V(verified) and current.
          type: bool
        is_restorable:
          description:
            - Whether it is good for its own moment at least. Of a base backup whose verdict is V(failed) it says that
              only the WAL behind it is bad (a gap), so that it can be restored and not be brought forward.
          type: bool
          version_added: 0.5.0
        source:
          description: V(record) or V(manifest).
          type: str
truncated:
  description: Whether RV(artefacts) or a list in RV(inventory) was cut at O(top).
  returned: always
  type: bool
"""

import datetime as dt
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.backup.model import Clocks
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import NamingRule, duration, zone
from ansible_collections.runbook.ops.plugins.module_utils.backup.repository import open_repository
from ansible_collections.runbook.ops.plugins.module_utils.backup.streams import Meter
from ansible_collections.runbook.ops.plugins.module_utils.backup.survey import Wishes, check_inspect, survey
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, reference_moment, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.object_store.options import object_store_argument_spec


def argument_spec() -> dict[str, dict[str, Any]]:
    return {
        **object_store_argument_spec(),
        "repository": {"type": "str", "required": True},
        "name_pattern": {"type": "str", "required": True},
        "timezone": {"type": "str", "default": "UTC"},
        "writer_timezone": {"type": "str"},
        "interval": {"type": "str", "default": "1d"},
        "gap_window": {"type": "str", "default": "7d"},
        "name_tolerance": {"type": "str", "default": "6h"},
        "inspect": {"type": "str", "default": "newest"},
        "inspect_max_bytes": {"type": "int", "default": 2 * 1024**3},
        "record_repository": {"type": "str"},
        "ignore": {"type": "list", "elements": "str", "default": []},
        "max_entries": {"type": "int", "default": 100_000},
        "top": {"type": "int", "default": 50},
        "timeout": {"type": "float", "default": 300},
        "workers": {"type": "int", "default": 8},
        "reference_time": {"type": "str"},
    }


def run(params: dict[str, Any]) -> dict[str, Any]:
    """Check the options, then survey."""
    for option, lowest, highest in (
        ("inspect_max_bytes", 0, 2**63),
        ("max_entries", 1, 10**8),
        ("top", 1, 10_000),
        ("timeout", 0.001, 86400),
        ("workers", 1, 32),
    ):
        if not lowest <= params[option] <= highest:
            raise InvalidOption(option, params[option], f"{lowest:g} to {highest:g}")
    clocks = Clocks(
        now=reference_moment(params["reference_time"]),
        rule=NamingRule(params["name_pattern"], zone(params["timezone"])),
        tolerance=dt.timedelta(seconds=duration(params["name_tolerance"], "name_tolerance")),
        writer_zone=zone(params["writer_timezone"], "writer_timezone") if params["writer_timezone"] else None,
    )
    wishes = Wishes(
        inspect=check_inspect(params["inspect"]),
        interval_seconds=duration(params["interval"], "interval"),
        gap_window_seconds=duration(params["gap_window"], "gap_window"),
        max_entries=params["max_entries"],
        top=params["top"],
        workers=params["workers"],
        ignore=params["ignore"],
    )
    result: dict[str, Any] = {"available": True, "reason": None, "measured_at": iso(utc_now())}
    try:
        repository = open_repository(params)
        elsewhere = params["record_repository"]
        records = open_repository({**params, "repository": elsewhere}) if elsewhere else None
        meter = Meter(params["inspect_max_bytes"], params["timeout"])
        return {**result, **survey(repository, wishes, clocks, meter, records)}
    except Unavailable as error:
        nothing = {"repository": {}, "inventory": {}, "artefacts": [], "truncated": False, "skipped_sections": []}
        return {**result, "available": False, "reason": error.message, **nothing}


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = run(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
