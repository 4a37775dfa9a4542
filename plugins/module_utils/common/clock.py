# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moments in time: always aware, always UTC, always ISO 8601 in results."""

from __future__ import annotations

import datetime as dt

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

# So far may a moment by another clock, or one within the current second, lie ahead of ours.
_CLOCKS_DIFFER_SECONDS = 300


def utc_now() -> dt.datetime:
    """The current moment, aware, UTC, whole seconds."""
    return dt.datetime.now(dt.timezone.utc).replace(microsecond=0)


def iso(moment: dt.datetime) -> str:
    """An aware moment as ISO 8601 in UTC with whole seconds, e.g. C(2026-01-31T00:15:00Z)."""
    return moment.astimezone(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_moment(text: str, option: str = "reference_time") -> dt.datetime:
    """Read an ISO 8601 moment that carries its timezone.

    A moment without a timezone is refused: guessing it shifts every age by hours.
    """
    try:
        # Python 3.9 does not read the Z suffix.
        moment = dt.datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace("z", "+00:00"))
    except ValueError:
        raise InvalidOption(
            option, text, "an ISO 8601 moment with timezone, such as 2026-01-31T09:00:00+09:00"
        ) from None
    if moment.tzinfo is None:
        raise InvalidOption(option, text, "an ISO 8601 moment with timezone, such as 2026-01-31T09:00:00+09:00")
    return moment.astimezone(dt.timezone.utc)


def reference_moment(text: str | None) -> dt.datetime:
    """The moment ages are counted from: the C(reference_time) option, else now."""
    return parse_moment(text) if text else utc_now()


def iso_of(seconds: float) -> str:
    """Epoch seconds as C(iso) writes them."""
    return iso(dt.datetime.fromtimestamp(seconds, dt.timezone.utc))


def is_young(taken_at: dt.datetime, now: dt.datetime, most_seconds: float) -> bool:
    """Whether something of a moment is at most so many seconds old.

    A server's clock may be ahead of ours, and ours counts whole seconds: what seems to come is young as well, but not
    what lies far ahead, of which nobody knows how old it is.
    """
    return -_CLOCKS_DIFFER_SECONDS <= (now - taken_at).total_seconds() <= most_seconds
