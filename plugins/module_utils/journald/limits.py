# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drop-in of journald's, its restart, and the proof that the restart lost no line."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
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
    deleted_bytes,
    effective,
    render,
    time_seconds,
    usage_bytes,
    wanted_settings,
)
from ansible_collections.runbook.ops.plugins.module_utils.rotation.placing import install, keep_copy, remove
from ansible_collections.runbook.ops.plugins.module_utils.rotation.render import check_name

_UNIT = "systemd-journald.service"


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
        Refused: a limit would delete what is there, or the file is not ours.
        Unavailable: there is no systemd.
        RunbookError: the restart lost lines, or the setting does not hold; the result travels along.

    """
    check_name(options["name"])
    settings = wanted_settings(options)
    _check_system()
    path = Path(options["directory"]) / f"{options['name']}.conf"
    current = path.read_text(encoding="utf-8") if path.is_file() else ""
    if current and MARK not in current:
        raise Refused(f"{path} was not written by this module. Nothing was changed. Choose another name.")
    wanted = render(settings) if options["state"] == "present" else ""
    before = _figures()
    changes = wanted != current
    lost_bytes = deleted_bytes(settings, before["use_bytes"] or 0) if wanted else 0
    if changes and wanted and not options["may_delete"]:
        _check_deletion(options, lost_bytes, before["oldest_at"])
    actions = _actions(path, current, wanted)
    result: dict[str, Any] = {
        "path": str(path),
        "deleted_bytes": lost_bytes if changes else 0,
        "proof": None,
        "diff": {"before": current, "after": wanted, "before_header": str(path), "after_header": str(path)},
    }
    if check_mode or not changes:
        return outcome(changed=changes, actions=actions, before=before, after=None if check_mode else before, **result)
    actions[0]["backup"] = keep_copy(path, Path(options["backup_directory"]))
    if wanted:
        install(path, wanted.encode())
    else:
        remove(path)
    result["proof"] = proof = _restart(options["restart_timeout"])
    after = _figures()
    told = outcome(changed=True, actions=actions, before=before, after=after, **result)
    if proof["lost_lines"]:
        raise RunbookError(
            f"{proof['lost_lines']} of {proof['sent_lines']} lines that were sent while journald was restarted are not "
            "in the journal. Look at its rate limit (RateLimitBurst) and at the disk.",
            **told,
        )
    ignored = {key: value for key, value in settings.items() if wanted and after["settings"].get(key) != value}
    if ignored:
        raise RunbookError(
            f"{', '.join(ignored)} is set by a file that comes after {path.name}. Choose a name that comes later.",
            **told,
        )
    return told


def _check_deletion(options: Mapping[str, Any], lost_bytes: int, oldest_at: Optional[str]) -> None:
    """Refuse a limit that would delete a part of what is there."""
    if lost_bytes:
        raise Refused(
            f"system_max_use={options['system_max_use']} would delete {lost_bytes} bytes of the journal at once. "
            "Nothing was changed. Export them first, or set may_delete=true."
        )
    if options["max_retention"] and oldest_at:
        age = (utc_now() - parse_moment(oldest_at)).total_seconds()
        if age > time_seconds("max_retention", options["max_retention"]):
            raise Refused(
                f"max_retention={options['max_retention']} would delete entries of the journal, which goes back to "
                f"{oldest_at}. Nothing was changed. Export them first, or set may_delete=true."
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


def _figures() -> dict[str, Any]:
    """The settings that hold, and what the journal takes."""
    try:
        settings = effective(run(["systemd-analyze", "cat-config", "systemd/journald.conf"]))
    except RunbookError as error:
        raise RunbookError(f"The settings of journald cannot be read: {error.message}") from None
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


def _restart(seconds: int) -> dict[str, Any]:
    if seconds < 1:
        raise InvalidOption("restart_timeout", seconds, "at least 1 second")
    stream = Stream()
    stream.start()
    try:
        run(["systemctl", "restart", _UNIT], seconds=seconds)
    except RunbookError as error:
        raise RunbookError(f"journald could not be restarted: {error.message}. Look at its unit.") from None
    finally:
        stream.stop()

    def read(tag: str) -> str:
        return run(["journalctl", "--quiet", "--no-pager", "--output=cat", f"SYSLOG_IDENTIFIER={tag}"])

    return {"sent_lines": stream.sent, "lost_lines": count_lost(stream, read)}
