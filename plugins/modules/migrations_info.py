#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The migrations that a release brings, and whether code and database go together."""

from __future__ import annotations

DOCUMENTATION = r"""
module: migrations_info
short_description: Tell which migrations are pending, which of them are destructive, and whether code fits the database
version_added: 0.6.0
description:
  - Compares the migrations in a release's directory with those that the database says were applied, for Rails, Prisma
    and Supabase.
  - Reads every pending migration and lists what it takes away from code that does not know it. That is what is dropped,
    renamed, emptied, given another type, or may be null no more; also a new column that may not be null and has no
    default, because older code does not fill it.
  - Says whether the release works with the database as it is (RV(schema_compatible)), which is the question of a
    rollback. Migrations that were applied and that the release does not know must not have taken anything away.
  - What nobody can read off is unknown, and never fine. SQL in a C(DO) block or put together by a program is.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
options:
  kind:
    description:
      - Whose migrations they are.
      - V(rails) has C(db/migrate/<version>_<name>.rb), V(prisma) has C(migrations/<version>_<name>/migration.sql),
        V(supabase) has C(supabase/migrations/<version>_<name>.sql).
    type: str
    choices: [rails, prisma, supabase]
    required: true
  path:
    description:
      - The directory with the migrations.
    type: path
    required: true
  later_path:
    description:
      - The directory with the migrations of a newer release, which knows what applied migrations did that O(path) does
        not know. For a rollback.
    type: path
  applied:
    description:
      - The versions that were applied. Exactly one of this, O(applied_output) and O(command) is needed.
      - For Prisma these are the whole names, C(migration_name) of the rows of C(_prisma_migrations) that are finished
        and not rolled back.
    type: list
    elements: str
  applied_output:
    description:
      - What a command wrote that listed them, one a line, or the table of C(rails db:migrate:status) or of
        C(supabase migration list).
    type: str
  command:
    description:
      - A command, as a list of words, that lists them like that, such as C(psql -AtXc) with the query. No shell is
        involved.
    type: list
    elements: str
  chdir:
    description:
      - The directory that O(command) runs in.
    type: path
  environment:
    description:
      - Environment variables for O(command) that are no secrets.
    type: dict
    default: {}
  secrets:
    description:
      - Environment variables for O(command) that are, such as C(PGPASSWORD).
    type: dict
    default: {}
  timeout:
    description:
      - Seconds that O(command) may take.
    type: float
    default: 60
seealso:
  - module: runbook.ops.release
"""

EXAMPLES = r"""
- name: See what the new release would do to the database
  runbook.ops.migrations_info:
    kind: rails
    path: /srv/shop/releases/20260131-2/db/migrate
    command: [psql, --no-psqlrc, -At, -c, "SELECT version FROM schema_migrations", shop]
    secrets:
      PGPASSWORD: "{{ shop_password }}"
  register: migrations

- name: See whether the release before works with the database as it is
  runbook.ops.migrations_info:
    kind: prisma
    path: /srv/shop/releases/20260131-1/prisma/migrations
    later_path: /srv/shop/releases/20260131-2/prisma/migrations
    applied: [20260101090000_init, 20260131080000_price]
"""

RETURN = r"""
available:
  description: Whether the migrations and what was applied could be read.
  returned: success
  type: bool
reason:
  description: Why not. V(null) if they could.
  returned: success
  type: str
measured_at:
  description: When this was measured, in ISO 8601 UTC.
  returned: success
  type: str
skipped_sections:
  description: What could not be read, besides.
  returned: success
  type: list
  elements: dict
  contains:
    section:
      description: What it is.
      type: str
    reason:
      description: Why not.
      type: str
    remedy:
      description: What to do about it.
      type: str
kind:
  description: Whose migrations they are.
  returned: success
  type: str
files_count:
  description: How many migrations the release brings. V(null) if unknown, as all counts.
  returned: success
  type: int
applied_count:
  description: How many were applied.
  returned: success
  type: int
pending:
  description: Those that the release brings and that were not applied, in their order.
  returned: success
  type: list
  elements: dict
  contains: &migration
    version:
      description: Its version.
      type: str
    name:
      description: Its name.
      type: str
    path:
      description: Its file.
      type: str
    destructive:
      description: Whether it takes anything away from older code. V(null) if that cannot be read off.
      type: bool
    hazards:
      description: What it takes away, statement by statement.
      type: list
      elements: dict
      contains:
        kind:
          description: V(drop), V(rename), V(type), V(not_null), V(truncate), or V(opaque) for what nobody can read off.
          type: str
        object:
          description: The table, or table and column.
          type: str
        statement:
          description: The statement, its first 200 characters, without texts in it.
          type: str
        line:
          description: The line that it begins on.
          type: int
pending_count:
  description: How many are pending.
  returned: success
  type: int
destructive_count:
  description: How many of them take something away.
  returned: success
  type: int
unreadable_count:
  description: Of how many that cannot be told.
  returned: success
  type: int
out_of_order:
  description: Versions of pending migrations that are older than the newest one that was applied.
  returned: success
  type: list
  elements: str
duplicates:
  description: Versions that several files have.
  returned: success
  type: list
  elements: str
unknown_to_files:
  description: Migrations that were applied and that the release does not know, as far as O(later_path) tells of them.
  returned: success
  type: list
  elements: dict
  contains: *migration
schema_compatible:
  description: Whether the release works with the database as it is. V(null) if nobody knows.
  returned: success
  type: bool
schema_reasons:
  description: Why not, or why nobody knows.
  returned: success
  type: list
  elements: str
pending_compatible:
  description: Whether code that is served now survives the pending migrations. V(null) if nobody knows.
  returned: success
  type: bool
pending_reasons:
  description: Why not, or why nobody knows.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.migrations.measure import measure_migrations
from ansible_collections.runbook.ops.plugins.module_utils.releases.options import hidden_values


def argument_spec() -> dict[str, Any]:
    return {
        "kind": {"type": "str", "required": True, "choices": ["rails", "prisma", "supabase"]},
        "path": {"type": "path", "required": True},
        "later_path": {"type": "path"},
        "applied": {"type": "list", "elements": "str"},
        "applied_output": {"type": "str"},
        "command": {"type": "list", "elements": "str"},
        "chdir": {"type": "path"},
        "environment": {"type": "dict", "default": {}},
        "secrets": {"type": "dict", "default": {}, "no_log": True},
        "timeout": {"type": "float", "default": 60},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        supports_check_mode=True,
        mutually_exclusive=[["applied", "applied_output", "command"]],
        required_one_of=[["applied", "applied_output", "command"]],
    )
    module.no_log_values |= hidden_values(module.params["secrets"])
    try:
        facts = measure_migrations(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, **facts)


if __name__ == "__main__":
    main()
