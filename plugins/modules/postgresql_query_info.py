#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Named read-only queries as facts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_query_info
short_description: Run named read-only queries and return their figures for judging
version_added: 0.1.0
description:
  - Runs business queries (success rate of yesterday, age of the oldest open case) in one connection, each in a
    READ ONLY transaction of its own that is rolled back, with a time limit.
  - Results are plain JSON; numbers stay numbers, so that rules can judge them.
  - One query's failure does not lose the others. It is listed in RV(skipped_sections), and its rows are V(null), which
    the filter P(runbook.ops.judge#filter) calls unknown.
  - A server that is down or refuses the login gives RV(available=false), not a failure.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
  - runbook.ops.attributes.actiongroup_postgresql
  - runbook.ops.postgresql
options:
  queries:
    description:
      - The queries. They run in this order.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the result, made of letters, digits and underscores.
        type: str
        required: true
      sql:
        description:
          - One statement that returns rows, beginning with SELECT, WITH, VALUES or TABLE. A closing semicolon is fine;
            several statements are refused.
          - C(%(name)s) outside quotes is a placeholder for a value of O(queries[].parameters). Every other percent sign
            stands for itself.
          - C(%(reference_time)s) is always bound to O(reference_time). With C(date_trunc('day', %(reference_time)s))
            the business day begins at midnight in O(timezone).
        type: str
        required: true
      parameters:
        description:
          - Values bound by the driver; text, numbers, booleans, null, and lists of these, which become arrays.
        type: dict
        default: {}
      single_row:
        description:
          - Whether the query gives one row at most, which RV(queries.row) then holds. More rows are an error of that
            query. None at all is a V(null), not an invented 0.
        type: bool
        default: false
  max_rows:
    description:
      - How many rows a query may return, from 1 to 10000. What is beyond is not read, and C(truncated) says so.
    type: int
    default: 1000
  timezone:
    description:
      - Time zone of the session, in which dates and days are meant. Servers run in UTC, businesses do not.
    type: str
    default: UTC
  search_path:
    description:
      - Schemas to look for unqualified names in. If empty, those that are set for the role and the database.
    type: list
    elements: str
    default: []
  statement_timeout:
    description:
      - Seconds a single query may take.
    type: float
    default: 30
  reference_time:
    description:
      - The moment that "yesterday" and ages are counted from, ISO 8601 with time zone. Now, if not given.
    type: str
notes:
  - A READ ONLY transaction does not keep a privileged login from functions with side effects outside of it, such as
    C(pg_terminate_backend). Use a login that may only read.
seealso:
  - module: runbook.ops.postgresql_health_info
"""

EXAMPLES = r"""
- name: Measure yesterday's orders, in the shop's time zone
  runbook.ops.postgresql_query_info:
    login_host: db.example.com
    login_user: monitoring
    login_password: "{{ monitoring_password }}"
    login_db: shop
    timezone: Asia/Seoul
    queries:
      - name: orders_yesterday
        single_row: true
        sql: >-
          SELECT count(*) FILTER (WHERE state = 'PAID') AS paid,
                 round(100.0 * count(*) FILTER (WHERE state = 'PAID') / nullif(count(*), 0), 2) AS paid_percent
            FROM orders
           WHERE created_at >= date_trunc('day', %(reference_time)s) - interval '1 day'
             AND created_at < date_trunc('day', %(reference_time)s)
      - name: refusals
        sql: SELECT reason, count(*) AS count FROM refusals WHERE reason LIKE %(pattern)s GROUP BY reason
        parameters:
          pattern: "payment%"
  register: business

- name: Judge the rate; a day without orders is unknown, not fine
  ansible.builtin.debug:
    msg: "{{ business | runbook.ops.judge(rules, system='shop', host='db') }}"
  vars:
    rules:
      - id: business.paid
        value: queries.orders_yesterday.row.paid_percent
        warning: "< 95"
        critical: "< 90"
        unit: percent
"""

RETURN = r"""
available:
  description:
    - Whether the server could be reached and let us in.
    - When it is V(false), RV(reason) says why and RV(queries) is empty.
  returned: always
  type: bool
  sample: true
reason:
  description: Why the server is not available and what to do next, without secrets. V(null) when it is available.
  returned: always
  type: str
measured_at:
  description: When the measuring began, ISO 8601 in UTC.
  returned: always
  type: str
  sample: "2026-01-31T00:15:00Z"
skipped_sections:
  description: The queries that failed.
  returned: always
  type: list
  elements: dict
  contains:
    section:
      description: Path of the query's result.
      type: str
      sample: queries.orders_yesterday
    reason:
      description: What the server said.
      type: str
    remedy:
      description: What to do, such as the missing GRANT.
      type: str
queries:
  description:
    - The results by name.
    - Numbers are numbers (C(numeric) as well; NaN is V(null)), moments ISO 8601 in UTC, intervals seconds, NULL is
      V(null).
    - A C(timestamp) without time zone is given without one.
  returned: always
  type: dict
  contains:
    available:
      description: Whether the query succeeded.
      type: bool
    reason:
      description: Why not.
      type: str
    row:
      description: The row of a query with O(queries[].single_row). V(null) when it returned none, or failed.
      type: dict
    rows:
      description: The rows. V(null) when the query failed.
      type: list
      elements: dict
    row_count:
      description: How many rows there are. V(null) when the query failed or C(truncated) is V(true).
      type: int
    truncated:
      description: Whether there are more than O(max_rows).
      type: bool
    duration_seconds:
      description: How long it took.
      type: float
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, reference_moment, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.options import postgresql_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.query.measure import run_queries
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.query.plan import (
    check_limits,
    check_timezone,
    plan_queries,
)


def argument_spec() -> dict[str, Any]:
    return {
        **postgresql_argument_spec(),
        "queries": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "name": {"type": "str", "required": True},
                "sql": {"type": "str", "required": True},
                "parameters": {"type": "dict", "default": {}},
                "single_row": {"type": "bool", "default": False},
            },
        },
        "max_rows": {"type": "int", "default": 1000},
        "timezone": {"type": "str", "default": "UTC"},
        "search_path": {"type": "list", "elements": "str", "default": []},
        "statement_timeout": {"type": "float", "default": 30},
        "reference_time": {"type": "str"},
    }


def measure(params: dict[str, Any]) -> dict[str, Any]:
    """The module's result for its parameters; an unreachable server is part of it."""
    check_limits(statement_timeout=params["statement_timeout"], max_rows=params["max_rows"])
    timezone = check_timezone(params["timezone"])
    planned = plan_queries(params["queries"], max_rows=params["max_rows"])
    reference_time = reference_moment(params["reference_time"])
    result: dict[str, Any] = {
        "changed": False,
        "available": True,
        "reason": None,
        "measured_at": iso(utc_now()),
        "skipped_sections": [],
        "queries": {},
    }
    try:
        with connect(params, statement_timeout_seconds=params["statement_timeout"]) as session:
            result["queries"], result["skipped_sections"] = run_queries(
                session,
                planned,
                timezone=timezone,
                search_path=params["search_path"],
                reference_time=reference_time,
            )
    except Unavailable as error:
        result.update(available=False, reason=error.message)
    return result


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = measure(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
