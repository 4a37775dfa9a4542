# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking known secrets out of text that drivers hand us (error messages repeat connection strings)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote, quote_plus

MASK = "********"


def mask_secrets(text: str, secrets: Iterable[str | None]) -> str:
    """Replace every given secret in C(text), also in its URL-encoded spellings, longest first."""
    for spelling in _spellings(tuple(secret for secret in secrets if secret)):
        text = text.replace(spelling, MASK)
    return text


@lru_cache(maxsize=16)
def _spellings(secrets: tuple[str, ...]) -> tuple[str, ...]:
    # A report masks the same few secrets in thousands of texts.
    spellings = {
        spelling
        for secret in secrets
        for spelling in (secret, quote(secret, safe=""), quote(secret), quote_plus(secret))
    }
    return tuple(sorted(spellings, key=len, reverse=True))
