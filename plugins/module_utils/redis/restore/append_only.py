# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making an append-only file out of a backup, with a server of our own, and proving that a normal start reads it.

A server with C(appendonly yes) reads its append-only file and nothing else. With the dump in place and no such file it
starts empty; so the file is made beforehand, in a directory beside the data.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.census import info_of
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.program import Program
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.scratch import KEEPS_EXPIRED, ScratchServer
from ansible_collections.runbook.ops.plugins.module_utils.redis.connection import connect_server
from ansible_collections.runbook.ops.plugins.module_utils.redis.info import flag
from ansible_collections.runbook.ops.plugins.module_utils.redis.restore.layout import Layout

_POLL_SECONDS = 0.1
_BASE = " type b"


def server_arguments(layout: Layout, *, append_only: bool, more: Sequence[str]) -> list[str]:
    """The settings of a scratch server whose files are called as the real server calls them."""
    arguments = ["--dbfilename", layout.dbfilename, "--appendfilename", layout.appendfilename]
    if layout.appenddirname:
        arguments += ["--appenddirname", layout.appenddirname]
    arguments += ["--auto-aof-rewrite-percentage", "0", "--appendonly", "yes" if append_only else "no"]
    return [*arguments, *more]


def build(
    staging: Path, layout: Layout, program: Program, more: Sequence[str], seconds: float, progress: Progress
) -> None:
    """Make the append-only file in a directory that holds the dump; raises RunbookError."""
    progress.phase("build", f"append-only file in {staging}")
    arguments = server_arguments(layout, append_only=False, more=more)
    with (
        ScratchServer(program, staging, arguments, seconds, progress) as server,
        connect_server(server.settings) as line,
    ):
        line.call("CONFIG", "SET", "appendonly", "yes")
        deadline = time.monotonic() + seconds
        while True:
            info = info_of(line)
            is_busy = flag(info, "aof_rewrite_in_progress") or flag(info, "aof_rewrite_scheduled")
            # A server tries again by itself, for ever; here the first failure counts.
            if info.get("aof_last_bgrewrite_status") != "ok":
                raise RunbookError(
                    f"The append-only file could not be written in {staging}: the rewrite failed. Look at the room on "
                    "that disk. The server's data was not touched."
                )
            if not is_busy and flag(info, "aof_enabled") and _is_written(staging, layout):
                break
            if time.monotonic() > deadline:
                raise RunbookError(
                    f"The append-only file was not written within {seconds:g} s (verify_timeout). The server's data "
                    "was not touched."
                )
            progress.at(0, "writing the append-only file")
            time.sleep(_POLL_SECONDS)


def _is_written(staging: Path, layout: Layout) -> bool:
    """Whether the rewrite has put its result in place: a manifest that names a base, or the single file."""
    manifest = layout.manifest_in(staging)
    if manifest is None:
        path = staging / layout.appendfilename
        return path.exists() and path.stat().st_size > 0
    try:
        return _BASE in manifest.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def start_normally(
    staging: Path, layout: Layout, program: Program, more: Sequence[str], seconds: float, progress: Progress
) -> ScratchServer:
    """A server that starts in the directory as the real one will, but removes no expired keys.

    This proves more than redis-check-aof does, which in Valkey 9 does not know the format of its own base file. Unlike
    the real one it does not pass over an end that is cut off.
    """
    progress.phase("load", f"{staging}, as the server will")
    arguments = server_arguments(layout, append_only=True, more=[*KEEPS_EXPIRED, "--aof-load-truncated", "no", *more])
    return ScratchServer(program, staging, arguments, seconds, progress)
