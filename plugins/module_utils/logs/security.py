# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failed logins, sudo and kills by the kernel, as sshd, sudo and the kernel log them. Pure.

Messages count only from the program itself: anybody can have its words written by another one.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Any

_HELD = 10_000  # connections whose outcome is not known yet
_KEPT = 10_000  # different addresses, users, commands
_SSHD = rb"\bsshd(?:-session)?\[(\d+)\]: (?:message repeated (\d+) times: \[ )?(?:error: )?"
# Greedy users: somebody may call themselves "x from 192.0.2.1 port 22"; the last address is the real one.
_FAILED = re.compile(
    _SSHD + rb"(?:Failed [\w/-]+ for (invalid user )?(.*) from (\S+) port \d+"
    rb"|PAM: [^\n]*? for (illegal user |invalid user )?(.*) from (\S+))(?: ssh2)?[^\n]*$"
)
# An attempt of its own only when the same connection fails no password.
_REFUSED = re.compile(
    _SSHD + rb"(?:Invalid user (.*) from (\S+)(?: port \d+)?"
    rb"|Connection (?:closed|reset) by (?:authenticating|invalid) user (.*) (\S+) port \d+(?: \[preauth\])?)\s*$"
)
_PAM = re.compile(
    rb"\b(?!sshd)([\w.-]+)(?:\[\d+\])?: pam_\w+\(([\w.-]+):auth\): authentication failure;[^\n]*?"
    rb"\brhost=(\S*)(?:\s+user=(\S+))?"
)
_SUDO = re.compile(
    rb"\bsudo(?:\[\d+\])?:\s+(\S+) : (?:(\d+ incorrect password attempts?|command not allowed|user NOT in sudoers"
    rb"|a password is required|[\w ]+) ; )?TTY=\S+ ; PWD=[^\n]*? ; USER=(\S+) ; (?:[A-Z]+=[^\n]*? ; )*?COMMAND=([^\n]*)"
)
_OOM = re.compile(rb"\b(?:Out of memory|Memory cgroup out of memory): Kill(?:ed)? process (\d+) \(([^)\n]*)\)")


def text_of(raw: bytes | None) -> str:
    """Bytes of a log as text."""
    return (raw or b"").decode("utf-8", "replace").strip()


@dataclass
class Names:
    """How often each name came, as far as memory is given; the total is complete always."""

    total: int = 0
    unnamed: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, amount: int = 1) -> None:
        """So many more."""
        self.total += amount
        if name in self.counts or len(self.counts) < _KEPT:
            self.counts[name] += amount
        else:
            self.unnamed += amount

    def most(self, top: int, key: str) -> list[dict[str, Any]]:
        """The most frequent ones, as C({key, count})."""
        return [{key: name, "count": count} for name, count in self.counts.most_common(top)]

    def truncated(self, top: int) -> bool:
        """Whether C(most) leaves any out."""
        return self.unnamed > 0 or len(self.counts) > top


@dataclass
class FailedLogins:
    """Attempts to log in that failed, by address and by user."""

    addresses: Names = field(default_factory=Names)
    users: Names = field(default_factory=Names)
    invalid_users: int = 0
    _held: OrderedDict[bytes, tuple[str, str, bool]] = field(default_factory=OrderedDict)
    _failed: OrderedDict[bytes, None] = field(default_factory=OrderedDict)

    name = "failed_logins"
    needles = (b"Failed ", b"Invalid user", b"ting user", b"lid user", b"PAM: ", b"authentication failure")

    def see(self, line: bytes) -> bool:
        """Take a line; whether it was about a login that failed."""
        match = _FAILED.search(line)
        if match:
            # Either alternative fills three groups.
            invalid, user, address = match.groups()[2:5] if match[5] is not None else match.groups()[5:8]
            self._held.pop(match[1], None)
            _remember(self._failed, match[1], None)
            self._count(text_of(address), text_of(user), invalid is not None, int(match[2] or 1))
            return True
        match = _REFUSED.search(line)
        if match:
            if match[1] not in self._failed and match[1] not in self._held:
                user, address = match.groups()[2:4] if match[4] is not None else match.groups()[4:6]
                attempt = (text_of(address), text_of(user), b"nvalid user" in line)
                for held in _remember(self._held, match[1], attempt):
                    self._count(*held)
            return True
        match = _PAM.search(line)
        if match and match[2] not in (b"sshd",):
            self._count(text_of(match[3]) or "local", text_of(match[4]), False)
            return True
        return False

    def _count(self, address: str, user: str, invalid: bool, amount: int = 1) -> None:
        self.invalid_users += amount if invalid else 0
        self.addresses.add(address, amount)
        self.users.add(user, amount)

    def facts(self, top: int) -> dict[str, Any]:
        """Counts; what is still held becomes an attempt of its own."""
        while self._held:
            self._count(*self._held.popitem(last=False)[1])
        return {
            "count": self.addresses.total,
            "invalid_users_count": self.invalid_users,
            "addresses_count": len(self.addresses.counts),
            "by_address": self.addresses.most(top, "address"),
            "by_user": self.users.most(top, "user"),
            "truncated": self.addresses.truncated(top) or self.users.truncated(top),
        }


@dataclass
class Sudo:
    """Commands run, and refused, through sudo."""

    users: Names = field(default_factory=Names)
    refused: Names = field(default_factory=Names)
    commands: Names = field(default_factory=Names)

    name = "sudo"
    needles = (b"COMMAND=",)

    def see(self, line: bytes) -> bool:
        """Take a line; whether it was about sudo."""
        match = _SUDO.search(line)
        if match is None:
            return False
        user = text_of(match[1])
        (self.refused if match[2] else self.users).add(user)
        self.commands.add(text_of(match[4]).split(" ", 1)[0])
        return True

    def facts(self, top: int) -> dict[str, Any]:
        """Counts. Of commands only the program: arguments hold passwords."""
        return {
            "count": self.users.total + self.refused.total,
            "refused_count": self.refused.total,
            "by_user": self.users.most(top, "user"),
            "refused_by_user": self.refused.most(top, "user"),
            "commands": self.commands.most(top, "command"),
            "truncated": any(names.truncated(top) for names in (self.users, self.refused, self.commands)),
        }


@dataclass
class OomKills:
    """Processes that the kernel killed for want of memory."""

    processes: Names = field(default_factory=Names)

    name = "oom_kills"
    needles = (b"ut of memory",)

    def see(self, line: bytes) -> bool:
        """Take a line; whether it was about a kill."""
        match = _OOM.search(line)
        if match is None:
            return False
        self.processes.add(text_of(match[2]))
        return True

    def facts(self, top: int) -> dict[str, Any]:
        """Counts by the name of the process."""
        return {
            "count": self.processes.total,
            "by_process": self.processes.most(top, "process"),
            "truncated": self.processes.truncated(top),
        }


def _remember(kept: OrderedDict[bytes, Any], key: bytes, value: Any) -> list[Any]:
    """Keep a value by its key; what falls out of a full store, oldest first."""
    kept[key] = value
    return [kept.popitem(last=False)[1]] if len(kept) > _HELD else []
