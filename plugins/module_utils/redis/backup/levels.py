# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The levels of a Redis backup's proof."""

from __future__ import annotations

from ansible_collections.runbook.ops.plugins.module_utils.backup.verdict import Verification

# exists   the file is there and can be read
# fresh    it is not older than it may be
# format   it begins as an RDB file, of a version that the server at hand reads
# bytes    size and SHA-256 are those of the manifest
# check    redis-check-rdb reads it to its end, and its checksum is right
# loads    a server loads it
# counts   every database has the keys that the live server had
# queues   every queue has the jobs that the live server had
LEVELS = ("exists", "fresh", "format", "bytes", "check", "loads", "counts", "queues")


def verification(wanted: str = LEVELS[-1]) -> Verification:
    """An empty verification that goes as far as C(wanted)."""
    return Verification(LEVELS, wanted)
