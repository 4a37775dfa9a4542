# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the options ask for: policies as objects, refused before anything is touched when they cannot work. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import timezone
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import quote_identifier
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.keep import Keep, parse_keep

ACTIONS = ["purge", "archive", "export", "detach"]
CHILD_ACTIONS = ["purge", "archive", "export"]
AFTER_DETACH = ["drop", "keep", "export"]
OPERATORS = [
    "=",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "in",
    "not in",
    "like",
    "not like",
    "is null",
    "is not null",
    "is true",
    "is not true",
]
_WITHOUT_VALUE = ("is null", "is not null", "is true", "is not true")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_PART = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')


@dataclass(frozen=True)
class TableName:
    """A schema-qualified name, in the exact spelling of the catalog."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def quoted(self) -> str:
        """As a person would have to type it in SQL."""
        return f"{quote_identifier(self.schema)}.{quote_identifier(self.name)}"


@dataclass(frozen=True)
class Condition:
    """One further condition that due rows fulfil. C(values) are bound, never part of the SQL text."""

    column: str
    operator: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Destination:
    """Where exported rows go: a directory on the host that executes the module, or a bucket below a prefix."""

    directory: Optional[str] = None
    bucket: Optional[str] = None
    prefix: str = ""

    def __str__(self) -> str:
        if self.bucket:
            return f"s3://{self.bucket}/{self.prefix}"
        return str(self.directory)


@dataclass(frozen=True)
class Child:
    """A table whose rows refer to those of the policy's table, or of another child, and go first."""

    table: TableName
    action: str
    archive_table: Optional[TableName] = None
    foreign_key: Optional[str] = None
    references: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Policy:
    """One declared rule: which rows are due, and what happens to them."""

    name: str
    table: TableName
    column: str
    keep: Keep
    keep_text: str
    action: str
    where: tuple[Condition, ...] = ()
    archive_table: Optional[TableName] = None
    export: Optional[Destination] = None
    children: tuple[Child, ...] = ()
    require_archive: bool = False
    key: tuple[str, ...] = ()
    max_rows: Optional[int] = None
    allow_triggers: bool = False
    allow_sequential: bool = False
    after_detach: str = "drop"
    column_timezone: str = ""

    @property
    def destroys(self) -> bool:
        """Whether rows of the table, or of a child, are gone for good."""
        if self.action == "detach":
            return self.after_detach == "drop"
        return self.action == "purge" or any(child.action == "purge" for child in self.children)


def parse_table(text: object, option: str) -> TableName:
    """Read C(schema.table), either part quoted or not; case is kept as given. Without a schema it is C(public)."""
    accepted = 'a table as schema.table, such as public.jobs or public.Jobs; names with dots in quotes ("my.schema".t)'
    if not isinstance(text, str) or not text.strip():
        raise InvalidOption(option, text, accepted)
    parts: list[str] = []
    rest = text.strip()
    while True:
        match = _PART.match(rest)
        if match is None:
            raise InvalidOption(option, text, accepted)
        parts.append(match[1].replace('""', '"') if match[1] else match[2])
        rest = rest[match.end() :]
        if not rest:
            break
        if not rest.startswith("."):
            raise InvalidOption(option, text, accepted)
        rest = rest[1:]
    if len(parts) > 2 or any("\0" in part for part in parts):
        raise InvalidOption(option, text, accepted)
    return TableName(*parts) if len(parts) == 2 else TableName("public", parts[0])


def parse_policies(given: Sequence[Mapping[str, Any]]) -> list[Policy]:
    """Every policy of the option; InvalidOption names the one that cannot work and why."""
    policies = [_policy(each) for each in given]
    names = [policy.name for policy in policies]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise InvalidOption("policies[].name", repeated, "a name that only one policy has: the ledger goes by it")
    return policies


