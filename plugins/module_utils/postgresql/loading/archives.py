# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of pg_dump as SQL, by pg_restore, on the fly: what it reads comes from us, what it writes goes to us."""

from __future__ import annotations

import select
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged
from ansible_collections.runbook.ops.plugins.module_utils.common.children import (
    CHUNK_BYTES,
    Child,
    ChildFailed,
    clean_environment,
    first_words,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.problems import problem_of_program
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation

PLAIN, CUSTOM, TAR, DIRECTORY = "plain", "custom", "tar", "directory"
# Once it has been given everything, a pg_restore that writes nothing for so long waits for what does not come: of a
# cut off tar archive it reads the end over and over (_tarReadRaw in pg_backup_tar.c).
_PATIENCE_SECONDS = 20.0
_POLL_SECONDS = 0.5


def as_sql(
    content: Iterator[bytes],
    kind: str,
    installation: Installation,
    *,
    directory: Optional[Path] = None,
    arguments: Sequence[str] = (),
    patience: float = _PATIENCE_SECONDS,
) -> Iterator[bytes]:
    """The SQL of a C(custom), C(tar) or C(directory) archive, as it is read. To be iterated in the main thread.

    Args:
        content: The archive; for C(directory) it is not read.
        installation: Whose pg_restore is run.
        directory: The directory.
        arguments: More arguments for pg_restore.
        patience: Seconds without a word, after all was read, that make it a failure.

    Raises:
        Damaged, Undecided: it cannot be read; the details hold code.

    """
    argv = [installation.program("pg_restore"), "-f", "-", f"--format={kind}", *arguments]
    if kind == DIRECTORY:
        with Child([*argv, str(directory)], environment=clean_environment()) as restore:
            yield from _explained(restore.chunks(), kind)
        return
    fed = _Fed(content)
    with Child(argv, environment=clean_environment(), stdin=subprocess.PIPE) as restore:
        restore.feed(fed.chunks())
        yield from _explained(_watched(restore, fed, kind, patience), kind)


class _Fed:
    """Chunks on their way to a program, and when the last of them was taken."""

    def __init__(self, content: Iterator[bytes]) -> None:
        self._content = content
        self.ended_at: Optional[float] = None

    def chunks(self) -> Iterator[bytes]:
        try:
            yield from self._content
        finally:
            self.ended_at = time.monotonic()


def _watched(restore: Child, fed: _Fed, kind: str, patience: float) -> Iterator[bytes]:
    """What pg_restore writes; ends it when it has everything and gets nowhere."""
    while True:
        asked = time.monotonic()
        while not select.select([restore.stdout], [], [], _POLL_SECONDS)[0]:
            if fed.ended_at is not None and time.monotonic() - max(asked, fed.ended_at) > patience:
                restore.stop()
                raise Damaged(
                    f"pg_restore was given all of the {kind} archive and waits for more: it is cut off",
                    code="decode_truncated",
                )
        chunk = restore.stdout.read1(CHUNK_BYTES)
        if not chunk:
            restore.finish()
            return
        yield chunk


def _explained(chunks: Iterator[bytes], kind: str) -> Iterator[bytes]:
    try:
        yield from chunks
    except ChildFailed as error:
        words = first_words(error.words) or error.message
        raise problem_of_program(words, f"{kind} archive").error() from None
