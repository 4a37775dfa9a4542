# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much a server changed around a snapshot, from what INFO said before, at and after it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.figures import Changes
from ansible_collections.runbook.ops.plugins.module_utils.redis.info import flag, integer

Info = Mapping[str, str]


def is_busy(info: Info) -> str | None:
    """What keeps the server from a snapshot right now; None when nothing does."""
    if flag(info, "rdb_bgsave_in_progress"):
        return "a save that others began"
    if flag(info, "aof_rewrite_in_progress") or flag(info, "aof_rewrite_scheduled"):
        return "a rewrite of the append-only file"
    return None


def changes_around_save(first: Info, at: Info, at_end: Info, last: Info) -> Changes:
    """The modifications around a BGSAVE whose fork lies between C(at) and C(at_end), from C(first) to C(last).

    C(rdb_changes_since_last_save) is diminished when the save is done, by what it was when it began
    (backgroundSaveDoneHandlerDisk() in rdb.c).
    """
    since_fork = _dirty(last)
    if flag(last, "rdb_bgsave_in_progress") or last.get("rdb_last_bgsave_status") != "ok":
        since_fork -= _dirty(at)
    return Changes(
        before=max(0, _dirty(at_end) - _dirty(first)),
        after=max(0, since_fork),
        keys=0,
    )


def changes_between(first: Info, last: Info) -> Changes:
    """The modifications between two looks with the snapshot somewhere between; a save may have reset the counter."""
    dirty = _dirty(last) - _dirty(first)
    has_saved = first.get("rdb_last_save_time") != last.get("rdb_last_save_time") or dirty < 0
    if has_saved:
        # Every modification takes a command.
        dirty = (integer(last, "total_commands_processed") or 0) - (integer(first, "total_commands_processed") or 0)
    dirty = max(0, dirty)
    # What time or lack of memory removes is nobody's command.
    removed = sum((integer(last, name) or 0) - (integer(first, name) or 0) for name in ("expired_keys", "evicted_keys"))
    return Changes(before=dirty, after=dirty, keys=dirty + max(0, removed))


def has_forked(first: Info, last: Info) -> bool:
    """Whether the server began another save or rewrite between two looks."""
    return first.get("total_forks") != last.get("total_forks")


def _dirty(info: Info) -> int:
    return integer(info, "rdb_changes_since_last_save") or 0
