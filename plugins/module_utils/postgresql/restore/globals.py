# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles in what pg_dumpall --globals-only wrote, one by one, so that only those that are missing are made. Pure.

Running the whole file, as its authors meant it, changes every role that is there already: its password and its
settings become those of the backup.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Optional

# A text or a quoted name with doubled quotes in it, a comment, a line of psql's own, or the end of a statement. With
# standard_conforming_strings, which pg_dumpall sets, a backslash is a character; in E'…' it is not.
_TOKEN = re.compile(
    r"""(?P<skip>--[^\n]*|^\\[^\n]*$)|(?P<text>[Ee]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*")|(?P<end>;)""",
    re.MULTILINE | re.DOTALL,
)
_IDENTIFIER = r'(?:"(?:[^"]|"")+"|[^\s";]+)'
_CREATE = re.compile(rf"CREATE (?:ROLE|USER|GROUP) ({_IDENTIFIER})(?:\s|$)", re.IGNORECASE)
_ABOUT = re.compile(
    rf"(?:ALTER (?:ROLE|USER|GROUP)|COMMENT ON ROLE|SECURITY LABEL FOR \S+ ON ROLE) ({_IDENTIFIER})\s", re.IGNORECASE
)
_GRANT = re.compile(
    rf"GRANT ({_IDENTIFIER}) TO ({_IDENTIFIER})(?P<options>(?: WITH .*?)?)(?: GRANTED BY ({_IDENTIFIER}))?\s*",
    re.IGNORECASE | re.DOTALL,
)
_ATTRIBUTES = ("SUPERUSER", "CREATEROLE", "CREATEDB", "LOGIN", "REPLICATION", "BYPASSRLS")
_PASSWORD = re.compile(r"\sPASSWORD\s+'")
_COMPLETE = b"-- PostgreSQL database cluster dump complete"


@dataclass(frozen=True)
class Membership:
    """One role in another, with the words behind it."""

    granted: str
    member: str
    words: str
    grantor: Optional[str] = None

    def statement(self, roles: Iterable[str]) -> str:
        """The statement; on behalf of its grantor only where that is among the target's roles."""
        by = f" GRANTED BY {_quoted(self.grantor)}" if self.grantor is not None and self.grantor in roles else ""
        return f"GRANT {_quoted(self.granted)} TO {_quoted(self.member)}{self.words}{by}"


@dataclass
class Globals:
    """What a file of globals says of roles. C(roles) holds the statements that make each of them, in order.

    The statements hold passwords (as SCRAM verifiers): never to be shown.
    """

    roles: dict[str, list[str]] = field(default_factory=dict)
    memberships: list[Membership] = field(default_factory=list)
    is_complete: bool = True

    def attributes(self, role: str) -> list[str]:
        """What a role may do, for people: such as LOGIN."""
        words = re.sub(r"'(?:[^']|'')*'", "", " ".join(self.roles.get(role, ()))).split()
        return [each for each in _ATTRIBUTES if each in words]

    def lacks_password(self, role: str) -> bool:
        """Whether a role may log in and nothing says with which password."""
        return "LOGIN" in self.attributes(role) and not any(_PASSWORD.search(each) for each in self.roles[role])

    def memberships_of(self, members: Iterable[str]) -> list[Membership]:
        """Which roles these are to be in."""
        wanted = set(members)
        return [each for each in self.memberships if each.member in wanted]


def parse_globals(data: bytes) -> Globals:
    """The roles in C(data)."""
    found = Globals(is_complete=_COMPLETE in data)
    for each in statements(data.decode("utf-8", "surrogateescape")):
        if made := _CREATE.match(each):
            found.roles.setdefault(unquoted(made[1]), []).append(each)
        elif about := _ABOUT.match(each):
            name = unquoted(about[1])
            if name in found.roles:
                found.roles[name].append(each)
        elif (granted := _GRANT.fullmatch(each)) and granted[1].upper() != "ALL":
            grantor = unquoted(granted[4]) if granted[4] else None
            found.memberships.append(
                Membership(unquoted(granted[1]), unquoted(granted[2]), granted["options"], grantor)
            )
    return found


def statements(text: str) -> Iterator[str]:
    """The statements in a script, without comments and without psql's own commands."""
    parts: list[str] = []
    position = 0
    for token in _TOKEN.finditer(text):
        parts.append(text[position : token.start()])
        position = token.end()
        if token["text"]:
            parts.append(token["text"])
        elif token["end"]:
            if whole := "".join(parts).strip():
                yield whole
            parts = []
    if rest := "".join([*parts, text[position:]]).strip():
        yield rest


def unquoted(name: str) -> str:
    """The name that an identifier in SQL stands for."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
