# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Redis backups are proven; module_utils/redis/backup/verify.py says the same."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of the modules that load a backup into a server of their own."""

    DOCUMENTATION = r"""
options:
  server_binary:
    description:
      - The C(redis-server) or C(valkey-server) that loads a copy, of the same version as the server's or a newer one.
        Without it the first that the host has. Its service need not run; nothing of it is touched.
    type: path
  server_arguments:
    description:
      - Further settings for that server, as on its command line, such as V(["--loadmodule", "/usr/lib/redisbloom.so"])
        for data of a module.
    type: list
    elements: str
    default: []
  scratch_directory:
    description:
      - The directory in which a private one for the copy is made, and removed again. Without it the system's for
        temporary files. It needs as much room as the backup has bytes.
    type: path
  verify_timeout:
    description:
      - Seconds for C(redis-check-rdb), and as many for loading.
    type: float
    default: 600.0
  queue_counts:
    description:
      - Whether the jobs of every queue in every state are compared, too. Queues are found by one bounded scan of each
        database that holds keys.
    type: bool
    default: true
  max_keys:
    description:
      - How many keys of a database to walk through for its queues at most. If there are more, nothing is proven.
    type: int
    default: 10000000
  max_seconds:
    description:
      - How many seconds to walk at most.
    type: float
    default: 60.0
"""
