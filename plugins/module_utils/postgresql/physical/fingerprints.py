# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the WAL archive and the questions are those of a proof that was done before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.archive import WalArchive


def held_by(archive: Optional[WalArchive]) -> str:
    """A fingerprint of what an archive holds; empty where that cannot be told, so that everything is looked at."""
    if archive is None:
        return "none"
    try:
        return archive.fingerprint()
    except Undecided:
        return ""


def asked_in(params: Mapping[str, Any]) -> str:
    """A fingerprint of what is asked of a recovered copy, and of which archive."""
    asked = {name: params.get(name) for name in ("must_see", "must_not_see", "wal_archive")}
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()
