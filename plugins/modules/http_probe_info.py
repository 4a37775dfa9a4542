#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many HTTP endpoints at once: status, latency by station, certificate, numbers in the answer."""

from __future__ import annotations

DOCUMENTATION = r"""
module: http_probe_info
short_description: Probe HTTP endpoints for status, latency, certificate and numbers in the answer
version_added: 0.1.0
description:
  - Sends any number of probes side by side, each one or several times, and tells for each the status, how long the name
    server, the connection, the TLS handshake and the server took, when the certificate expires, and the values at
    JSON paths.
  - Times are fractions of a second. One deadline covers a whole request, also with a server that sends a byte a second.
  - What an answer lacks is unknown and not zero. An error body, a body that is not JSON, a missing path and a C(null)
    all give a value of V(null) with the reason.
  - A server that cannot be reached is data, not a failure.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
  - runbook.ops.http_client
attributes:
  check_mode:
    details:
      - This module does not change anything, but a probe with the method V(POST) is not sent in check mode,
        because only its server knows what it does.
options:
  base_url:
    description:
      - The server that O(probes[].path) belongs to, such as V(https://api.example.com), possibly with a path of its
        own.
      - O(bearer_token), O(url_username) and O(headers) are sent to this server only. Without O(base_url) all probes
        must go to one server if there are credentials.
    type: str
  probes:
    description:
      - What to ask for.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - A name of its own for the probe, for rules and reports. Letters, digits, underscores and dashes.
        type: str
        required: true
      url:
        description:
          - The whole address. Exactly one of O(probes[].url) and O(probes[].path) is needed.
        type: str
      path:
        description:
          - The address below O(base_url).
        type: str
      query:
        description:
          - Parameters to add to the address. They are encoded, so that a C(+) in a moment stays one.
        type: dict
      method:
        description:
          - The method of the request. V(POST) is meant for endpoints that only read, such as searches and validations.
        type: str
        choices: [GET, HEAD, OPTIONS, POST]
        default: GET
      headers:
        description:
          - Further header fields of this probe. They are treated as O(headers) is.
        type: dict
      body:
        description:
          - The body of a V(POST), as text. Set C(Content-Type) in O(probes[].headers). The text counts as a secret.
        type: str
      expected_status:
        description:
          - The statuses that are fine.
        type: list
        elements: int
        default: [200]
      json:
        description:
          - Values to take from a body in JSON.
        type: list
        elements: dict
        suboptions:
          path:
            description:
              - Where the value is, as keys and list positions with dots between, such as V(pagination.total).
            type: str
            required: true
          name:
            description:
              - What to call it. The last part of O(probes[].json[].path), if not given.
            type: str
          type:
            description:
              - What it must be. Anything else, C(null) included, is unknown.
            type: str
            choices: [number, bool, text]
            default: number
      samples:
        description:
          - How many requests to send, one after the other, each on a connection of its own, from 1 to 100.
          - A server that did not begin to answer twice in a row is not asked again.
        type: int
        default: 1
      timeout:
        description:
          - Seconds for one request of this probe, instead of O(timeout).
        type: float
      follow_redirects:
        description:
          - Whether a redirect is followed. V(same_host) follows it to the same host name only. At most five are
            followed, and none from https to http.
          - With V(none) a redirect is an answer like others, so that a login page is not taken for health.
        type: str
        choices: [none, same_host, all]
        default: none
  threads:
    description:
      - How many probes are sent at a time, from 1 to 32.
    type: int
    default: 8
  max_body_bytes:
    description:
      - How much of a body is read, from 1024 to 67108864. Values cannot be taken from a body that is larger.
    type: int
    default: 1048576
  reference_time:
    description:
      - The moment, in ISO 8601 with its timezone, that the days of a certificate are counted from. Now, if not given.
    type: str
seealso:
  - module: ansible.builtin.uri
"""

EXAMPLES = r"""
- name: Is the API alive, how fast, and for how long is its certificate valid
  runbook.ops.http_probe_info:
    base_url: https://api.example.com
    probes:
      - name: health
        path: /health
        samples: 10
        timeout: 5
  register: api

- name: A number from a list that the API pages through
  runbook.ops.http_probe_info:
    base_url: https://api.example.com
    bearer_token: "{{ http_bearer_token }}"
    probes:
      - name: manual_review
        path: /v1/manual-review
        query:
          page_size: 1
        json:
          - path: pagination.total

- name: Endpoints of several servers, and one that must send away
  runbook.ops.http_probe_info:
    probes:
      - name: shop
        url: https://shop.example.com/
        follow_redirects: same_host
      - name: old_address
        url: http://shop.example.com/
        expected_status: [301, 308]
"""

