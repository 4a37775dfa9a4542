#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools, clients and limits of a PgBouncer as facts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbouncer_info
short_description: Pools, waiting clients and limits of a PgBouncer, as facts
version_added: 0.7.0
description:
  - Asks the console of a PgBouncer (1.16 or later) in one connection for its pools, databases, clients, statistics and
    settings, and returns them as facts with units in their names. It runs C(SHOW) commands only.
  - A log shows who was refused, long after. The console shows who waits now, in which pool, and for how long.
  - What this version does not show is V(null), which the filter P(runbook.ops.judge#filter) calls unknown.
  - A pooler that is down, refuses the login or is none gives RV(available=false), not a failure.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.pgbouncer
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
  - runbook.ops.attributes.actiongroup_pgbouncer
options:
  sample_seconds:
    description:
      - Seconds between two readings of the statistics, from 0 to 60, to know the rates of now. With V(0) the module
        does not wait, and the rates are PgBouncer's own averages of its last period (C(stats_period), a minute).
    type: float
    default: 0
  quiet_after:
    description:
      - Seconds after its last request at which a client that holds a server connection counts as quiet.
    type: float
    default: 60
  top:
    description:
      - How many clients by name and address to list.
    type: int
    default: 20
  statement_timeout:
    description:
      - Seconds to wait for the answer to a command, beside a short grace.
    type: float
    default: 10
seealso:
  - module: runbook.ops.postgresql_health_info
  - plugin: runbook.ops.pool_budget
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Who waits for a connection?
  runbook.ops.pgbouncer_info:
    login_host: pgbouncer.internal
    login_user: monitoring
    login_password: "{{ pgbouncer_password }}"
  register: pooler_facts

- name: Judge it
  ansible.builtin.set_fact:
    pooler_findings: "{{ pooler_facts | runbook.ops.judge(rules, host='pgbouncer') }}"
  vars:
    rules:
      - id: pgbouncer.available
        value: available
        critical: "== false"
        unit: bool
        gate: true
        summary: "{reason}"
      - id: pgbouncer.waiting
        each: pooler.pools
        name: "{database}/{user}"
        value: max_wait_seconds
        warning: "> 1 s"
        critical: "> 10 s"
        unit: seconds
        summary: "{object}: {clients_waiting} clients wait for a connection, the longest for {value}"

- name: The rates of the next two seconds
  runbook.ops.pgbouncer_info:
    login_host: pgbouncer.internal
    login_user: monitoring
    login_password: "{{ pgbouncer_password }}"
    sample_seconds: 2
"""

RETURN = r"""
available:
  description:
    - Whether the console could be reached and let us in.
    - When it is V(false), RV(reason) says why and RV(pooler) is empty.
  returned: always
  type: bool
  sample: true
reason:
  description: Why it is not available and what to do next, without secrets. V(null) when it is available.
  returned: always
  type: str
measured_at:
  description: When the measuring began, ISO 8601 in UTC.
  returned: always
  type: str
  sample: "2026-01-31T00:15:00Z"
notes:
  description: What a reader must know before believing the figures.
  returned: always
  type: list
  elements: str
  sample: []
skipped_sections:
  description: What could not be read.
  returned: always
  type: list
  elements: dict
  contains:
    section:
      description: Path of the facts concerned.
      type: str
      sample: pooler.clients
    reason:
      description: What the console said.
      type: str
    remedy:
      description: What to do about it.
      type: str
pooler:
  description: The facts.
  returned: always
  type: dict
  contains:
    version:
      description: What it calls itself.
      type: str
      sample: PgBouncer 1.18.0
    version_num:
      description: The same as a number.
      type: int
      sample: 11800
    config:
      description: Its settings, as far as they decide about pools. Of limits and timeouts V(0) is none.
      type: dict
      contains:
        pool_mode:
          description: When a server connection is given back - C(session), C(transaction), C(statement).
          type: str
        auth_type:
          description: How clients prove who they are.
          type: str
        accepts_anybody:
          description: Whether C(auth_type) lets in whoever knows a name, or not even that (V(any), V(trust)).
          type: bool
        listen_addr:
          description: Where it listens.
          type: str
        listen_port:
          description: And on which port.
          type: int
        ignore_startup_parameters:
          description: Parameters of a login that it does not refuse.
          type: str
        server_reset_query:
          description: What it runs before a session's connection is given to the next client.
          type: str
        max_client_conn:
          description: How many clients it accepts.
          type: int
        default_pool_size:
          description: Server connections of one pool.
          type: int
        min_pool_size:
          description: Those that it keeps open.
          type: int
        reserve_pool_size:
          description: Those that it adds for clients that wait long.
          type: int
        reserve_pool_timeout_seconds:
          description: How long that is.
          type: float
        max_db_connections:
          description: Most server connections of one database.
          type: int
        max_user_connections:
          description: Most server connections of one user.
          type: int
        max_prepared_statements:
          description: Prepared statements that it keeps for a connection (1.21).
          type: int
        query_wait_timeout_seconds:
          description: How long a client may wait for a connection before it is dropped.
          type: float
        query_timeout_seconds:
          description: How long a query may take.
          type: float
        client_idle_timeout_seconds:
          description: How long a client may idle.
          type: float
        idle_transaction_timeout_seconds:
          description: How long a client may idle in a transaction.
          type: float
        server_idle_timeout_seconds:
          description: After which an unused server connection is closed.
          type: float
        server_lifetime_seconds:
          description: After which a server connection is closed when it is free.
          type: float
        server_connect_timeout_seconds:
          description: How long the login at the server may take.
          type: float
        server_login_retry_seconds:
          description: How long it waits after a login that failed.
          type: float
        stats_period_seconds:
          description: The time its averages are of.
          type: float
        is_one_of_several:
          description: Whether several processes share the port, of which one has answered.
          type: bool
    databases:
      description: The databases behind it, without the console.
      type: list
      elements: dict
      contains:
        name:
          description: The name that clients use.
          type: str
        host:
          description: The server. V(null) is a Unix socket.
          type: str
        port:
          description: Its port.
          type: int
        database:
          description: The name at the server.
          type: str
        forced_user:
          description: The only user it logs in as, if there is one.
          type: str
        pool_size:
          description: Server connections of a pool.
          type: int
        min_pool_size:
          description: Those that it keeps open.
          type: int
        reserve_pool_size:
          description: Those that it adds for clients that wait long.
          type: int
        pool_mode:
          description: Its own, if it has one.
          type: str
        max_connections:
          description: Most server connections. V(null) is no limit.
          type: int
        has_limit:
          description: Whether there is such a limit.
          type: bool
        current_connections:
          description: Those that are open.
          type: int
        connections_percent:
          description: And of the most, in percent.
          type: float
        max_client_connections:
          description: Most clients (1.24). V(null) is no limit, or not known.
          type: int
        current_client_connections:
          description: Clients (1.24).
          type: int
        is_paused:
          description: Whether it is paused, so that clients wait until somebody resumes it.
          type: bool
        is_disabled:
          description: Whether it refuses new clients.
          type: bool
    pools:
      description: One for each pair of database and user that a client has asked for.
      type: list
      elements: dict
      contains:
        database:
          description: The database.
          type: str
        user:
          description: The user.
          type: str
        pool_mode:
          description: When a server connection is given back.
          type: str
        clients_active:
          description: Clients that have a server connection, or want none.
          type: int
        clients_waiting:
          description: Clients that sent a query and have no server connection yet.
          type: int
        clients_cancelling:
          description: Clients with a request to cancel.
          type: int
        max_wait_seconds:
          description: How long the first of those that wait has waited, to the microsecond.
          type: float
        servers:
          description: Server connections by state. A state that this version does not tell is V(null).
          type: dict
          contains:
            active:
              description: Given to a client.
              type: int
            active_cancel:
              description: Carrying a request to cancel (1.18).
              type: int
            being_canceled:
              description: Waiting for the end of a cancelled query (1.18).
              type: int
            idle:
              description: Ready for a client.
              type: int
            used:
              description: Idle for long, to be tested first.
              type: int
            tested:
              description: Being reset or tested.
              type: int
            login:
              description: Logging in.
              type: int
        server_count:
          description: All of them.
          type: int
        size:
          description: How many there may be, without the reserve.
          type: int
        reserve:
          description: The reserve.
          type: int
        most:
          description: Both together.
          type: int
        used_percent:
          description: Server connections given to clients, in percent of C(size).
          type: float
        is_full:
          description: Whether there are as many server connections as C(size) allows.
          type: bool
        clients_quiet:
          description:
            - Clients that hold a server connection and sent their last request before O(quiet_after). They idle, in a
              session or a transaction, or wait for one long statement.
          type: int
        quiet_percent:
          description: The same, in percent of C(size).
          type: float
        quiet_longest_seconds:
          description: How long ago the last request is, of the client that has been silent longest.
          type: float
    clients:
      description: Clients by name and address, the most first.
      type: list
      elements: dict
      contains:
        name:
          description: The application's name (1.18), if it gave one.
          type: str
        address:
          description: Where it connects from.
          type: str
        clients:
          description: How many there are.
          type: int
        waiting:
          description: How many of them wait.
          type: int
    stats:
      description: What each database did, between two readings or on average.
      type: list
      elements: dict
      contains:
        database:
          description: The database.
          type: str
        queries_per_second:
          description: Queries a second.
          type: float
        transactions_per_second:
          description: Transactions a second.
          type: float
        query_ms:
          description: How long a query took.
          type: float
        transaction_ms:
          description: How long a transaction took, idling in it included.
          type: float
        wait_ms_per_second:
          description:
            - How long all clients together waited in one second. V(1000) is one that waits all the time. It is what
              PgBouncer calls C(avg_wait_time), in microseconds.
          type: float
        wait_ms_per_query:
          description: The same by query, which is what an application feels.
          type: float
    stats_seconds:
      description: The time that RV(pooler.stats) are of.
      type: float
    totals:
      description: Sums over all pools, the console apart.
      type: dict
      contains:
        clients:
          description: Clients.
          type: dict
          contains:
            connected:
              description: How many there are, this task's included.
              type: int
            max:
              description: How many it accepts (C(max_client_conn)).
              type: int
            used_percent:
              description: The one in percent of the other.
              type: float
            waiting:
              description: How many wait for a server connection.
              type: int
            longest_wait_seconds:
              description: How long the longest has waited.
              type: float
        servers:
          description: Server connections.
          type: dict
          contains:
            open:
              description: How many there are.
              type: int
            most:
              description: How many there are when every pool has grown to its size and reserve.
              type: int
            reached:
              description: The same by server.
              type: list
              elements: dict
              contains:
                host:
                  description: The server. V(null) is a Unix socket.
                  type: str
                port:
                  description: Its port.
                  type: int
                databases:
                  description: The databases that are there.
                  type: list
                  elements: str
                open:
                  description: Connections that are open.
                  type: int
                most:
                  description: Connections there may be.
                  type: int
        pool_count:
          description: How many pools there are.
          type: int
        file_descriptors_most:
          description:
            - Files it opens when all of this is used up. The console does not tell how many it may open; compare it
              with C(LimitNOFILE) of the service, or C(ulimit -n).
          type: int
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer.collect import pgbouncer_info
from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer.options import pgbouncer_argument_spec


def argument_spec() -> dict[str, Any]:
    return {
        **pgbouncer_argument_spec(),
        "sample_seconds": {"type": "float", "default": 0},
        "quiet_after": {"type": "float", "default": 60},
        "top": {"type": "int", "default": 20},
        "statement_timeout": {"type": "float", "default": 10},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = pgbouncer_info(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
