# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way in, also when every ordinary slot is taken."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.session import maintenance_session

PURPOSE = "postgresql_session"

# What the server says to a login that finds no slot. First match wins; the first group, if any, is in the sentence.
_FULL: tuple[tuple[str, str], ...] = (
    (
        r"remaining connection slots are reserved for roles with (?:privileges of )?the \"?pg_use_reserved_connections",
        "The slots of reserved_connections are free: GRANT pg_use_reserved_connections to this login, or give a login "
        "that has it as reserved_login_user",
    ),
    (
        r"remaining connection slots are reserved",
        "The slots of superuser_reserved_connections are free: give a superuser as reserved_login_user. From "
        "PostgreSQL 16 reserved_connections keeps slots for members of pg_use_reserved_connections as well",
    ),
    (
        r"sorry, too many clients already",
        "The reserved slots (superuser_reserved_connections, and reserved_connections from PostgreSQL 16) are taken "
        "too, so no login gets through. Stop what opens connections (the application, its pool), and run the task "
        "again; restarting the server would lose the evidence and the work of everybody",
    ),
    (
        r"too many connections for (?:role|database)",
        "Only this role or database is at its limit: give a login without that limit as reserved_login_user, or "
        "another login_db",
    ),
)


@contextlib.contextmanager
def control_session(options: Mapping[str, Any], *, check_mode: bool) -> Iterator[Session]:
    """A session for ending others, on a primary or a standby.

    The reserved login is tried when the first one finds every slot taken, and only then.

    Raises:
        Refused: a pooler is in between, or another run is at work.
        Unavailable: nobody gets in; the message says which login would.

    """
    with contextlib.ExitStack() as stack:
        try:
            session = stack.enter_context(_open(options, check_mode=check_mode))
        except Unavailable as error:
            advice = full_advice(error.message)
            if advice is None:
                raise
            if not options["reserved_login_user"]:
                raise Unavailable(f"{error.message} {advice}.") from None
            session = stack.enter_context(_open(reserved(options), check_mode=check_mode))
        yield session


def reserved(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with the reserved login in place of the ordinary one."""
    return {
        **options,
        "login_user": options["reserved_login_user"],
        "login_password": options["reserved_login_password"],
    }


def full_advice(message: str) -> str | None:
    """What would get through to a server that said this; None when slots are not what is missing."""
    return next((advice for pattern, advice in _FULL if re.search(pattern, message)), None)


def _open(options: Mapping[str, Any], *, check_mode: bool) -> contextlib.AbstractContextManager[Session]:
    return maintenance_session(options, purpose=PURPOSE, check_mode=check_mode, allow_standby=True)
