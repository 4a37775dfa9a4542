# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a backup could not be read or judged."""

from __future__ import annotations

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError


class Damaged(RunbookError):
    """The backup is bad: cut off, corrupt, empty. A fact about the backup."""


class Undecided(RunbookError):
    """Whether the backup is good cannot be told: unreadable, too large for the budget, a format unknown here.

    Never to be taken for good, and not for bad either.
    """