def _policy(given: Mapping[str, Any]) -> Policy:
    name = str(given["name"])
    if not _NAME.fullmatch(name):
        accepted = "letters, digits, underscores and dashes, at most 63: files and the ledger are named by it"
        raise InvalidOption("policies[].name", name, accepted)
    where = f"policies[{name}]"
    action = given["action"]
    children = tuple(_child(each, action, where) for each in given.get("children") or ())
    policy = Policy(
        name=name,
        table=parse_table(given["table"], f"{where}.table"),
        column=str(given["column"]),
        keep=parse_keep(given["keep"], f"{where}.keep"),
        keep_text=str(given["keep"]),
        action=action,
        where=tuple(_condition(each, where) for each in given.get("where") or ()),
        archive_table=_optional_table(given.get("archive_table"), f"{where}.archive_table"),
        export=_destination(given.get("export"), where),
        children=children,
        require_archive=bool(given.get("require_archive")),
        key=tuple(given.get("key") or ()),
        max_rows=given.get("max_rows"),
        allow_triggers=bool(given.get("allow_triggers")),
        allow_sequential=bool(given.get("allow_sequential")),
        after_detach=given.get("after_detach") or "drop",
        column_timezone=_zone(given.get("column_timezone")),
    )
    _check(policy, where)
    return policy


def _zone(name: str | None) -> str:
    if name:
        timezone(name)
    return name or ""


def _check(policy: Policy, where: str) -> None:
    exporting = policy.action == "export" or any(child.action == "export" for child in policy.children)
    exporting = exporting or (policy.action == "detach" and policy.after_detach == "export")
    if (policy.action == "archive") != (policy.archive_table is not None):
        raise InvalidOption(
            f"{where}.archive_table", str(policy.archive_table or ""), "a table with action archive, and only with it"
        )
    if exporting != (policy.export is not None):
        raise InvalidOption(
            f"{where}.export",
            str(policy.export or ""),
            "a directory or a bucket when something is exported, and only then",
        )
    if policy.archive_table == policy.table:
        raise InvalidOption(f"{where}.archive_table", str(policy.table), "another table than the one it archives")
    if policy.max_rows is not None and policy.max_rows < 1:
        raise InvalidOption(f"{where}.max_rows", policy.max_rows, "at least 1")
    if policy.action == "detach" and (policy.where or policy.children):
        raise InvalidOption(
            f"{where}.action", "detach", "detach without where and children: a partition goes as a whole"
        )
    tables = [policy.table, *(child.table for child in policy.children)]
    if len(set(tables)) < len(tables):
        raise InvalidOption(f"{where}.children", [str(each) for each in tables], "every table once")


def _child(given: Mapping[str, Any], parent_action: str, where: str) -> Child:
    table = parse_table(given["table"], f"{where}.children[].table")
    action = given.get("action") or parent_action
    archive = _optional_table(given.get("archive_table"), f"{where}.children[{table}].archive_table")
    if (action == "archive") != (archive is not None):
        raise InvalidOption(
            f"{where}.children[{table}].archive_table",
            str(archive or ""),
            "a table with action archive, and only with it",
        )
    references = given.get("references") or {}
    if references and given.get("foreign_key"):
        raise InvalidOption(
            f"{where}.children[{table}].references", references, "either a foreign key or columns, not both"
        )
    pairs = tuple((str(column), str(parent)) for column, parent in references.items())
    return Child(table, action, archive, given.get("foreign_key") or None, pairs)


def _optional_table(text: object, option: str) -> TableName | None:
    return parse_table(text, option) if text not in (None, "") else None


def _destination(given: Mapping[str, Any] | None, where: str) -> Destination | None:
    if not given or not any(given.get(name) for name in ("directory", "bucket")):
        return None
    directory, bucket = given.get("directory"), given.get("bucket")
    if directory and bucket:
        raise InvalidOption(f"{where}.export", str(directory), "either a directory or a bucket")
    prefix = str(given.get("prefix") or "").lstrip("/")
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    return Destination(directory=directory or None, bucket=bucket or None, prefix=prefix)


def _condition(given: Mapping[str, Any], where: str) -> Condition:
    column, operator, value = str(given["column"]), given["operator"], given.get("value")
    option = f"{where}.where[{column}]"
    if operator in _WITHOUT_VALUE:
        if value is not None:
            raise InvalidOption(option, value, f"no value with {operator}")
        return Condition(column, operator)
    if operator in ("in", "not in"):
        if not isinstance(value, list) or not value or any(not _is_scalar(each) for each in value):
            raise InvalidOption(option, value, f"a list of texts or numbers that is not empty, with {operator}")
        return Condition(column, operator, tuple(_text(each) for each in value))
    if not _is_scalar(value):
        raise InvalidOption(option, value, f"a text, number or boolean with {operator}; is null for NULL")
    return Condition(column, operator, (_text(value),))


def _is_scalar(value: object) -> bool:
    return isinstance(value, (str, int, float)) and "\0" not in str(value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
