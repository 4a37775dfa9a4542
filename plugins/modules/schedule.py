#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds as data, written for cron or for systemd."""

from __future__ import annotations

DOCUMENTATION = r"""
module: schedule
short_description: Write a set of rounds for cron or systemd's timers, checked as a whole
version_added: 0.6.0
description:
  - Takes a list of rounds - what, when, as whom - and writes it as one file for C(/etc/cron.d), or as a timer and a
    service of systemd each. What the list no longer has is removed, and nothing that another hand wrote is.
  - Every round has its user, its lock against a second run, its time limit and its log. Cron's pitfalls are taken care
    of - the missing user that makes cron ignore a file, C(%), the end of the last line, names with dots.
  - Before anything is written, the set is read back with cron's grammar or with C(systemd-analyze), and held against
    everything else the machine starts by the clock and against what was agreed about times.
  - M(ansible.builtin.cron) writes one line at a time. It cannot know whether the same work is scheduled elsewhere,
    whether the user exists, whether two backups start in the same minute, or which lines it wrote last year.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.schedules
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  name:
    description:
      - The name of the set. It becomes part of names of files, such as C(/etc/cron.d/runbook-daily).
    type: str
    required: true
  state:
    description:
      - With V(absent) everything that the set has written is removed, whatever O(rounds) holds.
    type: str
    choices: [present, absent]
    default: present
  backend:
    description:
      - Who starts the rounds. With V(systemd) a round that was missed while the machine was off is made up for, and a
        round may have a time zone of its own.
      - When it changes, what the other one has is removed.
    type: str
    choices: [cron, systemd]
    default: cron
  rounds:
    description:
      - The rounds, all of them.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name of the round. Small letters, digits, C(-) and C(_).
        type: str
        required: true
      at:
        description:
          - When, in cron's notation, such as V(30 9 * * mon-fri), or V(@hourly), V(@daily), V(@weekly), V(@monthly),
            V(@yearly). It is translated for systemd.
        type: str
        required: true
      command:
        description: What, as a list of words. No shell reads them; for one write V([sh, -c, "a && b"]).
        type: list
        elements: str
        required: true
      user:
        description: Who runs it.
        type: str
        default: root
      description:
        description: What it is for, in a line.
        type: str
      directory:
        description: The directory in which it is run.
        type: str
      environment:
        description:
          - Variables for it. Everybody on the machine can read them there; secrets belong in
            O(rounds[].environment_file).
        type: dict
      environment_file:
        description:
          - A file of the machine with further variables, such as passwords, that win over O(rounds[].environment). It
            is read when the round starts, and never shown.
          - A C(NAME=value) on each line, without C(export); lines that begin with C(#) or C(;) are comments. The value
            goes to the end of the line and nothing in it is expanded. With O(backend=cron) it has no quotes, no
            backslashes and no spaces at its ends; systemd reads those as its C(EnvironmentFile=) says.
          - Nothing is written when it is not there, when others than its owner may read or change it (the group may
            read it), or when it belongs neither to root nor to the user. Cron's rounds read it as the user, systemd
            as root.
        type: path
        version_added: 0.7.0
      timeout:
        description: It is ended after so long, such as V(2h). Never, if not given.
        type: str
      timezone:
        description: The time zone of O(rounds[].at), with O(backend=systemd) only. The machine's, if not given.
        type: str
      persistent:
        description: Whether a missed start is made up for, with O(backend=systemd).
        type: bool
        default: true
  log:
    description:
      - Where the output goes, with O(backend=cron). V(journal) takes systemd, V(syslog) C(logger), and V(mail) leaves
        it to cron and O(mail_to). Timers always log to the journal.
      - The name in the log is C(runbook-<set>-<round>).
    type: str
    choices: [journal, syslog, mail]
    default: journal
  mail_to:
    description:
      - To whom cron mails what a round writes, with O(log=mail).
    type: str
    default: ""
  allow_duplicates:
    description:
      - Writes rounds also when the same command is scheduled elsewhere on the machine. Otherwise that is refused.
    type: bool
    default: false
  cron_directory:
    description:
      - Where cron looks for files.
    type: path
    default: /etc/cron.d
  unit_directory:
    description:
      - Where systemd looks for units.
    type: path
    default: /etc/systemd/system
  lock_directory:
    description:
      - Where the locks of cron's rounds are. Their users must be able to write there.
    type: path
    default: /run/lock
  on_refusal:
    description:
      - What happens when the set was refused. Nothing is written then. With V(fail) the task fails, and the failure
        carries the result; with V(report) it succeeds.
    type: str
    choices: [fail, report]
    default: fail
notes:
  - Cron of Debian runs a round with a fixed hour soon after the clocks went forward over it, and once when they go
    back; timers skip and repeat. RV(notes) names the rounds this is about.
seealso:
  - module: runbook.ops.schedule_info
  - module: ansible.builtin.cron
"""

