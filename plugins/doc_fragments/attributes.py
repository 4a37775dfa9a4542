# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module can do, said once."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes shared by the modules of the collection."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
  diff_mode:
    description: Returns details on what has changed, or would change in C(check_mode), when in diff mode.
"""

    # The fragment of an _info module: it only reads.
    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This module does not change anything.
  diff_mode:
    support: N/A
    details:
      - This module does not change anything.
"""

    ACTIONGROUP_POSTGRESQL = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/runbook.ops.postgresql) in C(module_defaults) to set connection options once.
    support: full
    membership:
      - runbook.ops.postgresql
"""

    ACTIONGROUP_PGBOUNCER = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/runbook.ops.pgbouncer) in C(module_defaults) to set connection options once.
    support: full
    membership:
      - runbook.ops.pgbouncer
"""

    ACTIONGROUP_REDIS = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/runbook.ops.redis) in C(module_defaults) to set connection options once.
    support: full
    membership:
      - runbook.ops.redis
"""

    ACTIONGROUP_AWS = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/runbook.ops.aws) in C(module_defaults) to set connection options once.
    support: full
    membership:
      - runbook.ops.aws
"""

    ACTIONGROUP_K8S = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/runbook.ops.k8s) in C(module_defaults) to set connection options once.
    support: full
    membership:
      - runbook.ops.k8s
"""
