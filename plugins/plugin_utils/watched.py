# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a long module so that people see where it is, and can interrupt it without leaving it behind.

An ordinary module shows nothing before its end, and goes on by itself when C(ansible-playbook) is interrupted. Here
it is started as an asynchronous job whose files lie in a directory of their own; the worker reads its progress, prints
a line every few seconds, and asks it to end at a safe place when it is interrupted itself. When the worker dies, the
module notices (C(module_utils/common/progress.py)). The task's result is the same as without all this.
"""

from __future__ import annotations

import contextlib
import math
import select
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

from ansible import constants as C
from ansible import context
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.utils.color import stringc
from ansible.utils.display import Display

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import WATCHER_PATIENCE_SECONDS
from ansible_collections.runbook.ops.plugins.plugin_utils.direct import DirectAction
from ansible_collections.runbook.ops.plugins.plugin_utils.duration import format_duration, parse_duration
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.humanise import plain_line
from ansible_collections.runbook.ops.plugins.plugin_utils.progress_lines import Meter
from ansible_collections.runbook.ops.plugins.plugin_utils.watching.interruption import Interruption
from ansible_collections.runbook.ops.plugins.plugin_utils.watching.place import LocalPlace, Look, Place, RemotePlace

# Callbacks that print for people, task by task. With any other one, standard output belongs to a program, or to
# somebody who wants it short.
SHOWING_CALLBACKS = frozenset(
    {"default", "awx_display", "debug", "default_without_diff", "diy", "timestamp", "yaml", "counter_enabled"}
)
_FIRST_LINE_SECONDS = 5.0
_LONGEST_LIMIT_SECONDS = 365 * 86400.0
# After its limit a module has this long to end by itself before the wrapper kills it.
_GRACE_SECONDS = 300
# A module's process that is gone has given its result by then, or never will.
_LOST_SECONDS = 10.0
_AGAIN = "Run the playbook again; it goes on from there."
_KILLED = (
    "The module's process ended without a result: it was killed, perhaps for lack of memory. The system's log may say."
)
_UNWATCHED = (
    f"The module has ended at a safe place, because nobody had asked for it for {WATCHER_PATIENCE_SECONDS:g} s: the "
    "controller was suspended or cut off."
)

display = Display()


@dataclass(frozen=True)
class Settings:
    """What the variables C(runbook_progress_*) say, in seconds, and whether lines are shown."""

    interval: float
    limit: float
    shown: bool


class WatchedAction(DirectAction):
    """Base of the actions that stand before long-running modules with the option O(progress_path)."""

    # How long an interrupted run waits for its module to end.
    stop_patience_seconds: ClassVar[float] = 15.0

    def _is_here(self, variables: dict[str, Any]) -> bool:
        return not self._is_watched(variables) and super()._is_here(variables)

    def _send(self, variables: dict[str, Any]) -> dict[str, Any]:
        if not self._is_watched(variables):
            return super()._send(variables)
        settings = self._settings(variables)
        with Interruption() as interruption:
            watch = _Watch(self, variables, settings, interruption)
            return watch.run()

    def _is_watched(self, variables: dict[str, Any]) -> bool:
        if self._task.check_mode or self._task.async_val or self._task.args.get("progress_path"):
            return False
        if self._connection.always_pipeline_modules:
            return False  # It has no asynchronous wrapper.
        return bool(boolean(self._templar.template(variables.get("runbook_progress", True))))

    def _settings(self, variables: dict[str, Any]) -> Settings:
        try:
            return Settings(
                interval=self._seconds(variables, "runbook_progress_interval", 5, 0.2, 86400.0),
                limit=self._seconds(variables, "runbook_progress_limit", "7d", 1.0, _LONGEST_LIMIT_SECONDS),
                shown=not self._task.no_log and is_shown(C.DEFAULT_STDOUT_CALLBACK),
            )
        except InvalidOption as error:
            raise AnsibleActionFail(error.message) from error

    def _seconds(self, variables: dict[str, Any], name: str, default: object, least: float, most: float) -> float:
        value = self._templar.template(variables.get(name, default))
        seconds = parse_duration(value, name)
        if not least <= seconds <= most:
            raise InvalidOption(name, value, f"{least:g} seconds to {format_duration(most)}")
        return seconds

    # What the watch needs of Ansible, in one place.

    def make_place(self, variables: Mapping[str, Any]) -> Place:
        """The directory of this run; read directly when it is this machine's and this account's."""
        base = str(self.get_shell_option("remote_tmp", default="~/.ansible/tmp"))
        direct = boolean(self._templar.template(variables.get("runbook_direct", True)))
        if direct and self._connection.transport == "local" and self._connection.become is None:
            return LocalPlace.make(base)
        return RemotePlace.make(self._remote_expand_user(base), self._low_level_execute_command)

    def start(self, place: Place, limit: float, variables: dict[str, Any]) -> dict[str, Any]:
        """Start the module as a job whose files are in the place."""
        shell, wait = self._connection._shell, self._task.async_val
        jobs = self.get_shell_option("async_dir", default="~/.ansible_async")
        self._task.async_val = math.ceil(limit) + _GRACE_SECONDS
        shell.set_option("async_dir", place.directory)
        try:
            started: dict[str, Any] = self._execute_module(
                module_args={**self._task.args, "progress_path": place.progress_path},
                task_vars=variables,
                wrap_async=True,
            )
        finally:
            self._task.async_val = wait
            shell.set_option("async_dir", jobs)
        return started

    def collect(self, place: Place, job: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The ended job's result, as the module gave it."""
        found: dict[str, Any] = self._execute_module(
            module_name="ansible.legacy.async_status",
            module_args={"jid": job, "_async_dir": place.directory, "mode": "status"},
            task_vars=variables,
        )
        return found

    def reconnect(self) -> None:
        """Try a broken connection anew."""
        with contextlib.suppress(Exception):
            self._connection.reset()

    def label(self, variables: Mapping[str, Any]) -> str:
        """The host, as Ansible names it in its results."""
        host = str(variables.get("inventory_hostname", ""))
        return f"{host} -> {self._task.delegate_to}" if self._task.delegate_to else host

    @property
    def is_secret(self) -> bool:
        """Whether nothing about the task may be shown."""
        return bool(self._task.no_log)


