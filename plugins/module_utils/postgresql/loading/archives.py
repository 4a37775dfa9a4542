# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of pg_dump as SQL, by pg_restore, on the fly: what it reads comes from us, what it writes goes to us."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.tar import whole_tar
from ansible_collections.runbook.ops.plugins.module_utils.common.children import (
    Child,
    ChildFailed,
    clean_environment,
    first_words,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.problems import problem_of_program
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation

PLAIN, CUSTOM, TAR, DIRECTORY = "plain", "custom", "tar", "directory"


def as_sql(
    content: Iterator[bytes],
    kind: str,
    installation: Installation,
    *,
    directory: Optional[Path] = None,
    arguments: Sequence[str] = (),
) -> Iterator[bytes]:
    """The SQL of a C(custom), C(tar) or C(directory) archive, as it is read. To be iterated in the main thread.

    Args:
        content: The archive; for C(directory) it is not read.
        installation: Whose pg_restore is run.
        directory: The directory.
        arguments: More arguments for pg_restore.

    Raises:
        Damaged, Undecided: it cannot be read; the details hold code.

    """
    argv = [installation.program("pg_restore"), "-f", "-", f"--format={kind}", *arguments]
    if kind == DIRECTORY:
        with Child([*argv, str(directory)], environment=clean_environment()) as restore:
            yield from _explained(restore.chunks(), kind)
        return
    with Child(argv, environment=clean_environment(), stdin=subprocess.PIPE) as restore:
        # Of a tar archive that is cut off pg_restore reads the end over and over (_tarReadRaw in pg_backup_tar.c).
        restore.feed(whole_tar(content) if kind == TAR else content)
        yield from _explained(restore.chunks(), kind)


def _explained(chunks: Iterator[bytes], kind: str) -> Iterator[bytes]:
    try:
        yield from chunks
    except ChildFailed as error:
        words = first_words(error.words) or error.message
        raise problem_of_program(words, f"{kind} archive").error() from None
