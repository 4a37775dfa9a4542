# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts of a machine as passwd, shadow, group and authorized_keys have them. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

_NO_LOGIN = ("nologin", "false", "sync", "halt", "shutdown")
_KEY_TYPES = ("ssh-", "ecdsa-", "sk-")
_OLD_HASHES = {"1": "md5", "sha1": "sha1"}
DAY_SECONDS = 86400
EMPTY = "empty"
LOCKED = "locked"
WEAK_HASH = "weak_hash"


@dataclass(frozen=True)
class Account:
    """A line of passwd with what belongs to it in shadow; ages are days since 1970."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str
    password: Optional[str] = None
    changed_day: Optional[int] = None
    max_days: Optional[int] = None
    expires_day: Optional[int] = None

    @property
    def has_login_shell(self) -> bool:
        """Whether the shell lets anybody do anything. No shell at all means /bin/sh."""
        return self.shell.rpartition("/")[2] not in _NO_LOGIN

    @property
    def password_state(self) -> Optional[str]:
        """C(empty), C(locked), C(weak_hash) or C(set); null when shadow could not be read."""
        if self.password is None:
            return None
        if self.password == "":
            return EMPTY
        if self.password[0] in "!*":
            return LOCKED
        parts = self.password.split("$")
        return WEAK_HASH if len(parts) < 3 or parts[1] in _OLD_HASHES else "set"

    def is_system(self, first_uid: int) -> bool:
        """Whether it is one of the distribution's or a package's, not a person's."""
        return 0 < self.uid < first_uid or self.uid == 65534

    def facts(self, today: int, first_uid: int) -> dict[str, Any]:
        """The account, one entry."""
        age = None if self.changed_day is None else max(today - self.changed_day, 0)
        return {
            "name": self.name,
            "uid": self.uid,
            "shell": self.shell,
            "is_system": self.is_system(first_uid),
            "has_login_shell": self.has_login_shell,
            "password_state": self.password_state,
            "password_age_days": age,
            "password_expires_days": None if age is None or self.max_days is None else self.max_days - age,
            "is_expired": None if self.password is None else self.expires_day is not None and self.expires_day <= today,
        }


def accounts_of(passwd: str, shadow: Optional[str]) -> list[Account]:
    """All accounts; C(shadow) is null when it could not be read."""
    secrets = {parts[0]: parts for parts in (line.split(":") for line in (shadow or "").splitlines()) if len(parts) > 7}
    found = []
    for line in passwd.splitlines():
        parts = line.split(":")
        if len(parts) < 7 or not parts[2].isdigit() or not parts[3].isdigit():
            continue
        secret = secrets.get(parts[0])
        password = parts[1] if parts[1] != "x" else None
        if secret is not None and parts[1] == "x":
            password = secret[1]
        found.append(
            Account(
                parts[0],
                int(parts[2]),
                int(parts[3]),
                parts[5],
                parts[6],
                password,
                *((_number(secret[2]), _number(secret[4]), _number(secret[7])) if secret else (None, None, None)),
            )
        )
    return found


def groups_of(text: str, accounts: Iterable[Account]) -> dict[str, list[str]]:
    """Members by group, those whose first group it is included."""
    found: dict[str, list[str]] = {}
    numbers: dict[int, str] = {}
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) >= 4 and parts[2].isdigit():
            found[parts[0]] = [name for name in parts[3].split(",") if name]
            numbers[int(parts[2])] = parts[0]
    for account in accounts:
        name = numbers.get(account.gid)
        if name is not None and account.name not in found[name]:
            found[name].append(account.name)
    return found


def groups_of_account(name: str, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """The groups of an account."""
    return [group for group, members in groups.items() if name in members]


def keys_of(text: str) -> list[dict[str, Any]]:
    """The keys of an authorized_keys file, each with its fingerprint, its size and whether it is too weak."""
    return [key for key in (_key(line) for line in text.splitlines()) if key]


def _key(line: str) -> Optional[dict[str, Any]]:
    line = line.strip()
    if not line or line.startswith("#"):
        return None
    parts = line.split()
    place = next((index for index, part in enumerate(parts) if part.startswith(_KEY_TYPES)), None)
    if place is None or place + 1 >= len(parts):
        return None
    kind = parts[place]
    try:
        blob = base64.b64decode(parts[place + 1], validate=True)
    except (binascii.Error, ValueError):
        return None
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    bits = _rsa_bits(blob) if kind == "ssh-rsa" else None
    weak = (
        "DSA is broken" if kind == "ssh-dss" else f"RSA of {bits} bits is too short" if bits and bits < 2048 else None
    )
    return {
        "type": kind,
        "bits": bits,
        "fingerprint": f"SHA256:{digest}",
        "has_options": place > 0,
        "is_weak": weak is not None,
        "reason": weak,
    }


def _rsa_bits(blob: bytes) -> Optional[int]:
    """The length of the modulus, the third of the blob's strings."""
    fields: list[bytes] = []
    while len(blob) >= 4 and len(fields) < 3:
        size = int.from_bytes(blob[:4], "big")
        fields.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    return int.from_bytes(fields[2], "big").bit_length() if len(fields) == 3 else None


def _number(text: str) -> Optional[int]:
    return int(text) if text.lstrip("-").isdigit() and int(text) >= 0 else None
