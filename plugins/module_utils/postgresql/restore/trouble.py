# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a restore fails: what is left behind, and what the person on call is told of the database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session, connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import quote_identifier
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore import swap
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.fence import APPLICATION
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.names import Mark

_SECONDS = 600.0


@contextlib.contextmanager
def given_up(
    session: Session, options: Mapping[str, Any], beside: str, database: str, failed: Optional[Mark]
) -> Iterator[None]:
    """When anything fails in the block, drop the half-restored database, and say that the other is as it was.

    Args:
        session: To the server; another one is made when its connection is gone.
        options: The connection's.
        beside: The half-restored database.
        database: The one that it is for.
        failed: The mark of one that is to be kept; None in order to drop it.

    """
    try:
        yield
    except BaseException as error:
        kept = _clear_away(session, options, beside, failed)
        if isinstance(error, RunbookError):
            left = f"; {beside} was left behind" if kept else ""
            about = f"The database {quote_identifier(database)} is as it was{left}"
            error.message = f"{error.message.rstrip('.')}. {about}."
            error.details.update(changed=False, kept_failed=beside if kept else None)
        raise


def _clear_away(session: Session, options: Mapping[str, Any], beside: str, failed: Optional[Mark]) -> bool:
    """Whether it is still there afterwards."""
    try:
        with contextlib.ExitStack() as stack:
            if not session.is_open:
                again = connect(
                    options, application_name=APPLICATION, statement_timeout_seconds=_SECONDS, read_only=False
                )
                session = stack.enter_context(again)
            if failed is not None:
                swap.mark(session, beside, failed)
            else:
                swap.drop(session, beside)
    except RunbookError:
        # The next run finds it by its mark.
        return True
    return failed is not None


@contextlib.contextmanager
def unknown_when_lost() -> Iterator[None]:
    """A connection that breaks while names change may break before or after the commit."""
    try:
        yield
    except Unavailable as error:
        error.message += (
            " Whether names were changed is not known; one of the two databases has the name. Run this again: it "
            "tells, and does what is left."
        )
        raise
