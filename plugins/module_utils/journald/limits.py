# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drop-in of journald's, its restart, and the proof that the restart lost no line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import Child, run
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso_of, parse_moment, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused, outcome
from ansible_collections.runbook.ops.plugins.module_utils.journald.proof import Stream, count_lost
from ansible_collections.runbook.ops.plugins.module_utils.journald.settings import (
    MARK,
    SIZES,
    STORAGES,
    TIMES,
    default_max_use,
    deleted_bytes,
    effective,
    render,
    time_seconds,
    uncovered,
    usage_bytes,
    wanted_settings,
)
from ansible_collections.runbook.ops.plugins.module_utils.rotation.placing import install, keep_copy, remove
from ansible_collections.runbook.ops.plugins.module_utils.rotation.render import check_name

_UNIT = "systemd-journald.service"
_JOURNAL = Path("/var/log/journal")


def limits_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of journald_limits."""
    return {
        "name": {"type": "str", "default": "60-runbook"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        **{name: {"type": "str"} for name in (*SIZES, *TIMES)},
        "storage": {"type": "str", "choices": list(STORAGES)},
        "may_delete": {"type": "bool", "default": False},
        "directory": {"type": "path", "default": "/etc/systemd/journald.conf.d"},
        "backup_directory": {"type": "path", "default": "/var/backups/runbook/journald"},
        "restart_timeout": {"type": "int", "default": 120},
    }


def limit_journal(options: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Plan, guard, write, restart, prove.

    Raises:
        InvalidOption: a limit cannot be.
        Refused: a limit, or the end of one, would delete what is there, or the file is not ours.
        Unavailable: there is no systemd.
        RunbookError: journald could not be restarted, and the file is as it was; or the restart lost lines, or the
            setting does not hold, and the result travels along.

    """
    check_name(options["name"])
    if options["restart_timeout"] < 1:
        raise InvalidOption("restart_timeout", options["restart_timeout"], "at least 1 second")
    settings = wanted_settings(options)
    # What stands beside state=absent is what goes.
    settings = settings if options["state"] == "present" else {}
    _check_system()
    path = Path(options["directory"]) / f"{options['name']}.conf"
    current = path.read_text(encoding="utf-8") if path.is_file() else ""
    if current and MARK not in current:
        raise Refused(f"{path} was not written by this module. Nothing was changed. Choose another name.")
    wanted = render(settings) if settings else ""
    configuration = _configuration()
    before = _figures(configuration)
    changes = wanted != current
    coming = {**uncovered(configuration, str(path), settings), **settings} if changes else {}
    lost_bytes = deleted_bytes(coming, before["use_bytes"] or 0, _default_bytes())
    if not options["may_delete"]:
        _check_deletion(coming, lost_bytes, before["oldest_at"])
    actions = _actions(path, current, wanted)
    result: dict[str, Any] = {
        "path": str(path),
        "deleted_bytes": lost_bytes,
        "proof": None,
        "diff": {"before": current, "after": wanted, "before_header": str(path), "after_header": str(path)},
    }
    if check_mode or not changes:
        told = outcome(changed=changes, actions=actions, before=before, after=None if check_mode else before, **result)
        if not changes:
            # As wrong as on the day it was written.
            _check_overridden(settings, before["settings"], path, told)
        return told
    actions[0]["backup"] = keep_copy(path, Path(options["backup_directory"]))
    _put(path, wanted)
    result["proof"] = proof = _restart(options["restart_timeout"], path, lambda: _put(path, current))
    after = _figures(_configuration())
    told = outcome(changed=True, actions=actions, before=before, after=after, **result)
    if proof["lost_lines"]:
        raise RunbookError(
            f"{proof['lost_lines']} of {proof['sent_lines']} lines that were sent while journald was restarted are not "
            "in the journal. Look at its rate limit (RateLimitBurst) and at the disk.",
            **told,
        )
    _check_overridden(settings, after["settings"], path, told)
    return told


def _put(path: Path, text: str) -> None:
    if text:
        install(path, text.encode())
    else:
        remove(path)