class _Watch:
    """One run of a module, from its start to its result."""

    def __init__(
        self, action: WatchedAction, variables: dict[str, Any], settings: Settings, interruption: Interruption
    ) -> None:
        self._action = action
        self._variables = variables
        self._settings = settings
        self._interruption = interruption
        self._label = action.label(variables)
        self._meter = Meter()

    def run(self) -> dict[str, Any]:
        place = self._action.make_place(self._variables)
        with self._cleared(place):
            started = self._action.start(place, self._settings.limit, self._variables)
            job = started.get("ansible_job_id")
            if not job or started.get("failed"):
                started.pop("changed", None)  # Said of every start, of those that failed too.
                return _without_traces(started)
            lost = self._follow(place)
            if lost:
                return {"failed": True, "changed": False, "msg": lost}
            result = _without_traces(self._action.collect(place, str(job), self._variables))
        if self._interruption.reason:
            # Interrupted just when the module had ended: nobody takes the result any more.
            self._say(self._farewell(result))
            self._interruption.go_on()
        return result

    @contextlib.contextmanager
    def _cleared(self, place: Place) -> Iterator[None]:
        """However it ends, the module does too, and its directory is removed."""
        try:
            yield
        except BaseException:
            # The task's time is over, or something is wrong with the connection. The module must not go on alone.
            self._end(place, "Stopped because the task was ended")
            raise
        with contextlib.suppress(AnsibleConnectionFailure):
            place.remove()

    def _follow(self, place: Place) -> str:
        """Read and print until the module has ended; why there is no result, if there is none."""
        began = time.monotonic()
        due = began + min(self._settings.interval, _FIRST_LINE_SECONDS)
        silent: float | None = None
        stopped = False
        while True:
            look = self._look(place)
            now = time.monotonic()
            self._meter.take(look.state, now)
            if look.stage == "ended":
                return ""
            if self._interruption.reason:
                self._interrupted(place)
            if look.stage == "gone":
                return self._lost(_UNWATCHED)
            silent = (silent or now) if look.alive is False else None
            if silent is not None and now - silent > _LOST_SECONDS:
                return self._lost(_KILLED)
            if not stopped and now - began > self._settings.limit:
                stopped = True
                place.stop(f"Stopped because runbook_progress_limit ({format_duration(self._settings.limit)}) is over")
            if now >= due:
                due = max(due + self._settings.interval, now)
                self._show(now)
            time.sleep(_pause(now - began, isinstance(place, LocalPlace)))

    def _look(self, place: Place) -> Look:
        """Look at the place; a broken connection is tried again for as long as the module would wait for us."""
        began = time.monotonic()
        while True:
            try:
                return place.look()
            except AnsibleConnectionFailure as error:
                if time.monotonic() - began > WATCHER_PATIENCE_SECONDS:
                    raise AnsibleConnectionFailure(
                        f"The connection to the module is lost. It ends by itself at the next safe place, "
                        f"{WATCHER_PATIENCE_SECONDS:g} s after it was last asked for. {_AGAIN} ({error})"
                    ) from error
            if self._interruption.reason:
                self._interrupted(place)
            time.sleep(1.0)
            self._action.reconnect()

    def _show(self, now: float) -> None:
        line = self._meter.line(now)
        if line and self._settings.shown and not _is_queue_full():
            display.display(f"{self._label} | {line}", color=C.COLOR_OK)

    def _lost(self, why: str) -> str:
        position = self._meter.position()
        return why + (f" It was last seen at {position}." if position else "") + f" {_AGAIN}"

    def _interrupted(self, place: Place) -> NoReturn:
        """End the module, say how far it came, and then this worker."""
        patience = self._action.stop_patience_seconds
        self._interruption.limit(patience + 10, lambda: self._say(self._farewell(None)))
        told = self._interruption.is_told
        reason = f"Stopped because {'the run was interrupted' if told else 'ansible-playbook is gone'}"
        with contextlib.suppress(AnsibleConnectionFailure):
            place.stop(reason)
        self._say(f"{self._interruption.reason}; waiting for the module to end at a safe place")
        ended = self._end(place, reason)
        self._say(self._farewell(ended))
        self._interruption.go_on()

    def _end(self, place: Place, reason: str) -> dict[str, Any] | None:
        """Ask the module to end, wait for that, and clear away: its result, or None if it takes longer than we wait."""
        with contextlib.suppress(Exception):
            place.stop(reason)
            deadline = time.monotonic() + self._action.stop_patience_seconds
            while time.monotonic() < deadline:
                self._interruption.let_go()
                look = place.look()
                self._meter.take(look.state, time.monotonic())
                if look.stage in ("ended", "empty", "gone"):
                    result = place.result() if look.stage == "ended" else {"failed": True}
                    place.remove()
                    return result
                time.sleep(0.2)
            place.abandon()
        return None

    def _farewell(self, ended: dict[str, Any] | None) -> str:
        position = self._meter.position()
        if ended is None:
            where = f" It was at {position}." if position else ""
            return f"the module has not ended yet; it does at the next safe place, by itself.{where} {_AGAIN}"
        if not ended.get("failed"):
            return "the module had already finished; nothing is left to do here."
        message = plain_line(str(ended.get("msg", "The module was stopped")), 1000).rstrip(".")
        where = f"stopped at {position}. " if position else ""
        return f"{where}{message}." + ("" if "again" in message else f" {_AGAIN}")

    def _say(self, line: str) -> None:
        if self._action.is_secret:
            line = f"interrupted. {_AGAIN}"
        self._interruption.say(stringc(f"{self._label} | {line}", C.COLOR_WARN))


