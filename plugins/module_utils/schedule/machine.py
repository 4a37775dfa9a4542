# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading everything on this machine that is started by the clock."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import pwd
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import utc_now
from ansible_collections.runbook.ops.plugins.module_utils.schedule.crontab import Crontab, Entry, Problem, parse_crontab
from ansible_collections.runbook.ops.plugins.module_utils.schedule.lint import (
    SYSTEMCTL,
    is_leftover,
    leftover,
    lint_command,
    lint_file,
)
from ansible_collections.runbook.ops.plugins.module_utils.schedule.timers import (
    TIMER_PROPERTIES,
    TRIGGERED_PROPERTIES,
    lint_timer,
    timer_entry,
)
from ansible_collections.runbook.ops.plugins.module_utils.services.client import Machine
from ansible_collections.runbook.ops.plugins.module_utils.services.commands import ask
from ansible_collections.runbook.ops.plugins.module_utils.services.model import Service, parse_show, unit_name

SYSTEM_CRONTAB = Path("/etc/crontab")
CRON_D = Path("/etc/cron.d")
SPOOLS = (Path("/var/spool/cron/crontabs"), Path("/var/spool/cron"))
PERIODS = ("hourly", "daily", "weekly", "monthly")
_DAEMONS = ("cron", "crond")
_TIMEZONES = "zoneinfo/"


@dataclass
class Found:
    """What is there."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)

    def take(self, crontab: Crontab) -> None:
        """Add a file's lines."""
        self.entries += crontab.entries
        self.problems += crontab.problems


def read_machine(seconds: float, *, with_timers: bool = True) -> Found:
    """Everything of cron and of systemd's timers, with what is wrong with each by itself."""
    found = Found()
    users = frozenset(each.pw_name for each in pwd.getpwall())
    is_debian = Path("/etc/debian_version").exists()
    _read_system(found, users, is_debian=is_debian)
    _read_users(found)
    _read_directories(found, is_debian=is_debian)
    if with_timers:
        _read_timers(found, seconds)
    for entry in found.entries:
        found.problems += lint_command(entry)
        found.problems += _missing_program(entry)
    found.problems += _missing_units(found.entries, seconds)
    return found


def _read_system(found: Found, users: frozenset[str], *, is_debian: bool) -> None:
    files = [SYSTEM_CRONTAB] if SYSTEM_CRONTAB.exists() else []
    with contextlib.suppress(OSError):
        files += sorted(path for path in CRON_D.iterdir() if not path.name.startswith(".") and path.is_file())
    for path in files:
        crontab = _read(path, found, "", users)
        if crontab is None:
            continue
        if is_leftover(path.name, is_debian=is_debian):
            found.problems.append(leftover(str(path)))
            continue
        with contextlib.suppress(OSError):
            status = path.stat()
            ignored = list(lint_file(str(path), mode=status.st_mode, owner=status.st_uid, is_debian=is_debian))
            crontab.problems += ignored
            for entry in crontab.entries:
                entry.is_refused = entry.is_refused or bool(ignored)
        found.take(crontab)


def _read(path: Path, found: Found, user: str, users: frozenset[str] | None) -> Crontab | None:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        found.skipped.append(
            {"section": str(path), "reason": error.strerror or str(error), "remedy": "Read it as root (become)."}
        )
        return None
    return parse_crontab(text, str(path), user=user, known_users=users)


def _read_users(found: Found) -> None:
    for spool in SPOOLS:
        try:
            files = sorted(path for path in spool.iterdir() if path.is_file() and _is_of_user(path.name))
        except FileNotFoundError:
            continue
        except OSError as error:
            reason = error.strerror or str(error)
            found.skipped.append({"section": str(spool), "reason": reason, "remedy": "Read it as root (become)."})
            continue
        for path in files:
            crontab = _read(path, found, path.name, None)
            if crontab is not None:
                found.take(crontab)


def _is_of_user(name: str) -> bool:
    """Whether a crontab is somebody's, and not crontab(1)'s draft, or a copy that cron takes for nobody's."""
    if name.startswith((".", "tmp.")):
        return False
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwnam(name))
    return "." not in name


def _read_directories(found: Found, *, is_debian: bool) -> None:
    """What run-parts starts, as far as it does."""
    for period in PERIODS:
        directory = Path(f"/etc/cron.{period}")
        with contextlib.suppress(OSError):
            for path in sorted(directory.iterdir()):
                if path.name.startswith(".") or not path.is_file():
                    continue
                if is_leftover(path.name, is_debian=is_debian):
                    found.problems.append(leftover(str(path)))
                    continue
                entry = Entry(str(path), "directory", f"@{period}", str(path), "root", name=path.name)
                problems = [
                    each
                    for each in lint_file(str(path), mode=0, owner=0, is_debian=is_debian)
                    if each.code == "ignored_name"
                ]
                if not os.access(path, os.X_OK):
                    problems.append(
                        Problem("not_executable", "error", str(path), 0, "it may not be executed, and is left out",
                                "chmod 0755, or remove it.")
                    )  # fmt: skip
                entry.is_refused = bool(problems)
                found.entries.append(entry)
                found.problems += problems


