#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is started by the clock, and what is wrong with it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: schedule_info
short_description: List what cron and systemd start by the clock, and what is wrong with it
version_added: 0.6.0
description:
  - Reads C(/etc/crontab), C(/etc/cron.d), the crontabs of users, C(/etc/cron.hourly) and its like, and the timers of
    systemd with their next and last run and its result.
  - Tells what is never started, and why - a line in C(/etc/cron.d) without a user, which makes cron ignore the whole
    file, a bad time, a last line without an end, a file with a dot in its name or that others may write, a unit or a
    program that does not exist.
  - Tells what does harm - the same command scheduled twice, two backups in the same minute, work at hours that are kept
    free, restarts without evidence, C(%) in a command.
  - Cron says such things only in its log, if at all.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
  - runbook.ops.schedules
options:
  expected:
    description:
      - Patterns for the name, the command or the file of what must be scheduled, such as V(*backup*).
    type: list
    elements: str
    default: []
notes:
  - Reading the crontabs of users takes root. Without it they are listed in RV(skipped_sections).
seealso:
  - module: runbook.ops.schedule
"""

EXAMPLES = r"""
- name: What is started by the clock, and is it right
  runbook.ops.schedule_info:
    windows:
      - match: "*backup*"
        blocked_window: ["Mon-Fri 09:00-15:30"]
        timezone: Asia/Seoul
  register: rounds

- name: Say what is never started
  ansible.builtin.debug:
    msg: "{{ rounds.problems | selectattr('level', 'eq', 'error') | map(attribute='message') }}"
"""

RETURN = r"""
available:
  description: Always V(true). What could not be read is in RV(skipped_sections).
  returned: success
  type: bool
reason:
  description: Always V(null).
  returned: success
  type: str
measured_at:
  description: The moment that counts as now, in ISO 8601 UTC.
  returned: success
  type: str
timezone:
  description: The time zone of the machine, on whose clock cron counts.
  returned: success
  type: str
cron_running:
  description: Whether a cron daemon runs.
  returned: success
  type: bool
entries:
  description: One entry for each line, script and timer.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: File and line, or the timer.
      type: str
      sample: /etc/cron.d/shop:4
    source:
      description: The file, or the timer.
      type: str
    line:
      description: The line. V(null) for scripts and timers.
      type: int
    kind:
      description: V(cron), V(timer), or V(directory) for a script in C(/etc/cron.daily) and its like.
      type: str
    name:
      description: The round, of entries that M(runbook.ops.schedule) wrote; the script or the timer.
      type: str
    set:
      description: The set of rounds, of entries that M(runbook.ops.schedule) wrote.
      type: str
    schedule:
      description: When, as it is written there.
      type: str
    user:
      description: Who runs it. Empty where the line names none.
      type: str
    command:
      description: What is run, without what looks like a secret.
      type: str
    refused:
      description: Whether cron ignores it.
      type: bool
    mail_to:
      description: Where cron mails the output. V(null) if that is not said.
      type: str
    next_at:
      description: When it is started next, in ISO 8601 UTC. V(null) if never, or not known.
      type: str
    last_at:
      description: When a timer started last.
      type: str
    last_result:
      description: How that ended, such as V(success) or V(exit-code). V(null) if it has not, and for cron.
      type: str
    last_status:
      description: The exit status of that.
      type: int
    active:
      description: Whether it is in force.
      type: bool
    enablement:
      description: Whether a timer starts with the machine, in the words of systemd.
      type: str
    unit:
      description: The unit that a timer starts.
      type: str
problems:
  description: What is wrong, the worst first.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: File and line, or the timer.
      type: str
    code:
      description: Which problem.
      type: str
      sample: missing_user
    level:
      description: V(error) if it is never started, V(warning) if it does harm, V(notice) if it is worth knowing.
      type: str
    source:
      description: The file, or the timer.
      type: str
    line:
      description: The line; 0 for a whole file.
      type: int
    message:
      description: What is wrong.
      type: str
    remedy:
      description: What to do.
      type: str
    text:
      description: The line as it is written.
      type: str
cron_entries_count:
  description: >-
    How many lines of crontabs there are for a cron to start. Lines that leave their work to a timer where systemd runs
    are not counted there.
  returned: success
  type: int
expected:
  description: For each pattern of O(expected) what fits it and is in force.
  returned: success
  type: list
  elements: dict
  contains:
    match:
      description: The pattern.
      type: str
    found:
      description: Whether anything does.
      type: bool
    objects:
      description: What does.
      type: list
      elements: str
problems_count:
  description: How many there are of each level.
  returned: success
  type: dict
  sample: {"error": 4, "warning": 2, "notice": 0}
notes:
  description: Entries whose hour is left out or comes twice within a year, because the clocks change.
  returned: success
  type: list
  elements: str
skipped_sections:
  description: What could not be read.
  returned: success
  type: list
  elements: dict
  contains:
    section:
      description: The file, or V(timers).
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What to do about it.
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.schedule.options import schedule_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.schedule.survey import measure_schedule


def argument_spec() -> dict[str, Any]:
    return {**schedule_argument_spec(), "expected": {"type": "list", "elements": "str", "default": []}}


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        facts = measure_schedule(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, **facts)


if __name__ == "__main__":
    main()
