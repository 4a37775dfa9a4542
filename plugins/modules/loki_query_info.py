#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many log lines match, and what they say, from Loki."""

from __future__ import annotations

DOCUMENTATION = r"""
module: loki_query_info
short_description: Count and sample log lines in Loki without silent truncation
version_added: 0.1.0
description:
  - Counts the lines that match, by a metric query over the whole window, so that no limit on lines can hide any of
    them.
  - Reads the newest of them, groups those that say the same, and shows a few. Where fewer were read than matched,
    C(truncated) says so.
  - No match in streams that have no line at all is unknown and not zero, because a wrong selector and a broken log
    shipper look the same as health otherwise.
  - Lines are cut, and what looks like a password, a token or personal data is taken out of them.
  - A server that is down or refuses the login gives RV(available=false), not a failure.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
  - runbook.ops.http_client
  - runbook.ops.loki
options:
  queries:
    description:
      - What to look for.
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
          - A LogQL log query, a selector with filters. It is counted with C(count_over_time).
        type: str
        required: true
      since:
        description:
          - How far back, as in V(15m), instead of O(since).
        type: str
      start:
        description:
          - The beginning of the window, in ISO 8601 with its timezone, instead of O(queries[].since).
        type: str
      end:
        description:
          - The end of the window. O(reference_time), if not given.
        type: str
      by:
        description:
          - A label to count by as well, which makes RV(queries[].groups).
        type: str
      samples:
        description:
          - How many of the newest lines to return, from 0 to 100.
        type: int
        default: 3
      allow_silence:
        description:
          - Whether streams without any line are fine. Otherwise the count is unknown.
        type: bool
        default: false
  sources:
    description:
      - Selectors whose streams must have lines, to notice logs that do not arrive.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - A name of its own for the source.
        type: str
        required: true
      selector:
        description:
          - The stream selector alone, such as V({job="web"}).
        type: str
        required: true
      since:
        description:
          - How far back, instead of O(since).
        type: str
  since:
    description:
      - How far back from O(reference_time) the windows reach, as in V(1h) or V(7d).
    type: str
    default: 1h
  limit:
    description:
      - How many of the newest matching lines are read to group and sample them, from 1 to 5000.
    type: int
    default: 500
  top:
    description:
      - How many groups a list may have, from 1 to 100.
    type: int
    default: 5
  reference_time:
    description:
      - The moment, in ISO 8601 with its timezone, at which windows end. Now, if not given.
    type: str
seealso:
  - module: runbook.ops.prometheus_query_info
"""

EXAMPLES = r"""
- name: Errors of the last hour, and whether every part of the application logs at all
  runbook.ops.loki_query_info:
    url: http://loki:3100
    queries:
      - name: rate_limit
        query: '{job=~"shop-.+"} |~ "(?i)rate limit exceeded"'
        by: job
      - name: upstream_5xx
        query: '{job=~"shop-.+"} |~ "upstream answered 5[0-9][0-9]"'
        since: 15m
    sources:
      - name: web
        selector: '{job="shop-web"}'
      - name: worker
        selector: '{job="shop-worker"}'
        since: 6h
  register: errors
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
  description: Queries and sources without a count, by name, and the samples that could not be read.
  returned: success
  type: list
  elements: dict
  contains:
    section:
      description: The name of the query or source; with C(.samples) behind it if only its lines could not be read.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What to do about it.
      type: str
values:
  description: The number of matching lines of each query, by name. V(null) is unknown.
  returned: success
  type: dict
  sample: {"rate_limit": 1204, "upstream_5xx": 0}
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
      description: Its LogQL.
      type: str
    count:
      description: How many lines of the window match. V(null) if unknown.
      type: int
    known:
      description: Whether there is a count.
      type: bool
    reason:
      description: Why not.
      type: str
    window_start:
      description: The beginning of the window, in ISO 8601 UTC.
      type: str
    window_end:
      description: Its end.
      type: str
    window_seconds:
      description: Its length.
      type: int
    groups:
      description: With O(queries[].by) the counts by the label's values, the largest first.
      type: list
      elements: dict
      contains:
        value:
          description: The value of the label.
          type: str
        count:
          description: Matching lines.
          type: int
    groups_count:
      description: How many values the label has.
      type: int
    top:
      description:
        - The most frequent messages among the lines read, without moments, ids, addresses and numbers. Their counts are
          those of RV(queries[].read_count) lines.
      type: list
      elements: dict
      contains:
        message:
          description: What the lines have in common.
          type: str
        count:
          description: How many of the lines read.
          type: int
        example:
          description: One of them.
          type: str
    samples:
      description: The newest lines.
      type: list
      elements: dict
      contains:
        at:
          description: The moment, in ISO 8601 UTC.
          type: str
        labels:
          description: The labels of the stream.
          type: dict
        line:
          description: The line, at most 500 characters of it.
          type: str
    read_count:
      description: How many of the matching lines were read.
      type: int
    truncated:
      description: Whether more lines match than were read, or a list was cut at O(top).
      type: bool
sources:
  description: One entry for each of O(sources).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The source.
      type: str
    selector:
      description: Its selector.
      type: str
    lines_count:
      description: How many lines it has in the window. V(null) if unknown.
      type: int
    window_seconds:
      description: The length of the window.
      type: int
    reason:
      description: Why the number is unknown.
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, reference_moment, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.http.options import hidden_values
from ansible_collections.runbook.ops.plugins.module_utils.loki.client import measure
from ansible_collections.runbook.ops.plugins.module_utils.loki.options import loki_argument_spec

QUERY = {
    "name": {"type": "str", "required": True},
    "query": {"type": "str", "required": True},
    "since": {"type": "str"},
    "start": {"type": "str"},
    "end": {"type": "str"},
    "by": {"type": "str"},
    "samples": {"type": "int", "default": 3},
    "allow_silence": {"type": "bool", "default": False},
}
SOURCE = {
    "name": {"type": "str", "required": True},
    "selector": {"type": "str", "required": True},
    "since": {"type": "str"},
}


def argument_spec() -> dict[str, Any]:
    return {
        **loki_argument_spec(),
        "queries": {"type": "list", "elements": "dict", "default": [], "options": QUERY},
        "sources": {"type": "list", "elements": "dict", "default": [], "options": SOURCE},
        "since": {"type": "str", "default": "1h"},
        "limit": {"type": "int", "default": 500},
        "top": {"type": "int", "default": 5},
        "reference_time": {"type": "str"},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    module.no_log_values = hidden_values(module.no_log_values, module.params)
    try:
        moment = reference_moment(module.params["reference_time"])
        measured_at = iso(utc_now())
        facts = measure(module.params, moment)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, measured_at=measured_at, **facts)


if __name__ == "__main__":
    main()
