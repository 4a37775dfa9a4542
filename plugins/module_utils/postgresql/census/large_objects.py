# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Large objects: how many, how large, and a digest over their content.

They are read through the same functions as pg_dump uses, which any role may call for objects that it may read; the
table behind them is for superusers, and its pages are not the same after a restore.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.rows import digest_text
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.snapshot import locks_released
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import compose

# 262144 is INV_READ, 2 the end (SEEK_END). OFFSET 0 keeps the calls apart and in their order.
_SIZES = """
WITH opened AS MATERIALIZED (
    SELECT m.oid, lo_open(m.oid, 262144) AS descriptor FROM pg_largeobject_metadata m WHERE m.oid > %(after)s
    ORDER BY m.oid LIMIT %(most)s
), measured AS MATERIALIZED (
    SELECT o.oid, lo_lseek64(o.descriptor, 0, 2) AS bytes, lo_close(o.descriptor) AS closed FROM opened o OFFSET 0
)
"""
_COUNT = "$sizes SELECT count(*) AS count, sum(bytes) AS bytes, max(oid::bigint) AS last, NULL AS digest FROM measured"

# In pieces of 1 MiB, as one may have 4 TiB; each with its object, its place, and its SHA-256.
_DIGEST = """$sizes
, piece AS (
    SELECT m.oid, g.number, lo_get(m.oid, g.number * 1048576, 1048576) AS content
    FROM measured m CROSS JOIN LATERAL generate_series(0, greatest(m.bytes - 1, 0) / 1048576) g (number)
)
SELECT (SELECT count(*) FROM measured) AS count, (SELECT sum(bytes) FROM measured) AS bytes,
       (SELECT max(oid::bigint) FROM measured) AS last,
       sum(hashtextextended(
           (p.oid::text || ':' || p.number || ':' || sha256(p.content)::text) COLLATE "C", 0)) AS digest
FROM piece p
"""
# So many are open at once.
_BATCH = 2000


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except QueryError as error:
        if error.sqlstate != "42501":
            raise
        # The server says which: permission denied for large object 16401
        raise Refused(
            f"Large objects may not be read: {error.message}. GRANT SELECT ON LARGE OBJECT … TO the role, or use a "
            "superuser."
        ) from None


def read_large_objects(session: Session, *, digests: bool, on_wait: Callable[[], None] | None = None) -> dict[str, Any]:
    """C(Census.large_objects) in the session's transaction.

    Raises:
        Refused: the role may not read one of them.
        QueryError: the server's answer.

    """
    count, size, total, after = 0, 0, 0, 0
    while True:
        with locks_released(session), _readable():
            values = {"after": after, "most": _BATCH}
            statement = compose(_DIGEST if digests else _COUNT, sizes=_SIZES)
            row = session.query(statement, values, on_wait=on_wait)[0]
        count += row["count"]
        size += int(row["bytes"] or 0)
        total += int(row["digest"] or 0)
        if row["count"] < _BATCH:
            return {"count": count, "bytes": size, "digest": digest_text(total) if digests else None}
        after = row["last"]
