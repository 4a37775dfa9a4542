#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ending database sessions, and only those."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_session
short_description: Cancel or terminate PostgreSQL sessions chosen by what they do
version_added: 0.2.0
description:
  - Ends the sessions that match all given criteria, such as those of one application that have been idle in a
    transaction for ten minutes, or the one session at the root of a lock queue.
  - Never touches its own session, other sessions of this collection, processes of the server (autovacuum, walsenders,
    replication, parallel and background workers), backups, superusers, and whatever O(protect_users),
    O(protect_applications) and O(protect_databases) name. Such sessions that match are listed in RV(protected) with the
    reason.
  - Looks at every session once more in the same statement that ends it. One that is gone or does something else by then
    is left alone.
  - If more than O(max_sessions) sessions match, nothing is touched. One session that cannot be ended does not keep the
    others from it.
  - Works on a standby too.
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
      - Lists the same sessions. What they do until the real run is theirs.
  diff_mode:
    support: full
options:
  state:
    description:
      - With V(canceled) the running statement of each session ends with an error, and the session goes on. A session
        that is idle in a transaction runs no statement, so it is refused.
      - With V(terminated) the session ends. A running statement is canceled first; O(cancel_wait) seconds later the
        session is terminated, unless it has begun other work by then. That is left alone.
    type: str
    choices: [canceled, terminated]
    required: true
  session_state:
    description:
      - What the session does. Any, if empty.
      - Narrows the other criteria and is not enough alone. Every idle session of a server is its pools' healthy stock.
    type: list
    elements: str
    choices: [active, idle, idle_in_transaction, idle_in_transaction_aborted, fastpath_function_call, disabled]
    default: []
  min_state_age:
    description:
      - How long it has been in its state at least, such as V(10m) or V(1h30m). For an idle session that is how long it
        has been idle, which its last statement's start does not tell.
    type: str
  min_transaction_age:
    description:
      - How long its transaction has been open at least.
    type: str
  min_query_age:
    description:
      - How long its statement has been running at least. Only sessions that run one match.
    type: str
  application:
    description:
      - Patterns of application names, with C(*) and C(?).
    type: list
    elements: str
    default: []
  user:
    description:
      - Names of users.
    type: list
    elements: str
    default: []
  database:
    description:
      - Names of databases. Sessions of all databases match otherwise, O(login_db) is only where this one connects.
    type: list
    elements: str
    default: []
  client:
    description:
      - Addresses or networks (V(10.0.0.0/8)) of clients; V(local) is the Unix domain socket.
    type: list
    elements: str
    default: []
  blocking:
    description:
      - Only sessions that keep others waiting for a lock and wait for nobody themselves. Those in the middle of a queue
        are victims.
    type: bool
    default: false
  min_blocked:
    description:
      - How many sessions such a session keeps waiting at least, directly or through others. Includes O(blocking).
    type: int
  pids:
    description:
      - Process ids of the server.
    type: list
    elements: int
    default: []
  query_id:
    description:
      - The identifier of the statement it runs, or ran last. Needs C(compute_query_id).
    type: str
  max_sessions:
    description:
      - How many sessions may match. If there are more, the task fails and nothing is touched.
    type: int
    default: 10
  cancel_wait:
    description:
      - Seconds that a canceled statement is given to end.
    type: float
    default: 5
  terminate_wait:
    description:
      - Seconds that a terminated session is given to end.
    type: float
    default: 10
  allow_superusers:
    description:
      - Whether sessions of superusers may be ended. Only a superuser can.
    type: bool
    default: false
  protect_users:
    description:
      - Patterns of users, with C(*) and C(?), whose sessions are never ended, such as the platform's own
        (V(supabase_*), V(authenticator)).
    type: list
    elements: str
    default: []
  protect_applications:
    description:
      - Patterns of application names whose sessions are never ended. The default are backup programs; a list of your
        own replaces it.
    type: list
    elements: str
    default: [pg_dump, pg_dumpall, pg_restore, 'pgBackRest*', 'barman*', 'wal-g*', 'pg_rman*']
  protect_databases:
    description:
      - Patterns of databases whose sessions are never ended.
    type: list
    elements: str
    default: []
  reserved_login_user:
    description:
      - A login for the case that O(login_user) finds every connection slot taken, and only for it. A superuser gets
        through as long as a slot of C(superuser_reserved_connections) is free; from PostgreSQL 16 a member of
        C(pg_use_reserved_connections) does while one of C(reserved_connections) is.
    type: str
  reserved_login_password:
    description:
      - Its password.
    type: str
