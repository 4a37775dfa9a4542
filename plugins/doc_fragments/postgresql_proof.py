# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of proving by restoring; verify/request.py and scratch/preload.py in module_utils/postgresql say the same."""

from __future__ import annotations


class ModuleDocFragment:
    """What is asked of a restored database, and the programs and private servers that it takes."""

    DOCUMENTATION = r"""
options:
  assertions:
    description:
      - SQL that is asked of the restored database, read-only, and must be answered right.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - What it is about, for people.
        type: str
        required: true
      sql:
        description:
          - A query that gives one row with one column. Names are looked for in the schema C(public).
        type: str
        required: true
      expect:
        description:
          - The value that it must have.
        type: raw
      min:
        description:
          - The least that it may be.
        type: float
      max:
        description:
          - The most that it may be.
        type: float
  assertion_timeout:
    description:
      - Seconds for each of O(assertions).
    type: float
    default: 60.0
  max_entries:
    description:
      - How many entries of the repository to list at most. If there are more, the newest cannot be told.
    type: int
    default: 100000
  bin_directory:
    description:
      - The directory with PostgreSQL's programs. Without it the fitting version is looked for in the usual places.
    type: path
  preload:
    description:
      - Libraries that a private server loads at its start, in this order, for extensions that cannot be loaded or used
        otherwise, such as V(timescaledb), V(pg_cron) or V(pg_stat_statements). As in C(shared_preload_libraries), which
        is otherwise empty there.
      - Their packages must be installed on the host for that version of PostgreSQL.
    type: list
    elements: str
    default: []
    version_added: 0.5.0
"""
