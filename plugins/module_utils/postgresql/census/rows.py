# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statements that count and digest the rows of tables. Pure.

The digest of a row is a chain over its columns, ordered by name: each hash is seeded with the one before. The digest of
a table is the sum of these modulo 2^64, so that the order of rows does not matter, and that of a partitioned table the
sum of its leaves. Every value is taken as text in fixed settings and as bytes: neither the locale, nor a collation for
which different texts are equal, nor the place of a row or column has a part in it. Generated columns are left out; the
copy computes them anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

# Without the driver nothing here is called: connecting says what is missing.
with contextlib.suppress(ImportError):
    from psycopg2 import sql

# What stands for NULL in the chain. No text of the user's is the same as this one.
_NULL = "\x01NULL 2f6c1a54-7d0e-4c0b-9a55-0c9b5d1f3e77\x01"
# So many hashes are nested at most; wider tables have several chains. The server's parser works recursively.
_CHAIN_COLUMNS = 100
# Tables up to this size are read together, in statements of so many bytes and tables at most.
SMALL_BYTES = 512 * 1024
_BATCH_BYTES = 8 * 1024 * 1024
_BATCH_TABLES = 60

MODULUS = 2**64


@dataclass(frozen=True)
class ContentColumn:
    """A column that is read.

    Args:
        name: Its name.
        special: How its value becomes text where a cast to text would not do: C(char) for the type "char", C(xml), or
            the quoted name of the type's output function.

    """

    name: str
    special: str = ""


@dataclass(frozen=True)
class ReadTable:
    """A table whose rows are read.

    Args:
        key: Its name in the census.
        schema: Its schema.
        name: Its own name.
        columns: What is digested; None to count only.
        bytes: Its size.
        ends: Columns that sequences feed: name, and whether they count downwards.
        condition: Which rows a dump takes (C(WHERE …), of an extension's configuration table).

    """

    key: str
    schema: str
    name: str
    columns: Optional[Sequence[ContentColumn]]
    bytes: int = 0
    ends: Sequence[tuple[str, bool]] = ()
    condition: str = ""


@dataclass(frozen=True)
class ReadRows:
    """What came of reading a table. C(digest) is a number below 2^64; C(ends) are in the order they were asked in."""

    rows: int
    digest: Optional[int]
    ends: Sequence[Optional[int]] = ()


def batches(tables: Iterable[ReadTable]) -> list[list[ReadTable]]:
    """The statements to run: large tables alone and first, then small ones together."""
    ordered = sorted(tables, key=lambda each: (-each.bytes, each.key))
    done = [[each] for each in ordered if each.bytes > SMALL_BYTES]
    batch: list[ReadTable] = []
    for each in (each for each in ordered if each.bytes <= SMALL_BYTES):
        if batch and (len(batch) >= _BATCH_TABLES or sum(one.bytes for one in batch) + each.bytes > _BATCH_BYTES):
            done.append(batch)
            batch = []
        batch.append(each)
    return [*done, batch] if batch else done


def statement(tables: Sequence[ReadTable]) -> Any:
    """One SELECT over some tables: C(number), C(rows), C(digest) and C(ends), numbered as they are given."""
    return sql.SQL(" UNION ALL ").join(_select(number, each) for number, each in enumerate(tables))


def outcome_of(row: dict[str, Any], table: ReadTable) -> ReadRows:
    """What one row of such a statement says."""
    digest = None if table.columns is None else int(row["digest"] or 0) % MODULUS
    return ReadRows(int(row["rows"]), digest, [None if end is None else int(end) for end in row["ends"] or ()])


def digest_text(number: int) -> str:
    """16 hex digits."""
    return f"{number % MODULUS:016x}"


def _select(number: int, table: ReadTable) -> Any:
    ends = [
        sql.SQL("{}({})::numeric").format(sql.SQL("min" if downwards else "max"), sql.Identifier(column))
        for column, downwards in table.ends
    ]
    return sql.SQL(
        "SELECT {number}::int AS number, count(*) AS rows, {digest} AS digest, ARRAY[{ends}]::numeric[] AS ends "
        "FROM ONLY {table} t {condition}"
    ).format(
        number=sql.Literal(number),
        digest=sql.SQL("NULL::numeric") if table.columns is None else sql.SQL("sum({})").format(_hash(table.columns)),
        ends=sql.SQL(", ").join(ends),
        table=sql.Identifier(table.schema, table.name),
        # The extension's own text; pg_dump puts it into its statement the same way.
        condition=sql.SQL(table.condition),
    )


def _hash(columns: Sequence[ContentColumn]) -> Any:
    """The digest of one row, a bigint."""
    ordered = sorted(columns, key=lambda each: each.name)
    parts = [ordered[first : first + _CHAIN_COLUMNS] for first in range(0, len(ordered), _CHAIN_COLUMNS)]
    chains = [_chain(part, seed) for seed, part in enumerate(parts or [[]])]
    return sql.SQL(" # ").join(chains)


def _chain(columns: Sequence[ContentColumn], seed: int) -> Any:
    value = sql.SQL("hashint8extended({}, 0)").format(sql.Literal(seed))
    for each in columns:
        value = sql.SQL('hashtextextended(coalesce({}, {}) COLLATE "C", {})').format(
            _text(each), sql.Literal(_NULL), value
        )
    return value


def _text(column: ContentColumn) -> Any:
    name = sql.SQL("t.{}").format(sql.Identifier(column.name))
    if not column.special:
        return sql.SQL("{}::text").format(name)
    if column.special == "char":
        # From PostgreSQL 16 on, bytes above 127 are shown otherwise.
        return sql.SQL("{}::int::text").format(name)
    if column.special == "xml":
        # A cast would give the text as it was stored, with the declaration that a dump leaves out.
        return sql.SQL("xml_out({})::text").format(name)
    return sql.SQL("{}({})::text").format(sql.SQL(column.special), name)
