# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An account locked, or given back, on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.account_lock.keys import (
    Place,
    look,
    move_aside,
    move_back,
    place_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.account_lock.plan import (
    ASIDE,
    LOCKED,
    Record,
    State,
    Step,
    lock_steps,
    refusal,
    unlock_steps,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, locked, write_file
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal, check_refusals, outcome
from ansible_collections.runbook.ops.plugins.module_utils.security.accounts import Account, groups_of_account
from ansible_collections.runbook.ops.plugins.module_utils.security.commands import ask
from ansible_collections.runbook.ops.plugins.module_utils.security.machine import Machine
from ansible_collections.runbook.ops.plugins.module_utils.security.sshd import settings_of, words

_END_SECONDS = 5.0
_PROC = Path("/proc")


def change_account(options: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Bring one account into the wanted state; raises InvalidOption, Refused, RunbookError."""
    machine = Machine({})
    user = options["user"]
    account = next((each for each in machine.accounts if each.name == user), None)
    if account is None:
        raise InvalidOption("user", user, "an account of /etc/passwd")
    if account.password_state is None or os.geteuid() != 0:
        raise RunbookError("Only root can lock accounts. Run the task with become.")
    directory = Path(options["state_directory"])
    file = directory / f"{user}.json"
    before = _state(account)
    record = _read(file)
    steps: list[Step] = []
    refused: list[Refusal] = []
    if options["state"] == LOCKED:
        why = refusal(user, account.uid, own_logins(), sudoers_of(machine))
        if why:
            refused.append(Refusal(user, *why))
        else:
            steps = lock_steps(before, move_keys=options["move_keys"], end_sessions=options["end_sessions"])
    elif record is not None:
        steps, left = unlock_steps(before, record)
        refused = [Refusal(user, *each) for each in left]
    if not check_mode and (steps or (record is not None and options["state"] != LOCKED)):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(directory / ".lock", "locking accounts"):
            _carry_out(account, options["state"], steps, file, record, before)
    after = None if check_mode else _state(_again(user))
    shown = {**before.facts(), "record": str(file) if file.exists() else None}
    result = outcome(
        changed=bool(steps),
        actions=[step.facts(user) for step in steps],
        refused=refused,
        before=before.facts(),
        after=None if after is None else after.facts(),
        user=user,
        record=shown["record"],
        diff={"before": _text(before), "after": _text(after) if after else _planned(steps)},
    )
    check_refusals(result, options["on_refusal"])
    return result


def _carry_out(
    account: Account, state: str, steps: list[Step], file: Path, record: Optional[Record], before: State
) -> None:
    if state == LOCKED:
        # A second lock must not forget how it was before the first; new keys are added to what is moved.
        kept = record or Record(before.password, before.expires_day, ())
        moved = tuple(step.target for step in steps if step.action == "move_keys")
        kept = Record(kept.password, kept.expires_day, tuple(dict.fromkeys((*kept.keys, *moved))))
        write_file(file, json.dumps(kept.as_dict()).encode())
    for step in steps:
        _do(account, step)
    if state != LOCKED:
        # What could not be taken back stays recorded.
        left = _read(file)
        if left is not None and not unlock_steps(_state(_again(account.name)), left)[1]:
            file.unlink()


def _do(account: Account, step: Step) -> None:
    name = account.name
    if step.action == "expire":
        _must(["chage", "-E", step.target, name])
    elif step.action == "restore_expiry":
        _must(["chage", "-E", "-1" if step.target == "never" else step.target, name])
    elif step.action in ("lock_password", "unlock_password"):
        _must(["usermod", "--lock" if step.action == "lock_password" else "--unlock", name])
    elif step.action == "move_keys":
        with explained("move", Path(step.target)):
            move_aside(_place_of(account, step.target), step.target)
    elif step.action == "return_keys":
        with explained("move", Path(step.target + ASIDE)):
            move_back(_place_of(account, step.target), step.target)
    elif step.action == "end_sessions":
        _end(account.uid)


def _must(argv: list[str]) -> None:
    answer = ask(argv)
    if answer.code != 0:
        raise RunbookError(f"{' '.join(argv)} failed: {answer.words}. Correct it, and run the task again.")


def _end(uid: int) -> None:
    for number, patience in ((signal.SIGTERM, _END_SECONDS), (signal.SIGKILL, _END_SECONDS)):
        for pid in _processes(uid):
            with contextlib.suppress(OSError):
                os.kill(pid, number)
        until = time.monotonic() + patience
        while _processes(uid) and time.monotonic() < until:
            time.sleep(0.05)


def _processes(uid: int) -> list[int]:
    found = []
    for place in _PROC.iterdir():
        if place.name.isdigit():
            with contextlib.suppress(OSError):
                status = (place / "status").read_text(encoding="utf-8", errors="replace")
                owner = next(line for line in status.splitlines() if line.startswith("Uid:")).split()
                if int(owner[1]) == uid and "State:\tZ" not in status:
                    found.append(int(place.name))
    return found


def _state(account: Account) -> State:
    seen = [look(place) for place in _key_places(account)]
    return State(
        account.uid,
        account.password_state or "",
        account.expires_day,
        tuple(dict.fromkeys(path for keys, _aside in seen for path in keys)),
        tuple(dict.fromkeys(path for _keys, aside in seen for path in aside)),
        len(_processes(account.uid)),
    )


def _key_places(account: Account) -> list[Place]:
    """Where sshd looks for the account's keys; the usual places without sshd."""
    patterns = [".ssh/authorized_keys", ".ssh/authorized_keys2"]
    asked = ask(["sshd", "-T", "-C", f"user={account.name},host=localhost,addr=127.0.0.1"])
    if asked.code == 0:
        patterns = words(settings_of(asked.out), "authorizedkeysfile") or patterns
    return [place for place in (place_of(pattern, account) for pattern in patterns) if place is not None]


def _place_of(account: Account, path: str) -> Place:
    place = next((each for each in _key_places(account) if path in each.paths), None)
    if place is None:
        raise RunbookError(f"sshd does not look at {path} any more. Run the task again.")
    return place


def _again(user: str) -> Account:
    found = next((each for each in Machine({}).accounts if each.name == user), None)
    if found is None:
        raise RunbookError(f"{user} was removed meanwhile. Nothing more is to be done.")
    return found


def own_logins() -> list[str]:
    """The accounts that this task came in by: of the login, of sudo, and of the process."""
    found = {os.environ.get("SUDO_USER", ""), os.environ.get("LOGNAME", "")}
    numbers = {os.getuid()}
    with contextlib.suppress(OSError, ValueError):
        numbers.add(int((_PROC / "self" / "loginuid").read_text(encoding="ascii")))
    for number in numbers:
        with contextlib.suppress(KeyError, OverflowError):
            found.add(pwd.getpwuid(number).pw_name)
    return [name for name in found if name]


def sudoers_of(machine: Machine) -> list[str]:
    """Accounts that may do everything by sudo and can still log in."""
    able = {each.name: each for each in machine.accounts if each.uid and each.has_login_shell and not _is_shut(each)}
    wanted: dict[str, None] = {}
    for rule in machine.sudoers.rules:
        if rule.is_everything:
            for name in able:
                groups = [f"%{group}" for group in groups_of_account(name, machine.groups)]
                if any(who in ("ALL", name, *groups) for who in rule.who):
                    wanted[name] = None
    return list(wanted)


def _is_shut(account: Account) -> bool:
    return account.expires_day is not None and account.expires_day <= time.time() // 86400


def _read(file: Path) -> Optional[Record]:
    if not file.exists():
        return None
    with explained("read", file):
        text = file.read_text(encoding="utf-8")
    try:
        return Record.of(json.loads(text))
    except (ValueError, KeyError, TypeError):
        raise RunbookError(
            f"{file} is damaged. Look at it, and remove it when the account is as it should be."
        ) from None


def _text(state: State) -> str:
    return "".join(f"{key}: {value}\n" for key, value in state.facts().items())


def _planned(steps: list[Step]) -> str:
    return "".join(f"{step.action} {step.target}".strip() + "\n" for step in steps)
