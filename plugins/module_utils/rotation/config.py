# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drop-in of logrotate's: rendered, tried out with the rest of the configuration, and put in place at once."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.files import private_directory
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused, outcome
from ansible_collections.runbook.ops.plugins.module_utils.rotation.info import reloadable
from ansible_collections.runbook.ops.plugins.module_utils.rotation.logs import matching
from ansible_collections.runbook.ops.plugins.module_utils.rotation.placing import install, keep_copy, remove
from ansible_collections.runbook.ops.plugins.module_utils.rotation.program import Logrotate
from ansible_collections.runbook.ops.plugins.module_utils.rotation.reading import text_of
from ansible_collections.runbook.ops.plugins.module_utils.rotation.render import (
    MARK,
    check_entry,
    check_name,
    entry_argument_spec,
    render,
)

MODE = 0o644


def config_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of logrotate_config."""
    return {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "entries": {"type": "list", "elements": "dict", "options": entry_argument_spec(), "default": []},
        "replaces": {"type": "list", "elements": "path", "default": []},
        "config": {"type": "path", "default": "/etc/logrotate.conf"},
        "directory": {"type": "path", "default": "/etc/logrotate.d"},
        "backup_directory": {"type": "path", "default": "/var/backups/runbook/logrotate"},
    }


@dataclass(frozen=True)
class Step:
    """One file that is written or taken away."""

    action: str
    path: Path
    text: str
    reason: str

    def as_dict(self, backup: str | None = None) -> dict[str, Any]:
        """The entry of C(actions)."""
        return {"action": self.action, "object": str(self.path), "reason": self.reason, "backup": backup}


def configure(options: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Plan, try out, and put in place; the same plan in check mode.

    Raises:
        InvalidOption: an entry cannot work.
        Refused: logrotate does not accept it, or a file is not ours.
        Unavailable: logrotate is not there.

    """
    _check(options)
    target = Path(options["directory"]) / options["name"]
    wanted = render(options["entries"]) if options["state"] == "present" else ""
    steps = list(_steps(target, wanted, options["replaces"]))
    before = {str(step.path): _current(step.path) for step in steps}
    complaints: list[str] = []
    if options["state"] == "present":
        # Also when nothing changes: what a host no longer accepts is no success.
        complaints = _try_out(target, wanted, options)
    actions = [step.as_dict() for step in steps]
    if steps and not check_mode:
        actions = [_carry_out(step, Path(options["backup_directory"])) for step in steps]
    after = {str(step.path): _current(step.path) for step in steps}
    planned = {str(step.path): step.text for step in steps}
    return outcome(
        changed=bool(steps),
        actions=actions,
        before={"files": before},
        after=None if check_mode else {"files": after},
        diff=[
            {"before": before[path], "after": planned[path], "before_header": path, "after_header": path}
            for path in planned
        ],
        path=str(target),
        earlier_errors=complaints,
    )


def _check(options: Mapping[str, Any]) -> None:
    check_name(options["name"])
    if options["state"] == "present" and not options["entries"]:
        raise InvalidOption("entries", [], "at least one entry with state=present")
    for number, entry in enumerate(options["entries"]):
        check_entry(entry, number)
    units = {entry["reopen"]["unit"] for entry in options["entries"] if entry["reopen"]["unit"]}
    can = reloadable(units)
    for unit in sorted(units):
        if can.get(unit) is False:
            raise Refused(
                f"{unit} cannot be reloaded: it has no ExecReload, so that it would go on writing to the rotated file. "
                "Nothing was written. Give it an ExecReload that reopens its logs, or use method=copytruncate."
            )
    for number, entry in enumerate(options["entries"]):
        _check_directories(number, entry)


def _check_directories(number: int, entry: Mapping[str, Any]) -> None:
    """What logrotate only says once there are files; by then nobody looks."""
    if entry["su_user"]:
        return
    directories = {str(Path(path).parent) for path in entry["logs"]} | {
        str(Path(log.path).parent) for log in matching(entry["logs"])
    }
    for directory in sorted(directories):
        try:
            found = Path(directory).stat()
        except OSError:
            continue
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o002 or (mode & 0o020 and found.st_gid != 0):
            raise InvalidOption(
                f"entries[{number}].su_user",
                None,
                f"the owner of {directory}, with su_group: its mode is {mode:04o}, and logrotate skips every file in a "
                "directory that others may write to",
            )


def _steps(target: Path, wanted: str, replaces: Sequence[str]) -> Iterator[Step]:
    current = _current(target)
    if current and MARK not in current and str(target) not in replaces:
        raise Refused(
            f"{target} was not written by this module. Nothing was changed. Choose another name, or list the file in "
            "replaces: then it is kept in backup_directory."
        )
    if wanted and current != wanted:
        yield Step("replace" if current else "create", target, wanted, "it differs from what is declared")
    elif not wanted and current:
        yield Step("remove", target, "", "it is declared absent")
    for path in sorted(set(replaces) - {str(target)}):
        if _current(Path(path)):
            yield Step("remove", Path(path), "", f"{target} takes its place")


def _current(path: Path) -> str:
    return text_of(path) if path.is_file() else ""


def _try_out(target: Path, wanted: str, options: Mapping[str, Any]) -> list[str]:
    """Errors that the configuration has anyway; raises Refused for one that it has only with the new file."""
    program = Logrotate()
    with private_directory("runbook-logrotate-") as place:
        absent = {str(target), *options["replaces"]}
        without = _copy(place / "without", options, absent)
        earlier = program.try_out(without).errors
        with_it = _copy(place / "with", options, absent)
        copied = place / "with" / "d" / target.name
        copied.write_text(wanted, encoding="utf-8")
        copied.chmod(MODE)
        found = program.try_out(with_it).errors
        plain = [_named(each, place / "without", options) for each in earlier]
        new = [text for each in found if (text := _named(each, place / "with", options)) not in plain]
    if new:
        raise Refused(
            f"logrotate does not accept {target}: {'; '.join(new[:3])}. Nothing was written. Correct the entries, or "
            "name the file with the older entry in replaces.",
            errors=new,
        )
    return plain


def _copy(place: Path, options: Mapping[str, Any], absent: set[str]) -> Path:
    """The host's configuration with the directory of drop-ins copied, so that a file can be added to it."""
    directory, main = Path(options["directory"]), Path(options["config"])
    copied = place / "d"
    copied.mkdir(parents=True)
    if directory.is_dir():
        for each in directory.iterdir():
            if each.is_file() and str(each) not in absent:
                shutil.copy2(each, copied / each.name)
    text = text_of(main) if main.is_file() else f"include {directory}\n"
    lines = [f"include {copied}" if line.split() == ["include", str(directory)] else line for line in text.splitlines()]
    if f"include {copied}" not in lines:
        raise Unavailable(f"{main} does not include {directory}: a file there would never be read. Correct directory.")
    made = place / main.name
    made.write_text("\n".join([*lines, ""]), encoding="utf-8")
    made.chmod(MODE)
    return made


def _named(message: str, place: Path, options: Mapping[str, Any]) -> str:
    """A message about a copy as one about the file itself."""
    return message.replace(f"{place}/d", options["directory"]).replace(
        str(place / Path(options["config"]).name), options["config"]
    )


def _carry_out(step: Step, backups: Path) -> dict[str, Any]:
    backup = keep_copy(step.path, backups)
    if step.action == "remove":
        remove(step.path)
    else:
        install(step.path, step.text.encode())
    return step.as_dict(backup)
