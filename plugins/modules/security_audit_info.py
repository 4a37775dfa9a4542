#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a security audit of one machine looks at, in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: security_audit_info
short_description: Audit logins, sudo, services, updates, secrets and modes of a machine in one call
version_added: 0.6.0
description:
  - Reads what is in force, not what one file says. For sshd that is C(sshd -T), also for the connections that C(Match)
    blocks are about; for sudo all files that are included, with aliases resolved; for services a harmless request
    without a password.
  - Services are asked on this machine only, at the address on which others would reach them.
  - Of secrets it returns the file, the line and the name, never the value. Passwords, hashes and keys are not returned.
  - A program that is missing, or a file that may not be read, is in RV(skipped_sections), and what it would have told
    is null. Null is unknown, and not fine.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
options:
  sections:
    description: What to look at.
    type: list
    elements: str
    choices: [ssh, sudo, accounts, logins, listening, updates, secrets, files, kernel]
    default: [ssh, sudo, accounts, logins, listening, updates, secrets, files, kernel]
  sshd_config:
    description: The configuration that sshd is started with.
    type: path
    default: /etc/ssh/sshd_config
  sudoers_path:
    description: The first file of sudo's rules.
    type: path
    default: /etc/sudoers
  logins_since:
    description: How far back failed logins are counted, as in V(1d).
    type: str
    default: 1d
  probe_services:
    description: Whether Redis, memcached, Elasticsearch, Docker, etcd and CouchDB are asked without a password.
    type: bool
    default: true
  default_logins:
    description: Passwords that a product is delivered with, to be tried on this machine. Only what is named is tried.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: A name for rules and reports.
        type: str
        required: true
      url:
        description:
          - Where, such as V(http://127.0.0.1:3000/api/org) with HTTP basic authentication, or V(redis://127.0.0.1:6379).
          - The address must be one of this machine's.
        type: str
        required: true
      user:
        description: The user. Empty for Redis without users.
        type: str
        default: ""
      password:
        description: The password that should not work.
        type: str
        required: true
  pg_hba_paths:
    description: Patterns of PostgreSQL's C(pg_hba.conf), in which lines that let in without a password are looked for.
    type: list
    elements: str
    default: [/etc/postgresql/*/*/pg_hba.conf, /var/lib/pgsql/data/pg_hba.conf, /var/lib/pgsql/*/data/pg_hba.conf]
  secret_roots:
    description: Directories and files to search for secrets that everybody on the machine can read.
    type: list
    elements: str
    default: [/etc, /opt, /srv]
  secret_ignore:
    description: Patterns of paths with nothing secret in them, such as examples.
    type: list
    elements: str
    default: [/etc/ssl/openssl.cnf]
  key_files:
    description: Further patterns of private keys, beside the usual places.
    type: list
    elements: str
    default: []
  max_files:
    description: After so many files the search for secrets ends, and says so.
    type: int
    default: 20000
  top:
    description: How many addresses, users and secrets to list. Counts are complete.
    type: int
    default: 20
  timeout:
    description: Seconds that one program, or the search for secrets, may take.
    type: float
    default: 60.0
notes:
  - Most of it can be seen by root only. Run the task with C(become).
seealso:
  - module: runbook.ops.log_scan_info
  - module: runbook.ops.postgresql_health_info
"""

EXAMPLES = r"""
- name: Audit this machine
  runbook.ops.security_audit_info:
  become: true
  register: audited

- name: Who may come in, and as what
  runbook.ops.security_audit_info:
    sections: [ssh, sudo, accounts]
  become: true

- name: Does Grafana still have the password that it was delivered with
  runbook.ops.security_audit_info:
    sections: [listening]
    default_logins:
      - name: grafana
        url: http://127.0.0.1:3000/api/org
        user: admin
        password: admin
"""

RETURN = r"""
available:
  description: Whether any section could be measured.
  returned: success
  type: bool
reason:
  description: Why none could. V(null) if one could.
  returned: success
  type: str
measured_at:
  description: When, in ISO 8601 UTC.
  returned: success
  type: str
  sample: "2026-01-31T00:15:00Z"
skipped_sections:
  description: What is unknown, with C(section), C(reason) and C(remedy).
  returned: success
  type: list
  elements: dict
security:
  description: The sections. One that could not be measured is V(null).
  returned: success
  type: dict
  contains:
    ssh:
      description:
        - What C(sshd -T) says for connections that no C(Match) block changes, C(permit_root_login), C(password_login),
          C(root_password_login), C(permit_empty_passwords), the four lists of users and groups, C(weak_algorithms),
          C(max_auth_tries), C(x11_forwarding) and more.
        - In C(is_restricted) whether C(AllowUsers) or C(AllowGroups) is set at all. Without them everybody with a shell
          may log in. In C(may_log_in) the accounts of people that these lists let in.
        - In C(connections) what holds for root and others from outside, and for each C(Match) block for somebody it is
          about, with C(user), C(address), C(match), C(is_allowed), C(password_login) and C(root_password_login).
      type: dict
    sudo:
      description:
        - In C(rules) every rule with C(who), C(hosts), C(run_as), C(commands), C(nopasswd), C(is_everything),
          C(shell_commands) (programs that open a shell), C(path) and C(line); aliases are resolved.
        - In C(everything_users) who may run everything as root, groups resolved; in C(unsafe_files) and
          C(unsafe_commands) what others than root may write; in C(is_valid) what C(visudo -c) says.
      type: dict
    accounts:
      description:
        - In C(accounts) those that can log in, with C(name), C(uid), C(password_state) (V(empty), V(locked),
          V(weak_hash) or V(set)), C(password_age_days), C(password_expires_days), C(is_expired).
        - C(root_uid), C(empty_passwords), C(weak_hashes), C(system_shells), C(system_logins) (those of
          them that have a password or a key), C(expired) are names; C(keys) are the
          authorized keys by account and fingerprint, with C(is_weak) and C(is_writable_by_others).
      type: dict
    logins:
      description: Failed logins in the window with C(count), C(invalid_users_count), C(by_address) and C(by_user).
      type: dict
    listening:
      description:
        - In C(sockets) what listens, with C(process) and C(is_public); in C(services) which of them C(is_open), which
          is that it answered without a password; in C(default_logins) which passwords are accepted; in C(pg_hba) lines
          with the method V(trust) or V(password), and whether they are for the network (C(is_network)).
      type: dict
    updates:
      description:
        - C(pending_count), C(security_count), C(security) with C(name), C(installed), C(candidate);
          C(lists_age_seconds); C(unattended) with C(is_installed), C(is_configured), C(timer_enabled), C(is_active);
          C(reboot_required).
      type: dict
    secrets:
      description: C(count) and in C(found) C(path), C(line), C(name), C(kind) and C(mode), never the value.
      type: dict
    files:
      description: C(readable_keys), C(writable) and C(writable_cron), each with C(path), C(mode), C(owner) and why.
      type: dict
    kernel:
      description: C(settings) of sysctl with underscores in their names; C(guards) that run, such as C(auditd).
      type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.security.audit import SECTIONS, audit

LOGIN = {
    "name": {"type": "str", "required": True},
    "url": {"type": "str", "required": True},
    "user": {"type": "str", "default": ""},
    "password": {"type": "str", "required": True, "no_log": True},
}
PG_HBA = ["/etc/postgresql/*/*/pg_hba.conf", "/var/lib/pgsql/data/pg_hba.conf", "/var/lib/pgsql/*/data/pg_hba.conf"]
IGNORED = ["/etc/ssl/openssl.cnf"]


def argument_spec() -> dict[str, Any]:
    return {
        "sections": {"type": "list", "elements": "str", "choices": list(SECTIONS), "default": list(SECTIONS)},
        "sshd_config": {"type": "path", "default": "/etc/ssh/sshd_config"},
        "sudoers_path": {"type": "path", "default": "/etc/sudoers"},
        "logins_since": {"type": "str", "default": "1d"},
        "probe_services": {"type": "bool", "default": True},
        "default_logins": {"type": "list", "elements": "dict", "default": [], "options": LOGIN},
        "pg_hba_paths": {"type": "list", "elements": "str", "default": PG_HBA},
        "secret_roots": {
            "type": "list",
            "elements": "str",
            "default": ["/etc", "/opt", "/srv"],
            "no_log": False,
        },
        "secret_ignore": {"type": "list", "elements": "str", "default": IGNORED, "no_log": False},
        "key_files": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "max_files": {"type": "int", "default": 20000},
        "top": {"type": "int", "default": 20},
        "timeout": {"type": "float", "default": 60.0},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    # A default password is a word such as admin: hiding it everywhere would hide user names.
    module.no_log_values = {value for value in module.no_log_values if len(value) > 5}
    try:
        measured_at = iso(utc_now())
        facts = audit(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, measured_at=measured_at, **facts)


if __name__ == "__main__":
    main()
