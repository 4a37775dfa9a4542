#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VACUUM and ANALYZE for the tables that need it, proven."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_vacuum
short_description: VACUUM and ANALYZE the tables of a database that are due, and prove the effect
version_added: 0.2.0
description:
  - Measures every table of O(login_db) and decides with the server's own autovacuum arithmetic which are due and why
    (storage parameters of the table, dead rows, inserted rows, TOAST, modified rows, age of transaction ids and
    multixacts). Tables that were never analyzed are due too.
  - Runs one statement for each of them, C(VACUUM), C(VACUUM ANALYZE) or C(ANALYZE), outside of any transaction, the
    worst first. When nothing is due, nothing is done.
  - Proves each by the server's counters. C(VACUUM) without the right to it, for one, is a warning and a success to
    every other tool; here it is refused beforehand with the GRANT that is missing.
  - Refuses a C(VACUUM) that would be in vain, because a session, a prepared transaction, a replication slot or a
    standby still needs the dead rows, and names that holder and what ends it. C(ANALYZE) is done all the same.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_postgresql
  - runbook.ops.postgresql
  - runbook.ops.guards
  - runbook.ops.maintenance
attributes:
  check_mode:
    support: full
    details:
      - Measures and decides in a read-only session. RV(actions) is the list that the run then carries out.
  diff_mode:
    support: full
    details:
      - Shows what is due before, and what of it stays due.
options:
  tables:
    description:
      - Only these tables, as V(schema.table), V(table) if only one schema has it, or V("Schema"."Table"). A name in
        just that spelling wins over one that SQL would fold to lower case.
      - They too are only treated when they are due, unless O(force) is set. A partitioned table stands for its
        partitions. A name that is no table fails the task before anything is done.
    type: list
    elements: str
    default: []
  schemas:
    description:
      - Only tables of these schemas. Without it, and without O(tables), those of all schemas but the system's.
      - V(pg_catalog) is possible.
    type: list
    elements: str
    default: []
  exclude_tables:
    description:
      - Tables that are left out, written as in O(tables).
    type: list
    elements: str
    default: []
  force:
    description:
      - Whether the tables named in O(tables) get a C(VACUUM) although they are not due.
    type: bool
    default: false
  analyze:
    description:
      - Whether C(ANALYZE) is done where it is due.
    type: bool
    default: true
  due_percent:
    description:
      - When a table is due, in percent of the thresholds of autovacuum. V(50) comes when half of the dead rows that
        autovacuum waits for are there. From 1 to 1000.
    type: float
    default: 100
  min_dead_rows:
    description:
      - Dead rows below this number make no table due.
    type: int
    default: 0
  freeze_age_percent:
    description:
      - When a table is to be frozen, in percent of the age (C(autovacuum_freeze_max_age),
        C(autovacuum_multixact_freeze_max_age)) at which autovacuum would come by force. From 1 to 100.
    type: float
    default: 80
  max_holder_age:
    description:
      - Seconds after which whoever holds back C(VACUUM) counts as somebody to be dealt with first. A C(VACUUM) for dead
        rows is refused while there is one, even if some rows could be removed.
      - With V(0) it is refused only where it follows from the catalogs that nothing can be removed.
    type: float
    default: 3600
  ignore_horizon:
    description:
      - Whether a C(VACUUM) is done although it would be in vain.
    type: bool
    default: false
  max_tables:
    description:
      - How many tables may be due. With more of them the whole run is refused, and nothing is done.
    type: int
  max_seconds:
    description:
      - Seconds after which no further statement is begun. What is left is in RV(remaining).
    type: float
  full:
    description:
      - Whether the tables named in O(tables) are written anew with C(VACUUM FULL) if C(pgstattuple_approx) of the
        extension pgstattuple measures at least O(min_bloat_percent) of bloat.
      - This takes an C(ACCESS EXCLUSIVE) lock, so reads and writes of the table wait until it is done. It needs
        O(allow_exclusive_lock), a O(window) that is open, and room for a copy of the table and its indexes.
    type: bool
    default: false
  allow_exclusive_lock:
    description:
      - Whether O(full) may lock a table against everybody.
    type: bool
    default: false
  min_bloat_percent:
    description:
      - Share of a table that is free or dead, beyond its fill factor, from which O(full) writes it anew.
    type: float
    default: 30
  disk_free_bytes:
    description:
      - Bytes that are free on the server's disk, for O(full). Without it they are measured if the server is on this
        host; what is unknown is refused.
    type: int
  parallel:
    description:
      - Worker processes for the indexes of one table (C(PARALLEL)). The server decides, if not given.
    type: int
  buffer_usage_limit:
    description:
      - How much of the shared buffers a statement may use, such as V(2MB), or V(0) for all (C(BUFFER_USAGE_LIMIT), from
        PostgreSQL 16; older servers are listed in RV(ignored_options)).
    type: str
  cost_delay:
    description:
      - Milliseconds that C(VACUUM) sleeps each time it has used up C(vacuum_cost_limit), from 0 to 100. The server's
        C(vacuum_cost_delay), if not given.
    type: float
  index_cleanup:
    description:
      - Whether dead entries of indexes are removed (C(INDEX_CLEANUP)). The table's own setting, if not given.
    type: str
    choices: ["auto", "on", "off"]
  process_toast:
    description:
      - Whether TOAST tables are treated, and count for what is due.
    type: bool
    default: true
  truncate:
    description:
      - Whether empty pages at the end of a table are given back, for which C(VACUUM) takes an C(ACCESS EXCLUSIVE) lock
        for a moment, on standbys too (C(TRUNCATE)). The table's own setting, if not given.
    type: bool
