# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions as short words that are equal when the definitions are. Pure.

A server shows an expression from its parsed form, and the copy parsed that text anew: C(x IN ('a', 'b')) over a
C(varchar) column comes back from a dump with its casts in other places. Casts and parentheses are therefore left out:
operands, operators, literals and their order remain.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Optional

# Longer expressions are kept as a fingerprint; shorter ones are for people.
_SHOWN_CHARACTERS = 80

_NAME = r'(?:"(?:[^"]|"")*"|[^\W\d][\w$]*)'
_TYPE = (
    rf"(?:{_NAME}\s*\.\s*)?"
    rf"(?:character varying|double precision|bit varying|time(?:stamp)?(?:\(\d+\))? with(?:out)? time zone|{_NAME})"
    r"(?:\(\s*-?\d+(?:\s*,\s*-?\d+)*\s*\))?(?:\[\])*"
)
_TOKEN = re.compile(
    r"(?P<literal>[Ee]'(?:[^'\\]|\\.|'')*'|[BbXx]?'(?:[^']|'')*')"
    rf"|(?P<cast>::\s*{_TYPE})"
    r"|(?P<parenthesis>[()])"
    rf"|(?P<word>{_NAME}|\d[\w.]*|[-+*/<>=~!@#%^&|`?]+|\S)",
    re.DOTALL,
)


def normalized(expression: Optional[str]) -> str:
    """An expression without casts, parentheses and spacing; nothing for none."""
    kept = (match[0] for match in _TOKEN.finditer(expression or "") if match.lastgroup in ("literal", "word"))
    return " ".join(kept)


def fingerprint(*parts: object) -> str:
    """16 hex digits for a list of texts, numbers or None, in this order."""
    digest = hashlib.sha256()
    for part in parts:
        # A length in front, so that no two lists run into the same bytes; None is not an empty text.
        text = b"-" if part is None else str(part).encode("utf-8", "surrogateescape")
        digest.update(b"%d:%b" % (-1 if part is None else len(text), text))
    return digest.hexdigest()[:16]


def shown(expression: Optional[str]) -> str:
    """A normalized expression as it is if it is short, else its fingerprint."""
    text = normalized(expression)
    return text if len(text) <= _SHOWN_CHARACTERS else f"#{fingerprint(text)}"


# "role name"=arw*d/grantor; PUBLIC has no name.
_GRANT = re.compile(r'(?P<role>"(?:[^"]|"")*"|[^=]*)=(?P<rights>[A-Za-z*]*)/')


def privileges(acl: Optional[Iterable[str]], owner: str, *, default: str = "") -> dict[str, str]:
    """Who else may do what, as C({"app": "arw", "public": "r"}).

    Args:
        acl: PostgreSQL's entries, None when nothing was ever granted or revoked.
        owner: Whose own rights are left out: an owner may always grant them to itself.
        default: What everybody may do as long as it is None, C(X) for functions.

    """
    if acl is None:
        return {"public": default} if default else {}
    rights: dict[str, set[str]] = {}
    for entry in acl:
        match = _GRANT.match(entry)
        if match is None:
            continue
        role = match["role"]
        role = role[1:-1].replace('""', '"') if role.startswith('"') else role or "public"
        if role != owner:
            rights.setdefault(role, set()).update(re.findall(r"[A-Za-z]\*?", match["rights"]))
    return {role: "".join(sorted(rights[role])) for role in sorted(rights) if rights[role]}
