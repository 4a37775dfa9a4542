#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: findings_report
short_description: Report findings and changes as a terminal table, an HTML page, Markdown, JSON and JUnit
version_added: 0.1.0
description:
  - Prints findings to the terminal, worst first, and writes them as one self-contained HTML page, as JSON, as JUnit XML
    and as Markdown.
  - With O(changes), also says what the run changed, would change or refused, with figures before and after.
  - Keeps one small file for each run, so that the page can draw trends and say what is new and what has gone.
  - Runs on the controller, inside the playbook. Nothing is copied to or started on a target.
  - Secrets are masked in everything that is printed and written.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
options:
  findings:
    description:
      - What to report, as the P(runbook.ops.judge#filter) filter returns it.
    type: list
    elements: dict
    required: true
  changes:
    description:
      - What was changed, as the P(runbook.ops.changes#filter) filter returns it.
      - Shown in a table and a section of their own, not in JUnit. They have no influence on RV(message) and RV(totals).
      - With V(json) in O(formats) they are written to C(changes.json). A report without changes writes no such file,
        but empties one that is there, so that it does not go on to speak of an earlier run.
    type: list
    elements: dict
    default: []
    version_added: 0.2.0
  facts:
    description:
      - What the findings stand on, by host and source, as P(runbook.ops.collect_facts#filter) gathers it.
      - Shown folded on the HTML page, shortened where it is long, with a note that says so.
    type: dict
    default: {}
  title:
    description:
      - Heading of the report and beginning of RV(message).
    type: str
    default: Findings
  system:
    description:
      - The system of findings that name none.
    type: str
    default: ""
  destination:
    description:
      - Directory on the controller for the files. It is made when it is missing.
      - A relative path counts from the directory that C(ansible-playbook) was started in.
      - Needed unless O(formats) is empty.
    type: path
  formats:
    description:
      - V(html) writes C(report.html), V(json) C(findings.json), V(junit) C(findings.xml), V(markdown) C(report.md).
      - An empty list writes no report and only prints.
    type: list
    elements: str
    choices: [html, json, junit, markdown]
    default: [html, json, junit, markdown]
  mode:
    description:
      - Permissions of the written files, in octal.
      - Reports tell an attacker where it hurts, so others may not read them unless this says so.
    type: str
    default: "0640"
  history_directory:
    description:
      - Directory on the controller that keeps one file for each run, C(findings-<UTC moment>.json), a list of the
        findings with their id, host, object, value, unit and severity only.
      - Without it there is no history and the page draws no trends.
    type: path
  history_keep:
    description:
      - How many runs to keep, this one among them. V(0) keeps all.
    type: int
    default: 400
  reference_time:
    description:
      - The moment the report stands for, ISO 8601 with a timezone.
      - When it is not given, the newest C(measured_at) of the findings counts, without findings the newest C(at) of the
        changes, so that reporting the same twice changes nothing.
    type: str
  timezone:
    description:
      - The business timezone that people read, a name of the timezone database. Files and history are in UTC.
    type: str
    default: UTC
  known_secrets:
    description:
      - Texts that must not appear anywhere, whatever the findings or facts say.
    type: list
    elements: str
    default: []
  print:
    description:
      - Whether to print the table to the terminal.
      - Nothing is printed when a standard output callback writes JSON, because the table would break it.
    type: bool
    default: true
  tables:
    description:
      - What else to print, above the findings. V(queues) prints why jobs fail, with the command that puts them back,
        and how full every queue is. It needs O(facts) of M(runbook.ops.redis_queue_info) or
        M(runbook.ops.solid_queue_info).
      - V(recoveries) prints what a recovery or a drill took, phase by phase, beside what was promised. It needs
        O(facts) of the role P(runbook.ops.disaster_recovery#role).
      - The HTML page shows both whenever there are any.
    type: list
    elements: str
    choices: [queues, recoveries]
    default: []
    version_added: 0.3.0
  inventory_sources:
    description:
      - The inventories of the run, C(ansible_inventory_sources), so that printed commands can be copied as they stand.
    type: list
    elements: str
    default: []
    version_added: 0.3.0
  width:
    description:
      - Columns of the printed table, 60 or more.
      - By default the width of the terminal, at most 120, and 100 where there is no terminal.
    type: int
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    support: full
    details:
      - Everything is rendered and printed, nothing is written.
  diff_mode:
    support: full
    details:
      - Of the HTML page only the size is shown.
notes:
  - The table is coloured where Ansible colours its own output. It is plain with C(ANSIBLE_NOCOLOR), without a terminal,
    and in AWX.
seealso:
  - plugin: runbook.ops.judge
    plugin_type: filter
  - plugin: runbook.ops.changes
    plugin_type: filter
  - plugin: runbook.ops.collect_changes
    plugin_type: filter
  - plugin: runbook.ops.redact
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Report what the check roles found on this host
  runbook.ops.findings_report:
    title: StoreBridge daily check
    findings: "{{ check_postgresql_findings }}"
    facts:
      storebridge-postgres:
        runbook.ops.postgresql_health_info: "{{ check_postgresql_facts }}"
    destination: /srv/reports/storebridge
    history_directory: /srv/reports/storebridge/history
    timezone: Asia/Seoul
  register: report

- name: Report what was changed as well
  runbook.ops.findings_report:
    title: StoreBridge maintenance
    findings: "{{ hostvars | runbook.ops.collect_findings(groups['all']) }}"
    changes: "{{ hostvars | runbook.ops.collect_changes(groups['all']) }}"
    destination: /srv/reports/storebridge

- name: Only print, write nothing
  runbook.ops.findings_report:
    findings: "{{ findings }}"
    formats: []

- name: A page for the web server that everybody may read, and JUnit for the pipeline
  runbook.ops.findings_report:
    title: Nightly check
    findings: "{{ findings }}"
    destination: /var/www/html/ops
    formats:
      - html
      - junit
    mode: "0644"
"""

RETURN = r"""
message:
  description: Counts, the worst finding and where to read on, in one line.
  returned: success
  type: str
  sample: >-
    StoreBridge daily check: 2 critical, 3 warning. Worst: storebridge-postgres: 93.8 % of the usable connections
    are taken. Report: /srv/reports/storebridge/report.html.
totals:
  description: How many findings there are.
  returned: success
  type: dict
  contains:
    critical:
      description: Findings beyond their critical threshold.
      type: int
      returned: success
    warning:
      description: Findings beyond their warning threshold.
      type: int
      returned: success
    unknown:
      description: Findings that could not be measured.
      type: int
      returned: success
    ok:
      description: Findings within their thresholds.
      type: int
      returned: success
    total:
      description: All findings.
      type: int
      returned: success
    worst:
      description: The worst severity, V(unknown) when there is no finding.
      type: str
      returned: success
worst:
  description: The worst finding, C(null) when there is none that is not ok.
  returned: success
  type: dict
  sample:
    id: postgresql.connections
    host: storebridge-postgres
    object: ""
    severity: critical
    summary: 93.8 % of the usable connections are taken
changes_total:
  description: How many entries O(changes) has, whatever became of them.
  returned: success
  type: int
  version_added: 0.2.0
  sample: 4
changes_by_status:
  description: How many of them there are of each status.
  returned: success
  type: dict
  version_added: 0.2.0
  contains:
    failed:
      description: Tried and failed.
      type: int
      returned: success
    refused:
      description: Due, and left alone for a reason.
      type: int
      returned: success
    ineffective:
      description: Done, and it did not help.
      type: int
      returned: success
    done:
      description: Done.
      type: int
      returned: success
    planned:
      description: Would be done without check mode.
      type: int
      returned: success
paths:
  description: The written files by format, C(changes), and C(history). In check mode, the files that would be written.
  returned: success
  type: dict
  sample:
    html: /srv/reports/storebridge/report.html
    json: /srv/reports/storebridge/findings.json
    history: /srv/reports/storebridge/history/findings-20251017T000004Z.json
removed:
  description: History files that were removed because there are more than O(history_keep).
  returned: success
  type: list
  elements: str
  sample: []
moment:
  description: The moment the report stands for, ISO 8601 in UTC.
  returned: success
  type: str
  sample: "2025-10-17T00:00:04Z"
"""
