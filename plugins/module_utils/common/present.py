# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known to be there, said to the type checker and to whoever breaks it."""

from __future__ import annotations

from typing import Optional, TypeVar

Thing = TypeVar("Thing")


def present(value: Optional[Thing], what: str) -> Thing:
    """The value, which the surrounding code guarantees.

    Raises:
        AssertionError: it does not: a defect of the collection, not of its user.

    """
    if value is None:
        raise AssertionError(f"{what} is missing")
    return value