EXAMPLES = r"""
- name: The rounds of the day
  runbook.ops.schedule:
    name: daily
    backend: systemd
    rounds:
      - name: morning
        at: 0 9 * * mon-fri
        timezone: Asia/Seoul
        user: ops
        directory: /opt/ops
        environment_file: /etc/ops/shop.env
        command: [/opt/ops/bin/ansible-playbook, runbook.ops.check_daily, -i, inventory, --tags, morning]
        timeout: 30m

- name: A nightly backup by cron, never within the trading hours
  runbook.ops.schedule:
    name: backups
    rounds:
      - name: nightly
        at: 30 2 * * *
        user: backup
        command: [/usr/local/bin/backup-shop, --verify]
        timeout: 2h
    windows:
      - blocked_window: ["Mon-Fri 09:00-15:30"]
        timezone: Asia/Seoul

- name: None of it any more
  runbook.ops.schedule:
    name: backups
    state: absent
"""

RETURN = r"""
name:
  description: The set.
  returned: success
  type: str
timezone:
  description: The time zone of the machine.
  returned: success
  type: str
rounds:
  description: The rounds as declared.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The round.
      type: str
    schedule:
      description: When, in cron's notation.
      type: str
    user:
      description: Who runs it.
      type: str
    command:
      description: What is run.
      type: str
    next_at:
      description: When it is due next, in ISO 8601 UTC.
      type: str
problems:
  description: What is wrong with the rounds among all others, as RV(runbook.ops.schedule_info#module:problems).
  returned: success
  type: list
  elements: dict
notes:
  description: Rounds whose hour is left out or comes twice when the clocks change.
  returned: success
  type: list
  elements: str
actions:
  description: What was done, or would be, in this order.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(write), V(switch off), V(remove), V(read again), V(switch on) or V(start anew).
      type: str
    object:
      description: The file, or the timer.
      type: str
refused:
  description: Why nothing was written.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The round, or the file.
      type: str
    reason:
      description: What speaks against it.
      type: str
    remedy:
      description: What to do.
      type: str
before:
  description: The files of the set as they were found.
  returned: success
  type: dict
  contains: &files
    files:
      description: Their paths.
      type: list
      elements: str
    files_count:
      description: How many there are.
      type: int
after:
  description: The same afterwards. V(null) in check mode.
  returned: success
  type: dict
  contains: *files
diff:
  description: Before and after of each file that changes.
  returned: success
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import ON_REFUSAL
from ansible_collections.runbook.ops.plugins.module_utils.schedule.apply import schedule_rounds
from ansible_collections.runbook.ops.plugins.module_utils.schedule.options import schedule_argument_spec

ROUND = {
    "name": {"type": "str", "required": True},
    "at": {"type": "str", "required": True},
    "command": {"type": "list", "elements": "str", "required": True},
    "user": {"type": "str", "default": "root"},
    "description": {"type": "str"},
    "directory": {"type": "str"},
    "environment": {"type": "dict"},
    "environment_file": {"type": "path"},
    "timeout": {"type": "str"},
    "timezone": {"type": "str"},
    "persistent": {"type": "bool", "default": True},
}


def argument_spec() -> dict[str, Any]:
    return {
        **schedule_argument_spec(),
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "backend": {"type": "str", "choices": ["cron", "systemd"], "default": "cron"},
        "rounds": {"type": "list", "elements": "dict", "default": [], "options": ROUND},
        "log": {"type": "str", "choices": ["journal", "syslog", "mail"], "default": "journal"},
        "mail_to": {"type": "str", "default": ""},
        "allow_duplicates": {"type": "bool", "default": False},
        "cron_directory": {"type": "path", "default": "/etc/cron.d"},
        "unit_directory": {"type": "path", "default": "/etc/systemd/system"},
        "lock_directory": {"type": "path", "default": "/run/lock"},
        "on_refusal": {"type": "str", "choices": list(ON_REFUSAL), "default": "fail"},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = schedule_rounds(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
