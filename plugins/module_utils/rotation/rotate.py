# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rotation that is made now and proves itself: the writer is at the new file, the old one is all there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import free_bytes, private_directory
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused, outcome
from ansible_collections.runbook.ops.plugins.module_utils.rotation.logs import LogFile, look, matches, matching
from ansible_collections.runbook.ops.plugins.module_utils.rotation.program import Logrotate
from ansible_collections.runbook.ops.plugins.module_utils.rotation.proving import Turn, facts_after, figures, prove
from ansible_collections.runbook.ops.plugins.module_utils.rotation.reading import (
    Configuration,
    Rule,
    read_configuration,
    text_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.rotation.sequence import (
    compile_sequence,
)
from ansible_collections.runbook.ops.plugins.module_utils.rotation.syntax import Entry, Problem, parse
from ansible_collections.runbook.ops.plugins.module_utils.rotation.writers import find_writers

_LOOK_SECONDS = 0.05
_ROOM = 1.1


def rotate_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of log_rotate."""
    return {
        "logs": {"type": "list", "elements": "str", "required": True},
        "config": {"type": "path", "default": "/etc/logrotate.conf"},
        "state_file": {"type": "path"},
        "sequence_pattern": {"type": "str"},
        "reopen_timeout": {"type": "float", "default": 30},
        "timeout": {"type": "float", "default": 300},
        "max_logs": {"type": "int", "default": 100},
    }


def rotate(options: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Plan, guard, rotate, prove.

    Raises:
        InvalidOption: a log is matched by no entry.
        Refused: the configuration is broken, or its rotation would lose lines.
        RunbookError: the rotation could not be proven; the result travels along.

    """
    pattern = compile_sequence(options["sequence_pattern"])
    program, configuration = Logrotate(), read_configuration(Path(options["config"]))
    turns = _plan(options, configuration)
    with private_directory("runbook-logrotate-") as place:
        chosen = _only(place, configuration, turns)
        errors = program.try_out(chosen).errors
        if errors:
            raise Refused(
                f"logrotate does not accept the configuration: {'; '.join(errors[:3])}. Nothing was rotated. "
                "Correct it with logrotate_config.",
                errors=errors,
            )
        _guard(turns, options)
        before = {turn.log.path: figures(turn.log, turn.writers) for turn in turns}
        actions = [turn.as_action() for turn in turns]
        if check_mode or not turns:
            return outcome(
                changed=bool(turns), actions=actions, before=before, after=None if check_mode else {}, proof=None
            )
        try:
            for turn in turns:
                turn.held = Path(turn.log.path).open("rb")  # noqa: SIM115 - it is held until the proof is done
            state = Path(options["state_file"]) if options["state_file"] else None
            spoken = program.force(chosen, state, options["timeout"])
            waited = _wait(turns, options["reopen_timeout"])
            for turn in turns:
                turn.after = facts_after(turn, pattern)
        finally:
            for turn in turns:
                if turn.held:
                    turn.held.close()
    after = {turn.log.path: {key: value for key, value in turn.after.items() if key != "is_known"} for turn in turns}
    proof = prove(turns, spoken, waited)
    result = outcome(changed=True, actions=actions, before=before, after=after, proof=proof)
    if proof["problems"]:
        raise RunbookError("; ".join(proof["problems"]), **result)
    return result


def _plan(options: Mapping[str, Any], configuration: Configuration) -> list[Turn]:
    turns: dict[str, Turn] = {}
    for path in options["logs"]:
        rules = [each for each in configuration.rules if path in each.entry.patterns]
        rules = rules or [each for each in configuration.rules if matches(path, each.entry.patterns)]
        found = matching([path])
        if not rules and not any(_rule_of(log, configuration) for log in found):
            raise InvalidOption("logs", path, f"a log that an entry below {configuration.main} rotates")
        for log in found:
            rule = _rule_of(log, configuration)
            if rule:
                turns.setdefault(log.path, Turn(log, rule, []))
    # An entry is rotated as a whole: its script is run once for all its files, and would not be run for one alone.
    for rule in [turn.rule for turn in turns.values()]:
        for log in matching(rule.entry.patterns):
            turns.setdefault(log.path, Turn(log, rule, []))
    kept = [turn for turn in turns.values() if turn.log.size_bytes or turn.settings.is_empty_rotated]
    if len(kept) > options["max_logs"]:
        raise Refused(
            f"{len(kept)} logs would be rotated, more than max_logs ({options['max_logs']}). Nothing was done."
        )
    writers = find_writers({turn.log.identity: turn.log.path for turn in kept})
    unknown = [turn.log.path for turn in kept if not writers.is_known(turn.log.identity)]
    if unknown:
        raise Refused(
            f"{unknown[0]}: it cannot be seen which process writes to it. Nothing was rotated. "
            "Use become, on a host where root may look at every process."
        )
    for turn in kept:
        turn.writers = writers.of(turn.log.identity)
    return kept


def _rule_of(log: LogFile, configuration: Configuration) -> Optional[Rule]:
    return next((rule for rule in configuration.rules if matches(log.path, rule.entry.patterns)), None)


def _only(place: Path, configuration: Configuration, turns: Sequence[Turn]) -> Path:
    """A configuration with the chosen entries alone, each after the global directives that hold for it."""
    wanted = {(turn.rule.path, turn.rule.entry.line) for turn in turns}
    included = [path for path in configuration.files if path != configuration.main]
    lines: list[str] = []

    def take(path: Path) -> None:
        text = text_of(path).splitlines()
        for item in parse("\n".join(text)):
            if isinstance(item, Entry):
                lines.extend(text[item.line - 1 : item.end_line] if (path, item.line) in wanted else [])
            elif isinstance(item, Problem):
                continue
            elif item.name == "include":
                while included:
                    take(included.pop(0))
            elif not item.name.startswith("taboo"):
                lines.append(text[item.line - 1])

    take(configuration.main)
    made = place / "logrotate.conf"
    made.write_text("\n".join([*lines, ""]), encoding="utf-8")
    made.chmod(0o600)
    return made


def _guard(turns: Sequence[Turn], options: Mapping[str, Any]) -> None:
    for turn in turns:
        settings, path = turn.settings, turn.log.path
        if settings.rotate == 0:
            raise Refused(
                f"{path}: rotate is 0, so that the log would be deleted. Nothing was rotated. Keep at least one."
            )
        scripts = turn.rule.entry.scripts.keys() & {"postrotate", "lastaction"}
        if turn.writers and not settings.is_copy_truncate and not scripts:
            raise Refused(
                f"{path}: {turn.writers[0].name} writes to it and nothing would tell it to reopen. "
                "Nothing was rotated. Declare how it reopens with logrotate_config."
            )
        if "postrotate" in scripts and not settings.has_shared_scripts and _siblings(turn, turns) > 1:
            raise Refused(
                f"{path}: without sharedscripts the postrotate script would run {_siblings(turn, turns)} times. "
                "Nothing was rotated. Correct the entry with logrotate_config."
            )
        if settings.is_copy_truncate:
            place = Path(path).parent
            if free_bytes(place) < turn.log.size_bytes * _ROOM:
                raise Refused(
                    f"{path}: there is no room for its copy in {place}. Nothing was rotated. Free some first."
                )
    if options["reopen_timeout"] <= 0:
        raise InvalidOption("reopen_timeout", options["reopen_timeout"], "more than 0 seconds")


def _siblings(turn: Turn, turns: Sequence[Turn]) -> int:
    return sum(1 for other in turns if other.rule is turn.rule)


def _wait(turns: Sequence[Turn], seconds: float) -> float:
    """Wait until nobody writes to a file that was renamed, as long as that may take; how long it took."""
    began = time.monotonic()
    renamed = [turn for turn in turns if not turn.settings.is_copy_truncate]
    while True:
        waited = time.monotonic() - began
        # The old file for who is still there, the new one for who has come.
        new = {turn.log.path: look(turn.log.path) for turn in renamed}
        files: dict[tuple[int, int], Union[str, int]] = {
            log.identity: path for path, log in new.items() if log is not None
        }
        files.update({turn.log.identity: turn.held.fileno() for turn in renamed if turn.held})
        writers = find_writers(files)
        for turn in renamed:
            log = new[turn.log.path]
            moved = log is not None and log.identity != turn.log.identity
            turn.after = {
                "left": writers.of(turn.log.identity),
                "is_known": writers.is_known(turn.log.identity),
                "come": writers.of(log.identity) if log is not None and moved else [],
            }
        if all(
            turn.after["is_known"] and not turn.after["left"] and (turn.after["come"] or not turn.writers)
            for turn in renamed
        ):
            return waited
        if waited >= seconds:
            return waited
        time.sleep(_LOOK_SECONDS)
