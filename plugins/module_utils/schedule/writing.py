# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files and timers of a set on this machine: read, written, proven."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, new_file, sync_directory
from ansible_collections.runbook.ops.plugins.module_utils.schedule.plan import Plan, make_plan
from ansible_collections.runbook.ops.plugins.module_utils.schedule.render import PREFIX, marked_set
from ansible_collections.runbook.ops.plugins.module_utils.services.commands import ask
from ansible_collections.runbook.ops.plugins.module_utils.services.model import parse_show

_VISIBLE = 0o644
_PROPERTIES = "Id,ActiveState,UnitFileState,NeedDaemonReload"


def present_files(name: str, wanted: Mapping[str, str], params: Mapping[str, Any]) -> dict[str, str]:
    """The files that are there: all of this set, and what stands in the way of a wanted one."""
    found = {path: _read(path) for path in set_files(name, params)}
    for path in wanted:
        if path not in found and os.path.lexists(path):
            found[path] = _read(path)
    return found


def set_files(name: str, params: Mapping[str, Any]) -> list[str]:
    """The files of the set, of both backends."""
    paths = [Path(params["cron_directory"]) / f"{PREFIX}{name}"]
    with contextlib.suppress(OSError):
        paths += sorted(Path(params["unit_directory"]).glob(f"{PREFIX}{name}-*"))
    return [str(path) for path in paths if path.is_file() and marked_set(_read(str(path))) == name]


def _read(path: str) -> str:
    with explained("read", Path(path)):
        return Path(path).read_text(encoding="utf-8", errors="replace")


def read_timers(wanted: Mapping[str, str], seconds: float) -> dict[str, dict[str, str]]:
    """What systemd knows of the wanted units."""
    names = sorted(path.rsplit("/", 1)[-1] for path in wanted if path.endswith((".timer", ".service")))
    if not names:
        return {}
    answer = ask(["systemctl", "show", f"--property={_PROPERTIES}", "--", *names], seconds)
    return {each["Id"]: each for each in parse_show(answer.output) if each.get("Id")}


def apply_plan(plan: Plan, seconds: float) -> None:
    """Carry it out; it can be interrupted anywhere, and the next run goes on. Raises RunbookError."""
    for path, text in sorted(plan.writes.items()):
        _write(Path(path), text)
    for name in plan.switched_off:
        _systemctl(seconds, "disable", "--now", name)
    for path in plan.removals:
        with explained("remove", Path(path)):
            Path(path).unlink()
            sync_directory(Path(path).parent)
    if plan.reloads:
        _systemctl(seconds, "daemon-reload")
    for name in plan.switched_on:
        _systemctl(seconds, "enable", "--now", name)
    for name in plan.restarted:
        _systemctl(seconds, "restart", name)


def _write(path: Path, text: str) -> None:
    # The name has a dot: cron reads no such file.
    partial = path.with_name(f".{path.name}.partial")
    with explained("write", path):
        with new_file(partial) as stream:
            stream.write(text.encode())
            os.fchmod(stream.fileno(), _VISIBLE)
        partial.replace(path)
        sync_directory(path.parent)


def _systemctl(seconds: float, *arguments: str) -> None:
    answer = ask(["systemctl", "--no-ask-password", *arguments], seconds)
    if answer.code != 0:
        raise RunbookError(
            f"systemctl {' '.join(arguments)} failed: {answer.reason}. Correct that, and run the task again: it goes "
            "on where it stopped."
        )


def prove(name: str, wanted: Mapping[str, str], params: Mapping[str, Any]) -> None:
    """Look again; raises RunbookError."""
    again = make_plan(name, wanted, present_files(name, wanted, params), read_timers(wanted, params["timeout"]))
    if not again.is_empty:
        left = ", ".join(f"{each['action']} {each['object']}" for each in again.actions())
        raise RunbookError(f"The rounds {name} were written and are not as declared; still to do: {left}.")
