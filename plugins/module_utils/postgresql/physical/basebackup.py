# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running C(pg_basebackup): what it is told, how far it is, what it left. It writes archives into a directory."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged
from ansible_collections.runbook.ops.plugins.module_utils.common.children import Child, ChildFailed, first_words
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.place import ScratchPlace
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation

BACKUP_MANIFEST = "backup_manifest"
_POLL_SECONDS = 0.25
_RATE = ("k", "M")
_PROGRESS = """
SELECT p.phase, p.backup_streamed, p.backup_total
FROM pg_stat_progress_basebackup p JOIN pg_stat_activity a USING (pid) WHERE a.application_name = %s
"""


def check_options(given: Mapping[str, Any]) -> None:
    """Refuse options of C(basebackup) that cannot work; raises InvalidOption."""
    rate = given.get("max_rate")
    if rate:
        number = rate[:-1] if rate[-1:] in _RATE else rate
        kilobytes = int(number) * (1024 if rate.endswith("M") else 1) if number.isdigit() else 0
        if not 32 <= kilobytes <= 1048576:
            raise InvalidOption("basebackup.max_rate", rate, "32k to 1024M a second, such as 50M")
    level = given.get("compression_level")
    if level is not None and not (given["compression"] == "gzip" and 1 <= level <= 9):
        raise InvalidOption("basebackup.compression_level", level, "1 to 9, together with compression=gzip")


def arguments(given: Mapping[str, Any], installation: Installation, target: Path) -> list[str]:
    """The command line."""
    argv = [
        *(
            installation.program("pg_basebackup"),
            "--pgdata",
            str(target.absolute()),
            "--format",
            "tar",
            "--no-password",
        ),
        *("--wal-method", given["wal_method"], "--checkpoint", given["checkpoint"], "--label", given["label"]),
        *("--manifest-checksums", "SHA256"),
    ]
    if given["compression"] == "gzip":
        level = given.get("compression_level")
        # -z and -Z exist in every version, and mean gzip here.
        argv += ["--gzip"] if level is None else ["--compress", str(level)]
    if given.get("max_rate"):
        argv += ["--max-rate", given["max_rate"]]
    return argv


def copy_cluster(
    given: Mapping[str, Any],
    installation: Installation,
    environment: Mapping[str, str],
    session: Session,
    target: Path,
    progress: Progress,
) -> None:
    """Have C(pg_basebackup) write the cluster into C(target), which it makes.

    Raises:
        RunbookError: it failed; what it wrote is of no use.

    """
    application = f"runbook.ops {secrets.token_hex(4)}"
    progress.phase("copy", "the cluster", unit="bytes")
    argv = arguments(given, installation, target)
    # It forks a process for the WAL that outlives it when it is killed, with a slot and both connections held for ever.
    # Whatever works in a scratch place is ended with this process.
    with (
        ScratchPlace() as place,
        Child(argv, environment={**environment, "PGAPPNAME": application}, cwd=place.directory) as child,
    ):
        while child.poll() is None:
            time.sleep(_POLL_SECONDS)
            for row in session.query(_PROGRESS, (application,)):
                progress.at(row["backup_streamed"] or 0, row["phase"], total=row["backup_total"])
            progress.check()
        try:
            child.finish()
        except ChildFailed as error:
            raise RunbookError(
                f"pg_basebackup failed: {first_words(error.words) or error.message}. No backup was taken. "
                "Correct that and run this again."
            ) from None
    with explained("flush", target):
        for path in target.iterdir():
            path.chmod(0o600)
            with path.open("rb") as stream:
                os.fsync(stream.fileno())


def read_backup_manifest(data: bytes) -> dict[str, Any]:
    """PostgreSQL's own manifest, which lists the files of a cluster and the WAL that it needs; raises Damaged."""
    try:
        found: Any = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not {"Files", "WAL-Ranges"} <= found.keys():
        raise Damaged("its backup_manifest is not one that PostgreSQL wrote")
    return found