notes:
  - Needs C(pg_signal_backend) to end other roles' sessions and C(pg_read_all_stats), or C(pg_monitor), to see what they
    do. Managed services give both to their administrator.
  - Unlike other changing modules this one works on a standby, where long queries keep back replay and the primary's
    vacuum.
seealso:
  - module: runbook.ops.postgresql_health_info
"""

EXAMPLES = r"""
- name: End what an application left open in a transaction, and nothing else
  runbook.ops.postgresql_session:
    login_host: db.example.com
    login_user: operator
    login_password: "{{ operator_password }}"
    state: terminated
    session_state: [idle_in_transaction, idle_in_transaction_aborted]
    min_state_age: 10m
    application: ["shop-*"]
    database: [shop]
    max_sessions: 5

- name: End the session at the root of a lock queue that holds at least three others
  runbook.ops.postgresql_session:
    login_host: db.example.com
    login_user: operator
    login_password: "{{ operator_password }}"
    state: terminated
    blocking: true
    min_blocked: 3
    min_transaction_age: 1m
    max_sessions: 1

- name: Stop reports that run for more than an hour; their sessions go on
  runbook.ops.postgresql_session:
    login_host: db.example.com
    login_user: operator
    login_password: "{{ operator_password }}"
    state: canceled
    user: [reporting]
    min_query_age: 1h

- name: Make room on a full server, through the slots that are reserved for superusers
  runbook.ops.postgresql_session:
    login_host: db.example.com
    login_user: operator
    login_password: "{{ operator_password }}"
    reserved_login_user: postgres
    reserved_login_password: "{{ postgres_password }}"
    state: terminated
    session_state: [idle]
    min_state_age: 1h
    application: [forgotten-batch]
    max_sessions: 50
"""

RETURN = r"""
actions:
  description:
    - What is done, in this order. The same in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(cancel) or V(terminate).
      type: str
    pid:
      description: The session's process id.
      type: int
    backend_started_at:
      description: When the session began, ISO 8601 in UTC. Process ids are used again; with this it is one session.
      type: str
    cancel_first:
      description: Whether its statement is canceled before it is terminated.
      type: bool
sessions:
  description: The sessions that are to be ended, those that keep most others waiting first.
  returned: success
  type: list
  elements: dict
  contains:
    pid:
      description: Process id.
      type: int
    database:
      description: Database it is in.
      type: str
    user:
      description: Role it logged in as.
      type: str
    application:
      description: Name the application gives itself.
      type: str
    client_address:
      description: Address of the client. V(null) over a Unix domain socket.
      type: str
    state:
      description: State, as the server names it.
      type: str
      sample: idle in transaction
    backend_started_at:
      description: When the session began, ISO 8601 in UTC.
      type: str
    transaction_started_at:
      description: When its transaction began. V(null) when it has none.
      type: str
    state_age_seconds:
      description: How long it has been in its state.
      type: float
    transaction_age_seconds:
      description: How long its transaction has been open. V(null) when it has none.
      type: float
    query_age_seconds:
      description: How long ago its running, or last, statement began. V(null) when it never ran one.
      type: float
    xmin_age:
      description: How many transactions VACUUM has to keep dead rows of, for this session.
      type: int
    wait_event_type:
      description: Kind of thing it waits for.
      type: str
    wait_event:
      description: What it waits for.
      type: str
    query_id:
      description: Identifier of its statement, as text because it is larger than what JSON readers keep exactly.
      type: str
    query:
      description: Its running, or last, statement without literals, which may hold personal data.
      type: str
    blocked_count:
      description: How many sessions wait for it, directly or through others, if it waits for nobody.
      type: int
