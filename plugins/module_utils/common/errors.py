# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception family of the collection."""

from __future__ import annotations


class RunbookError(Exception):
    """A failure that a person has to read.

    The message names what was attempted and what to do next. C(details) travel beside it in the
    module result, so they must never hold a secret.
    """

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidOption(RunbookError):
    """An option, its value and what would be accepted; raised before anything is touched."""

    def __init__(self, option: str, value: object, accepted: str) -> None:
        super().__init__(f"{option}: {value!r} is not accepted. Accepted: {accepted}.")
        self.option = option


class MissingLibrary(RunbookError):
    """A Python library the target's interpreter does not have."""


class Unavailable(RunbookError):
    """The target cannot be reached or does not let us in: data for an C(_info) module, not a failure."""
