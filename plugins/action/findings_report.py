# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report, made on the controller: no module is sent anywhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils import color
from ansible.utils.display import Display

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.plugin_utils.changes import counts_by_status
from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.table import NARROWEST
from ansible_collections.runbook.ops.plugins.plugin_utils.report.publish import (
    FILE_NAMES,
    Report,
    Request,
    changes,
    diffs,
    message,
    prepare,
    write,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.report.terminal import terminal_lines
from ansible_collections.runbook.ops.plugins.plugin_utils.report.wording import show_moment

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "findings": {"type": "list", "elements": "dict", "required": True},
    "changes": {"type": "list", "elements": "dict", "default": []},
    "facts": {"type": "dict", "default": {}},
    "title": {"type": "str", "default": "Findings"},
    "system": {"type": "str", "default": ""},
    "destination": {"type": "path"},
    "formats": {"type": "list", "elements": "str", "choices": list(FILE_NAMES), "default": list(FILE_NAMES)},
    "mode": {"type": "str", "default": "0640"},
    "history_directory": {"type": "path"},
    "history_keep": {"type": "int", "default": 400},
    "reference_time": {"type": "str"},
    "timezone": {"type": "str", "default": "UTC"},
    "known_secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
    "print": {"type": "bool", "default": True},
    "tables": {"type": "list", "elements": "str", "choices": ["queues", "recoveries"], "default": []},
    "inventory_sources": {"type": "list", "elements": "str", "default": []},
    "width": {"type": "int"},
}

_NO_TERMINAL = 79
# Asked where the process of ansible-playbook still has its terminal: workers have none, and a terminal of 80 columns,
# of which Ansible leaves one free, would be taken for no terminal.
_ON_TERMINAL = bool(sys.stdout and sys.stdout.isatty())
# Longer lines are hard to read.
_WIDEST = 120

# Callbacks whose standard output is read by a program.
_MACHINE_OUTPUT = {"json", "jsonl"}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible carries no types.
    """Report findings."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Render, write unless in check mode, print, and return totals and paths."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        try:
            request = _request(arguments)
            report = prepare(request)
            names = changes(report, request.mode)
            result["changed"] = bool(names or report.surplus)
            if self._task.diff and names:
                result["diff"] = diffs(report, names)
            if not self._task.check_mode:
                write(report, names, request.mode)
        except RunbookError as error:
            raise AnsibleActionFail(error.message) from None
        if arguments["print"] and _people_read_this():
            _print(report, request.title, arguments, plain=_in_awx(task_vars or {}))
        if report.problems:
            result["warnings"] = list(report.problems)
        result.update(_returned(report, request.title))
        return result


def _request(arguments: Mapping[str, Any]) -> Request:
    if arguments["history_keep"] < 0:
        raise InvalidOption("history_keep", arguments["history_keep"], "0 (keep all) or more")
    if arguments["width"] is not None and arguments["width"] < NARROWEST:
        raise InvalidOption("width", arguments["width"], f"{NARROWEST} columns or more")
    return Request(
        findings=arguments["findings"],
        changes=arguments["changes"],
        facts=arguments["facts"],
        title=arguments["title"],
        system=arguments["system"],
        destination=_directory(arguments["destination"]),
        formats=arguments["formats"],
        history_directory=_directory(arguments["history_directory"]),
        history_keep=arguments["history_keep"],
        reference_time=arguments["reference_time"] or None,
        timezone=arguments["timezone"],
        secrets=[secret for secret in arguments["known_secrets"] if secret],
        mode=_mode(arguments["mode"]),
        inventories=[_from_here(source) for source in arguments["inventory_sources"]],
    )


def _directory(path: str | None) -> Path | None:
    return Path(path).absolute() if path else None


def _from_here(source: str) -> str:
    """An inventory as it would be typed here: relative where it lies below the current directory."""
    path = Path(source)
    return str(path.relative_to(Path.cwd())) if path.is_absolute() and path.is_relative_to(Path.cwd()) else source


def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0o400 <= mode <= 0o777:
        raise InvalidOption("mode", text, 'permissions in octal such as "0640" or "0644"')
    return mode


def _people_read_this() -> bool:
    return str(constants.DEFAULT_STDOUT_CALLBACK).rsplit(".", 1)[-1] not in _MACHINE_OUTPUT


def _in_awx(task_vars: Mapping[str, Any]) -> bool:
    """AWX forces colours on, but keeps its output as text that people download and search."""
    return "awx_job_id" in task_vars or "tower_job_id" in task_vars


def _print(report: Report, title: str, arguments: Mapping[str, Any], *, plain: bool) -> None:
    display = Display()

    def paint(text: str, colour: str) -> str:
        # stringc leaves the text alone where Ansible does not colour its own output.
        return text if plain else str(color.stringc(text, colour))

    shown = show_moment(report.moment, report.zone)
    lines = terminal_lines(
        report.findings,
        title=title,
        moment=f"{shown.local} {shown.zone}".strip(),
        paths=report.paths,
        columns=arguments["width"] or _columns(display),
        paint=paint,
        changes=report.changes,
        zone=report.zone,
        queues=report.queues if "queues" in arguments["tables"] else None,
        recoveries=report.recoveries if "recoveries" in arguments["tables"] else (),
    )
    display.display("\n".join(lines))


def _columns(display: Display) -> int:
    """The terminal's width as Ansible found it out; 79 is what it assumes where there is no terminal."""
    if display.columns == _NO_TERMINAL and not _ON_TERMINAL:
        return 100
    return max(NARROWEST, min(int(display.columns), _WIDEST))


def _returned(report: Report, title: str) -> dict[str, Any]:
    worst = report.findings[0] if report.findings and report.findings[0]["severity"] != "ok" else None
    return {
        "message": message(report, title),
        "totals": report.totals,
        "worst": worst,
        "changes_total": len(report.changes),
        "changes_by_status": counts_by_status(report.changes),
        "paths": {name: str(path) for name, path in report.paths.items()},
        "removed": [str(path) for path in report.surplus],
        "moment": iso(report.moment),
    }