protected:
  description: Sessions that match the criteria and are never ended.
  returned: success
  type: list
  elements: dict
  contains:
    pid:
      description: Process id.
      type: int
    database:
      description: Database it is in.
      type: str
    user:
      description: Role it logged in as.
      type: str
    application:
      description: Name the application gives itself.
      type: str
    backend_type:
      description: Kind of process, as the server names it.
      type: str
      sample: walsender
    reason:
      description: Why it is protected.
      type: str
outcomes:
  description: What became of each session, in the order of RV(sessions). Empty in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    pid:
      description: Process id.
      type: int
    outcome:
      description:
        - V(canceled), its statement was; with O(state=terminated) it then went on with other work and was left alone.
        - V(terminated), the session is gone because of it.
        - V(gone), it had ended by itself.
        - V(changed), it did something else by then and was left alone.
        - V(survived), it has not ended in the time it was given.
        - V(denied), the login may not end it.
      type: str
    detail:
      description: More about it. Empty when there is nothing to add.
      type: str
refused:
  description:
    - What matches and could not be ended, with the reason. By default the task fails over it, see O(on_refusal).
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The session, or the prepared transaction.
      type: str
      sample: pid 4711 (shop-web, app@shop)
    reason:
      description: Why it could not be ended.
      type: str
    remedy:
      description: What to do, such as the missing GRANT.
      type: str
before:
  description: The connections before.
  returned: success
  type: dict
  contains: &counts
    matching:
      description: How many sessions match and can be ended.
      type: int
    max:
      description: Setting C(max_connections).
      type: int
    usable:
      description: How many of them an ordinary login can get.
      type: int
    used:
      description: How many are in use by clients, this task's included.
      type: int
    used_percent:
      description: RV(before.used) of RV(before.usable).
      type: float
    free:
      description: How many an ordinary login can still get.
      type: int
    active:
      description: How many run a statement.
      type: int
    idle:
      description: How many are idle.
      type: int
    idle_in_transaction:
      description: How many are idle in a transaction, aborted ones included.
      type: int
    waiting:
      description: How many wait for a lock.
      type: int
    by_state:
      description: Counts by the server's names of the states.
      type: list
      elements: dict
after:
  description: The same afterwards. V(null) in check mode.
  returned: success
  type: dict
  contains: *counts
diff:
  description: The sessions that match, one a line, before and after.
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
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.session_control.criteria import (
    BACKUP_APPLICATIONS,
    CANCELED,
    STATES,
    TERMINATED,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.session_control.run import control_sessions


def argument_spec() -> dict[str, Any]:
    texts = {"type": "list", "elements": "str", "default": []}
    return {
        **postgresql_argument_spec(),
        **maintenance_argument_spec(),
        "state": {"type": "str", "required": True, "choices": [CANCELED, TERMINATED]},
        "session_state": {**texts, "choices": list(STATES)},
        "min_state_age": {"type": "str"},
        "min_transaction_age": {"type": "str"},
        "min_query_age": {"type": "str"},
        "application": dict(texts),
        "user": dict(texts),
        "database": dict(texts),
        "client": dict(texts),
        "blocking": {"type": "bool", "default": False},
        "min_blocked": {"type": "int"},
        "pids": {"type": "list", "elements": "int", "default": []},
        "query_id": {"type": "str"},
        "max_sessions": {"type": "int", "default": 10},
        "cancel_wait": {"type": "float", "default": 5},
        "terminate_wait": {"type": "float", "default": 10},
        "allow_superusers": {"type": "bool", "default": False},
        "protect_users": dict(texts),
        "protect_applications": {**texts, "default": list(BACKUP_APPLICATIONS)},
        "protect_databases": dict(texts),
        "reserved_login_user": {"type": "str"},
        "reserved_login_password": {"type": "str", "no_log": True},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = control_sessions(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
