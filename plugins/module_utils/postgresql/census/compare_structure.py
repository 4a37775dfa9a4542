# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two censuses side by side: structure. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.discrepancy import Difference
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Census, Entry, Topic

Label = tuple[str, str]

_MISSING = ("is missing", "are missing")
_UNEXPECTED = ("is not in the original", "are not in the original")
_REDEFINED = ("is defined otherwise", "are defined otherwise")
# What an owner, or anybody by default, may do with tables exists as a privilege of its own from 17 on.
_MAINTAIN = 17

_LABELS: Mapping[str, Label] = {
    "constraints": ("constraint", "constraints"),
    "indexes": ("index", "indexes"),
    "triggers": ("trigger", "triggers"),
    "policies": ("policy", "policies"),
    "rules": ("rule", "rules"),
    "views": ("view", "views"),
    "functions": ("function", "functions"),
    "types": ("type", "types"),
    "publications": ("publication", "publications"),
    "subscriptions": ("subscription", "subscriptions"),
    "event_triggers": ("event trigger", "event triggers"),
    "default_privileges": ("default privilege", "default privileges"),
    "others": ("object", "objects"),
}
TABLE: Label = ("table", "tables")
_KIND_LABELS: Mapping[str, Label] = {
    "materialized view": ("materialized view", "materialized views"),
    "foreign table": ("foreign table", "foreign tables"),
    "partition": ("partition", "partitions"),
}


@dataclass(frozen=True)
class Pair:
    """The original and the copy, and under which rules they are compared."""

    expected: Census
    found: Census
    ignore_roles: bool = False
    physical: bool = False

    @cached_property
    def missing_roles(self) -> frozenset[str]:
        """Roles that nothing in the copy belongs to or is granted to."""
        return frozenset(self.expected.roles) - frozenset(self.found.roles)

    @cached_property
    def missing_schemas(self) -> frozenset[str]:
        """Schemas that the copy lacks."""
        return frozenset(self.expected.schemas) - frozenset(self.found.schemas)

    @cached_property
    def missing_tables(self) -> frozenset[str]:
        """Tables and views that the copy lacks, for whatever reason."""
        wanted = {*self.expected.tables, *self.expected.views, *self.expected.types}
        return frozenset(wanted - {*self.found.tables, *self.found.views, *self.found.types})

    @property
    def same_major(self) -> bool:
        """Whether both servers write definitions alike."""
        return self.expected.major == self.found.major

    def crosses(self, major: int) -> bool:
        """Whether one of the servers is older than this major version and the other is not."""
        return (self.expected.major < major) != (self.found.major < major)

    def redefined(self, label: Label, schema: Optional[str], name: str, one: Entry, other: Entry) -> list[Difference]:
        """Another definition; noted only where servers may write the same in other words.

        That is so between major versions, and for the text of a query, which a few servers do not write as they read
        it (natural joins over columns that were renamed): what it reads and what it yields is compared besides.
        """
        is_redefined = one.get("definition") != other.get("definition")
        if not is_redefined and (not self.same_major or one.get("text") == other.get("text")):
            return []
        key = "definition" if is_redefined else "text"
        noted = not (is_redefined and self.same_major)
        return [
            Difference("structure_differs", label, schema, name, _REDEFINED, one.get(key), other.get(key), noted=noted)
        ]

    def is_told(self, entry: Entry) -> bool:
        """Whether the loss of an object is told with that of its schema or its table."""
        return entry.get("schema") in self.missing_schemas or entry.get("table") in self.missing_tables

    def ownership(
        self, label: Label, schema: Optional[str], name: str, expected: Entry, found: Entry
    ) -> Iterator[Difference]:
        """Another owner, other privileges. Those of roles that are missing are told with the role."""
        if self.ignore_roles:
            return
        one, other = expected.get("owner"), found.get("owner")
        if one != other and one not in self.missing_roles:
            what = ("has another owner", "have other owners")
            more = f"{one} expected, {other} found"
            yield Difference("structure_differs", label, schema, name, what, one, other, more)
        granted, given = self._granted(expected, found), self._granted(found, expected)
        if granted != given:
            what = ("has other privileges", "have other privileges")
            more = f"{_acl_text(granted)} expected, {_acl_text(given)} found"
            yield Difference("structure_differs", label, schema, name, what, granted, given, more)

    def _granted(self, entry: Entry, other: Entry) -> dict[str, str]:
        """Privileges, without those of owners, of roles that are missing, and those that one of the majors lacks."""
        leave_out = self.missing_roles | {entry.get("owner"), other.get("owner")}
        granted = {role: rights for role, rights in entry.get("acl", {}).items() if role not in leave_out}
        for column, columns_acl in entry.get("column_acl", {}).items():
            granted |= {f"{role} on {column}": it for role, it in columns_acl.items() if role not in leave_out}
        if self.crosses(_MAINTAIN):
            granted = {role: rights.replace("m*", "").replace("m", "") for role, rights in granted.items()}
        return {role: rights for role, rights in granted.items() if rights}


