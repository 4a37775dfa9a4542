#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rebuilding the indexes that are worth it, and only those."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_reindex
short_description: Rebuild the indexes of a database that are measurably bloated, without locking anybody out
version_added: 0.2.0
description:
  - Finds the indexes of O(login_db) that are worth rebuilding and rebuilds them one after the other with
    C(REINDEX INDEX CONCURRENTLY), the only form that keeps neither writers nor readers waiting.
  - An estimate from the planner's statistics finds candidates and decides nothing, because it errs by tens of percent.
    What decides is a measurement. For B-trees that is C(pgstatindex) of the extension C(pgstattuple), which reads every
    page. For the other access methods, and where the extension is missing, it is the size per row against the size per
    row that the same index had before, see O(baseline_path).
  - An index that can only be estimated is listed in RV(candidates) with what makes it measurable, and is left alone.
  - Drops what broken rebuilds have left behind (C(_ccnew) and C(_ccold), of tables and TOAST tables alike). When a
    rebuild of its own breaks, it does so at once. Invalid indexes of other origin are a user's unfinished
    C(CREATE INDEX CONCURRENTLY). They are listed in RV(foreign_invalid) and never touched.
  - Refuses what would hang or do harm. That is a transaction that the rebuild would wait for, too little room on the
    disk, another command building an index of the same table, a missing privilege, the index of an exclusion
    constraint, system catalogs, and PostgreSQL 14.0 to 14.3, whose C(CONCURRENTLY) corrupts indexes.
  - Proves what it did. The index is a new file and valid, and its size is measured again.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_postgresql
  - runbook.ops.guards
  - runbook.ops.maintenance
  - runbook.ops.postgresql
attributes:
  check_mode:
    support: full
    details:
      - Reads and measures the same, and returns the same RV(actions).
  diff_mode:
    support: full
options:
  indexes:
    description:
      - Only these indexes, measured whatever their size. They are rebuilt only if they are due.
      - V(schema.index), or V(index) if there is one of that name. Names are taken as they are, C(sales.MixedCase), or
        as SQL writes them, C(sales."MixedCase"). One that does not exist is an error.
    type: list
    elements: str
    default: []
  schemas:
    description:
      - Only indexes in these schemas. All but the system's, if empty.
    type: list
    elements: str
    default: []
  exclude:
    description:
      - Indexes to leave alone, named as in O(indexes).
    type: list
    elements: str
    default: []
  min_index_bytes:
    description:
      - Smaller indexes are not looked at, unless they are named in O(indexes). A rebuild of them brings nothing.
    type: int
    default: 10485760
  min_bloat_percent:
    description:
      - How much smaller, in percent, a B-tree has to become for a rebuild to be worth it, from 10 to 95. Measured with
        C(pgstatindex) from the density of its leaf pages, and its empty and deleted pages.
    type: float
    default: 30
  baseline_path:
    description:
      - File on the host that executes the module, in which the size per row right after each rebuild is recorded. For
        indexes that were not rebuilt yet it has the smallest size per row that was seen. Growth over that is a reason
        to rebuild as well; being near it proves nothing, since the index may have been bloated then.
      - It may serve several databases and servers. No table is made in the database.
    type: path
  baseline:
    description:
      - Bytes per row by V(schema.index), from elsewhere, for indexes that O(baseline_path) has no rebuild of.
    type: dict
    default: {}
  baseline_growth_percent:
    description:
      - How much the size per row of an index has to have grown over its baseline for a rebuild, 10 or more.
    type: float
    default: 50
  collation:
    description:
      - Also rebuilds every index that sorts by a collation whose version has changed since (a new C library, a new
        ICU), whatever its size. Such an index may miss rows and let duplicates in. When all of them are new, the new
        version is recorded with C(REFRESH VERSION); never before, since that would only silence the warning.
      - If the version cannot be recorded, because it belongs to somebody else or only some of the indexes are chosen,
        this needs O(baseline_path), which remembers what was rebuilt. Otherwise every run would rebuild the same again.
      - With V(false) they are listed in RV(collation_drift).
    type: bool
    default: false
  clean_leftovers:
    description:
      - Whether leftovers of earlier broken rebuilds are dropped. O(indexes), O(schemas) and O(exclude) hold for them as
        well, by the name of the index that was rebuilt.
    type: bool
    default: true
  max_indexes:
    description:
      - If more indexes are due, the task fails and nothing is touched.
    type: int
  max_bytes:
    description:
      - If the indexes that are due are larger together, the task fails and nothing is touched.
    type: int
  max_seconds:
    description:
      - No rebuild begins after so many seconds. What is left is in RV(remaining), and the next run does it.
    type: float
  max_wait_seconds:
    description:
      - How long a rebuild waits, at each of the points where it has to, for other transactions, and a pause for
        standbys. Nobody waits for it meanwhile.
      - An index is refused from the start while a transaction is open that is older than this.
    type: float
    default: 60
  disk_free_bytes:
    description:
      - Free bytes on the server's disk. Measured, if not given, when the module runs on the server's host.
    type: int
  allow_unknown_disk:
    description:
      - Whether indexes are rebuilt when nobody knows how much room there is. A rebuild needs 1.2 times the size of the
        index for the copy and once more for WAL.
    type: bool
    default: false
  max_replica_lag_bytes:
    description:
      - The next rebuild waits, for O(max_wait_seconds) at most, until no standby is further behind in its replay. Then
        the run ends with RV(remaining).
    type: int
  max_replica_lag_seconds:
    description:
      - The same in seconds.
    type: float
