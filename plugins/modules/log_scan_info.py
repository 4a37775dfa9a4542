#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors, slow requests and failed logins in log files, the journal and containers' logs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: log_scan_info
short_description: Count errors, slow requests and failed logins in logs on a machine
version_added: 0.4.0
description:
  - Reads log files with what rotation made of them (C(.1), C(.2.gz), dated; gzip, zstd, xz, bzip2), the journal, and
    the logs of containers, and counts in a window of time what is looked for. Every match is counted; lists are short,
    and say so in C(truncated).
  - Knows the timestamps of ISO 8601, syslog (RFC 3164 and 5424), nginx and Apache (access and error), Ruby's C(Logger),
    PostgreSQL, JSON with the usual keys, and seconds since 1970. Lines without one, as of stack traces, belong to the
    entry they follow, and an entry counts once.
  - In an ordered plain file the window is found by binary search. Whether a file is ordered is tried at 128 places; one
    that is not is read as a whole. RV(parts[].way) says which it was.
  - What could not be read, or not to its end, is in RV(skipped_sections), and then the counts are null. What was found
    nevertheless is in C(found_count).
  - Samples are cut, and what looks like a password, a token or personal data is taken out of them.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
options:
  sources:
    description: Where to look. All that is counted is counted for each source apart.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: A name of its own for the source, for rules and reports.
        type: str
        required: true
      paths:
        description:
          - Files, or patterns as the shell has them.
          - A file that another program compressed is known by its content. So is a file of Docker's logging driver
            C(json-file).
        type: list
        elements: str
        default: []
      rotated:
        description: Whether the rotated files beside O(sources[].paths) belong to it.
        type: bool
        default: true
      journal:
        description: Whether to read the journal, with C(journalctl).
        type: bool
        default: false
      units:
        description: Only these units of the journal.
        type: list
        elements: str
        default: []
      identifiers:
        description: Only these syslog identifiers of the journal.
        type: list
        elements: str
        default: []
      journal_directory:
        description: A directory with journal files instead of the machine's own.
        type: path
      containers:
        description:
          - Names or ids of Docker containers. Their file is read where the logging driver writes one that may be read;
            else C(docker logs) is asked.
        type: list
        elements: str
        default: []
      services:
        description:
          - Names of Compose services. All their containers are read, also those that have ended, and each is a part of
            its own.
        type: list
        elements: str
        default: []
        version_added: 0.6.0
      project:
        description: The Compose project of O(sources[].services). Any, if not given.
        type: str
        version_added: 0.6.0
      docker_root:
        description: Docker's directory.
        type: path
        default: /var/lib/docker
      timezone:
        description: The zone of timestamps that carry none, instead of O(timezone).
        type: str
      time_pattern:
        description: A regular expression whose first group is the timestamp, for a layout that is not known.
        type: str
      time_format:
        description: What O(sources[].time_pattern) finds, as C(strptime) takes it.
        type: str
  since:
    description: How far back, as in V(15m). Empty for everything there is.
    type: str
    default: 1h
  start:
    description: The beginning of the window, in ISO 8601 with its timezone, instead of O(since).
    type: str
  end:
    description: The end of the window, which does not belong to it. O(reference_time), if not given.
    type: str
  reference_time:
    description: The moment that counts as now, in ISO 8601 with its timezone.
    type: str
  timezone:
    description: The zone of timestamps that carry none, such as V(Asia/Seoul). The machine's own, if not given.
    type: str
  classes:
    description:
      - What to count by level. The level is taken from where programs write it, C(ERROR), C("level":50), C([error]),
        not from any word; a request answered with 5xx is an error, and so is an exception without a level.
    type: list
    elements: str
    choices: [errors, warnings]
    default: [errors]
  patterns:
    description: Further classes.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: A name of its own.
        type: str
        required: true
      pattern:
        description:
          - A Python regular expression for a single line, applied to its bytes. One that contains a word outside of
            brackets and alternatives is much faster.
        type: str
        required: true
      exclude:
        description: Lines that match this, too, do not count.
        type: str
      ignore_case:
        description: Whether capitals make no difference. This is much slower.
        type: bool
        default: false
  durations:
    description:
      - How long requests took. V(rails) reads C(Completed 200 OK in 12ms); V(nginx) C($request_time) as the last field
        of a line or behind C(rt=) or C(request_time=); V(json) keys that name their unit, as C(duration_ms),
        C(request_time), C(responseTime), or values that do, as C("duration":"12.5ms").
    type: list
    elements: str
    choices: [rails, nginx, json]
    default: []
  duration_patterns:
    description: Other durations.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: A name of its own.
        type: str
        required: true
      pattern:
        description: A Python regular expression whose first group is the number.
        type: str
        required: true
      unit:
        description: The unit of the number.
        type: str
        choices: [ns, us, ms, s, m]
        required: true
  slow_ms:
    description: Requests of so many milliseconds or more are counted as slow.
    type: float
    default: 1000.0
  security:
    description:
      - Failed logins by address and by user, from the lines of sshd and PAM; commands through sudo; processes that the
        kernel killed for want of memory.
    type: list
    elements: str
    choices: [failed_logins, sudo, oom_kills]
    default: []
  top:
    description: How many of the most frequent messages, addresses, users to return.
    type: int
    default: 5
  samples:
    description: How many entries of each class to return, the newest ones; of durations the longest ones.
    type: int
    default: 3
  search:
    description: V(scan) reads every file as a whole, whether or not it is ordered.
    type: str
    choices: [auto, scan]
    default: auto
  max_bytes:
    description: No more bytes than this are read, counted after decompression.
    type: int
    default: 21474836480
  timeout:
    description: After so many seconds reading ends.
    type: float
    default: 300.0