def is_shown(callback: object) -> bool:
    """Whether progress may be printed beside what this callback prints.

    Ad hoc commands print with C(minimal) or C(oneline), whatever is configured.
    """
    if context.CLIARGS.get("module_name") is not None:
        return False
    return str(callback).rpartition(".")[2] in SHOWING_CALLBACKS


def _without_traces(result: dict[str, Any]) -> dict[str, Any]:
    """The result without what the asynchronous way added to it."""
    if "cmd" in result and "invocation" not in result and result.get("failed"):
        # The wrapper's words for output that is no result.
        crashed = {
            "module_stdout": result.get("data", result.get("outdata", "")),
            "module_stderr": result.get("stderr"),
        }
        return {"failed": True, "changed": False, "msg": f"{_KILLED} {_AGAIN}", **crashed}
    for name in ("ansible_job_id", "started", "finished", "results_file", "stderr", "stderr_lines", "child_pid"):
        result.pop(name, None)
    invocation = result.get("invocation")
    if isinstance(invocation, dict) and isinstance(invocation.get("module_args"), dict):
        invocation["module_args"]["progress_path"] = None
    return result


def _pause(elapsed: float, local: bool) -> float:
    """Seconds until the next look: short runs are not held up, long ones not bothered."""
    return min(0.05 + elapsed / 20, 0.5 if local else 2.0)


def _is_queue_full() -> bool:
    """Whether a line would have to wait: whoever reads C(ansible-playbook)'s output, such as a pager, has paused.

    The module would take a worker that waits for a dead one. The line is not missed; the next one says more.
    """
    writer = getattr(getattr(display, "_final_q", None), "_writer", None)
    if writer is None:
        return False
    try:
        return not select.select([], [writer], [], 0)[1]
    except (OSError, ValueError):
        return False