RETURN = r"""
available:
  description:
    - Whether any probe got an answer, whatever its status. V(false) means that the target as a whole is down.
  returned: success
  type: bool
  sample: true
reason:
  description: Why no probe got an answer, and what to do. V(null) if one did.
  returned: success
  type: str
measured_at:
  description: When the probes were sent, in ISO 8601 UTC.
  returned: success
  type: str
  sample: "2026-01-31T00:15:00Z"
skipped_sections:
  description: One entry for each probe with values that could not be taken from its answer.
  returned: success
  type: list
  elements: dict
  contains:
    section:
      description: The name of the probe.
      type: str
    reason:
      description: Why the value is unknown.
      type: str
    remedy:
      description: What to do about it.
      type: str
values:
  description: For each probe with O(probes[].json) its values by name; V(null) is unknown.
  returned: success
  type: dict
  sample: {"manual_review": {"total": 73}}
figures:
  description: The same values as a list, for rules about all of them.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The probe and the value's name with a dot between, which is the value's path in RV(values).
      type: str
    probe:
      description: The probe.
      type: str
    name:
      description: The value's name.
      type: str
    value:
      description: The value, V(null) if unknown.
      type: raw
    known:
      description: Whether there is one.
      type: bool
    reason:
      description: Why it is unknown.
      type: str
    probe_ok:
      description: The probe's RV(probes[].ok).
      type: bool
probes:
  description: One entry for each probe, in the order given. Also present when RV(available=false).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The probe.
      type: str
    url:
      description: The address, without the values of parameters that look like credentials.
      type: str
    endpoint:
      description: The address without its parameters.
      type: str
    method:
      description: The method.
      type: str
    ok:
      description: Whether every request was answered completely, in time, and with an expected status.
      type: bool
    reason:
      description: What was wrong with the first bad request. V(null) if RV(probes[].ok).
      type: str
    reachable:
      description: Whether at least one answer began.
      type: bool
    status:
      description: The status of the first bad answer, else of the last one. V(null) without an answer.
      type: int
    expected_status:
      description: The statuses that were fine.
      type: list
      elements: int
    samples_count:
      description: Requests sent.
      type: int
    answered_count:
      description: Requests answered completely, whatever the status.
      type: int
    failed_count:
      description: Requests without a complete answer or with an unexpected status.
      type: int
    failed_percent:
      description: Their share, 0 to 100.
      type: float
    latency:
      description:
        - Nearest-rank percentiles of the whole time of the complete answers, each a time that was really measured.
          V(null) without any.
      type: dict
      contains:
        p50_seconds:
          description: The median.
          type: float
        p95_seconds:
          description: 95 of 100 were not slower.
          type: float
        p99_seconds:
          description: 99 of 100 were not slower.
          type: float
        max_seconds:
          description: The slowest.
          type: float
    dns_seconds:
      description: Time to resolve the name. Like the other stations it is a duration, and the median of the samples.
      type: float
    connect_seconds:
      description: Time until the connection was accepted.
      type: float
    tls_seconds:
      description: Time of the TLS handshake. V(null) without TLS.
      type: float
    first_byte_seconds:
      description: Time from the request sent to the first byte of the answer.
      type: float
    total_seconds:
      description: Whole time of the request that RV(probes[].status) belongs to.
      type: float
    tls:
      description: Whether the address is https.
      type: bool
    tls_days_left:
      description:
        - Days until the server's certificate expires, negative once it has. Also known when the certificate was not
          accepted.
      type: float
    tls_not_after:
      description: When it expires, in ISO 8601 UTC.
      type: str
    tls_subject:
      description: The name in the certificate.
      type: str
    tls_issuer:
      description: Who signed it.
      type: str
    redirects:
      description: The addresses that redirects led to.
      type: list
      elements: str
    body_kind:
      description: What the body is, by its content, V(empty), V(json), V(html), V(text), V(binary), or V(truncated).
      type: str
    size_bytes:
      description: Size of the body. V(null) if it was larger than O(max_body_bytes) and the server did not tell.
      type: int
    body_truncated:
      description: Whether the body was larger than O(max_body_bytes).
      type: bool
    values:
      description: The values by name; V(null) is unknown.
      type: dict
    value_reasons:
      description: For each unknown value why.
      type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, reference_moment, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.http.options import hidden_values, http_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.http.runner import measure

JSON = {
    "path": {"type": "str", "required": True},
    "name": {"type": "str"},
    "type": {"type": "str", "choices": ["number", "bool", "text"], "default": "number"},
}
PROBE = {
    "name": {"type": "str", "required": True},
    "url": {"type": "str"},
    "path": {"type": "str"},
    "query": {"type": "dict"},
    "method": {"type": "str", "choices": ["GET", "HEAD", "OPTIONS", "POST"], "default": "GET"},
    "headers": {"type": "dict", "no_log": True},
    "body": {"type": "str", "no_log": True},
    "expected_status": {"type": "list", "elements": "int", "default": [200]},
    "json": {"type": "list", "elements": "dict", "options": JSON},
    "samples": {"type": "int", "default": 1},
    "timeout": {"type": "float"},
    "follow_redirects": {"type": "str", "choices": ["none", "same_host", "all"], "default": "none"},
}


def argument_spec() -> dict[str, Any]:
    return {
        **http_argument_spec(),
        "base_url": {"type": "str"},
        "probes": {"type": "list", "elements": "dict", "required": True, "options": PROBE},
        "threads": {"type": "int", "default": 8},
        "max_body_bytes": {"type": "int", "default": 1 << 20},
        "reference_time": {"type": "str"},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    module.no_log_values = hidden_values(module.no_log_values, module.params)
    try:
        moment = reference_moment(module.params["reference_time"])
        measured_at = iso(utc_now())
        facts = measure(module.params, moment, sends_posts=not module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, measured_at=measured_at, **facts)


if __name__ == "__main__":
    main()