seealso:
  - module: runbook.ops.postgresql_health_info
  - name: REINDEX
    description: What CONCURRENTLY does, waits for and leaves behind.
    link: https://www.postgresql.org/docs/current/sql-reindex.html#SQL-REINDEX-CONCURRENTLY
"""

EXAMPLES = r"""
- name: Rebuild what is bloated, on Sunday night, and remember how small it was
  runbook.ops.postgresql_reindex:
    login_host: db.example.com
    login_user: maintenance
    login_password: "{{ maintenance_password }}"
    login_db: shop
    window: ["Sun 02:00-06:00"]
    timezone: Asia/Seoul
    baseline_path: /var/lib/runbook/reindex-baseline.json
    disk_free_bytes: "{{ shop_disk_free_bytes }}"
    max_indexes: 20
    max_seconds: 10800
    max_replica_lag_bytes: 1073741824

- name: See what would be rebuilt, without failing over what is refused
  runbook.ops.postgresql_reindex:
    login_host: db.example.com
    login_db: shop
    on_refusal: report
  check_mode: true
  register: due

- name: After an upgrade of the operating system, rebuild what sorts by the old rules
  runbook.ops.postgresql_reindex:
    login_unix_socket: /var/run/postgresql
    login_db: shop
    collation: true
"""

RETURN = r"""
actions:
  description: What was done, in this order; in check mode, what would be done.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(drop_leftover), V(rebuild) or V(refresh_collation).
      type: str
    object:
      description: The index or the collation, with its schema, unquoted.
      type: str
      sample: public.idx_products_created_at
    table:
      description: The index's table. V(null) for a collation.
      type: str
    reason:
      description: V(bloat), V(collation), V(bloat and collation), or for the others a sentence.
      type: str
    method:
      description: How a rebuild was decided, as in RV(candidates[].method).
      type: str
    size_bytes:
      description: The index's size before.
      type: int
    bloat_percent:
      description: How much smaller it will be.
      type: float
    statement:
      description: The statement.
      type: str
      sample: REINDEX INDEX CONCURRENTLY public.idx_products_created_at
refused:
  description:
    - What is due, or was named, and was left alone. By default the task fails over it, see O(on_refusal).
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The index or the collation.
      type: str
    reason:
      description: Why not.
      type: str
    remedy:
      description: What to do, such as the missing GRANT.
      type: str
candidates:
  description:
    - Indexes that were named, measured, estimated to be bloated, or about which nothing is known.
  returned: success
  type: list
  elements: dict
  contains:
    index:
      description: The index.
      type: str
    table:
      description: Its table.
      type: str
    access_method:
      description: V(btree), V(gin) and so on.
      type: str
    decision:
      description: V(rebuild), V(healthy), or V(unknown) if it could not be measured.
      type: str
    method:
      description:
        - V(density) (read with C(pgstatindex)), V(baseline) (size per row against the recorded one), V(estimate) (from
          statistics, decides nothing) or V(none).
      type: str
    confidence:
      description: V(high), V(medium) (the baseline was not recorded after a rebuild), V(low) or V(none).
      type: str
    size_bytes:
      description: Its size.
      type: int
    bloat_percent:
      description: How much smaller it would be if it were rebuilt.
      type: float
    leaf_density_percent:
      description: How full its leaf pages are; a new B-tree is 90 percent full.
      type: float
    leaf_fragmentation_percent:
      description: How many leaf pages are out of order on the disk.
      type: float
    bytes_per_row:
      description: Its size per row of the table, or of those it holds if it is partial.
      type: float
    baseline_bytes_per_row:
      description: The same as recorded.
      type: float
    growth_percent:
      description: How much it has grown over that.
      type: float
    remedy:
      description: What makes it measurable. V(null) if it is.
      type: str
      sample: CREATE EXTENSION pgstattuple; GRANT pg_stat_scan_tables TO maintenance;