def _check_overridden(
    settings: Mapping[str, str], holding: Mapping[str, str], path: Path, told: Mapping[str, Any]
) -> None:
    """Raise RunbookError for settings that another file sets otherwise."""
    ignored = [key for key, value in settings.items() if holding.get(key) != value]
    if ignored:
        raise RunbookError(
            f"{', '.join(ignored)} is set by a file that comes after {path.name}. Choose a name that comes later.",
            **told,
        )


def _default_bytes() -> Optional[int]:
    """What journald limits itself to if nobody says anything; None without a journal on the disk."""
    if not _JOURNAL.is_dir():
        return None
    there = os.statvfs(_JOURNAL)
    return default_max_use(there.f_frsize * there.f_blocks)


def _check_deletion(coming: Mapping[str, str], lost_bytes: int, oldest_at: Optional[str]) -> None:
    """Refuse a limit that would delete a part of what is there."""
    if lost_bytes:
        limit = coming["SystemMaxUse"] or "its default of a tenth of the file system, at most 4G,"
        raise Refused(
            f"SystemMaxUse={limit} would delete {lost_bytes} bytes of the journal at once. Nothing was changed. Export "
            "them first, or set may_delete=true."
        )
    # Without one nothing is too old.
    retention = coming.get("MaxRetentionSec")
    if retention and oldest_at:
        age = (utc_now() - parse_moment(oldest_at)).total_seconds()
        if age > time_seconds("MaxRetentionSec", retention):
            raise Refused(
                f"MaxRetentionSec={retention} would delete entries of the journal, which goes back to {oldest_at}. "
                "Nothing was changed. Export them first, or set may_delete=true."
            )


def _actions(path: Path, current: str, wanted: str) -> list[dict[str, Any]]:
    if wanted == current:
        return []
    what = ("replace" if current else "create") if wanted else "remove"
    return [
        {"action": what, "object": str(path), "reason": "the limits differ from what is declared", "backup": None},
        {"action": "restart", "object": _UNIT, "reason": "journald reads its limits when it starts", "backup": None},
    ]


def _check_system() -> None:
    if not Path("/run/systemd/system").is_dir() or shutil.which("systemctl") is None:
        raise Unavailable("This host does not run systemd, so that there is no journald to limit.")
    if not Path("/run/systemd/journal/socket").exists():
        raise Unavailable("journald does not run. Start systemd-journald.socket, and run this again.")


def _configuration() -> str:
    """All files of journald's settings, in their order."""
    try:
        return run(["systemd-analyze", "cat-config", "systemd/journald.conf"])
    except RunbookError as error:
        raise RunbookError(f"The settings of journald cannot be read: {error.message}") from None


def _figures(configuration: str) -> dict[str, Any]:
    """The settings that hold, and what the journal takes."""
    settings = effective(configuration)
    names = {*SIZES.values(), *TIMES.values(), "Storage"}
    return {
        "settings": {key: value for key, value in settings.items() if key in names},
        "use_bytes": usage_bytes(run(["journalctl", "--disk-usage"])),
        "oldest_at": _oldest(),
    }


def _oldest() -> Optional[str]:
    """The moment of the oldest entry. The others are not read."""
    with Child(["journalctl", "--quiet", "--no-pager", "--output=short-unix"]) as child:
        first = child.stdout.readline().decode("utf-8", "replace").partition(" ")[0]
    try:
        return iso_of(float(first))
    except ValueError:
        return None


def _restart(seconds: int, path: Path, put_back: Callable[[], None]) -> dict[str, Any]:
    stream = Stream()
    stream.start()
    try:
        run(["systemctl", "restart", _UNIT], seconds=seconds)
    except RunbookError as error:
        # Otherwise the next run would find the file as it should be, and that nothing is to be done.
        put_back()
        raise RunbookError(
            f"journald could not be restarted: {error.message.rstrip('.')}. {path} is as it was before. Look at "
            f"{_UNIT}, and run this again."
        ) from None
    finally:
        stream.stop()

    def read(tag: str) -> str:
        return run(["journalctl", "--quiet", "--no-pager", "--output=cat", f"SYSLOG_IDENTIFIER={tag}"])

    return {"sent_lines": stream.sent, "lost_lines": count_lost(stream, read)}
