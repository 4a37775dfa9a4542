# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding the queues of all systems in one pass over the keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.reading import QueueReader, Reading, cover
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Scan


def discover(reading: Reading, readers: Sequence[QueueReader]) -> Optional[Scan]:
    """Show every reader the keys it wants to see; None when no system needs a scan."""
    searching = [reader for reader in readers if reader.patterns()]
    if not searching:
        return None
    patterns = [pattern for reader in searching for pattern in reader.patterns()]
    marks = [mark for reader in searching for mark in reader.marks]
    # A common beginning (the key prefix) narrows more than the marks do; the scan finds it by itself.
    match = cover(marks) if reading.request.prefix is None else None
    scan = reading.scan(patterns, match=match)
    for names in scan:
        for reader in searching:
            reader.look(names)
    searching[0].account(scan, "found")
    return scan