notes:
  - "Speed: where GNU grep is installed, plain text is searched by it for all literals at once, a stretch on each
    processor, and only lines with one of them are looked at here. All of a log takes about twice the time of one
    C(grep -c), and an hour of an ordered log of 10 GB a part of a second. Memory does not grow with the log."
  - "Its limits: patterns without a word of three letters, O(patterns[].ignore_case), durations that every line has, the
    journal, compressed files and the output of C(docker logs) are read here, ten to a hundred times slower. For those
    O(max_bytes), O(timeout) and a short window keep it bounded."
  - A misplaced stretch of lines shorter than a 128th of a file can escape the trial whether it is ordered. With
    O(search=scan) it does not.
  - Lines up to a minute out of order do no harm.
  - Docker cuts lines of more than 16 KiB into several records, which are taken for as many lines.
  - Users of failed logins are shown as they were typed, and now and then somebody types a password there.
  - Of an hour that comes twice when summer time ends, timestamps without a zone are taken for the first.
seealso:
  - module: runbook.ops.loki_query_info
"""

EXAMPLES = r"""
- name: Errors of the last hour, and how slow the requests were
  runbook.ops.log_scan_info:
    sources:
      - name: rails
        paths: [/srv/app/shared/log/production.log]
    durations: [rails]
    slow_ms: 500

- name: Who failed to log in during the last day
  runbook.ops.log_scan_info:
    sources:
      - name: auth
        paths: [/var/log/auth.log]
    since: 1d
    classes: []
    security: [failed_logins, sudo]
    top: 20

- name: A container and a unit
  runbook.ops.log_scan_info:
    sources:
      - name: worker
        containers: [shop-worker-1]
      - name: nginx
        journal: true
        units: [nginx.service]
    patterns:
      - name: rate_limited
        pattern: Rate limit exceeded

- name: All containers of a service, not the first one
  runbook.ops.log_scan_info:
    sources:
      - name: api
        services: [api]
        project: shop
"""

RETURN = r"""
available:
  description: Whether anything could be read.
  returned: success
  type: bool
reason:
  description: Why nothing could be read. V(null) if something could.
  returned: success
  type: str
measured_at:
  description: When this was measured, in ISO 8601 UTC.
  returned: success
  type: str
  sample: "2026-01-31T00:15:00Z"
