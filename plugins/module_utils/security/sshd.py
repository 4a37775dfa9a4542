# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What sshd really does for a user from an address: the output of C(sshd -T), and what to ask it for. Pure.

C(sshd_config) says that the first value of a keyword wins, that files are included, and that Match blocks change it all
for some connections. Only sshd itself knows the outcome. The text of the files is read here for one thing: which
connections the Match blocks are about, so that sshd can be asked about those.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Optional

# From no network of anybody (RFC 5737).
OUTSIDE = "203.0.113.77"
_MAX_CONNECTIONS = 40
_MAX_FILES = 100
_WEAK_CIPHERS = ("3des-cbc", "arcfour*", "blowfish-cbc", "cast128-cbc", "*-cbc")
_WEAK_MACS = ("hmac-md5*", "hmac-sha1-96*", "*-md5*")
_WEAK_KEX = ("diffie-hellman-group1-sha1", "diffie-hellman-group14-sha1", "diffie-hellman-group-exchange-sha1")

Settings = Mapping[str, Sequence[str]]
Reader = Callable[[str], Optional[str]]
Globber = Callable[[str], Sequence[str]]


@dataclass(frozen=True)
class Connection:
    """Somebody who comes from somewhere, as C(sshd -T -C) takes it."""

    user: str
    address: str = OUTSIDE
    host: str = ""
    match: str = ""

    @property
    def argument(self) -> str:
        """The value of C(-C)."""
        return f"user={self.user},host={self.host or self.address},addr={self.address}"


def settings_of(text: str) -> dict[str, list[str]]:
    """The output of C(sshd -T): every keyword in lower case, with all its values."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        keyword, _separator, value = line.strip().partition(" ")
        if keyword:
            found.setdefault(keyword.lower(), []).append(value.strip())
    return found


def first(settings: Settings, keyword: str) -> Optional[str]:
    """The value of a keyword; null when sshd does not know it."""
    values = settings.get(keyword)
    return values[0] if values else None


def words(settings: Settings, keyword: str) -> list[str]:
    """The words of all values of a keyword. C(AllowUsers) comes once for each pattern."""
    return [word for value in settings.get(keyword, ()) for word in value.split()]


def login_facts(settings: Settings) -> dict[str, Any]:
    """What matters about logins; a value that sshd does not tell is null."""
    password = _flag(settings, "passwordauthentication")
    interactive = _flag(settings, "kbdinteractiveauthentication")
    if interactive is None:
        interactive = _flag(settings, "challengeresponseauthentication")
    # Keyboard-interactive asks PAM, and PAM asks for the password.
    typed = None if password is None else password or bool(interactive and _flag(settings, "usepam"))
    root = first(settings, "permitrootlogin")
    methods = words(settings, "authenticationmethods") or ["any"]
    only_keys = methods != ["any"] and all("password" not in each and "keyboard" not in each for each in methods)
    typed = False if only_keys and typed is not None else typed
    return {
        "permit_root_login": root,
        "password_authentication": password,
        "keyboard_interactive_authentication": interactive,
        "password_login": typed,
        "root_login": None if root is None else root != "no",
        "root_password_login": None if root is None or typed is None else root == "yes" and typed,
        "permit_empty_passwords": _flag(settings, "permitemptypasswords"),
        "pubkey_authentication": _flag(settings, "pubkeyauthentication"),
        "authentication_methods": methods,
        "allow_users": words(settings, "allowusers"),
        "allow_groups": words(settings, "allowgroups"),
        "deny_users": words(settings, "denyusers"),
        "deny_groups": words(settings, "denygroups"),
    }


def server_facts(settings: Settings) -> dict[str, Any]:
    """What is the same for everybody."""
    tries = first(settings, "maxauthtries")
    grace = first(settings, "logingracetime")
    return {
        "ports": sorted({int(port) for port in words(settings, "port") if port.isdigit()}),
        "listen_addresses": words(settings, "listenaddress"),
        "max_auth_tries": int(tries) if tries and tries.isdigit() else None,
        "login_grace_seconds": int(grace) if grace and grace.isdigit() else None,
        "x11_forwarding": _flag(settings, "x11forwarding"),
        "log_level": first(settings, "loglevel"),
        "strict_modes": _flag(settings, "strictmodes"),
        "weak_algorithms": [
            *_weak(settings, "ciphers", _WEAK_CIPHERS),
            *_weak(settings, "macs", _WEAK_MACS),
            *_weak(settings, "kexalgorithms", _WEAK_KEX),
        ],
        "is_restricted": any(words(settings, keyword) for keyword in ("allowusers", "allowgroups")),
    }


def may_log_in(account: str, groups: Iterable[str], facts: Mapping[str, Any], address: str = OUTSIDE) -> bool:
    """Whether sshd's lists let an account in: deny first, then allow, in the order of C(sshd_config(5))."""
    names = list(groups)
    if any(_is_user(account, address, pattern) for pattern in facts["deny_users"]):
        return False
    if facts["allow_users"] and not any(_is_user(account, address, pattern) for pattern in facts["allow_users"]):
        return False
    if _in_groups(names, facts["deny_groups"]):
        return False
    return not facts["allow_groups"] or _in_groups(names, facts["allow_groups"])