notes:
  - No catalog says when rows died. A C(VACUUM) counts as in vain if everything in the table is younger than what the
    holder may see, if the holder was there already when the last C(VACUUM) ended, if freezing could not bring the age
    below the one that is due, or if the holder is older than O(max_holder_age). Otherwise it is done, and
    RV(actions[].effective) tells whether it helped.
seealso:
  - module: runbook.ops.postgresql_health_info
  - name: Routine vacuuming
    description: What VACUUM, ANALYZE and autovacuum do and when.
    link: https://www.postgresql.org/docs/current/routine-vacuuming.html
"""

EXAMPLES = r"""
- name: Vacuum and analyze what is due, at night, in at most an hour
  runbook.ops.postgresql_vacuum:
    login_host: db.example.com
    login_user: maintenance
    login_password: "{{ maintenance_password }}"
    login_db: shop
    window: ["22:00-05:00"]
    timezone: Asia/Seoul
    max_seconds: 3600
  register: vacuum

- name: Some tables earlier than autovacuum would, without failing over what is held back
  runbook.ops.postgresql_vacuum:
    login_host: db.example.com
    login_db: shop
    tables: [public.jobs, public.job_items]
    due_percent: 50
    on_refusal: report

- name: Give the space of a table that was purged back to the system, while the shop is closed
  runbook.ops.postgresql_vacuum:
    login_host: db.example.com
    login_db: shop
    tables: [public.trades]
    full: true
    allow_exclusive_lock: true
    disk_free_bytes: 50000000000
    window: ["Sun 02:00-06:00"]
"""

RETURN = r"""
database:
  description: The database that was worked in.
  returned: always
  type: str
  sample: shop
table_count:
  description: How many tables were measured.
  returned: always
  type: int
  sample: 412
