#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything about a PostgreSQL server's health in one connection."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_health_info
short_description: Measure the health of a PostgreSQL server in one connection
version_added: 0.1.0
description:
  - Measures connections, sessions, the lock tree, databases, tables, indexes, statements, replication, WAL and
    archiver, wraparound, sequences, settings, roles, row level security, checksums, extensions and collations.
  - One connection, read-only, every statement with a time limit. Rankings are made by the server, so that a database
    with 20,000 tables gives a small answer.
  - Speaks to PostgreSQL 14 to 18, and to 13 as far as it goes. It looks at what the server has, not at what the
    client is.
  - Facts, not judgements; give the result to the filter P(runbook.ops.judge#filter) with your thresholds.
  - A server that is down or refuses the login gives RV(available=false), not a failure. What cannot be read for lack of
    a privilege or an extension is listed in RV(skipped_sections) with the statement that helps.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
  - runbook.ops.attributes.actiongroup_postgresql
  - runbook.ops.postgresql
options:
  sections:
    description:
      - What to measure. Everything, if not given.
      - The sections V(tables), V(indexes), V(sequences), V(rls), V(extensions), and a part of V(wraparound), V(roles),
        V(replication) and V(collations), look into one database, O(login_db).
    type: list
    elements: str
    choices:
      - server
      - connections
      - sessions
      - locks
      - databases
      - tables
      - indexes
      - statements
      - replication
      - wal
      - wraparound
      - sequences
      - settings
      - roles
      - rls
      - checksums
      - extensions
      - collations
  top:
    description:
      - How many rows a list may have, from 1 to 1000. Totals always cover everything, and C(truncated) says that a list
        was cut.
    type: int
    default: 20
  statement_timeout:
    description:
      - Seconds a single statement may take. What takes longer is listed in RV(skipped_sections).
    type: float
    default: 15
  exclude_schemas:
    description:
      - Schemas to leave out of V(tables), V(indexes) and V(sequences), beside the system's own.
    type: list
    elements: str
    default: []
  exposed_schemas:
    description:
      - Schemas that clients reach directly, for instance through PostgREST; V(rls) looks there for tables without
        row level security.
    type: list
    elements: str
    default: [public]
notes:
  - A role with C(pg_monitor) sees everything except a few details, which RV(skipped_sections) names.
  - Ages are computed on the server's clock.
seealso:
  - module: runbook.ops.postgresql_query_info
"""

EXAMPLES = r"""
- name: Measure everything
  runbook.ops.postgresql_health_info:
    login_host: db.example.com
    login_user: monitoring
    login_password: "{{ monitoring_password }}"
    login_db: shop
  register: shop

- name: Judge two figures
  ansible.builtin.debug:
    msg: "{{ shop | runbook.ops.judge(rules, system='shop', host='db') | runbook.ops.findings_table }}"
  vars:
    rules:
      - id: postgresql.connections
        value: health.connections.used_percent
        warning: "> 80"
        critical: "> 90"
        unit: percent
      - id: postgresql.blocking
        each: health.locks.roots
        name: "pid {pid}"
        value: longest_wait_seconds
        warning: "> 30 s"
        critical: "> 5 m"
        unit: seconds

- name: Look at locks and sessions only, during an incident
  runbook.ops.postgresql_health_info:
    login_host: db.example.com
    sections: [locks, sessions]
    statement_timeout: 3
"""

RETURN = r"""
available:
  description:
    - Whether the server could be reached and let us in.
    - When it is V(false), RV(reason) says why and RV(health) is empty.
  returned: always
  type: bool
  sample: true
reason:
  description: Why the server is not available and what to do next, without secrets. V(null) when it is available.
  returned: always
  type: str
measured_at:
  description: When the measuring began, on the controller's clock, ISO 8601 in UTC.
  returned: always
  type: str
  sample: "2026-01-31T00:15:00Z"
skipped_sections:
  description:
    - What could not be read.
    - Everything else is still delivered.
    - A fact that belongs to an entry here is V(null).
  returned: always
  type: list
  elements: dict
  contains:
    section:
      description:
        - The section of RV(health), or a single fact in it with its path, such as V(statements) or
          V(wal.archiver.ready_count).
      type: str
    reason:
      description: What is missing, and which facts are therefore unknown.
      type: str
    remedy:
      description: The exact statement or setting that makes it readable.
      type: str
health:
  description: One key a requested section. Unknown figures are V(null), never 0. Ages come from the server's clock.
  returned: always
  type: dict
  contains:
    server:
      description: Identity, uptime and role of the server.
      type: dict
      contains:
        version:
          description: Version as the server names it.
          type: str
          sample: "15.18 (Debian 15.18-0+deb12u1)"
        version_num:
          description: Version as a number, major times 10000 plus minor.
          type: int
          sample: 150018
        major:
          description: Major version.
          type: int
          sample: 15
        server_time:
          description: The server's clock, ISO 8601 in UTC.
          type: str
        timezone:
          description: The server's C(TimeZone) setting for this session.
          type: str
        started_at:
          description: When the server was started.
          type: str
        uptime_seconds:
          description: Seconds since the server was started.
          type: float
        config_loaded_at:
          description: When the configuration files were last read.
          type: str
        in_recovery:
          description: V(true) on a standby, and on a server that is still recovering.
          type: bool
        is_primary:
          description: The opposite of C(in_recovery).
          type: bool
        system_identifier:
          description:
            - Identifies the cluster, also in its physical copies.
            - Text, because it exceeds what JSON readers keep exactly.
          type: str
        cluster_name:
          description: The C(cluster_name) setting.
          type: str
        database:
          description:
            - The database measured, O(login_db).
            - Sections that can only look into one database cover this one.
          type: str
        user:
          description: The role used.
          type: str
        is_superuser:
          description: Whether that role is a superuser.
          type: bool
        can_read_all_stats:
          description: Whether that role sees other roles' sessions (has the rights of C(pg_read_all_stats)).
          type: bool
        encoding:
          description: Encoding of the measured database.
          type: str
        pending_restart_count:
          description: Settings changed in a file that wait for a restart.
          type: int
        pending_restart:
          description: Their names.
          type: list
          elements: str
        database_count:
          description: Databases that accept connections, without templates.
          type: int
        databases:
          description: Their names.
          type: list
          elements: str
    connections:
      description: Connection slots. Only client backends count, including the one that measures.
      type: dict
      contains:
        max:
          description: C(max_connections).
          type: int
        superuser_reserved:
          description: C(superuser_reserved_connections).
          type: int
        reserved:
          description: C(reserved_connections), from PostgreSQL 16; V(null) before, where there is no such setting.
          type: int
        usable:
          description: C(max) without both reserves. What an application can get.
          type: int
        used:
          description: Client backends connected.
          type: int
        used_is_exact:
          description:
            - V(false) when the role may not see other roles' sessions.
            - Then C(used) may include parallel workers and logical walsenders.
          type: bool
        used_percent:
          description: C(used) in percent of C(usable). Above 100 when the reserve is in use.
          type: float
        free:
          description: C(usable) minus C(used), at least 0.
          type: int
        processes:
          description: All rows of C(pg_stat_activity), background processes included. Not a connection count.
          type: int
        active:
          description: Client backends executing a statement.
          type: int
        idle:
          description: Client backends waiting for their client outside a transaction.
          type: int
        idle_in_transaction:
          description: Client backends waiting for their client inside a transaction, aborted transactions included.
          type: int
        waiting:
          description: Client backends waiting for a lock.
          type: int
        idle_in_transaction_oldest_seconds:
          description: How long the longest of them has been idle. 0 when there is none.
          type: float
        idle_oldest_seconds:
          description: How long the longest idle one has been idle. 0 when there is none.
          type: float
        by_state:
          description: Client backends by state.
          type: list
          elements: dict
          contains:
            state:
              description: State.
              type: str
            count:
              description: How many.
              type: int
        by_database:
          description: Client backends by database.
          type: list
          elements: dict
          contains:
            name:
              description: Database.
              type: str
            count:
              description: How many.
              type: int
            limit:
              description: Connection limit of the database. V(null) when it has none.
              type: int
            limit_percent:
              description: C(count) in percent of C(limit).
              type: float
        by_user:
          description: Client backends by role.
          type: list
          elements: dict
          contains:
            name:
              description: Role.
              type: str
            count:
              description: How many.
              type: int
            limit:
              description: Connection limit of the role. V(null) when it has none.
              type: int
            limit_percent:
              description: C(count) in percent of C(limit).
              type: float
        by_application:
          description: Client backends by application name; whose pool it is.
          type: list
          elements: dict
          contains:
            name:
              description: Application name, empty when it gives none.
              type: str
            count:
              description: How many.
              type: int
            idle_in_transaction:
              description: Of these, idle in transaction.
              type: int
        max_prepared_transactions:
          description: C(max_prepared_transactions). 0 means that the feature is off.
          type: int
        prepared_count:
          description: Prepared transactions of two-phase commit, in all databases.
          type: int
        prepared_oldest_seconds:
          description: Age of the oldest one. 0 when there is none.
          type: float
        prepared:
          description: The oldest prepared transactions.
          type: list
          elements: dict
          contains:
            gid:
              description: Global identifier.
              type: str
            database:
              description: Database.
              type: str
            owner:
              description: Role.
              type: str
            prepared_at:
              description: When.
              type: str
            age_seconds:
              description: How long ago.
              type: float
            xid_age:
              description: Transactions since.
              type: int
        truncated:
          description: Whether a list was cut at O(top).
          type: bool
    sessions:
      description:
        - Client sessions other than our own.
        - Literals and comments are taken out of statements, because they hold personal data and secrets.
      type: dict
      contains:
        total_count:
          description: Client sessions.
          type: int
        active_count:
          description: Executing a statement.
          type: int
        idle_count:
          description: Idle outside a transaction.
          type: int
        idle_in_transaction_count:
          description: Idle inside a transaction.
          type: int
        oldest_query_seconds:
          description: Runtime of the longest running statement. 0 when there is none.
          type: float
        oldest_transaction_seconds:
          description: Age of the oldest transaction of a client session. 0 when there is none.
          type: float
        idle_in_transaction_oldest_seconds:
          description: Longest time idle inside a transaction, since the last state change. 0 when there is none.
          type: float
        idle_oldest_seconds:
          description: Longest time idle outside a transaction. 0 when there is none.
          type: float
        oldest_transaction:
          description: The session with the oldest transaction, keys as in C(active). V(null) when there is none.
          type: dict
        active:
          description: Longest running statements first.
          type: list
          elements: dict
          contains:
            pid:
              description: Process id.
              type: int
            database:
              description: Database.
              type: str
            user:
              description: Role.
              type: str
            application:
              description: Application name.
              type: str
            client_address:
              description: Address of the client. V(null) for a Unix socket.
              type: str
            state:
              description: State.
              type: str
            backend_started_at:
              description:
                - Start of the session.
                - With C(pid) and C(transaction_started_at) it identifies what a later action may end.
              type: str
            transaction_started_at:
              description: Start of the transaction.
              type: str
            state_age_seconds:
              description: Since the last change of state. For an idle session that is how long it has been idle.
              type: float
            transaction_age_seconds:
              description: Since the transaction began. V(null) outside a transaction.
              type: float
            query_age_seconds:
              description:
                - Since the statement began.
                - For an idle session this includes the statement, so do not use it as idle time.
              type: float
            xmin_age:
              description: Transactions that VACUUM cannot clean up because of this session.
              type: int
            wait_event_type:
              description: What kind of thing it waits for.
              type: str
            wait_event:
              description: What it waits for.
              type: str
            query_id:
              description: Identifier of the statement, as in C(statements), from PostgreSQL 14.
              type: str
            query:
              description:
                - The current or last statement without literals, at most 500 characters.
                - V(null) when its database has another encoding and the text is not ASCII.
              type: str
        idle_in_transaction:
          description: Longest idle first. Keys as in C(active).
          type: list
          elements: dict
        idle:
          description: Longest idle first. Keys as in C(active).
          type: list
          elements: dict
        by_application:
          description: Who leaks; applications by the time they hold transactions without working.
          type: list
          elements: dict
          contains:
            application:
              description: Application name.
              type: str
            user:
              description: Role.
              type: str
            database:
              description: Database.
              type: str
            count:
              description: Sessions.
              type: int
            active:
              description: Executing.
              type: int
            idle:
              description: Idle.
              type: int
            idle_in_transaction:
              description: Idle in transaction.
              type: int
            idle_oldest_seconds:
              description: Longest idle.
              type: float
            idle_in_transaction_oldest_seconds:
              description: Longest idle in transaction.
              type: float
        truncated:
          description: Whether a list was cut at O(top).
          type: bool
    locks:
      description: Who waits for whom.
      type: dict
      contains:
        waiting_count:
          description: Sessions that wait for a lock.
          type: int
        longest_wait_seconds:
          description: Longest wait. 0 when nobody waits.
          type: float
        root_count:
          description: Sessions that block others and wait for nobody.
          type: int
        roots:
          description: Worst first, by the number blocked times the longest wait.
          type: list
          elements: dict
          contains:
            pid:
              description: Process id. V(null) for a prepared transaction.
              type: int
            kind:
              description: V(session) or V(prepared_transaction).
              type: str
            gids:
              description: For a prepared transaction, all identifiers it may be.
              type: list
              elements: str
            database:
              description: Database.
              type: str
            user:
              description: Role.
              type: str
            application:
              description: Application name.
              type: str
            client_address:
              description: Address of the client.
              type: str
            state:
              description: State. V(idle in transaction) means that the client forgot it.
              type: str
            backend_started_at:
              description: Start of the session.
              type: str
            transaction_started_at:
              description: Start of the transaction.
              type: str
            transaction_age_seconds:
              description: Age of the transaction.
              type: float
            state_age_seconds:
              description: Since the last change of state.
              type: float
            query:
              description: Its current or last statement without literals.
              type: str
            blocked_count:
              description: Sessions it blocks, directly or through others.
              type: int
            longest_wait_seconds:
              description: Longest wait below it.
              type: float
            total_wait_seconds:
              description: Sum of the waits below it.
              type: float
            blocked:
              description: The tree below it, depth first.
              type: list
              elements: dict
              contains:
                depth:
                  description: 1 waits for the root itself.
                  type: int
                pid:
                  description: Process id.
                  type: int
                blocked_by:
                  description: Process ids it waits for.
                  type: list
                  elements: int
                wait_seconds:
                  description: How long.
                  type: float
        waiting:
          description: Longest waiting first.
          type: list
          elements: dict
          contains:
            pid:
              description: Process id.
              type: int
            blocked_by:
              description: Process ids it waits for. 0 is a prepared transaction.
              type: list
              elements: int
            database:
              description: Database.
              type: str
            user:
              description: Role.
              type: str
            application:
              description: Application name.
              type: str
            wait_seconds:
              description: How long. Before PostgreSQL 14 an upper bound, counted from the start of the statement.
              type: float
            lock_type:
              description: What kind of object is locked.
              type: str
            mode:
              description: Requested lock mode.
              type: str
            schema:
              description: Schema of the table concerned, where known and in the measured database.
              type: str
            name:
              description: Name of the table concerned.
              type: str
            query:
              description: The waiting statement without literals.
              type: str
        lock_table_used:
          description: Entries of the shared lock table in use.
          type: int
        lock_table_size:
          description:
            - Entries it is sized for, C(max_locks_per_transaction) times C(max_connections +
              max_prepared_transactions).
          type: int
        lock_table_percent:
          description: The former in percent of the latter.
          type: float
        truncated:
          description: Whether a list was cut at O(top).
          type: bool
    databases:
      description: Size and cumulative statistics of every database.
      type: dict
      contains:
        count:
          description: Databases in C(list), before the cut.
          type: int
        total_size_bytes:
          description: Size of all databases, templates included. V(null) when one of them may not be read.
          type: int
        current:
          description: The row of the measured database, keys as in C(list).
          type: dict
        list:
          description: Largest first.
          type: list
          elements: dict
          contains:
            name:
              description: Database.
              type: str
            size_bytes:
              description: Size. V(null) when the role may not connect to it.
              type: int
            is_template:
              description: Template.
              type: bool
            allows_connections:
              description: Whether it accepts connections.
              type: bool
            is_invalid:
              description: Left over by an interrupted DROP DATABASE; only dropping it helps.
              type: bool
            connections:
              description: Backends connected.
              type: int
            connection_limit:
              description: Connection limit. V(null) when it has none.
              type: int
            commits_total:
              description: Transactions committed since C(stats_since).
              type: int
            rollbacks_total:
              description: Transactions rolled back since C(stats_since).
              type: int
            rollback_percent:
              description: Rolled back in percent of all. V(null) when there was none.
              type: float
            cache_hit_percent:
              description: Blocks found in shared buffers, in percent. Informational; the operating system caches too.
              type: float
            deadlocks_total:
              description: Deadlocks since C(stats_since).
              type: int
            deadlocks_per_day:
              description: The same per day. Statistics younger than a day count as one day old.
              type: float
            conflicts_total:
              description: Statements cancelled by recovery, on a standby.
              type: int
            temp_files_total:
              description: Temporary files since C(stats_since).
              type: int
            temp_bytes_total:
              description: Bytes in them.
              type: int
            temp_bytes_per_hour:
              description: Bytes of temporary files per hour. Statistics younger than an hour count as one hour old.
              type: float
            sessions_abandoned_total:
              description: Sessions whose client vanished, from PostgreSQL 14.
              type: int
            sessions_fatal_total:
              description: Sessions ended by a fatal error, from PostgreSQL 14.
              type: int
            sessions_killed_total:
              description: Sessions ended by an operator, from PostgreSQL 14.
              type: int
            checksum_failures_total:
              description: Pages whose checksum failed. V(null) without checksums.
              type: int
            xid_age:
              description: Age of the oldest unfrozen transaction id.
              type: int
            multixact_age:
              description: Age of the oldest multixact.
              type: int
            stats_reset_at:
              description: When the statistics were reset. V(null) when they never were.
              type: str
            stats_since:
              description: Since when the counters have counted, at least.
              type: str
            stats_age_seconds:
              description: Seconds since C(stats_since).
              type: float
        truncated:
          description: Whether C(list) was cut at O(top).
          type: bool
    tables:
      description: Tables and materialised views of the measured database, system schemas left out.
      type: dict
      contains:
        database:
          description: The database measured.
          type: str
        count:
          description: Tables and materialised views.
          type: int
        total_bytes:
          description: Their size with indexes and TOAST.
          type: int
        live_rows_total:
          description: Live rows, as counted by the statistics.
          type: int
        dead_rows_total:
          description: Dead rows.
          type: int
        vacuum_due_count:
          description: Tables that autovacuum should have on its list now, for dead or for inserted rows.
          type: int
        analyze_due_count:
          description: Tables due for ANALYZE.
          type: int
        never_analyzed_count:
          description: Tables with rows that were never analysed, so the planner guesses.
          type: int
        autovacuum_disabled_count:
          description: Tables with C(autovacuum_enabled=false).
          type: int
        autovacuum_disabled:
          description: Which.
          type: list
          elements: dict
          contains:
            schema:
              description: Schema.
              type: str
            name:
              description: Table.
              type: str
        stats_since:
          description: Since when the counters have counted, at least.
          type: str
        stats_age_seconds:
          description: Seconds since then.
          type: float
        largest:
          description: By total size.
          type: list
          elements: dict
          contains:
            schema:
              description: Schema.
              type: str
            name:
              description: Table.
              type: str
            kind:
              description: V(table), V(partition) or V(materialized view).
              type: str
            parent:
              description: For a partition, the partitioned table at the top.
              type: str
            total_bytes:
              description: With indexes and TOAST.
              type: int
            table_bytes:
              description: The table itself.
              type: int
            index_bytes:
              description: Its indexes.
              type: int
            toast_bytes:
              description: Its TOAST table with index.
              type: int
            live_rows:
              description: Live rows.
              type: int
            is_estimate:
              description:
                - V(true) when the table is locked exclusively, so the size comes from the last VACUUM or ANALYZE
                  instead of waiting for the lock.
              type: bool
        partitioned:
          description: Partitioned tables with their partitions, by total size.
          type: list
          elements: dict
          contains:
            schema:
              description: Schema.
              type: str
            name:
              description: Partitioned table.
              type: str
            partition_count:
              description: Partitions that hold data.
              type: int
            total_bytes:
              description: Size of all of them.
              type: int
            live_rows:
              description: Live rows of all of them.
              type: int
        dead_rows:
          description: By the number of dead rows.
          type: list
          elements: dict
          contains:
            schema:
              description: Schema.
              type: str
            name:
              description: Table.
              type: str
            live_rows:
              description: Live rows.
              type: int
            dead_rows:
              description: Dead rows.
              type: int
            dead_percent:
              description: Dead rows in percent of all. V(null) for an empty table.
              type: float
            vacuum_threshold:
              description:
                - Dead rows at which autovacuum comes, with the table's own storage parameters, and from PostgreSQL 18
                  the cap.
              type: float
            vacuum_threshold_percent:
              description: C(dead_rows) in percent of C(vacuum_threshold). Above 100, autovacuum is late.
              type: float
            autovacuum_enabled:
              description: For this table and the server.
              type: bool
            last_vacuum_at:
              description: Last VACUUM of either kind. V(null) when never.
              type: str
            last_vacuum_age_seconds:
              description: Seconds since. V(null) when never.
              type: float
            total_bytes:
              description: Size with indexes and TOAST.
              type: int
        vacuum_due:
          description: By how far the threshold is exceeded.
          type: list
          elements: dict
          contains:
            schema:
              description: Schema.
              type: str
            name:
              description: Table.
              type: str
            cause:
              description: V(dead rows) or V(inserted rows).
              type: str
            dead_rows:
              description: Dead rows.
              type: int
            vacuum_threshold:
              description: Threshold for them.
              type: float
            inserted_rows:
              description: Rows inserted since the last VACUUM.
              type: int
            insert_threshold:
              description: Threshold for them. V(null) when switched off.
              type: float
            due_percent:
              description: The larger of both in percent of its threshold.
              type: float
            autovacuum_enabled:
              description: For this table and the server.
              type: bool
            last_vacuum_at:
              description: Last VACUUM of either kind.
              type: str
            last_vacuum_age_seconds:
              description: Seconds since.
              type: float
        analyze_due:
          description: By how far the threshold is exceeded.
          type: list
          elements: dict
          contains:
            schema:
              description: Schema.
              type: str
            name:
              description: Table.
              type: str
            modified_rows:
              description: Rows modified since the last ANALYZE.
              type: int
            analyze_threshold:
              description: Rows at which autovacuum analyses.
              type: float
            due_percent:
              description: The former in percent of the latter.
              type: float
            last_analyze_at:
              description: Last ANALYZE of either kind.
              type: str
            last_analyze_age_seconds:
              description: Seconds since.
              type: float
        never_analyzed:
          description: Largest first.
          type: list
          elements: dict
          contains:
            schema:
              description: Schema.
              type: str
            name:
              description: Table.
              type: str
            live_rows:
              description: Live rows.
              type: int
            total_bytes:
              description: Size.
              type: int
        sequential_scans:
          description: Tables read from end to end, by rows read that way.
          type: list
          elements: dict
          contains:
            schema:
              description: Schema.
              type: str
            name:
              description: Table.
              type: str
            live_rows:
              description: Live rows.
              type: int
            sequential_scans:
              description: Sequential scans since C(stats_since).
              type: int
            sequential_scans_per_hour:
              description: The same per hour. Statistics younger than an hour count as one hour old.
              type: float
            sequential_rows:
              description: Rows read by them.
              type: int
            rows_per_scan:
              description: Rows read by one of them on average.
              type: float
            full_reads:
              description: How many times the whole table was read, rows read by live rows.
              type: float
            index_scans:
              description: Index scans.
              type: int
            sequential_percent:
              description: Sequential scans in percent of all scans.
              type: float
            total_bytes:
              description: Size.
              type: int
            index_count:
              description: Indexes on the table.
              type: int
        truncated:
          description: Whether a list was cut at O(top).
          type: bool
    indexes:
      description: Indexes of the measured database, system schemas left out.
      type: dict
      contains:
        database:
          description: The database measured.
          type: str
        count:
          description: Indexes.
          type: int
        total_bytes:
          description: Their size.
          type: int
        stats_since:
          description: Since when scans have been counted, at least.
          type: str
        stats_age_seconds:
          description: Seconds since then. An index unused for ten minutes proves nothing.
          type: float
        is_standby:
          description: Measured on a standby; its scans are not the primary's.
          type: bool
        standby_count:
          description:
            - Standbys connected, whose own scans must be looked at before an index is dropped.
            - V(null) when it may not be read.
          type: int
        unused_count:
          description:
            - Indexes never scanned since C(stats_since).
            - Left out are those of primary keys, unique and exclusion constraints, replica identity, those that
              support a foreign key, and invalid ones.
          type: int
        unused_bytes:
          description: Their size.
          type: int
        unused:
          description: Largest first.
          type: list
          elements: dict
          contains:
            schema:
              description: Schema.
              type: str
            table:
              description: Table.
              type: str
            name:
              description: Index.
              type: str
            size_bytes:
              description: Size, partitions included.
              type: int
            scans:
              description: Always 0 here.
              type: int
            last_scan_at:
              description: Last scan, from PostgreSQL 16; survives no reset either.
              type: str
            table_writes:
              description: Rows written to the table since C(stats_since), each of which had to maintain the index.
              type: int
            is_partial:
              description: Has a predicate.
              type: bool
            is_expression:
              description: Has expressions. Its statistics may serve the planner even if it is never scanned.
              type: bool
            partition_count:
              description: For an index on a partitioned table, the indexes of its partitions; otherwise 0.
              type: int
        invalid_count:
          description: Invalid indexes that no running CREATE INDEX or REINDEX is still building.
          type: int
        building_count:
          description: Invalid indexes that are being built now.
          type: int
        invalid:
          description: Invalid indexes. They slow down writes and serve no query.
          type: list
          elements: dict
          contains:
            schema:
              description: Schema.
              type: str
            table:
              description: Table.
              type: str
            name:
              description: Index.
              type: str
            size_bytes:
              description: Size.
              type: int
            is_building:
              description: A running CREATE INDEX or REINDEX works on it.
              type: bool
            leftover:
              description:
                - V(ccnew) left by a failed REINDEX CONCURRENTLY (drop it and retry), V(ccold) left after a successful
                  one (drop it), or V(null), a failed CREATE INDEX CONCURRENTLY.
              type: str
        duplicate_count:
          description: Redundant indexes.
          type: int
        duplicate_bytes:
          description: Their size.
          type: int
        duplicates:
          description:
            - Indexes equal to another one in columns, order, operator classes, collations, expressions, predicate,
              uniqueness and method.
          type: list
          elements: dict
          contains:
            schema:
              description: Schema.
              type: str
            table:
              description: Table.
              type: str
            name:
              description: The redundant index.
              type: str
            duplicate_of:
              description: The one to keep.
              type: str
            size_bytes:
              description: Size of the redundant one.
              type: int
            is_constraint:
              description: It backs a constraint, so the constraint must be dropped instead.
              type: bool
        unindexed_foreign_key_count:
          description:
            - Foreign keys whose columns no usable index leads with.
            - Deleting a parent row scans the child table.
          type: int
        unindexed_foreign_keys:
          description: Largest child table first.
          type: list
          elements: dict
          contains:
            schema:
              description: Schema of the referencing table.
              type: str
            table:
              description: Referencing table.
              type: str
            name:
              description: Constraint.
              type: str
            columns:
              description: Referencing columns.
              type: list
              elements: str
            referenced_schema:
              description: Schema of the referenced table.
              type: str
            referenced_table:
              description: Referenced table.
              type: str
            on_delete:
              description: What a DELETE of the parent row does, such as V(cascade).
              type: str
            live_rows:
              description: Live rows of the referencing table.
              type: int
            table_bytes:
              description: Size of the referencing table.
              type: int
        largest:
          description: By size.
          type: list
          elements: dict
          contains:
            schema:
              description: Schema.
              type: str
            table:
              description: Table.
              type: str
            name:
              description: Index.
              type: str
            size_bytes:
              description: Size.
              type: int
            scans:
              description: Scans since C(stats_since).
              type: int
            method:
              description: Access method.
              type: str
            is_unique:
              description: Unique.
              type: bool
            is_primary:
              description: Primary key.
              type: bool
            is_valid:
              description: Valid.
              type: bool
        truncated:
          description: Whether a list was cut at O(top).
          type: bool
    statements:
      description: C(pg_stat_statements), all databases. Constants are taken out of the text.
      type: dict
      contains:
        extension_version:
          description: Installed version of the extension.
          type: str
        entries:
          description: Statements tracked.
          type: int
        max_entries:
          description: C(pg_stat_statements.max).
          type: int
        evicted_total:
          description:
            - How often the least executed entries were thrown away, from version 1.9.
            - Growing means that the rankings are incomplete.
          type: int
        stats_reset_at:
          description: When the statistics were reset, from version 1.9.
          type: str
        stats_age_seconds:
          description: Seconds since.
          type: float
        calls_total:
          description: Executions of all tracked statements.
          type: int
        total_ms:
          description: Milliseconds spent in all of them.
          type: float
        by_total_time:
          description: What the server is busy with.
          type: list
          elements: dict
          contains:
            query_id:
              description: Identifier. V(null) when the role may not see other roles' statements.
              type: str
            query:
              description: The statement without literals, at most 500 characters.
              type: str
            database:
              description: Database.
              type: str
            user:
              description: Role.
              type: str
            calls:
              description: Executions.
              type: int
            calls_percent:
              description: In percent of C(calls_total).
              type: float
            total_ms:
              description: Milliseconds spent.
              type: float
            total_percent:
              description: In percent of C(total_ms).
              type: float
            mean_ms:
              description: Mean milliseconds an execution.
              type: float
            max_ms:
              description: Slowest execution. V(null) where the extension does not record it.
              type: float
            stddev_ms:
              description: Standard deviation.
              type: float
            rows:
              description: Rows returned or affected.
              type: int
            rows_per_call:
              description: Rows an execution.
              type: float
            cache_hit_percent:
              description: Blocks found in shared buffers, in percent.
              type: float
            temp_bytes:
              description: Bytes written to temporary files.
              type: int
            wal_bytes:
              description: Bytes of WAL written.
              type: int
        by_mean_time:
          description: Slowest on average first. Keys as in C(by_total_time).
          type: list
          elements: dict
        by_calls:
          description:
            - Most often executed first; many calls of few milliseconds and about one row each are the sign of an N+1
              pattern.
            - Keys as in C(by_total_time).
          type: list
          elements: dict
        truncated:
          description: Whether a list was cut at O(top).
          type: bool
    replication:
      description: Standbys, slots, and the receiving side.
      type: dict
      contains:
        is_primary:
          description: Not in recovery.
          type: bool
        standby_count:
          description: Standbys and logical subscribers connected.
          type: int
        synchronous_standby_names:
          description: The setting.
          type: str
        is_synchronous_missing:
          description: Synchronous replication is demanded and nobody provides it, so commits hang.
          type: bool
        max_replay_lag_bytes:
          description: Largest lag of a standby. 0 when there is none.
          type: int
        max_replay_lag_seconds:
          description: Largest lag of a standby. 0 when there is none. Idle, caught-up standbys count as 0.
          type: float
        standbys:
          description: Connected receivers.
          type: list
          elements: dict
          contains:
            pid:
              description: Process id of the walsender.
              type: int
            application:
              description: Name of the standby.
              type: str
            user:
              description: Role.
              type: str
            client_address:
              description: Address.
              type: str
            state:
              description: V(streaming), V(catchup), V(backup), V(startup) or V(stopping).
              type: str
            sync_state:
              description: V(async), V(potential), V(sync) or V(quorum).
              type: str
            started_at:
              description: Since when connected.
              type: str
            sent_lag_bytes:
              description: Not yet sent.
              type: int
            flush_lag_bytes:
              description: Not yet safe on the standby's disk.
              type: int
            replay_lag_bytes:
              description: Not yet visible on the standby.
              type: int
            write_lag_seconds:
              description: Measured delay until written.
              type: float
            flush_lag_seconds:
              description: Measured delay until flushed.
              type: float
            replay_lag_seconds:
              description: Measured delay until replayed. V(null) when it was idle.
              type: float
            xmin_age:
              description: Transactions that VACUUM cannot clean up because of this standby's feedback.
              type: int
            reply_age_seconds:
              description: Since the last message from it.
              type: float
        slot_count:
          description: Replication slots.
          type: int
        inactive_slot_count:
          description: Slots nobody uses, temporary ones apart. They keep WAL and may fill the disk.
          type: int
        lost_slot_count:
          description: Slots whose WAL is gone or which were invalidated.
          type: int
        max_retained_bytes:
          description: Most WAL kept back by a slot. 0 when there is none.
          type: int
        max_slot_wal_keep_size_bytes:
          description: Limit on that. V(null) when unlimited.
          type: int
        slots:
          description: Replication slots, those that keep the most WAL first.
          type: list
          elements: dict
          contains:
            name:
              description: Slot.
              type: str
            type:
              description: V(physical) or V(logical).
              type: str
            plugin:
              description: Output plugin of a logical slot.
              type: str
            database:
              description: Database of a logical slot.
              type: str
            is_active:
              description: In use.
              type: bool
            is_temporary:
              description: Ends with its session.
              type: bool
            wal_status:
              description: V(reserved), V(extended), V(unreserved) or V(lost).
              type: str
            retained_bytes:
              description: WAL kept back by it.
              type: int
            safe_wal_bytes:
              description: WAL that may still be written before it is lost. V(null) without limit.
              type: int
            xmin_age:
              description: Transactions that VACUUM cannot clean up because of it.
              type: int
            catalog_xmin_age:
              description: The same for the catalogs.
              type: int
            inactive_since:
              description: Since when it is not in use, from PostgreSQL 17.
              type: str
            inactive_seconds:
              description: Seconds since then.
              type: float
            invalidation_reason:
              description: Why it was invalidated, from PostgreSQL 17.
              type: str
            is_conflicting:
              description: Conflicts with recovery, from PostgreSQL 16.
              type: bool
        receiver:
          description: The WAL receiver of a standby. V(null) on a primary, and on a standby that does not stream.
          type: dict
          contains:
            status:
              description: Status.
              type: str
            sender_host:
              description: Where it streams from.
              type: str
            sender_port:
              description: Port there.
              type: int
            slot_name:
              description: Slot it uses.
              type: str
            received_lag_bytes:
              description: Received but not yet replayed.
              type: int
            last_message_age_seconds:
              description: Since the last message from the sender.
              type: float
        is_replay_paused:
          description: Replay was paused by an operator. V(null) on a primary.
          type: bool
        replay_lag_bytes:
          description: Received but not yet replayed. V(null) on a primary.
          type: int
        replay_lag_seconds:
          description:
            - Age of the last replayed transaction, 0 when everything received is replayed.
            - V(null) on a primary.
          type: float
        subscriptions:
          description: Logical subscriptions of the measured database.
          type: list
          elements: dict
          contains:
            name:
              description: Subscription.
              type: str
            is_enabled:
              description: Enabled.
              type: bool
            is_running:
              description: Its apply worker runs.
              type: bool
            apply_errors_total:
              description: Errors while applying, from PostgreSQL 15.
              type: int
            sync_errors_total:
              description: Errors while copying, from PostgreSQL 15.
              type: int
            last_message_age_seconds:
              description: Since the last message from the publisher.
              type: float
        subscription_count:
          description: Logical subscriptions of the measured database.
          type: int
        truncated:
          description: Whether a list was cut at O(top).
          type: bool
    wal:
      description: Write-ahead log, archiver and checkpoints.
      type: dict
      contains:
        level:
          description: C(wal_level).
          type: str
        archiver:
          description: C(pg_stat_archiver) and its settings.
          type: dict
          contains:
            mode:
              description: C(archive_mode).
              type: str
            is_enabled:
              description: Not V(off).
              type: bool
            has_command:
              description:
                - A command or library is set.
                - Enabled without one keeps all WAL for ever.
                - V(null) when the settings may not be read.
              type: bool
            is_failing:
              description: The last attempt failed. V(false) when archiving is off.
              type: bool
            archived_total:
              description: Segments archived since C(stats_reset_at).
              type: int
            failed_total:
              description: Failed attempts since C(stats_reset_at).
              type: int
            last_archived_wal:
              description: Last segment archived.
              type: str
            last_archived_at:
              description: When.
              type: str
            last_archived_age_seconds:
              description: How long ago.
              type: float
            last_failed_wal:
              description: Last segment that failed.
              type: str
            last_failed_at:
              description: When.
              type: str
            last_failed_age_seconds:
              description: How long ago.
              type: float
            failing_seconds:
              description:
                - Since the last success, or since the statistics began if there was none, while C(is_failing); 0
                  otherwise.
              type: float
            ready_count:
              description: Segments waiting to be archived.
              type: int
            stats_reset_at:
              description: Since when this is counted.
              type: str
        directory_bytes:
          description: Size of the files in C(pg_wal).
          type: int
        directory_files:
          description: Their number.
          type: int
        max_wal_size_bytes:
          description: C(max_wal_size), a target, not a limit.
          type: int
        directory_percent:
          description: C(directory_bytes) in percent of C(max_wal_size).
          type: float
        statistics:
          description: C(pg_stat_wal), from PostgreSQL 14.
          type: dict
          contains:
            records_total:
              description: Records written.
              type: int
            full_page_images_total:
              description: Full page images.
              type: int
            bytes_total:
              description: Bytes.
              type: int
            bytes_per_second:
              description: Mean since C(stats_reset_at).
              type: float
            buffers_full_total:
              description: How often WAL buffers were full.
              type: int
            stats_reset_at:
              description: Since when this is counted.
              type: str
        checkpoints:
          description: From C(pg_stat_checkpointer) (PostgreSQL 17) or C(pg_stat_bgwriter).
          type: dict
          contains:
            timed_total:
              description: Started by C(checkpoint_timeout).
              type: int
            requested_total:
              description: Started early, mostly because C(max_wal_size) was reached.
              type: int
            requested_percent:
              description: Requested in percent of all. V(null) when there was none.
              type: float
            write_ms_total:
              description: Milliseconds writing.
              type: float
            sync_ms_total:
              description: Milliseconds synchronising.
              type: float
            buffers_written_total:
              description: Buffers written.
              type: int
            stats_reset_at:
              description: Since when this is counted.
              type: str
            last_checkpoint_at:
              description: Last checkpoint.
              type: str
            last_checkpoint_age_seconds:
              description: Seconds since.
              type: float
    wraparound:
      description: How near transaction ids and multixacts are to their end, and who holds back cleaning.
      type: dict
      contains:
        xid_age:
          description: Oldest of all databases.
          type: int
        xid_percent:
          description: In percent of 2^31, where writes stop.
          type: float
        xid_freeze_percent:
          description:
            - In percent of C(autovacuum_freeze_max_age), where autovacuum turns aggressive.
            - Somewhat above 100 is normal for a while.
          type: float
        multixact_age:
          description: Oldest of all databases.
          type: int
        multixact_percent:
          description: In percent of 2^31.
          type: float
        multixact_freeze_percent:
          description: In percent of C(autovacuum_multixact_freeze_max_age).
          type: float
        freeze_max_age:
          description: C(autovacuum_freeze_max_age).
          type: int
        multixact_freeze_max_age:
          description: C(autovacuum_multixact_freeze_max_age).
          type: int
        failsafe_age:
          description: C(vacuum_failsafe_age), from PostgreSQL 14.
          type: int
        multixact_failsafe_age:
          description: C(vacuum_multixact_failsafe_age), from PostgreSQL 14.
          type: int
        databases:
          description: All databases, templates included, oldest first.
          type: list
          elements: dict
          contains:
            name:
              description: Database.
              type: str
            allows_connections:
              description: V(false) means that only autovacuum can freeze it.
              type: bool
            xid_age:
              description: Age.
              type: int
            xid_percent:
              description: In percent of 2^31.
              type: float
            xid_freeze_percent:
              description: In percent of C(freeze_max_age).
              type: float
            multixact_age:
              description: Age.
              type: int
            multixact_percent:
              description: In percent of 2^31.
              type: float
            multixact_freeze_percent:
              description: In percent of C(multixact_freeze_max_age).
              type: float
        tables:
          description: Relations of the measured database, TOAST tables and system tables included, oldest first.
          type: list
          elements: dict
          contains:
            schema:
              description: Schema. For a TOAST table, that of the table it belongs to.
              type: str
            name:
              description: Table. For a TOAST table, the table it belongs to.
              type: str
            kind:
              description: V(table), V(materialized view) or V(toast).
              type: str
            xid_age:
              description: Age.
              type: int
            xid_percent:
              description: In percent of 2^31.
              type: float
            xid_freeze_percent:
              description: In percent of C(freeze_max_age), or of the table's own smaller value.
              type: float
            multixact_age:
              description: Age.
              type: int
            multixact_percent:
              description: In percent of 2^31.
              type: float
            multixact_freeze_percent:
              description: In percent of C(multixact_freeze_max_age), or of the table's own smaller value.
              type: float
            size_bytes:
              description: Size from the last VACUUM or ANALYZE.
              type: int
        table_count:
          description: Relations that can age.
          type: int
        horizon_xid_age:
          description:
            - Transactions whose dead rows VACUUM cannot remove, because somebody still may look at them. 0 when
              nobody does.
          type: int
        horizon:
          description: Who holds back VACUUM furthest. V(null) when nobody does.
          type: dict
          contains:
            kind:
              description: V(session), V(replication slot), V(prepared transaction) or V(standby).
              type: str
            name:
              description: Names the holder for a person, such as a process id with application and database.
              type: str
            xid_age:
              description: Transactions held back.
              type: int
            age_seconds:
              description: How long the holder has been at it. V(null) for a slot in use.
              type: float
            fix:
              description: What ends it.
              type: str
        holders:
          description: Everybody who holds back VACUUM, oldest first.
          type: list
          elements: dict
          contains:
            kind:
              description: As in C(horizon).
              type: str
            name:
              description: As in C(horizon).
              type: str
            pid:
              description: Process id of a session or standby.
              type: int
            database:
              description: Database.
              type: str
            user:
              description: Role.
              type: str
            application:
              description: Application name.
              type: str
            state:
              description: State of the session.
              type: str
            xid_age:
              description: Transactions held back.
              type: int
            age_seconds:
              description: How long.
              type: float
            fix:
              description: What ends it.
              type: str
        truncated:
          description: Whether a list was cut at O(top).
          type: bool
    sequences:
      description: Sequences of the measured database against the type of the column they feed.
      type: dict
      contains:
        database:
          description: The database measured.
          type: str
        count:
          description: Sequences.
          type: int
        max_used_percent:
          description: The fullest one that would end in an error. 0 when there is none.
          type: float
        list:
          description: Fullest first.
          type: list
          elements: dict
          contains:
            schema:
              description: Schema.
              type: str
            name:
              description: Sequence.
              type: str
            table_schema:
              description: Schema of the table it feeds.
              type: str
            table:
              description: Table it feeds. V(null) when none is known.
              type: str
            column:
              description: Column.
              type: str
            column_type:
              description: Type of the column.
              type: str
            data_type:
              description: Type of the sequence.
              type: str
            last_value:
              description: Last value. V(null) when never used or not readable.
              type: int
            is_used:
              description: Has been used. V(null) when not readable.
              type: bool
            max_value:
              description: End of the sequence, in the direction it counts.
              type: int
            limit:
              description: Where it really ends, the nearer of C(max_value) and what the column can hold.
              type: int
            limit_source:
              description: V(column) or V(sequence).
              type: str
            increment:
              description: Increment.
              type: int
            is_cycling:
              description: Defined with CYCLE.
              type: bool
            ends_in_error:
              description:
                - Reaching the limit fails an INSERT.
                - V(false) only for a cycling sequence whose whole range fits the column.
              type: bool
            used_percent:
              description: Used of the range up to C(limit). V(null) when not readable.
              type: float
            remaining:
              description: Values left. V(null) when not readable.
              type: int
        unreadable_count:
          description: Sequences the role may not read.
          type: int
        truncated:
          description: Whether C(list) was cut at O(top).
          type: bool
    settings:
      description: Settings that matter in operation.
      type: dict
      contains:
        parameters:
          description:
            - By name, such as C(shared_buffers).
            - Each has C(value) (memory in bytes, time in seconds; -1 stays -1), C(unit) (V(bytes), V(seconds) or
              V(null)), C(source) and C(pending_restart).
          type: dict
        pending_restart_count:
          description: Settings changed in a file that wait for a restart.
          type: int
        pending_restart:
          description: Which.
          type: list
          elements: dict
          contains:
            name:
              description: Setting.
              type: str
            value:
              description: Value still in force.
              type: str
        dangerous_count:
          description: Settings that put data at risk.
          type: int
        dangerous:
          description: Which.
          type: list
          elements: dict
          contains:
            name:
              description: Setting.
              type: str
            value:
              description: Its value.
              type: str
            reason:
              description: What can happen.
              type: str
        advice_count:
          description: Settings that make incidents longer or harder to explain.
          type: int
        advice:
          description: Which.
          type: list
          elements: dict
          contains:
            name:
              description: Setting.
              type: str
            value:
              description: Its value.
              type: str
            reason:
              description: What it costs.
              type: str
        shared_preload_libraries:
          description: Preloaded libraries. V(null) when not readable.
          type: list
          elements: str
    roles:
      description: Who may do what.
      type: dict
      contains:
        count:
          description: Roles, predefined ones left out.
          type: int
        login_count:
          description: Roles that can log in.
          type: int
        superuser_count:
          description: Superusers.
          type: int
        superusers:
          description: Their names.
          type: list
          elements: str
        other_superusers:
          description: Superusers that can log in, other than the bootstrap one.
          type: list
          elements: str
        no_expiry_count:
          description: Roles that can log in and whose password never expires.
          type: int
        no_expiry:
          description: Their names, at most O(top).
          type: list
          elements: str
        expired:
          description: Roles that can log in and whose password has expired.
          type: list
          elements: str
        can_create_roles:
          description: Roles with CREATEROLE that are not superusers.
          type: list
          elements: str
        can_create_databases:
          description: Roles with CREATEDB that are not superusers.
          type: list
          elements: str
        can_replicate:
          description: Roles with REPLICATION that are not superusers.
          type: list
          elements: str
        bypass_rls:
          description: Roles with BYPASSRLS that are not superusers.
          type: list
          elements: str
        dangerous_membership_count:
          description: Memberships in predefined roles that are nearly as strong as a superuser.
          type: int
        dangerous_memberships:
          description: Which, direct and inherited ones.
          type: list
          elements: dict
          contains:
            role:
              description: The predefined role.
              type: str
            member:
              description: Who has it.
              type: str
            can_login:
              description: The member can log in.
              type: bool
            reason:
              description: What it allows.
              type: str
        public_create_schemas:
          description: Schemas of the measured database in which everybody may create objects.
          type: list
          elements: str
        truncated:
          description: Whether a list was cut at O(top).
          type: bool
    rls:
      description: Row level security in the measured database.
      type: dict
      contains:
        database:
          description: The database measured.
          type: str
        exposed_schemas:
          description: Schemas looked at, O(exposed_schemas).
          type: list
          elements: str
        table_count:
          description: Tables in them.
          type: int
        without_rls_count:
          description: Tables without row level security that somebody other than the owner may read or write.
          type: int
        without_rls:
          description: Which.
          type: list
          elements: dict
          contains:
            schema:
              description: Schema.
              type: str
            name:
              description: Table.
              type: str
            grantees:
              description: Roles with a privilege on it, V(PUBLIC) included, at most 10.
              type: list
              elements: str
        without_policy:
          description: Row level security is on and there is no policy, so nobody but the owner sees a row.
          type: list
          elements: dict
          contains:
            schema:
              description: Schema.
              type: str
            name:
              description: Table.
              type: str
        without_policy_count:
          description: Their number.
          type: int
        policy_count:
          description: Policies in all schemas.
          type: int
        always_true_count:
          description: Permissive policies that let everything pass.
          type: int
        always_true:
          description: Which.
          type: list
          elements: dict
          contains:
            schema:
              description: Schema.
              type: str
            table:
              description: Table.
              type: str
            name:
              description: Policy.
              type: str
            command:
              description: V(ALL), V(SELECT), V(INSERT), V(UPDATE) or V(DELETE).
              type: str
            roles:
              description: Roles it applies to, V(PUBLIC) included.
              type: list
              elements: str
            clause:
              description: V(USING), V(WITH CHECK) or V(both).
              type: str
        without_check_count:
          description: Policies for writing without WITH CHECK.
          type: int
        without_check:
          description: Which. For ALL and UPDATE, PostgreSQL then uses the USING clause for the new row too.
          type: list
          elements: dict
          contains:
            schema:
              description: Schema.
              type: str
            table:
              description: Table.
              type: str
            name:
              description: Policy.
              type: str
            command:
              description: Command.
              type: str
            roles:
              description: Roles.
              type: list
              elements: str
        truncated:
          description: Whether a list was cut at O(top).
          type: bool
    checksums:
      description: Data page checksums.
      type: dict
      contains:
        is_enabled:
          description: Whether the cluster has them.
          type: bool
        failures_total:
          description: Failures in all databases and the shared catalogs. V(null) without checksums.
          type: int
        databases:
          description: Databases with failures.
          type: list
          elements: dict
          contains:
            name:
              description: Database; V(shared) for the shared catalogs.
              type: str
            failures_total:
              description: Failures.
              type: int
            last_failure_at:
              description: Last one.
              type: str
            last_failure_age_seconds:
              description: Seconds since.
              type: float
    extensions:
      description: Extensions of the measured database.
      type: dict
      contains:
        database:
          description: The database measured.
          type: str
        count:
          description: Installed extensions.
          type: int
        outdated_count:
          description: Extensions for which the server has a newer version.
          type: int
        list:
          description: Installed extensions.
          type: list
          elements: dict
          contains:
            name:
              description: Extension.
              type: str
            schema:
              description: Schema.
              type: str
            version:
              description: Installed version.
              type: str
            available_version:
              description: Version the server's files offer. V(null) when its files are gone.
              type: str
            is_outdated:
              description: The offered version is newer.
              type: bool
    collations:
      description:
        - Recorded against actual versions of collations.
        - A difference means that text indexes may be wrongly ordered.
      type: dict
      contains:
        database:
          description: The database measured.
          type: str
        drifted_count:
          description: Databases and collations whose version differs.
          type: int
        drifted:
          description: Which.
          type: list
          elements: dict
          contains:
            kind:
              description: V(database) or V(collation).
              type: str
            schema:
              description: Schema of a collation.
              type: str
            name:
              description: Database or collation.
              type: str
            provider:
              description: V(libc), V(icu) or V(builtin).
              type: str
            recorded_version:
              description: Version at creation or last refresh.
              type: str
            actual_version:
              description: Version now.
              type: str
        default_version:
          description: Actual version of the measured database's default collation. V(null) when it has none, as C.
          type: str
        default_recorded_version:
          description: The recorded one, from PostgreSQL 15. V(null) before; then a drift cannot be seen.
          type: str
        is_default_checked:
          description: Whether a drift of the default collation could be seen at all.
          type: bool
        affected_index_count:
          description: Indexes of the measured database that use a drifted collation and need REINDEX.
          type: int
        affected_indexes:
          description: Which, largest first.
          type: list
          elements: dict
          contains:
            schema:
              description: Schema.
              type: str
            table:
              description: Table.
              type: str
            name:
              description: Index.
              type: str
            size_bytes:
              description: Size from the last VACUUM or ANALYZE.
              type: int
        truncated:
          description: Whether a list was cut at O(top).
          type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.collect import health_info
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.options import postgresql_argument_spec

SECTIONS = [
    "server",
    "connections",
    "sessions",
    "locks",
    "databases",
    "tables",
    "indexes",
    "statements",
    "replication",
    "wal",
    "wraparound",
    "sequences",
    "settings",
    "roles",
    "rls",
    "checksums",
    "extensions",
    "collations",
]

OPTIONS: dict[str, dict[str, Any]] = {
    "sections": {"type": "list", "elements": "str", "choices": SECTIONS},
    "top": {"type": "int", "default": 20},
    "statement_timeout": {"type": "float", "default": 15.0},
    "exclude_schemas": {"type": "list", "elements": "str", "default": []},
    "exposed_schemas": {"type": "list", "elements": "str", "default": ["public"]},
}


def main() -> None:
    """Measure and return facts."""
    module = AnsibleModule(
        argument_spec={**postgresql_argument_spec(), **OPTIONS},
        supports_check_mode=True,
    )
    try:
        result = health_info(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