def connections(
    matches: Iterable[str], members: Callable[[str], Sequence[str]], accounts: Sequence[str]
) -> list[Connection]:
    """Whom to ask sshd about: root and an ordinary account from outside, and one that each Match block is about.

    Args:
        matches: The criteria of the Match lines, such as C(Address 10.0.0.0/8 User root).
        members: The accounts of a group.
        accounts: Accounts that can log in.

    """
    ordinary = [name for name in accounts if name != "root"][:1]
    found = [Connection(name) for name in ("root", *ordinary)]
    for criteria in matches:
        asked = _criteria(criteria)
        named = _named(asked.get("user", ""), accounts)
        for group in _items(asked.get("group", "")):
            named += members(group)
        # A block that names nobody is about everybody, and root is who matters most.
        users = named[:3] if named else ["root", *ordinary]
        address = _sample(asked.get("address", ""))
        for user in dict.fromkeys(users):
            found.append(Connection(user, address or OUTSIDE, asked.get("host", "").split(",")[0], criteria))
    return list(dict.fromkeys(found))[:_MAX_CONNECTIONS]


def match_lines(path: str, read: Reader, expand: Globber) -> tuple[list[str], list[str]]:
    """The criteria of all Match lines of a configuration with its includes, and the files that were read."""
    matches: list[str] = []
    files: list[str] = []

    def visit(name: str, depth: int) -> None:
        if name in files or depth > 16 or len(files) >= _MAX_FILES:
            return
        text = read(name)
        if text is None:
            return
        files.append(name)
        for line in text.splitlines():
            keyword, rest = _keyword(line)
            if keyword == "match":
                matches.append(" ".join(rest))
            elif keyword == "include":
                for pattern in rest:
                    for each in expand(pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"):
                        visit(each, depth + 1)

    visit(path, 0)
    return list(dict.fromkeys(each for each in matches if each.lower() != "all")), files


def _keyword(line: str) -> tuple[str, list[str]]:
    found = re.match(r"\s*(\w+)(?:\s*=\s*|\s+)(.*)$", line)
    if found is None:
        return "", []
    try:
        return found[1].lower(), shlex.split(found[2], comments=True)
    except ValueError:
        return found[1].lower(), found[2].split()


def _criteria(text: str) -> dict[str, str]:
    parts = re.split(r"[\s=]+", text.strip())
    return {name.lower(): value for name, value in zip(parts[::2], parts[1::2])}


def _items(text: str) -> list[str]:
    return [each for each in text.split(",") if each and not each.startswith("!")]


def _named(text: str, accounts: Sequence[str]) -> list[str]:
    known = ["root", *(name for name in accounts if name != "root")]
    named: list[str] = []
    for pattern in _items(text):
        if "*" in pattern or "?" in pattern:
            named += [name for name in known if fnmatchcase(name, pattern)][:2]
        else:
            named.append(pattern)
    return named


def _sample(text: str) -> Optional[str]:
    """An address that a pattern of addresses is about."""
    for pattern in _items(text):
        try:
            network = ipaddress.ip_network(pattern, strict=False)
        except ValueError:
            if "*" in pattern and set(pattern) <= set("0123456789.*"):
                return pattern.replace("*", "1")
            continue
        return str(network.network_address + (1 if network.num_addresses > 2 else 0))
    return None


def _flag(settings: Settings, keyword: str) -> Optional[bool]:
    value = first(settings, keyword)
    return None if value is None else value not in ("no", "none")


def _weak(settings: Settings, keyword: str, patterns: Sequence[str]) -> list[str]:
    offered = [each for value in settings.get(keyword, ()) for each in value.split(",")]
    return [each for each in offered if any(fnmatchcase(each, pattern) for pattern in patterns)]


def _is_user(account: str, address: str, pattern: str) -> bool:
    name, at, host = pattern.partition("@")
    if not fnmatchcase(account, name):
        return False
    if not at:
        return True
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(host, strict=False)
    except ValueError:
        # A name or a pattern: it lets in somebody from somewhere, which is what is asked.
        return True


def _in_groups(names: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
