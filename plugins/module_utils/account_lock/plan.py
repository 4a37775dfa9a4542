# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locking an account and taking it back: what is to be done from what is there. Pure.

A locked password alone locks nobody out: a key still opens sshd. Only an expired account is refused by PAM whatever
the way in, and keys that lie elsewhere open nothing either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

LOCKED = "locked"
UNLOCKED = "unlocked"
# Day 1 is in the past for every clock. Day 0 means "never expires" to some programs.
EXPIRED_DAY = 1
ASIDE = ".runbook-locked"


@dataclass(frozen=True)
class State:
    """An account as it is."""

    uid: int
    password: str  # empty, locked, weak_hash or set
    expires_day: Optional[int]
    keys: tuple[str, ...]
    aside: tuple[str, ...]
    processes: int

    def facts(self) -> dict[str, Any]:
        """The figures C(before) and C(after)."""
        return {
            "password": self.password,
            "expires_day": self.expires_day,
            "key_files": list(self.keys),
            "key_files_aside": list(self.aside),
            "processes": self.processes,
        }


@dataclass(frozen=True)
class Record:
    """How the account was before it was locked; the password's hash is not in it."""

    password: str
    expires_day: Optional[int]
    keys: tuple[str, ...]

    @classmethod
    def of(cls, told: dict[str, Any]) -> Record:
        """From the file."""
        return cls(str(told["password"]), told["expires_day"], tuple(told["keys"]))

    def as_dict(self) -> dict[str, Any]:
        """For the file."""
        return {"password": self.password, "expires_day": self.expires_day, "keys": list(self.keys)}


@dataclass(frozen=True)
class Step:
    """One thing that is done; C(target) is a file for keys, a day for an expiry, else nothing."""

    action: str
    target: str = ""

    def facts(self, user: str) -> dict[str, Any]:
        """The entry of C(actions)."""
        return {"action": self.action, "name": user, "target": self.target}


def lock_steps(state: State, *, move_keys: bool, end_sessions: bool) -> list[Step]:
    """Expiry first, which closes every door at once; sessions last, when nobody can come back."""
    steps = []
    if state.expires_day != EXPIRED_DAY:
        steps.append(Step("expire", str(EXPIRED_DAY)))
    if state.password != LOCKED:
        steps.append(Step("lock_password"))
    if move_keys:
        steps += [Step("move_keys", path) for path in state.keys]
    if end_sessions and state.processes:
        steps.append(Step("end_sessions", f"{state.processes} processes"))
    return steps


def unlock_steps(state: State, record: Record) -> tuple[list[Step], list[tuple[str, str]]]:
    """Back to what was recorded, and what cannot be taken back, as reason and remedy."""
    steps: list[Step] = []
    refused: list[tuple[str, str]] = []
    for path in record.keys:
        if path + ASIDE not in state.aside:
            if path not in state.keys:
                refused.append((f"{path}{ASIDE} is gone", "Restore the keys from a backup."))
        elif path in state.keys:
            refused.append((f"there is a new {path}", f"Compare it with {path}{ASIDE}, and keep one of them."))
        else:
            steps.append(Step("return_keys", path))
    if record.password == "empty":  # noqa: S105 - a state, no password
        refused.append(("it had an empty password", "Set one with passwd. Without one everybody could log in."))
    elif record.password != LOCKED and state.password == LOCKED:
        steps.append(Step("unlock_password"))
    # The door is opened last.
    if state.expires_day != record.expires_day:
        steps.append(Step("restore_expiry", "never" if record.expires_day is None else str(record.expires_day)))
    return steps, refused


def refusal(user: str, uid: int, own: Sequence[str], sudoers: Sequence[str]) -> Optional[tuple[str, str]]:
    """Why an account is never locked, as reason and remedy."""
    if uid == 0:
        return "it is root", "Take root's logins away in sshd's configuration (PermitRootLogin no)."
    if user in own:
        return "this task came in by it", "Run the task as another account."
    if user in sudoers and len(sudoers) == 1:
        return "nobody else may use sudo", "Give another account sudo first, and try it."
    return None
