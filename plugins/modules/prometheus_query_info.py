#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers from Prometheus, many queries in one call, and the health of its targets."""

from __future__ import annotations

DOCUMENTATION = r"""
module: prometheus_query_info
short_description: Ask Prometheus for numbers and for the health of its targets
version_added: 0.1.0
description:
  - Runs any number of instant and range queries over one connection and returns numbers that rules can judge.
  - What is no number is unknown, with the reason. C(NaN) and the infinities, an empty result, and many series where one
    is expected all give V(null), because an alert on any of them would never fire.
  - Tells which targets are down, and why, because the metrics of a target that is down merely stop.
  - A server that is down or refuses the login gives RV(available=false), not a failure. A query that is refused gives a
    reason of its own, and the others are answered all the same.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
  - runbook.ops.http_client
  - runbook.ops.prometheus
options:
  queries:
    description:
      - What to ask.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - A name of its own for the query, for rules and reports. Letters, digits, underscores and dashes.
        type: str
        required: true
      query:
        description:
          - The expression in PromQL.
        type: str
        required: true
      series:
        description:
          - Whether exactly one series is expected, which makes RV(values), or any number, which makes RV(series).
        type: str
        choices: [one, many]
        default: one
      allow_empty:
        description:
          - Whether no series at all is fine, as for an expression that filters, such as V(rate(x[5m]) > 1). Otherwise
            it is unknown. Only with O(queries[].series=many).
        type: bool
        default: false
      labels:
        description:
          - The labels to return. All, if not given.
        type: list
        elements: str
      start:
        description:
          - Makes it a range query that begins at this moment, in ISO 8601 with its timezone, or so long ago, as in
            V(7d).
        type: str
      end:
        description:
          - Where the range ends, a moment or so long ago. O(reference_time), if not given.
        type: str
      step:
        description:
          - Time between two points, as in V(5m). About 250 points, and no less than 15 seconds, if not given.
        type: str
  targets:
    description:
      - Whether the health of the targets is measured.
    type: bool
    default: true
  top:
    description:
      - How many entries a list may have, from 1 to 10000. Counts always cover everything, and C(truncated) tells that
        a list was cut. Targets that are down and series with large values come first.
    type: int
    default: 500
  reference_time:
    description:
      - The moment, in ISO 8601 with its timezone, for which instant queries are evaluated and from which windows and
        ages are counted. Now, by the server's clock, if not given.
    type: str
seealso:
  - module: runbook.ops.loki_query_info
"""

EXAMPLES = r"""
- name: Error rate, latency and queue depth
  runbook.ops.prometheus_query_info:
    url: http://prometheus:9090
    queries:
      - name: error_rate
        query: sum(rate(http_requests_total{status=~"5.."}[5m])) / sum(rate(http_requests_total[5m]))
      - name: latency_p95
        query: histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))
      - name: queue_depth
        query: sum by (queue) (queue_depth)
        series: many
        labels: [queue]
  register: metrics

- name: The busiest five minutes of the week
  runbook.ops.prometheus_query_info:
    url: http://prometheus:9090
    bearer_token: "{{ prometheus_bearer_token }}"
    targets: false
    queries:
      - name: request_rate
        query: sum(rate(http_requests_total[5m]))
        start: 7d
        step: 5m
"""