skipped_sections:
  description: What was not read, or not to its end, with C(section), C(reason) and C(remedy).
  returned: success
  type: list
  elements: dict
complete:
  description: Whether all of it was read.
  returned: success
  type: bool
read_bytes:
  description: How many bytes were looked at, after decompression.
  returned: success
  type: int
window_start:
  description: The beginning of the window, in ISO 8601 UTC. V(null) for none.
  returned: success
  type: str
window_end:
  description: Its end.
  returned: success
  type: str
window_seconds:
  description: Its length.
  returned: success
  type: int
sources:
  description: One entry for each of O(sources).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The source.
      type: str
    complete:
      description: Whether all of it was read.
      type: bool
    reason:
      description: Why not.
      type: str
    parts_count:
      description: How many files, journals and containers it consists of.
      type: int
    read_bytes:
      description: How much of them was looked at.
      type: int
    oldest_at:
      description: The first moment in it.
      type: str
    newest_at:
      description: The last moment in it. When it was last written, if that was before the window.
      type: str
    silent_seconds:
      description: The time from its last line to the end of the window. V(null) if it has no line.
      type: int
    covers_window:
      description: >-
        Whether it reaches back to the beginning of the window. V(false) where the log is younger, or rotation removed
        what was older. V(null) if unknown, as for the journal and C(docker logs).
      type: bool
    undated_count:
      description: Matches that are in no count because they stand before the first timestamp of a file.
      type: int
parts:
  description: The files, journals and containers.
  returned: success
  type: list
  elements: dict
  contains:
    source:
      description: The source it belongs to.
      type: str
    kind:
      description: V(file), V(journal) or V(container).
      type: str
    name:
      description: Its path or name.
      type: str
    way:
      description: V(binary_search), V(scan), or V(none) if it was not read.
      type: str
    way_reason:
      description: Why it was not searched, or not read.
      type: str
    layout:
      description: The layout of its timestamps.
      type: str
    compression:
      description: V(gzip), V(zstd), V(xz) or V(bzip2).
      type: str
    size_bytes:
      description: Its size when it was opened.
      type: int
    read_bytes:
      description: How much of it was looked at, after decompression.
      type: int
    oldest_at:
      description: Its first moment.
      type: str
    newest_at:
      description: Its last moment. When it was last written, if that was before the window.
      type: str
    changed:
      description: What happened to it meanwhile, V(rotated), V(removed) or V(truncated).
      type: str
    complete:
      description: Whether it was read as far as the window needs.
      type: bool
classes:
  description: One entry for each class and source.
  returned: success
  type: list
  elements: dict
  contains:
    source:
      description: The source.
      type: str
    name:
      description: The class.
      type: str
    count:
      description: How many entries. V(null) if not all of the source was read.
      type: int
    found_count:
      description: How many were found in what was read.
      type: int
    reason:
      description: Why there is no count.
      type: str
    first_at:
      description: The first of them.
      type: str
    last_at:
      description: The last of them.
      type: str
    bucket_seconds:
      description: The length of a stretch of time. It is a minute, unless there are too many.
      type: int
    buckets:
      description: How many in each stretch, with C(at) and C(count). Those without any are left out.
      type: list
      elements: dict
    top:
      description: What they say most often, with C(message), C(count) and C(example).
      type: list
      elements: dict
    kinds_count:
      description: How many different messages there are.
      type: int
    kinds_exact:
      description: Whether there are no more than could be told apart, 5000.
      type: bool
    samples:
      description: The newest ones, with C(at) and C(text).
      type: list
      elements: dict
    truncated:
      description: Whether there are more than in C(top) and C(samples).
      type: bool