actions:
  description:
    - One entry a statement, in the order in which they are carried out. In check mode they are what a run would do, and
      the keys from C(dead_rows_after) on are missing.
    - When several tables are vacuumed, PostgreSQL 16 and later get a last statement without a table.
  returned: always
  type: list
  elements: dict
  contains:
    schema:
      description: Schema of the table.
      type: str
      sample: public
    table:
      description: Name of the table.
      type: str
      sample: jobs
    kind:
      description: V(table), V(partition) or V(materialized view).
      type: str
      sample: table
    statement:
      description: The statement.
      type: str
      sample: VACUUM (ANALYZE) public.jobs
    reasons:
      description: Why the table is due.
      type: list
      elements: str
      sample: ["dead rows 12000 > threshold 250"]
    lock:
      description: The lock that the statement takes on the table, and who has to wait for it.
      type: str
      sample: SHARE UPDATE EXCLUSIVE (reads and writes go on)
    dead_rows_before:
      description: Dead rows of the table.
      type: int
      sample: 12000
    toast_dead_rows_before:
      description: Dead rows of its TOAST table. V(null) when it has none.
      type: int
      sample: 0
    total_bytes_before:
      description: Size of the table with its indexes and TOAST table.
      type: int
      sample: 90112000
    dead_rows_after:
      description: The same afterwards.
      type: int
      sample: 0
    toast_dead_rows_after:
      description: The same afterwards.
      type: int
      sample: 0
    total_bytes_after:
      description: The same afterwards.
      type: int
      sample: 90112000
    dead_rows_removed:
      description: By how much the dead rows fell, TOAST table included.
      type: int
      sample: 12000
    bytes_freed:
      description: By how much the size fell. Plain C(VACUUM) makes space reusable and seldom smaller.
      type: int
      sample: 0
    duration_seconds:
      description: How long the statement took.
      type: float
      sample: 3.2
    effective:
      description: Whether every reason is better than before.
      type: bool
      sample: true
    without_effect:
      description: The reasons that are as they were.
      type: list
      elements: str
      sample: []
    holder:
      description: Who holds back C(VACUUM), when it was not effective; as in RV(horizon.holder).
      type: dict
refused:
  description: What is due and was left alone.
  returned: always
  type: list
  elements: dict
  contains:
    object:
      description: The table.
      type: str
      sample: public.jobs
    reason:
      description: Why it is due, and why it was left alone.
      type: str
    remedy:
      description: What to do, such as the GRANT that is missing.
      type: str
remaining:
  description: What was planned and not begun, because O(max_seconds) was used up or the window closed.
  returned: always
  type: list
  elements: dict
  contains:
    schema:
      description: Schema of the table.
      type: str
    table:
      description: Name of the table.
      type: str
    statement:
      description: The statement.
      type: str
    reason:
      description: Why it was not begun.
      type: str
      sample: max_seconds (3600) is used up
before:
  description: Sums over the tables of RV(actions).
  returned: always
  type: dict
  contains:
    tables:
      description: How many they are.
      type: int
    dead_rows:
      description: Their dead rows, with those of TOAST tables.
      type: int
    total_bytes:
      description: Their size.
      type: int
after:
  description: The same afterwards. V(null) in check mode.
  returned: always
  type: dict
horizon:
  description: Who keeps C(VACUUM) from removing what is dead.
  returned: always
  type: dict
  contains:
    sees_all:
      description:
        - Whether the role sees the sessions of others (C(pg_read_all_stats)). If not, there may be more holders.
      type: bool
    holder:
      description: The oldest holder. V(null) when there is none.
      type: dict
      contains:
        kind:
          description: V(session), V(prepared transaction), V(replication slot) or V(standby).
          type: str
        name:
          description: Which one.
          type: str
        pid:
          description: Its process, if it has one.
          type: int
        database:
          description: Its database.
          type: str
        user:
          description: Its user.
          type: str
        application:
          description: The application name.
          type: str
        xid_age:
          description: How old the oldest transaction is that it needs, in transaction ids.
          type: int
        held_since:
          description: Since when at least, ISO 8601 in UTC. Standbys and slots do not always tell; then a minute ago.
          type: str
        fix:
          description: What ends it.
          type: str
ignored_options:
  description: Options that this server does not know.
  returned: always
  type: list
  elements: dict
  contains:
    option:
      description: The option.
      type: str
    reason:
      description: Why it has no effect.
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.options import (
    maintenance_argument_spec,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.options import postgresql_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.options import vacuum_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.run import run_vacuum


def argument_spec() -> dict[str, Any]:
    return {**postgresql_argument_spec(), **maintenance_argument_spec(), **vacuum_argument_spec()}


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = run_vacuum(module.params, check_mode=module.check_mode, diff=module._diff)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
