# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQL that is put together from names and values, never from text."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

with contextlib.suppress(ImportError):  # connect() says what to install.
    from psycopg2 import sql

# psycopg2 brings no types.
Statement = Any


def statement(words: str, *parts: Statement) -> Statement:
    """Words of ours with names and values in their places, C({})."""
    return sql.SQL(words).format(*parts)


def identifier(*names: str) -> Statement:
    """A name, or a name with what it is in."""
    return sql.Identifier(*names)


def literal(value: Any) -> Statement:
    """A value."""
    return sql.Literal(value)


def literals(values: Iterable[Any]) -> Statement:
    """Values with commas between them."""
    return sql.SQL(", ").join([sql.Literal(each) for each in values])