durations:
  description: One entry for each way to write durations, and source.
  returned: success
  type: list
  elements: dict
  contains:
    source:
      description: The source.
      type: str
    name:
      description: The way.
      type: str
    count:
      description: How many requests. V(null) if not all of the source was read.
      type: int
    found_count:
      description: How many were found in what was read.
      type: int
    reason:
      description: Why there is no count.
      type: str
    p50_ms:
      description: Half of them took no longer, in milliseconds, to three digits. V(null) if there are none.
      type: float
    p90_ms:
      description: Nine tenths of them.
      type: float
    p95_ms:
      description: Nineteen twentieths.
      type: float
    p99_ms:
      description: All but a hundredth.
      type: float
    max_ms:
      description: The longest.
      type: float
    slow_ms:
      description: What counts as slow.
      type: float
    slow_count:
      description: How many did. V(null) if not all of the source was read.
      type: int
    slow_found_count:
      description: How many were found in what was read.
      type: int
    slow:
      description: When they were, as for classes.
      type: dict
    slowest:
      description: The longest ones, with C(duration_ms), C(at) and C(text).
      type: list
      elements: dict
    truncated:
      description: Whether there are more than in C(slowest).
      type: bool
security:
  description:
    - One entry for each of O(security) and source, with C(source), C(name), C(count), C(found_count), C(reason),
      C(first_at), C(last_at), C(bucket_seconds), C(buckets) and C(truncated) as for classes.
    - In C(buckets) are lines, and one line can stand for several attempts.
    - V(failed_logins) has C(by_address), C(by_user), C(addresses_count) and C(invalid_users_count); V(sudo)
      C(by_user), C(refused_count), C(refused_by_user) and C(commands), without their arguments; V(oom_kills)
      C(by_process).
  returned: success
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, reference_moment, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.logs.collect import measure

SOURCE = {
    "name": {"type": "str", "required": True},
    "paths": {"type": "list", "elements": "str", "default": []},
    "rotated": {"type": "bool", "default": True},
    "journal": {"type": "bool", "default": False},
    "units": {"type": "list", "elements": "str", "default": []},
    "identifiers": {"type": "list", "elements": "str", "default": []},
    "journal_directory": {"type": "path"},
    "containers": {"type": "list", "elements": "str", "default": []},
    "services": {"type": "list", "elements": "str", "default": []},
    "project": {"type": "str"},
    "docker_root": {"type": "path", "default": "/var/lib/docker"},
    "timezone": {"type": "str"},
    "time_pattern": {"type": "str"},
    "time_format": {"type": "str"},
}
PATTERN = {
    "name": {"type": "str", "required": True},
    "pattern": {"type": "str", "required": True},
    "exclude": {"type": "str"},
    "ignore_case": {"type": "bool", "default": False},
}
DURATION = {
    "name": {"type": "str", "required": True},
    "pattern": {"type": "str", "required": True},
    "unit": {"type": "str", "required": True, "choices": ["ns", "us", "ms", "s", "m"]},
}


def argument_spec() -> dict[str, Any]:
    return {
        "sources": {"type": "list", "elements": "dict", "required": True, "options": SOURCE},
        "since": {"type": "str", "default": "1h"},
        "start": {"type": "str"},
        "end": {"type": "str"},
        "reference_time": {"type": "str"},
        "timezone": {"type": "str"},
        "classes": {"type": "list", "elements": "str", "choices": ["errors", "warnings"], "default": ["errors"]},
        "patterns": {"type": "list", "elements": "dict", "default": [], "options": PATTERN},
        "durations": {"type": "list", "elements": "str", "choices": ["rails", "nginx", "json"], "default": []},
        "duration_patterns": {"type": "list", "elements": "dict", "default": [], "options": DURATION},
        "slow_ms": {"type": "float", "default": 1000.0},
        "security": {
            "type": "list",
            "elements": "str",
            "choices": ["failed_logins", "sudo", "oom_kills"],
            "default": [],
        },
        "top": {"type": "int", "default": 5},
        "samples": {"type": "int", "default": 3},
        "search": {"type": "str", "choices": ["auto", "scan"], "default": "auto"},
        "max_bytes": {"type": "int", "default": 21474836480},
        "timeout": {"type": "float", "default": 300.0},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        moment = reference_moment(module.params["reference_time"])
        measured_at = iso(utc_now())
        facts = measure(module.params, moment)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, measured_at=measured_at, **facts)


if __name__ == "__main__":
    main()
