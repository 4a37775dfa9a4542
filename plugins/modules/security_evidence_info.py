#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be kept of a machine before anybody touches it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: security_evidence_info
short_description: Collect sessions, logins, processes, sockets, keys and recent changes of a machine as evidence
version_added: 0.6.0
description:
  - Reads in one call what the answer to an intrusion destroys, so that it can be kept first. Who is logged in and was,
    what runs and since when, which programs' files are gone, who is connected, which keys open which account, which
    files were changed, and what cron starts.
  - Command lines and cron's lines go through the collection's redaction. Contents of files are given as SHA-256, keys
    as fingerprints.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
options:
  since:
    description: How far back changed files and failed logins are looked for.
    type: str
    default: 1d
  roots:
    description: Directories in which changed files are looked for.
    type: list
    elements: str
    default: [/etc, /usr/local, /var/spool/cron, /tmp, /var/tmp, /dev/shm]
  max_entries:
    description: How many entries each list has at most. One that was cut is in RV(truncated).
    type: int
    default: 500
  max_files:
    description: After so many files the search for changed ones ends, and says so.
    type: int
    default: 100000
  timeout:
    description: Seconds for that search, and for reading logs.
    type: float
    default: 60.0
notes:
  - Most of it can be seen by root only (C(become)).
  - It is what the running system says. A rootkit lies; for the certain truth take an image of the disk.
seealso:
  - module: runbook.ops.account_lock
  - module: runbook.ops.address_block
"""

EXAMPLES = r"""
- name: Keep the evidence before anything is touched
  runbook.ops.security_evidence_info:
    since: 3d
  become: true
  register: kept
"""

RETURN = r"""
available:
  description: Always V(true).
  returned: success
  type: bool
reason:
  description: Always V(null).
  returned: success
  type: str
measured_at:
  description: When, in ISO 8601 UTC.
  returned: success
  type: str
  sample: "2026-01-31T00:15:00Z"
skipped_sections:
  description: What could not be read, with C(section), C(reason) and C(remedy).
  returned: success
  type: list
  elements: dict
truncated:
  description: The lists that hold only part of what there is.
  returned: success
  type: list
  elements: str
evidence:
  description: The lists.
  returned: success
  type: dict
  contains:
    sessions:
      description: Who is logged in, with C(user), C(terminal), C(from), C(pid), C(at).
      type: list
      elements: dict
    last_logins:
      description: Logins, boots and ends, the newest first, with the same keys.
      type: list
      elements: dict
    failed_logins:
      description: As in RV(runbook.ops.security_audit_info#module:security.logins).
      type: dict
    processes:
      description: >-
        What runs, the youngest first, with C(pid), C(parent), C(user), C(started_at), C(program), C(command), and
        C(is_deleted) for a program whose file is gone, C(is_temporary) for one in a directory such as /tmp.
      type: list
      elements: dict
    sockets:
      description: What listens and who is connected, with C(process), C(peer), C(state).
      type: list
      elements: dict
    authorized_keys:
      description: Files with keys, with C(account), C(sha256), C(fingerprints) and C(changed_at).
      type: list
      elements: dict
    suspect_logins:
      description: >-
        Who came in from an address from which logins had failed, with C(user), C(from), C(at), C(failed_count).
        V(null) when nobody is found, and the logins or the failures could not be read.
      type: list
      elements: dict
    changed_files:
      description: >-
        Files changed in the window, the newest first, with C(path), C(owner), C(sha256), C(changed_at), and
        C(opens_doors) for those by which one comes in, becomes root or comes back.
      type: list
      elements: dict
    cron:
      description: Tables of cron with C(lines).
      type: list
      elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.security.evidence.collect import collect

ROOTS = ["/etc", "/usr/local", "/var/spool/cron", "/tmp", "/var/tmp", "/dev/shm"]  # noqa: S108 - looked at, not used


def argument_spec() -> dict[str, Any]:
    return {
        "since": {"type": "str", "default": "1d"},
        "roots": {"type": "list", "elements": "str", "default": ROOTS},
        "max_entries": {"type": "int", "default": 500},
        "max_files": {"type": "int", "default": 100000},
        "timeout": {"type": "float", "default": 60.0},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        measured_at = iso(utc_now())
        facts = collect(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, measured_at=measured_at, **facts)


if __name__ == "__main__":
    main()
