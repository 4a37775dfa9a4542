# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what through sudo: the grammar of C(sudoers(5)) with its includes, drop-ins and aliases. Pure.

C(grep -v '^#' /etc/sudoers) misses F(sudoers.d), takes C(#include) for a comment, and does not see what an alias holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

_MAX_FILES = 128
_ALIAS = re.compile(r"^(User|Runas|Host|Cmnd|Cmd)_Alias\s+(.*)$")
_INCLUDE = re.compile(r"^[@#](include|includedir)\s+(?:\"([^\"]+)\"|(\S+))\s*$")
_TAGS = re.compile(
    r"^\s*((?:NO)?(?:PASSWD|EXEC|SETENV|LOG_INPUT|LOG_OUTPUT|MAIL|FOLLOW|INTERCEPT)|"
    r"(?:ROLE|TYPE|CWD|CHROOT|TIMEOUT|NOTBEFORE|NOTAFTER|APPARMOR_PROFILE|PRIVS|LIMITPRIVS)=\S+)(:?)\s*"
)
# Programs that give whoever may run them as root a shell, or any file: what a narrow rule often forgets.
_SHELLS = (
    "ash bash csh dash env expect find ftp gdb git ksh less lua man more nano nmap node perl php pip pip3 python "
    "python2 python3 rsync ruby script sed sh socat strace su sudoedit systemctl tar tclsh tee vi vim vimdiff view "
    "watch xargs zip zsh apt apt-get dpkg docker awk gawk mawk cp mv dd chmod chown crontab mount"
)

Reader = Callable[[str], Optional[str]]
Lister = Callable[[str], Sequence[str]]


@dataclass(frozen=True)
class Rule:
    """One user specification with one list of commands, aliases resolved."""

    who: tuple[str, ...]
    hosts: tuple[str, ...]
    runas: tuple[str, ...]
    commands: tuple[str, ...]
    nopasswd: bool
    path: str
    line: int

    @property
    def is_everything(self) -> bool:
        """Whether it allows every command as root."""
        as_root = "ALL" in self.runas or "root" in self.runas or "#0" in self.runas or not self.runas
        return "ALL" in self.commands and as_root

    def facts(self) -> dict[str, Any]:
        """The rule, one entry."""
        return {
            "who": list(self.who),
            "hosts": list(self.hosts),
            "run_as": list(self.runas),
            "commands": list(self.commands),
            "nopasswd": self.nopasswd,
            "is_everything": self.is_everything,
            "shell_commands": [each for each in self.commands if _gives_shell(each)],
            "gives_shell": any(_gives_shell(each) for each in self.commands),
            "has_exclusions": any(each.startswith("!") for each in self.commands),
            "path": self.path,
            "line": self.line,
        }


@dataclass
class Sudoers:
    """All files together."""

    rules: list[Rule] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    authenticates: bool = True
    aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def everything_users(self, members: Callable[[str], Sequence[str]]) -> list[str]:
        """Accounts that may run every command as root, groups resolved; C(ALL) stands for everybody."""
        found: dict[str, None] = {}
        for rule in self.rules:
            if rule.is_everything:
                for who in rule.who:
                    for name in members(who[1:]) if who.startswith("%") else [who]:
                        if not who.startswith("!"):
                            found[name] = None
        return list(found)


def read_sudoers(path: str, read: Reader, list_directory: Lister) -> Sudoers:
    """Parse a sudoers file with everything it includes.

    Args:
        path: Usually C(/etc/sudoers).
        read: Text of a file; null when there is none.
        list_directory: Names in a directory.

    """
    found = Sudoers()
    raw: list[tuple[str, str, int]] = []
    _visit(path, read, list_directory, found, raw, 0)
    for text, _name, _line in raw:
        matched = _ALIAS.match(text)
        if matched:
            for definition in _split(matched[2], ":"):
                name, _separator, members = definition.partition("=")
                found.aliases[name.strip()] = tuple(_list(members))
    for text, name, line in raw:
        if _ALIAS.match(text):
            continue
        if re.match(r"^Defaults(?![\w-])", text):
            # Without authentication every rule is NOPASSWD.
            if re.search(r"!\s*authenticate\b", text) and re.match(r"^Defaults\s", text):
                found.authenticates = False
            continue
        specified = list(_specification(text, name, line, found))
        if not specified:
            found.errors.append({"path": name, "line": line, "reason": "this line is no rule that is understood"})
        found.rules += specified
    if not found.authenticates:
        found.rules = [Rule(**{**rule.__dict__, "nopasswd": True}) for rule in found.rules]
    return found


def _visit(
    path: str, read: Reader, list_directory: Lister, found: Sudoers, raw: list[tuple[str, str, int]], depth: int
) -> None:
    if path in found.files or depth > 16 or len(found.files) >= _MAX_FILES:
        return
    text = read(path)
    if text is None:
        found.missing.append(path)
        return
    found.files.append(path)
    for line, content in _logical(text):
        include = _INCLUDE.match(content)
        if include is None:
            stripped = _without_comment(content)
            if stripped:
                raw.append((stripped, path, line))
            continue
        target = include[2] or include[3]
        if not target.startswith("/"):
            target = f"{path.rpartition('/')[0]}/{target}"
        if include[1] == "include":
            _visit(target, read, list_directory, found, raw, depth + 1)
            continue
        for name in sorted(list_directory(target)):
            # sudo leaves out what looks like a package manager's or an editor's leftovers.
            if "." not in name and not name.endswith("~"):
                _visit(f"{target.rstrip('/')}/{name}", read, list_directory, found, raw, depth + 1)


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Lines with those that end in a backslash joined; the number is that of the first."""
    held, began = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        began = began or number
        if line.endswith("\\") and not line.endswith("\\\\"):
            held += line[:-1] + " "
            continue
        yield began, (held + line).strip()
        held, began = "", 0
    if held:
        yield began, held.strip()


def _without_comment(text: str) -> str:
    quoted = False
    for place, letter in enumerate(text):
        if letter == '"':
            quoted = not quoted
        # A number after the sign is a user or group by its id, no comment.
        elif letter == "#" and not quoted and (place == 0 or text[place - 1] != "\\"):
            if text[place + 1 : place + 2].isdigit() and (place == 0 or text[place - 1] in " \t,(%:!"):
                continue
            return text[:place].strip()
    return text.strip()


def _split(text: str, separator: str) -> list[str]:
    """Split where the separator is not escaped, quoted or in parentheses."""
    parts, current, depth, quoted, escaped = [], "", 0, False, False
    for letter in text:
        if escaped or letter == "\\":
            escaped = not escaped
        elif letter == '"':
            quoted = not quoted
        elif letter in "()":
            depth += 1 if letter == "(" else -1
        elif letter == separator and not quoted and depth == 0:
            parts.append(current)
            current = ""
            continue
        current += letter
    return [each.strip() for each in (*parts, current) if each.strip()]


def _list(text: str) -> list[str]:
    return [each.strip('"') for each in _split(text, ",")]


def _expand(names: Sequence[str], found: Sudoers, depth: int = 0) -> list[str]:
    expanded: list[str] = []
    for name in names:
        negated, plain = name.startswith("!"), name.lstrip("!").strip()
        if plain in found.aliases and depth < 16:
            inner = _expand(found.aliases[plain], found, depth + 1)
            expanded += [f"!{each}" for each in inner] if negated else inner
        else:
            expanded.append(name)
    return list(dict.fromkeys(expanded))


def _specification(text: str, path: str, line: int, found: Sudoers) -> Iterator[Rule]:
    """C(who hosts = (runas) tags commands : hosts = ...)."""
    head, equals, _rest = text.partition("=")
    matched = re.match(r"^(.*?[^\s,\\])\s+((?:[^\s,]+\s*,\s*)*[^\s,]+)\s*$", head)
    if not equals or matched is None:
        return
    who = tuple(_expand(_list(matched[1]), found))
    for part in _split(text[len(matched[1]) :], ":") if _has_more_hosts(text) else [text[len(matched[1]) :]]:
        hosts, _separator, granted = part.partition("=")
        runas: tuple[str, ...] = ("root",)
        nopasswd = False
        groups: dict[tuple[tuple[str, ...], bool], list[str]] = {}
        for command in _split(granted, ","):
            rest = command
            chosen = re.match(r"^\(([^)]*)\)\s*(.*)$", rest, re.DOTALL)
            if chosen:
                users = _expand(_list(chosen[1].split(":")[0]), found)
                # An empty list of users means the invoking user's own, with another group.
                runas, rest = tuple(users or ["self"]), chosen[2]
            while True:
                tag = _TAGS.match(rest)
                if tag is None or ("=" not in tag[1] and tag[2] != ":"):
                    break
                nopasswd = {"NOPASSWD": True, "PASSWD": False}.get(tag[1], nopasswd)
                rest = rest[tag.end() :]
            groups.setdefault((runas, nopasswd), []).append(rest.strip())
        for (as_whom, without), commands in groups.items():
            yield Rule(
                who, tuple(_expand(_list(hosts), found)), as_whom, tuple(_expand(commands, found)), without, path, line
            )


def _has_more_hosts(text: str) -> bool:
    """Whether a colon begins another list of hosts, and is not one of a tag or of a runas."""
    return re.search(r":\s*[\w%.*!,-]+\s*=\s*", re.sub(r"\([^)]*\)|[A-Z_]+:", "", text)) is not None


def _gives_shell(command: str) -> bool:
    if command.startswith("!") or command == "ALL":
        return False
    program, _separator, arguments = command.partition(" ")
    if program.endswith("/*"):
        return True
    name = program.rpartition("/")[2]
    # With fixed arguments it does only what they say; "" means none at all.
    return name in _SHELLS.split() and (arguments.strip() == "" or "*" in arguments)
