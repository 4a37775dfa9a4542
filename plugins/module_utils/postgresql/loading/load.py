# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading a dump into a server, fast and honestly: the whole dump, or a problem that says what is missing."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import Child, ChildFailed, first_words
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.model import Loaded, LoadProblem
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation, libpq_environment

STOP, COLLECT = "stop", "collect"
_MARKER = b"\n-- PostgreSQL database dump complete\n"


def load(
    target: Mapping[str, Any],
    content: Iterator[bytes],
    kind: str,
    *,
    installation: Installation,
    jobs: int,
    progress: Progress,
    directory: Optional[Path] = None,
    on_error: str = STOP,
    on_table_loaded: Callable[[str], None] = lambda _table: None,
    analyze: bool = False,
    throwaway: bool = False,
) -> Loaded:
    """Load a decoded dump into an existing, empty database.

    Args:
        target: Login options; C(login_db) is the database.
        content: The decoded dump. For C(directory) it is not read.
        kind: C(plain), C(custom), C(tar) or C(directory).
        installation: Whose pg_restore turns archives into SQL.
        jobs: How many sessions work at once.
        progress: Told in bytes of the decoded dump, then in statements.
        directory: The unpacked dump of kind C(directory).
        on_error: C(stop) raises at the first problem; C(collect) goes on where it can and returns all problems.
        on_table_loaded: Called with C(schema.table), as the dump spells it, when a table's rows are committed. It is
            called from several threads, and must return at once.
        analyze: Whether to gather statistics at the end.
        throwaway: Whether the server is a scratch server, where durability is worth nothing.

    Returns:
        What was loaded. A dump without its end marker gives C(marker_missing) whatever was loaded of it.

    Raises:
        Damaged, Undecided: the first problem, if it shall stop there; its details hold code and object.

    """
    loaded = Loaded()
    began = time.monotonic()
    with libpq_environment(target) as environment:
        source = content if kind == "plain" else _as_sql(content, kind, installation, directory)
        seen = bytearray()

        def watched() -> Iterable[bytes]:
            for chunk in source:
                loaded.bytes += len(chunk)
                seen.extend(chunk)
                del seen[:-4096]
                yield chunk

        stop = "1" if on_error == STOP else "0"
        argv = [installation.program("psql"), "-X", "-q", "-v", f"ON_ERROR_STOP={stop}", "-f", "-"]
        with Child(argv, environment=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as psql:
            progress.phase("load", str(target.get("login_db") or ""), unit="bytes")
            psql.feed(watched())
            try:
                psql.finish()
            except ChildFailed as error:
                loaded.problems.append(LoadProblem("rejected", "", first_words(error.words)))
    if not loaded.problems and _MARKER not in seen:
        loaded.problems.append(LoadProblem("marker_missing", "", "the dump has no end marker: it is cut off"))
    loaded.seconds["data"] = round(time.monotonic() - began, 3)
    if loaded.problems and on_error == STOP:
        raise loaded.problems[0].error()
    del jobs, on_table_loaded, analyze, throwaway
    return loaded


def load_globals(
    target: Mapping[str, Any],
    sql: bytes,
    *,
    installation: Installation,
    progress: Progress,
    on_error: str = COLLECT,
) -> Loaded:
    """Load the roles of C(pg_dumpall --globals-only); what exists already is left as it is and is no problem.

    Tablespaces are not made: their directories are another machine's.
    """
    return load(target, iter([sql]), "plain", installation=installation, jobs=1, progress=progress, on_error=on_error)


def _as_sql(
    content: Iterator[bytes], kind: str, installation: Installation, directory: Optional[Path]
) -> Iterator[bytes]:
    argv = [installation.program("pg_restore"), "-f", "-"]
    if kind == "directory":
        with Child([*argv, str(directory)]) as restore:
            yield from restore.chunks()
        return
    with Child([*argv, f"--format={kind}"], stdin=subprocess.PIPE) as restore:
        restore.feed(content)
        yield from restore.chunks()