def _read_timers(found: Found, seconds: float) -> None:
    answer = ask(["systemctl", "show", "--all", f"--property={','.join(TIMER_PROPERTIES)}", "--", "*.timer"], seconds)
    if answer.code != 0:
        remedy = "Ask a machine whose first process is systemd."
        found.skipped.append({"section": "timers", "reason": answer.reason, "remedy": remedy})
        return
    timers = [each for each in parse_show(answer.output) if each.get("LoadState") == "loaded"]
    names = sorted({each["Unit"] for each in timers if each.get("Unit")})
    units: dict[str, dict[str, str]] = {}
    is_known = True
    if names:
        shown = ask(["systemctl", "show", f"--property={','.join(TRIGGERED_PROPERTIES)}", "--", *names], seconds)
        units = {each.get("Id", ""): each for each in parse_show(shown.output)}
        is_known = shown.code == 0
        if not is_known:
            reason = f"what the timers start is not known: {shown.reason}"
            found.skipped.append({"section": "timers", "reason": reason, "remedy": "Raise timeout, and look again."})
    for timer in timers:
        triggered = units.get(timer.get("Unit", ""))
        entry = timer_entry(timer, triggered)
        found.entries.append(entry)
        found.problems += lint_timer(entry, triggered) if is_known else []


def _missing_program(entry: Entry) -> list[Problem]:
    words = entry.command.split()
    program = words[0].strip("\"'") if words else ""
    if entry.kind != "cron" or not program.startswith("/") or Path(program).exists():
        return []
    return [
        Problem(
            "missing_program", "warning", entry.source, entry.line, f"there is no {program} on this machine",
            "Correct the path, or remove the line.", entry.text,
        )
    ]  # fmt: skip


def _missing_units(entries: list[Entry], seconds: float) -> list[Problem]:
    """Commands that start a unit there is not; the container that may be meant is named."""
    named = [(entry, unit) for entry in entries for unit in SYSTEMCTL.findall(entry.command)]
    services = {unit: Service(unit_name(unit)) for _entry, unit in named}
    looked = Machine(seconds=seconds, lines=0).look(list(services.values()), utc_now()) if services else []
    reasons = {each["name"]: each["reason"] for each in looked if each["exists"] is False}
    return [
        Problem(
            "missing_unit", "error", entry.source, entry.line, str(reasons[services[unit].name]),
            "Name what there is: a service of Compose is restarted by Docker, not by systemd.", entry.text,
        )
        for entry, unit in named
        if services[unit].name in reasons
    ]  # fmt: skip


def machine_zone() -> tuple[str, dt.tzinfo]:
    """The timezone in which this machine's cron counts."""
    name = ""
    with contextlib.suppress(OSError):
        target = os.path.realpath("/etc/localtime")
        name = target.split(_TIMEZONES, 1)[1] if _TIMEZONES in target else ""
    if not name:
        with contextlib.suppress(OSError):
            name = Path("/etc/timezone").read_text(encoding="ascii").strip()
    # Etc/UTC is what Debian calls it.
    if name and name not in ("UTC", "Etc/UTC"):
        with contextlib.suppress(Exception):
            return name, ZoneInfo(name)
    return "UTC", dt.timezone.utc


def cron_is_running(proc: Path = Path("/proc")) -> bool:
    """Whether a cron daemon runs, by the processes; that of a container starts nothing of this machine."""
    own = _namespace(proc / "self")
    for place in proc.glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            name = place.read_text(encoding="ascii", errors="replace").strip()
            if name in _DAEMONS and _namespace(place.parent) in (own, ""):
                return True
    return False


def _namespace(process: Path) -> str:
    """Where a process has its number; empty where we may not look."""
    with contextlib.suppress(OSError):
        return str((process / "ns" / "pid").readlink())
    return ""


def next_start(entry: Entry, now: dt.datetime, zone: dt.tzinfo) -> Any:
    """The next moment at which a line is due, aware; None when it is not known."""
    if entry.expression is None or entry.is_refused:
        return None
    local = now.astimezone(zone).replace(tzinfo=None, second=0, microsecond=0) + dt.timedelta(minutes=1)
    # A leap day is at most eight years away.
    for days in (8, 366, 366 * 8):
        for moment in entry.expression.starts(local, days):
            return moment.replace(tzinfo=zone)
    return None