def label_of(table: Entry) -> Label:
    """What a table is called."""
    return _KIND_LABELS.get(table["kind"], TABLE)


def tables(pair: Pair) -> Iterator[Difference]:
    """Tables that are missing, too many, or otherwise made."""
    for name, entry in pair.expected.tables.items():
        found = pair.found.tables.get(name)
        if found is None:
            if entry["schema"] not in pair.missing_schemas and not entry["is_extension_member"]:
                yield Difference("structure_missing", label_of(entry), entry["schema"], name, _MISSING, entry["kind"])
        elif not entry["is_extension_member"]:
            yield from _table(pair, name, entry, found)
    for name, entry in pair.found.tables.items():
        if name not in pair.expected.tables and not entry["is_extension_member"]:
            yield Difference(
                "structure_differs", label_of(entry), entry["schema"], name, _UNEXPECTED, None, entry["kind"]
            )


def _table(pair: Pair, name: str, expected: Entry, found: Entry) -> Iterator[Difference]:
    label, schema = label_of(expected), expected["schema"]

    def differs(what: Label, one: Any, other: Any, more: str = "", code: str = "structure_differs") -> Difference:
        return Difference(code, label, schema, name, what, one, other, more)

    if expected["kind"] != found["kind"]:
        more = f"{expected['kind']} expected, {found['kind']} found"
        yield differs(("is something else", "are something else"), expected["kind"], found["kind"], more)
        return
    yield from _columns(pair, name, expected, found)
    yield from pair.redefined(label, schema, name, expected, found)
    if expected["persistence"] != found["persistence"]:
        kinds = expected["persistence"], found["persistence"]
        yield differs(("is kept otherwise", "are kept otherwise"), *kinds, f"{kinds[0]} expected, {kinds[1]} found")
    if expected["rls"] != found["rls"]:
        states = expected["rls"], found["rls"]
        what = ("has another row security", "have another row security")
        yield differs(what, *states, f"{states[0]} expected, {states[1]} found")
    if expected["populated"] and not found["populated"]:
        what = ("is not populated", "are not populated")
        yield differs(what, True, False, "REFRESH MATERIALIZED VIEW failed or was left out", "matview_unpopulated")
    for key in ("disabled_constraint_triggers", "disabled_partition_triggers"):
        # A dump leaves out that foreign keys were not enforced: the copy may have fewer of these.
        if found[key] > expected[key] or (found[key] < expected[key] and key == "disabled_partition_triggers"):
            word = "that enforce its foreign keys" if key == "disabled_constraint_triggers" else "of its parent"
            more = f"{expected[key]} of the triggers {word} were disabled, here {found[key]}"
            what = ("has other triggers disabled", "have other triggers disabled")
            yield differs(what, expected[key], found[key], more)
    yield from pair.ownership(label, schema, name, expected, found)


def _columns(pair: Pair, name: str, expected: Entry, found: Entry) -> Iterator[Difference]:
    wanted, there = expected["columns"], found["columns"]
    if wanted == there:
        if expected["order"] != found["order"] and None not in (expected["order"], found["order"]):
            what = ("has its columns in another order", "have their columns in another order")
            orders = expected["order"], found["order"]
            yield Difference("structure_differs", label_of(expected), expected["schema"], name, what, *orders)
        return
    lines, noted = [], not pair.same_major
    for column in [*wanted, *(each for each in there if each not in wanted)]:
        one, other = wanted.get(column), there.get(column)
        if one != other:
            lines.append(_column(column, one, other))
            noted = noted and one is not None and other is not None and _plain(one) == _plain(other)
    if lines:
        more = ", ".join(lines[:3]) + (f" and {len(lines) - 3} more" if len(lines) > 3 else "")
        what = ("has other columns", "have other columns")
        values = dict(wanted), dict(there)
        label, schema = label_of(expected), expected["schema"]
        yield Difference("structure_differs", label, schema, name, what, *values, more, noted)


def _column(name: str, expected: Optional[str], found: Optional[str]) -> str:
    if expected is None:
        return f"{name} is not in the original"
    return f"{name} is missing" if found is None else f"{name} is {found} instead of {expected}"


def _plain(column: str) -> str:
    """A column's definition without the expression, which servers may write in other words."""
    return re.sub(r" (default|generated \w+) .*", r" \1", column)


