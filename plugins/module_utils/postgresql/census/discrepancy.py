# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One finding about a copy of a database. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Discrepancy:
    """What is not as it should be.

    Args:
        code: A word for programs: C(row_count_mismatch), C(structure_missing), …
        object: What it is about, such as C(public.orders).
        expected: What the original had.
        found: What is there instead; None for nothing.
        detail: One sentence for people.
        noted: It says something about the server that the copy was made on, and nothing against the backup: to be
            shown, not to be judged.

    """

    code: str
    object: str
    expected: Any
    found: Any
    detail: str
    noted: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        return asdict(self)
