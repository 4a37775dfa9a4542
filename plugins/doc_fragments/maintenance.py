# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guards of PostgreSQL's own; module_utils/postgresql/maintenance/options.py says the same."""

from __future__ import annotations


class ModuleDocFragment:
    """How carefully something is changed in PostgreSQL. Beside it stands the fragment C(guards)."""

    DOCUMENTATION = r"""
options:
  lock_timeout:
    description:
      - Seconds that a statement waits for a lock before it gives up, from 0.1 to 60. While it waits, others queue
        behind it.
    type: float
    default: 2.0
notes:
  - The session goes straight to a primary. A connection pooler in between is recognised and refused, a standby too.
  - Only one run of a module works in a database at a time; a second one is refused and names the first.
"""