foreign_invalid:
  description:
    - Invalid indexes that are not left from a rebuild. C(CREATE INDEX CONCURRENTLY IF NOT EXISTS) takes such an index
      for a good one.
  returned: success
  type: list
  elements: dict
  contains:
    index:
      description: The index.
      type: str
    table:
      description: Its table.
      type: str
    size_bytes:
      description: Its size.
      type: int
    definition:
      description: The statement that makes it.
      type: str
    remedy:
      description: What to do about it.
      type: str
collation_drift:
  description: Collations that sort by another version than the recorded one.
  returned: success
  type: list
  elements: dict
  contains:
    collation:
      description: The collation, or the database for its default.
      type: str
    recorded_version:
      description: The version on record.
      type: str
    actual_version:
      description: The version by which the server sorts now.
      type: str
    indexes:
      description: The indexes that are sorted by the old one and not rebuilt yet.
      type: list
      elements: str
unseen:
  description: What the login may not see that matters here, and how it is kept harmless.
  returned: success
  type: list
  elements: str
rebuilt:
  description: The rebuilds. Empty in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    index:
      description: The index.
      type: str
    reason:
      description: As in RV(actions[].reason).
      type: str
    method:
      description: As in RV(candidates[].method).
      type: str
    confidence:
      description: As in RV(candidates[].confidence).
      type: str
    size_before_bytes:
      description: Its size before.
      type: int
    size_after_bytes:
      description: Its size now.
      type: int
    saved_bytes:
      description: The difference.
      type: int
    seconds:
      description: How long it took.
      type: float
saved_bytes:
  description: What all rebuilds saved. V(null) in check mode.
  returned: success
  type: int
remaining:
  description: Indexes that are due and that this run did not get to.
  returned: success
  type: list
  elements: str
remaining_because:
  description: Why not. V(null) if there are none.
  returned: success
  type: str
before:
  description: The objects of RV(actions) by name, measured before.
  returned: success
  type: dict
  contains: &figures
    size_bytes:
      description: Size of the index.
      type: int
    leaf_density_percent:
      description: As in RV(candidates[].leaf_density_percent).
      type: float
    leaf_fragmentation_percent:
      description: As in RV(candidates[].leaf_fragmentation_percent).
      type: float
    bytes_per_row:
      description: As in RV(candidates[].bytes_per_row).
      type: float
    filenode:
      description: Number of its file; a rebuild makes a new one.
      type: int
    is_valid:
      description: Whether queries may use it.
      type: bool
    version:
      description: Of a collation, the recorded version.
      type: str
after:
  description: The same objects afterwards, V(null) for a dropped leftover. V(null) altogether in check mode.
  returned: success
  type: dict
  contains: *figures
diff:
  description: The objects of RV(actions), one a line, before and after.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.options import (
    maintenance_argument_spec,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.options import postgresql_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.run import reindex


def argument_spec() -> dict[str, Any]:
    names = {"type": "list", "elements": "str", "default": []}
    return {
        **postgresql_argument_spec(),
        **maintenance_argument_spec(),
        "indexes": dict(names),
        "schemas": dict(names),
        "exclude": dict(names),
        "min_index_bytes": {"type": "int", "default": 10485760},
        "min_bloat_percent": {"type": "float", "default": 30},
        "baseline_path": {"type": "path"},
        "baseline": {"type": "dict", "default": {}},
        "baseline_growth_percent": {"type": "float", "default": 50},
        "collation": {"type": "bool", "default": False},
        "clean_leftovers": {"type": "bool", "default": True},
        "max_indexes": {"type": "int"},
        "max_bytes": {"type": "int"},
        "max_seconds": {"type": "float"},
        "max_wait_seconds": {"type": "float", "default": 60},
        "disk_free_bytes": {"type": "int"},
        "allow_unknown_disk": {"type": "bool", "default": False},
        "max_replica_lag_bytes": {"type": "int"},
        "max_replica_lag_seconds": {"type": "float"},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = reindex(module.params, check_mode=module.check_mode, diff=module._diff)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