def parts(pair: Pair, topic: str) -> Iterator[Difference]:
    """Constraints, indexes, triggers, policies and rules of tables that are there."""
    wanted: Topic = getattr(pair.expected, topic)
    there: Topic = getattr(pair.found, topic)
    label = _LABELS[topic]
    for name, entry in wanted.items():
        if pair.is_told(entry):
            continue
        found = there.get(name)
        if found is None:
            # An index that was invalid is not dumped.
            if topic != "indexes" or entry["valid"] or entry["is_partitioned"]:
                yield Difference("structure_differs", label, entry["schema"], name, _MISSING, topic)
        else:
            yield from _part(pair, label, name, entry, found)
    for name, entry in there.items():
        if name not in wanted and entry["table"] in {**pair.expected.tables, **pair.expected.views}:
            yield Difference("structure_differs", label, entry["schema"], name, _UNEXPECTED, None, topic)


def _part(pair: Pair, label: Label, name: str, expected: Entry, found: Entry) -> Iterator[Difference]:
    schema = expected["schema"]
    yield from pair.redefined(label, schema, name, expected, found)
    if expected.get("validated") and not found.get("validated"):
        what = ("is not validated", "are not validated")
        more = "rows that break it may be there. ALTER TABLE … VALIDATE CONSTRAINT shows the first"
        yield Difference("constraint_not_validated", label, schema, name, what, True, False, more)
    if expected.get("valid", True) and not found.get("valid", True):
        # With a foreign table among the partitions, a dump cannot make it valid again; the partitions' indexes are.
        noted = bool(found.get("is_partitioned")) and _has_foreign_partition(pair.found, found["table"])
        what = ("is invalid", "are invalid")
        yield Difference("structure_differs", label, schema, name, what, True, False, noted=noted)
    states = expected.get("enabled"), found.get("enabled")
    if states[0] != states[1]:
        what = (f"is {states[1]}", f"are {states[1]}")
        yield Difference("structure_differs", label, schema, name, what, *states, f"{states[0]} in the original")
    allowed = expected.get("roles"), found.get("roles")
    if allowed[0] != allowed[1] and not pair.ignore_roles and not pair.missing_roles.intersection(allowed[0] or ()):
        what = ("is for other roles", "are for other roles")
        more = f"{', '.join(allowed[0] or ())} expected, {', '.join(allowed[1] or ())} found"
        yield Difference("structure_differs", label, schema, name, what, *allowed, more)


def _has_foreign_partition(census: Census, table: str) -> bool:
    leaves = (each for each in census.tables.values() if each["root"] is not None)
    return any(each["kind"] == "foreign table" and table in (each["root"], each["parent"]) for each in leaves)


def standing_alone(pair: Pair, topic: str) -> Iterator[Difference]:
    """Views, functions, types and whatever is no part of a table."""
    if topic == "default_privileges" and pair.ignore_roles:
        return
    wanted: Topic = getattr(pair.expected, topic)
    there: Topic = getattr(pair.found, topic)
    for name, entry in wanted.items():
        found = there.get(name)
        schema, label = entry.get("schema"), _label(topic, entry)
        if found is None:
            if not pair.is_told(entry) and not _is_of_missing_roles(pair, topic, entry):
                yield Difference("structure_missing", label, schema, name, _MISSING, label[0])
            continue
        yield from pair.redefined(label, schema, name, entry, found)
        states = entry.get("enabled"), found.get("enabled")
        if states[0] != states[1]:
            what = (f"is {states[1]}", f"are {states[1]}")
            yield Difference("structure_differs", label, schema, name, what, *states, f"{states[0]} in the original")
        yield from pair.ownership(label, schema, name, entry, found)
    for name, entry in there.items():
        if name not in wanted and topic in ("views", "functions", "types", "event_triggers"):
            label = _label(topic, entry)
            yield Difference("structure_differs", label, entry.get("schema"), name, _UNEXPECTED, None, label[0])


def _is_of_missing_roles(pair: Pair, topic: str, entry: Entry) -> bool:
    """Whether what is missing are default privileges of, or for, roles that are missing."""
    if topic != "default_privileges":
        return False
    return entry["owner"] in pair.missing_roles or (bool(entry["acl"]) and pair.missing_roles.issuperset(entry["acl"]))


def _label(topic: str, entry: Entry) -> Label:
    kind = entry.get("kind") if topic in ("functions", "types") else None
    return (
        (str(kind), _LABELS[topic][1] if kind in ("function", "base type") else f"{kind}s") if kind else _LABELS[topic]
    )


def _acl_text(granted: Mapping[str, str]) -> str:
    return " ".join(f"{role}={rights}" for role, rights in granted.items()) or "none"