RETURN = r"""
available:
  description: Whether the server answered. If not, everything else is empty.
  returned: success
  type: bool
  sample: true
reason:
  description: Why the server is not available, and what to do.
  returned: success
  type: str
measured_at:
  description: When the queries were sent, in ISO 8601 UTC.
  returned: success
  type: str
  sample: "2026-01-31T00:15:00Z"
skipped_sections:
  description: Queries without a usable answer by name, and C(targets) if their health could not be read.
  returned: success
  type: list
  elements: dict
  contains:
    section:
      description: The name of the query, or C(targets).
      type: str
    reason:
      description: Why it is unknown.
      type: str
    remedy:
      description: What to do about it.
      type: str
values:
  description: The numbers of the queries for one series, by name. V(null) is unknown. Of a range it is the last point.
  returned: success
  type: dict
  sample: {"error_rate": 0.012, "latency_p95": 1.84}
series:
  description:
    - For each query for many series a list of them by name, largest values first.
    - V(null) if there is none, unless O(queries[].allow_empty).
  returned: success
  type: dict
  sample: {"queue_depth": [{"name": "queue=normal", "labels": {"queue": "normal"}, "value": 12, "reason": null}]}
statistics:
  description: For each range query for one series, by name, the figures described in RV(queries[].statistics).
  returned: success
  type: dict
queries:
  description: One entry for each query, in the order given.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The query.
      type: str
    query:
      description: Its expression.
      type: str
    kind:
      description: V(instant) or V(range).
      type: str
    value:
      description: The number. V(null) if unknown, and for many series.
      type: float
    known:
      description: Whether there is a usable answer.
      type: bool
    reason:
      description: Why not.
      type: str
    labels:
      description: The labels of the one series.
      type: dict
    series_count:
      description: Series in the answer. V(null) without one.
      type: int
    truncated:
      description: Whether RV(series) was cut at O(top).
      type: bool
    statistics:
      description: For a range query for one series.
      type: dict
      contains:
        first:
          description: The first number.
          type: float
        last:
          description: The last number.
          type: float
        minimum:
          description: The smallest.
          type: float
        maximum:
          description: The largest.
          type: float
        average:
          description: The mean of the points.
          type: float
        points_count:
          description: Points in the window.
          type: int
        unknown_count:
          description: Points among them that are no number.
          type: int
health:
  description: The state of the server's own work. Empty if it could not be read.
  returned: success
  type: dict
  contains:
    targets:
      description: Active targets.
      type: dict
      contains:
        total_count:
          description: All of them.
          type: int
        up_count:
          description: Those whose last scrape succeeded.
          type: int
        down_count:
          description: Those whose last scrape failed.
          type: int
        unknown_count:
          description: Those not scraped yet.
          type: int
        jobs_count:
          description: Jobs.
          type: int
        jobs:
          description: Jobs with their counts, those with most targets down first.
          type: list
          elements: dict
          contains:
            job:
              description: The job.
              type: str
            up_count:
              description: Targets up.
              type: int
            down_count:
              description: Targets down.
              type: int
            total_count:
              description: All targets.
              type: int
        instances:
          description: The targets, those that are not up first.
          type: list
          elements: dict
          contains:
            job:
              description: The job.
              type: str
            instance:
              description: The instance.
              type: str
            health:
              description: V(up), V(down) or V(unknown).
              type: str
            up:
              description: Whether it is V(up).
              type: bool
            last_error:
              description: Why the last scrape failed.
              type: str
            scrape_url:
              description: Where it is scraped, without credentials.
              type: str
            last_scrape:
              description: When, in ISO 8601 UTC. V(null) if never.
              type: str
            last_scrape_age_seconds:
              description: How long ago.
              type: float
            scrape_seconds:
              description: How long it took.
              type: float
        truncated:
          description: Whether a list was cut at O(top).
          type: bool
warnings_count:
  description: How many warnings the server gave with its answers, such as of a partial answer.
  returned: success
  type: int
api_warnings:
  description: These warnings, each after the name of its query.
  returned: success
  type: list
  elements: str
api_infos:
  description: Remarks of newer servers on the expressions, each after the name of its query.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, reference_moment, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.http.options import hidden_values
from ansible_collections.runbook.ops.plugins.module_utils.prometheus.client import measure
from ansible_collections.runbook.ops.plugins.module_utils.prometheus.options import prometheus_argument_spec

QUERY = {
    "name": {"type": "str", "required": True},
    "query": {"type": "str", "required": True},
    "series": {"type": "str", "choices": ["one", "many"], "default": "one"},
    "allow_empty": {"type": "bool", "default": False},
    "labels": {"type": "list", "elements": "str"},
    "start": {"type": "str"},
    "end": {"type": "str"},
    "step": {"type": "str"},
}


def argument_spec() -> dict[str, Any]:
    return {
        **prometheus_argument_spec(),
        "queries": {"type": "list", "elements": "dict", "default": [], "options": QUERY},
        "targets": {"type": "bool", "default": True},
        "top": {"type": "int", "default": 500},
        "reference_time": {"type": "str"},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    module.no_log_values = hidden_values(module.no_log_values, module.params)
    try:
        moment = reference_moment(module.params["reference_time"])
        measured_at = iso(utc_now())
        facts = measure(module.params, moment, at=moment if module.params["reference_time"] else None)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, measured_at=measured_at, **facts)


if __name__ == "__main__":
    main()
