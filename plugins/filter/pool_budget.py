# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All connection pools against one server."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pool_budget
short_description: Add up connection pools and hold them against what a PostgreSQL server can give
version_added: 0.2.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - A pool is configured per process. This adds up the pools of all applications, as they are at rest, under load, and
    at the peak, with what an autoscaler or a rolling update adds, and compares the sum with the usable connections.
  - Finds the connections on the server that no declaration accounts for, and proposes pool sizes that fit.
  - A number that is not declared, or declared as null, is not known. It makes every sum null, never 0.
positional: connections
options:
  _input:
    description:
      - The pools of all applications of the server, each a mapping.
      - An application has C(application) (its name), C(instances) (pods, containers, hosts), C(instances_max) (where an
        autoscaler stops), C(surge_instances) (those a rolling update runs besides), C(processes) (V(1), per instance),
        C(pool_size), C(max_overflow) (V(0), what a pool opens beyond its size), C(concurrency) (how many things a
        process does at once, when its pool could hold more - a Celery prefork process does one).
      - A pooler such as PgBouncer has C(pooler) (its name), C(pool_size) (its C(default_pool_size)),
        C(reserve_pool_size), C(databases) and C(users) (V(1), there is a pool for each pair), C(max_db_connections),
        and the numbers of instances and processes as above.
      - Applications that connect through a pooler name it in C(via). Then the pooler counts, and they do not.
      - C(seen_as) are the application_names under which the server sees the pool, with C(*) and C(?) as wildcards. Its
        own name if not given. V('') is a session without a name.
    type: list
    elements: dict
    required: true
  connections:
    description: C(health.connections) of M(runbook.ops.postgresql_health_info).
    type: dict
    required: true
  target_percent:
    description: How much of the usable connections the pools may take, for the advice.
    type: int
    default: 80
  ignore:
    description: Names of sessions, with wildcards, that need no declaration, such as those of people and backups.
    type: list
    elements: str
    default: []
  cores:
    description: Cores of the server. With them the number of connections that can work at once is given.
    type: int
    default: 0
  spindles:
    description: Disks of the server that seek. None for SSDs.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Refuse a larger pool that the server cannot serve
  ansible.builtin.assert:
    that: budget.peak_percent <= 80
    fail_msg: "{{ budget.advice_text }}"
  vars:
    budget: "{{ pools | runbook.ops.pool_budget({'max': 100, 'usable': 97, 'used': 0, 'by_application': []}) }}"
    pools:
      - application: storebridge-web
        instances: 3
        pool_size: 10
        max_overflow: 10
      - application: storebridge-worker
        instances: 4
        processes: 4
        pool_size: 10
        concurrency: 1
"""

RETURN = r"""
_value:
  description: The budget. All connections are whole numbers; what is not known is null.
  type: dict
  contains:
    declared_count:
      description: How many pools are declared.
      type: int
    list:
      description: The pools, in the order of their declaration.
      type: list
      elements: dict
      contains:
        name:
          description: The application's or the pooler's name.
          type: str
        kind:
          description: V(application) or V(pooler).
          type: str
        via:
          description: The pooler it goes through, or null. Then its connections are the pooler's, not the server's.
          type: str
        instances:
          description: Instances in ordinary times.
          type: int
        processes_at_peak:
          description: Processes with a pool of their own, at the peak.
          type: int
        per_process:
          description: Connections a process can open, with its overflow.
          type: int
        per_instance:
          description: Connections an instance can open, with the overflow.
          type: int
        kept:
          description: Connections that stay open, without overflow.
          type: int
        normal:
          description: Connections it can open under load.
          type: int
        peak:
          description: Connections it can open at the autoscaler's ceiling, during a rolling update.
          type: int
        clients_peak:
          description: Of a pooler, connections its clients can open to it at the peak. Null for others.
          type: int
        measured:
          description: >-
            Connections that the server has now. Null when the login does not see them, or cannot tell them from those
            of another pool.
          type: int
        missing:
          description: Numbers that are not declared.
          type: list
          elements: str
    kept:
      description: Connections that stay open, of all pools that reach the server.
      type: int
    normal:
      description: Connections they can open under load.
      type: int
    peak:
      description: Connections they can open at the peak.
      type: int
    usable:
      description: Connections that applications can have.
      type: int
    max:
      description: C(max_connections) of the server.
      type: int
    used:
      description: Connections in use now.
      type: int
    normal_percent:
      description: C(normal) in percent of C(usable).
      type: float
    peak_percent:
      description: C(peak) in percent of C(usable).
      type: float
    headroom:
      description: What is left of C(usable) at the peak. Negative when it does not suffice.
      type: int
    target_percent:
      description: The target, as given.
      type: int
    target:
      description: Connections that the target allows.
      type: int
    incomplete:
      description: Pools that lack numbers.
      type: list
      elements: dict
      contains:
        name:
          description: The pool's name.
          type: str
        missing:
          description: The numbers it lacks.
          type: list
          elements: str
    skipped_sections:
      description: Why the peak is not known, for P(runbook.ops.judge#filter). Empty when it is.
      type: list
      elements: dict
      contains:
        section:
          description: V(peak_percent).
          type: str
        reason:
          description: The numbers that are missing.
          type: str
        remedy:
          description: What to do.
          type: str
    undeclared:
      description: Connections that no declaration accounts for. Null when the login does not see applications.
      type: list
      elements: dict
      contains:
        application:
          description: The session's name, or the pools that have more connections than they declare.
          type: str
        connections:
          description: Connections of this name now.
          type: int
        declared:
          description: How many are declared at the peak.
          type: int
        undeclared:
          description: The difference.
          type: int
        usable_percent:
          description: The difference in percent of C(usable).
          type: float
    undeclared_connections:
      description: Their sum.
      type: int
    is_undeclared_complete:
      description: Whether the facts list all applications.
      type: bool
    advice:
      description: Pool sizes that fit the target, all cut alike. Empty when the pools fit, or no size does.
      type: list
      elements: dict
      contains:
        name:
          description: The pool.
          type: str
        processes_at_peak:
          description: Its processes at the peak.
          type: int
        per_process:
          description: Connections a process can open, with its overflow.
          type: int
        fitting_per_process:
          description: How many fit.
          type: int
    advice_text:
      description: The advice in a sentence, or that the pools fit. Empty when there is nothing to compare.
      type: str
    fitting_max_connections:
      description: >-
        The C(max_connections) with which the pools would fit the target as they are. Null when they fit. A pooler is
        nearly always better, because every connection is a process of the server.
      type: int
    formula:
      description: How many connections can work at once on the server, cores * 2 + spindles. Null without C(cores).
      type: dict
      contains:
        cores:
          description: As given.
          type: int
        spindles:
          description: As given.
          type: int
        working_connections:
          description: Connections that can work at once. More of them only wait for each other.
          type: int
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors
from ansible_collections.runbook.ops.plugins.plugin_utils.pool_budget import pool_budget as budget


@filter_errors
def pool_budget(
    pools: Any, connections: Any, target_percent: int = 80, ignore: Any = (), cores: int = 0, spindles: int = 0
) -> dict[str, Any]:
    """All pools against one server; see DOCUMENTATION."""
    return budget(pools, connections, target_percent=target_percent, ignore=ignore, cores=cores, spindles=spindles)


class FilterModule:
    """The filter C(runbook.ops.pool_budget)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"pool_budget": pool_budget}
