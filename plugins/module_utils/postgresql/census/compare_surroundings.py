# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two censuses side by side: the database as such, roles, extensions, schemas, collations. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.compare_structure import Pair
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.discrepancy import Difference, Discrepancy

# A copy that has less than this share of the original's tables, and more tables of its own, is of something else.
_KINSHIP = 0.2
# Fewer tables than these prove nothing.
_ENOUGH_TABLES = 3

_DATABASE, _ROLE = ("database", "databases"), ("role", "roles")
_EXTENSION, _SCHEMA, _COLLATION = ("extension", "extensions"), ("schema", "schemas"), ("collation", "collations")
_LOCALE = {"encoding": "encoding", "collate": "sort order", "ctype": "character classes", "locale_provider": "library"}
_CONTENTS = (
    ("tables", "table"),
    ("views", "view"),
    ("functions", "function"),
    ("sequences", "sequence"),
    ("types", "type"),
)


def identity(pair: Pair) -> Optional[Discrepancy]:
    """Whether the copy is of another database altogether; the rest is then not worth telling."""
    expected, found = pair.expected, pair.found
    servers = expected.server["system_identifier"], found.server["system_identifier"]
    if pair.physical and None not in servers and servers[0] != servers[1]:
        return Discrepancy(
            "identity_mismatch",
            str(expected.database["name"]),
            *servers,
            "The copy is of another server: its system identifier is not the original's.",
        )
    wanted, there = set(expected.tables), set(found.tables)
    common = wanted & there
    strange = there - wanted
    if len(wanted) >= _ENOUGH_TABLES and len(common) < _KINSHIP * len(wanted) and len(strange) > len(common):
        first = ", ".join(sorted(strange)[:3])
        return Discrepancy(
            "identity_mismatch",
            str(expected.database["name"]),
            len(wanted),
            len(common),
            f"The copy is of another database: it has {len(common)} of the {len(wanted)} tables of "
            f"{expected.database['name']}, and {len(strange)} others ({first}{', …' if len(strange) > 3 else ''}).",
        )
    return None


def locale(pair: Pair) -> Iterator[Difference]:
    """Encoding, sort order and character classes of the database, in one."""
    expected, found = pair.expected.database, pair.found.database
    wanted = {word: expected[key] for key, word in _LOCALE.items()}
    there = {word: found[key] for key, word in _LOCALE.items()}
    if _locale(expected["collate"]) == "c":
        # Whoever sorts by bytes, the order is the same.
        wanted["library"] = there["library"]
    other = [word for word in wanted if _locale(wanted[word]) != _locale(there[word])]
    if other:
        more = ", ".join(f"{word} {wanted[word]} expected and {there[word]} found" for word in other)
        what = ("has another encoding or locale", "have another encoding or locale")
        one, two = ({word: each[word] for word in other} for each in (wanted, there))
        yield Difference("encoding_mismatch", _DATABASE, None, str(found["name"]), what, one, two, more)


def roles(pair: Pair) -> Iterator[Difference]:
    """Roles that own or are granted something in the original, and nothing in the copy."""
    for name in sorted(pair.missing_roles):
        what = ("owns or is granted nothing in the copy", "own or are granted nothing in the copy")
        yield Difference("role_missing", _ROLE, None, name, what, "owner or grantee")


def extensions(pair: Pair) -> Iterator[Difference]:
    """Extensions that are missing. Their versions are the server's, and noted only."""
    for name, entry in pair.expected.extensions.items():
        found = pair.found.extensions.get(name)
        if found is None:
            yield Difference(
                "extension_missing", _EXTENSION, None, name, ("is missing", "are missing"), entry["version"]
            )
        elif found["version"] != entry["version"]:
            more = f"{entry['version']} in the original, {found['version']} here"
            what = ("has another version", "have other versions")
            versions = entry["version"], found["version"]
            yield Difference("structure_differs", _EXTENSION, None, name, what, *versions, more, noted=True)


def schemas(pair: Pair) -> Iterator[Difference]:
    """Schemas that are missing, with what was in them."""
    for name in sorted(pair.missing_schemas):
        held = {
            word: sum(1 for entry in getattr(pair.expected, field).values() if entry.get("schema") == name)
            for field, word in _CONTENTS
        }
        listed = ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for word, count in held.items() if count)
        more = f"{listed} with it" if listed else ""
        yield Difference("structure_missing", _SCHEMA, None, name, ("is missing", "are missing"), "schema", None, more)
    for name, entry in pair.expected.schemas.items():
        found = pair.found.schemas.get(name)
        # Everybody could create in public before 15, and nobody from then on; the dump does not say.
        if found is not None and not (name == "public" and pair.crosses(15)):
            yield from pair.ownership(_SCHEMA, None, name, entry, found)


def collations(pair: Pair) -> Iterator[Difference]:
    """Other versions of sort orders: wrong indexes in a physical copy, a hint about the server in a logical one."""
    for name, entry in pair.expected.collations.items():
        found = pair.found.collations.get(name)
        if found is None or entry["actual"] is None or found["actual"] is None:
            continue
        recorded = found["recorded"] if pair.physical else None
        if entry["actual"] != found["actual"] or recorded not in (None, found["actual"]):
            original = recorded or entry["actual"]
            more = f"{original} in the original, {found['actual']} here" + (
                "; every index over text has to be built anew" if pair.physical else ""
            )
            yield Difference(
                "collation_version",
                _COLLATION,
                None,
                name,
                ("has another version", "have other versions"),
                original,
                found["actual"],
                more,
                noted=not pair.physical,
            )


def _locale(name: Optional[str]) -> str:
    """C(en_US.UTF-8) and C(en_US.utf8) are one locale, and so are C and POSIX."""
    plain = str(name or "").lower().replace("-", "")
    return "c" if plain == "posix" else plain
