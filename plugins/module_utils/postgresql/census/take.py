# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the census of a database inside one snapshot."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import (
    Census,
    Scope,
    Topic,
    Watermark,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session

__all__ = ["open_snapshot", "read_sequences", "take_census"]


@contextlib.contextmanager
def open_snapshot(
    options: Mapping[str, Any], *, application_name: str = "runbook.ops census", lock_timeout_seconds: float = 60.0
) -> Iterator[tuple[Session, str]]:
    """A session in a READ ONLY REPEATABLE READ transaction, and the name under which others import its snapshot.

    The name goes to C(pg_dump --snapshot); it is good as long as the block lasts.
    """
    raise NotImplementedError
    yield


def read_sequences(session: Session, scope: Optional[Scope] = None) -> Topic:
    """The sequences as they stand now. Sequences know no snapshots: read them before pg_dump starts, and the dump's
    are the same or ahead. To be handed to C(take_census).
    """
    raise NotImplementedError


def take_census(
    session: Session,
    *,
    digests: bool,
    watermarks: Sequence[Watermark] = (),
    progress: Optional[Progress] = None,
    session_factory: Optional[Callable[[], Session]] = None,
    jobs: int = 2,
    scope: Optional[Scope] = None,
    sequences: Optional[Topic] = None,
) -> Census:
    """Describe the database of a session inside its open transaction.

    Args:
        session: In a transaction, best from C(open_snapshot).
        digests: Whether to read every row, rather than count them.
        watermarks: Columns whose newest value is wanted.
        progress: Where to show it, in bytes of tables; its C(check) ends the census between and within statements.
        session_factory: Logs in once more to the same database; such sessions import the snapshot and count in turn.
        jobs: How many of these.
        scope: The part that is dumped; everything if not given.
        sequences: What C(read_sequences) gave before; read now if not given.

    Raises:
        Refused: the role may not read everything, or would be shown some rows only; the message has the GRANT.
        QueryError, Unavailable: the server's answer.
        Stopped: somebody wants the end.

    """
    raise NotImplementedError
