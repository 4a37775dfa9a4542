# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""logrotate's configuration, its files and its problems, gathered in one go."""

from __future__ import annotations

import datetime as dt
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import clean_environment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text
from ansible_collections.runbook.ops.plugins.module_utils.rotation.logs import (
    LogFile,
    is_glob,
    matches,
    matching,
    walk,
)
from ansible_collections.runbook.ops.plugins.module_utils.rotation.problems import (
    Surroundings,
    find_problems,
    problem,
    reloaded_units,
)
from ansible_collections.runbook.ops.plugins.module_utils.rotation.program import Logrotate
from ansible_collections.runbook.ops.plugins.module_utils.rotation.reading import (
    Configuration,
    read_configuration,
    text_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.rotation.status import PLACES, parse_status
from ansible_collections.runbook.ops.plugins.module_utils.rotation.writers import Writers, find_writers

SECRET_PATTERNS = [
    *("*auth*", "*secure*", "*audit*", "*security*", "*sudo*", "*access*", "*production*", "*backup*", "*mail*"),
]


def info_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of logrotate_info."""
    texts = {"type": "list", "elements": "str"}
    return {
        "config": {"type": "path", "default": "/etc/logrotate.conf"},
        "state_file": {"type": "path"},
        "expected_logs": {**texts, "default": []},
        "search": {**texts, "default": ["/var/log"]},
        # Names of files, no secrets.
        "secret_patterns": {**texts, "default": list(SECRET_PATTERNS), "no_log": False},
        "large_bytes": {"type": "int", "default": 1 << 30},
        "max_files": {"type": "int", "default": 20000},
    }


def state_place(given: str | None) -> Path:
    """The state file: the one that is given, or the first that exists where distributions keep it."""
    return Path(given) if given else next((Path(each) for each in PLACES if Path(each).is_file()), Path(PLACES[0]))


def gather(options: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of logrotate_info. What is missing is C(available) false with the reason."""
    skipped: list[dict[str, str]] = []
    try:
        program = Logrotate()
        configuration = read_configuration(Path(options["config"]))
        errors = program.try_out(configuration.main).errors
        version = program.version()
    except Unavailable as error:
        return {**_nothing(), "reason": error.message}
    logs = {number: matching(rule.entry.patterns) for number, rule in enumerate(configuration.rules)}
    covered = {log.path: log for each in logs.values() for log in each}
    writers = find_writers({log.identity: log.path for log in covered.values()})
    if not all(writers.is_known(log.identity) for log in covered.values()):
        skipped.append(_skip("writers", "only root sees the open files of every process", "Use become."))
    last = _last(state_place(options["state_file"]), skipped)
    units = {unit for rule in configuration.rules for unit in reloaded_units(rule)}
    # The state file has the host's own clock.
    around = Surroundings(
        logs,
        writers,
        last,
        dt.datetime.now(),
        options["secret_patterns"],
        options["large_bytes"],
        reloadable(units),
    )
    problems = find_problems(configuration, around, errors)
    problems += [_missing(path) for path in options["expected_logs"] if not _is_covered(path, configuration)]
    unmatched, complete = _unmatched(options, configuration, covered)
    if not complete:
        skipped.append(
            _skip("unmatched", f"there are more than {options['max_files']} files", "Raise max_files or narrow search.")
        )
    return {
        "available": True,
        "reason": None,
        "version": version,
        "config": str(configuration.main),
        "files": [str(path) for path in configuration.files],
        "ignored_files": [{"file": str(each.path), "reason": each.message} for each in configuration.ignored],
        "entries": _entries(configuration, logs),
        "logs": _logs(configuration, logs, writers, last),
        "unmatched": unmatched,
        "valid": not errors and not configuration.stumbles,
        "errors": errors,
        "problems": problems,
        "skipped_sections": skipped,
    }


def reloadable(units: Iterable[str]) -> dict[str, bool]:
    """Whether systemd can reload units, of those that it knows."""
    names = sorted(unit if "." in unit else f"{unit}.service" for unit in units)
    systemctl = shutil.which("systemctl")
    if not names or systemctl is None:
        return {}
    argv = [systemctl, "show", "--property=Id,LoadState,CanReload", "--", *names]
    try:
        ended = subprocess.run(argv, env=clean_environment(), capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found: dict[str, bool] = {}
    for asked, block in zip(names, ended.stdout.strip().split("\n\n")):
        said = dict(line.partition("=")[::2] for line in block.splitlines())
        if said.get("LoadState") == "loaded":
            answer = said.get("CanReload") == "yes"
            found.update({asked: answer, asked.rpartition(".")[0]: answer})
    return found


def _nothing() -> dict[str, Any]:
    lists: dict[str, Any] = {
        each: [] for each in ("files", "ignored_files", "entries", "logs", "unmatched", "errors", "problems")
    }
    return {"available": False, "version": None, "config": None, "valid": None, **lists, "skipped_sections": []}


def _skip(section: str, reason: str, remedy: str) -> dict[str, str]:
    return {"section": section, "reason": reason, "remedy": remedy}


def _last(place: Path, skipped: list[dict[str, str]]) -> dict[str, dt.datetime]:
    try:
        return parse_status(text_of(place))
    except Unavailable as error:
        skipped.append(_skip("last_rotation", error.message, "Use become; before the first run there is none."))
        return {}


def _is_covered(path: str, configuration: Configuration) -> bool:
    return any(path in rule.entry.patterns or matches(path, rule.entry.patterns) for rule in configuration.rules)


def _missing(path: str) -> dict[str, Any]:
    return problem(
        "not_covered",
        "warning",
        path,
        "no entry rotates it, so that it grows without end",
        "Declare it for the role log_rotation.",
    )


def _unmatched(
    options: Mapping[str, Any], configuration: Configuration, covered: Mapping[str, LogFile]
) -> tuple[list[dict[str, Any]], bool]:
    found, seen = [], 0
    identities = {log.identity for log in covered.values()}
    for log in walk(options["search"], options["max_files"] + 1):
        seen += 1
        if log.size_bytes and log.identity not in identities and not _is_covered(log.path, configuration):
            found.append({"path": log.path, "size_bytes": log.size_bytes})
    return sorted(found, key=lambda each: -int(each["size_bytes"])), seen <= options["max_files"]


def _entries(configuration: Configuration, logs: Mapping[int, Sequence[LogFile]]) -> list[dict[str, Any]]:
    return [
        {
            "file": str(rule.path),
            "line": rule.entry.line,
            "patterns": rule.entry.patterns,
            **asdict(rule.settings),
            "postrotate": _shown(rule.entry.scripts.get("postrotate")),
            "is_glob": any(is_glob(each) for each in rule.entry.patterns),
            "logs_count": len(logs[number]),
        }
        for number, rule in enumerate(configuration.rules)
    ]


def _shown(script: Optional[str]) -> Optional[str]:
    """A script as it may be shown: some call an API with its password in the line."""
    return None if script is None else redact_text(script)


def _logs(
    configuration: Configuration,
    logs: Mapping[int, Sequence[LogFile]],
    writers: Writers,
    last: Mapping[str, dt.datetime],
) -> list[dict[str, Any]]:
    return [
        {
            "path": log.path,
            "file": str(configuration.rules[number].path),
            "size_bytes": log.size_bytes,
            "mode": f"{log.mode:04o}",
            "owner": log.owner,
            "group": log.group,
            "writers": [writer.as_dict() for writer in writers.of(log.identity)]
            if writers.is_known(log.identity)
            else None,
            "last_rotated_at": f"{last[log.path]:%Y-%m-%dT%H:%M:%S}" if log.path in last else None,
        }
        for number, each in logs.items()
        for log in each
    ]
