# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a dump to its end without a server."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.inspect import (
    EMPTY,
    NO_MARKER,
    Inspection,
    inspect,
    inspect_directory,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.streams import Meter
from ansible_collections.runbook.ops.plugins.module_utils.common.children import Child, ChildFailed, first_words
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.reading import Head

_UNBOUNDED = 1 << 62
# Compressions inside an archive that Python cannot decode; pg_restore can, when it was built with them.
_BY_PG_RESTORE = ("lz4", "zstd")
# Beginnings and parts of what C(backup.inspect) says of damage.
_CUT_OFF = ("the archive is cut off", "the tar archive is cut off", "data files that toc.dat names are missing")
# Archives whose content carries no checksum: a flipped bit can only be seen by its SHA-256.
UNCHECKED = "a flipped bit in its content could not be seen: this format carries no checksum, and no SHA-256 was noted"


def decode(chunks: Iterator[bytes], head: Head, installation: Callable[[], Installation]) -> str:
    """Read decoded content to its end, as what its head says it is: how it was proven.

    Raises:
        Damaged: it is cut off or damaged; its details hold C(code).
        Undecided: it cannot be told.

    """
    if head.kind == "unknown":
        for _chunk in chunks:
            pass
        raise Damaged("it is nothing that psql or pg_restore takes, or its beginning is damaged", code="decode_failed")
    if head.kind == "custom" and head.compression in _BY_PG_RESTORE:
        return _by_pg_restore(chunks, installation())
    # Told to be short, so that all of it is read, whatever its kind.
    return _settled(inspect(lambda _start: chunks, 1, Meter(_UNBOUNDED, float("inf"))))


def decode_directory(members: Mapping[str, int], open_member: Callable[[str], Iterator[bytes]]) -> str:
    """Read a directory dump to its end: how it was proven; raises as C(decode) does."""
    return _settled(inspect_directory(members, open_member, Meter(_UNBOUNDED, float("inf"))))


def code_of(error: RunbookError) -> str:
    """The word for what was raised while an artefact was read."""
    known = error.details.get("code")
    if known:
        return str(known)
    if not isinstance(error, Damaged):
        return "unreadable"
    return _code(error.message)


def _code(reason: str) -> str:
    if reason == EMPTY:
        return "empty_artefact"
    if reason == NO_MARKER:
        return "marker_missing"
    return "decode_truncated" if any(each in reason for each in _CUT_OFF) else "decode_failed"


def _settled(inspection: Inspection) -> str:
    reason = inspection.reason or ""
    if inspection.complete is None:
        raise Undecided(reason, code="unreadable")
    if not inspection.complete:
        raise Damaged(reason, code=_code(reason))
    return inspection.method or ""


def _by_pg_restore(chunks: Iterator[bytes], installation: Installation) -> str:
    argv = [installation.program("pg_restore"), "--format=custom", "-f", "/dev/null"]
    with Child(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as restore:
        restore.feed(chunks)
        try:
            restore.finish()
        except ChildFailed as error:
            said = first_words(error.words) or error.message
            if "not supported" in said or "unsupported version" in said:
                raise Undecided(f"pg_restore {installation.version}: {said}", code="client_too_old") from None
            cut = "end of file" in said or "could not read" in said
            raise Damaged(
                f"pg_restore cannot read it: {said}", code="decode_truncated" if cut else "decode_failed"
            ) from None
    # pg_restore may stop before the end; what follows is read, too.
    for _chunk in chunks:
        pass
    return f"read to its end by pg_restore {installation.version}"
