# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a statement of a dump is about. Pure; the forms are those that pg_dump writes."""

from __future__ import annotations

import re
from typing import Optional

_NAME = r'(?:"(?:[^"]|"")+"|[A-Za-z_\x80-\xff][\w$\x80-\xff]*)'
_QUALIFIED = rf"{_NAME}(?:\.{_NAME})*"
_COPY = re.compile(rf"COPY\s+({_QUALIFIED})".encode("latin-1"), re.I)
_SETTING = re.compile(
    rf"SET\s+(?:SESSION\s+)?(?!LOCAL\b|TRANSACTION\b)({_QUALIFIED})\s*(?:=|TO)".encode("latin-1"), re.I
)
_SESSION_AUTHORIZATION = re.compile(rb"(?:SET|RESET)\s+SESSION\s+AUTHORIZATION\b", re.I)
_SET_CONFIG = re.compile(rb"SELECT\s+pg_catalog\.set_config\('([^']+)',\s*'[^']*',\s*false\)\s*;", re.I)
_INDEX = re.compile(
    rf"CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:{_NAME}\s+)?ON\s+(?:ONLY\s+)?({_QUALIFIED})".encode("latin-1"), re.I
)
_ALTER_TABLE = re.compile(
    rf"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?({_QUALIFIED})\s+(\w+\s+\w+)".encode("latin-1"), re.I
)
_REFERENCES = re.compile(rf"\sFOREIGN\s+KEY\s.*\sREFERENCES\s+({_QUALIFIED})".encode("latin-1"), re.I | re.S)
_PLAIN_KEY = re.compile(
    rf"ALTER\s+TABLE\s+(?:ONLY\s+)?({_QUALIFIED})\s+ADD\s+CONSTRAINT\s+({_NAME})\s+(PRIMARY\s+KEY|UNIQUE)\s+"
    rf"(\({_NAME}(?:,\s*{_NAME})*\))\s*;\Z".encode("latin-1"),
    re.I,
)
_MATERIALIZED = re.compile(rf"REFRESH\s+MATERIALIZED\s+VIEW\s+({_QUALIFIED})".encode("latin-1"), re.I)
_CONNECT = re.compile(rb"\\c(?:onnect)?\s+(?:-reuse-previous=\w+\s+)?(.+?)\s*\Z")
_CONNECTION_STRING_NAME = re.compile(rb"dbname='((?:[^'\\]|\\.)*)'")
_ENCODING = re.compile(rb"\sENCODING\s*=\s*'([^']+)'", re.I)
_PARTITIONED = re.compile(
    rf"CREATE\s+TABLE\s+({_QUALIFIED})\s*\(.*\)\s*PARTITION\s+BY\s".encode("latin-1"), re.I | re.S
)
_CREATE_TABLE = re.compile(rf"CREATE\s+TABLE\s+({_QUALIFIED})".encode("latin-1"), re.I)
_INSERT = re.compile(rf"INSERT\s+INTO\s+({_QUALIFIED})".encode("latin-1"), re.I)
_OF_DATABASE = re.compile(rb"(?:CREATE|ALTER|DROP)\s+DATABASE\b|COMMENT\s+ON\s+DATABASE\b", re.I)
_OF_TABLESPACE = re.compile(
    rb"(?:CREATE|ALTER|DROP)\s+TABLESPACE\b|(?:GRANT|REVOKE)\s.*\sON\s+TABLESPACE\s", re.I | re.S
)
_OF_ROLE = re.compile(
    rf"(?:CREATE|ALTER|DROP)\s+(?:ROLE|USER|GROUP)\s|(?:GRANT|REVOKE)\s+{_NAME}\s+(?:TO|FROM)\s|"
    r"(?:GRANT|REVOKE)\s.*\sON\s+PARAMETER\s".encode("latin-1"),
    re.I | re.S,
)
_DROPPING = re.compile(rb"DROP\s|ALTER\s[^;']*\sDROP\s(?:CONSTRAINT|DEFAULT|IDENTITY)\b", re.I)
# What comes after the data in a dump of pg_dump: it changes no row of a table.
_KEEPING_ROWS = re.compile(
    rb"CREATE\s+(?:UNIQUE\s+)?INDEX\s|CREATE\s+(?:(?:CONSTRAINT\s+|EVENT\s+)?TRIGGER|(?:OR\s+REPLACE\s+)?RULE)\s|"
    rb"CREATE\s+(?:POLICY|STATISTICS|PUBLICATION|SUBSCRIPTION)\s|ALTER\s+(?:INDEX|POLICY|STATISTICS|PUBLICATION)\s|"
    rb"ALTER\s+(?:EVENT\s+)?TRIGGER\s|ALTER\s+SUBSCRIPTION\s|ALTER\s+DEFAULT\s+PRIVILEGES\s|"
    + rf"ALTER\s+TABLE\s+(?:ONLY\s+)?{_QUALIFIED}\s+(?:ADD\s+CONSTRAINT|CLUSTER|REPLICA|ENABLE|DISABLE|"
    r"(?:NO\s+)?FORCE|OWNER)\s|REFRESH\s|GRANT\s|REVOKE\s|COMMENT\s|SECURITY\s+LABEL\s".encode("latin-1"),
    re.I,
)
_HARMLESS_IN_PARALLEL = (b"SELECT PG_CATALOG.SETVAL(", b"SELECT * FROM PG_CATALOG.PG_RESTORE_")

# Comment lines that say where a dump comes from, and that all of it is there.
_DUMPED_FROM = re.compile(rb"-- Dumped from database version (\d+(?:\.\d+)*)")
_DUMPED_BY = re.compile(rb"-- Dumped by pg_dump version (\d+(?:\.\d+)*)")
DUMP_BEGINS = b"-- PostgreSQL database dump"
DUMP_COMPLETE = b"-- PostgreSQL database dump complete"
CLUSTER_BEGINS = b"-- PostgreSQL database cluster dump"
CLUSTER_COMPLETE = b"-- PostgreSQL database cluster dump complete"


def copied_table(text: bytes) -> str:
    """The table that a COPY statement fills, as it is spelled there."""
    return _first(_COPY, text) or "?"


def setting(text: bytes) -> Optional[str]:
    """The name of the setting of the session that a statement changes; None if it changes none."""
    if _SESSION_AUTHORIZATION.match(text):
        return "session authorization"
    return (_first(_SETTING, text) or _first(_SET_CONFIG, text) or "").lower() or None


def changed_tables(text: bytes) -> tuple[list[str], bool]:
    """The tables that a statement of the part after the data works on, and whether it must have them alone.

    The statement that makes an index locks its table against writing only (ShareLock), so that several can be made at
    once; C(ALTER TABLE) locks against more, for a foreign key at both ends.
    """
    if table := _first(_INDEX, text):
        return [table], False
    if table := _first(_ALTER_TABLE, text):
        other = _first(_REFERENCES, text, search=True)
        return [table, *([other] if other else [])], True
    if table := _first(_MATERIALIZED, text):
        return [table], True
    return [], True


def key_in_two_steps(text: bytes) -> Optional[tuple[bytes, bytes]]:
    """A simple primary or unique key as an index, which others can be made beside, and the constraint that uses it.

    None for keys with anything more, such as INCLUDE or DEFERRABLE.
    """
    found = _PLAIN_KEY.match(text)
    if found is None:
        return None
    table, name, kind, columns = found.groups()
    index = b"CREATE UNIQUE INDEX %s ON %s USING btree %s;" % (name, table, columns)
    return index, b"ALTER TABLE ONLY %s ADD CONSTRAINT %s %s USING INDEX %s;" % (table, name, kind, name)


def partitioned_table(text: bytes) -> Optional[str]:
    """The partitioned table that a statement makes; None if it makes none."""
    return _first(_PARTITIONED, text) if text[:12].upper() == b"CREATE TABLE" else None


def created_table(text: bytes) -> Optional[str]:
    """The ordinary table, partitioned or not, that a statement makes; None if it makes none."""
    return _first(_CREATE_TABLE, text)


def inserted_table(text: bytes) -> str:
    """The table that an INSERT statement fills."""
    return _first(_INSERT, text) or "?"


def is_of_database(text: bytes) -> bool:
    """Whether a statement makes, changes or drops a database itself."""
    return bool(_OF_DATABASE.match(text))


def is_of_tablespace(text: bytes) -> bool:
    """Whether a statement is about a tablespace itself."""
    return bool(_OF_TABLESPACE.match(text))


def is_of_role(text: bytes) -> bool:
    """Whether a statement makes, changes or drops a role, its memberships or its rights on parameters."""
    return bool(_OF_ROLE.match(text))


def is_dropping(text: bytes) -> bool:
    """Whether a statement only drops something."""
    return bool(_DROPPING.match(text))


def is_independent(text: bytes) -> bool:
    """Whether a statement of the data part may run while tables are being filled: positions, statistics."""
    return text[:40].upper().startswith(_HARMLESS_IN_PARALLEL)


def keeps_rows(text: bytes) -> bool:
    """Whether a statement that waits for the end of the data leaves every row of every table as it is."""
    return is_independent(text) or bool(_KEEPING_ROWS.match(text))


def connected_database(command: bytes) -> Optional[str]:
    """The database that a C(\\connect) line names; None if it is another command."""
    found = _CONNECT.match(command)
    if found is None:
        return None
    given = found[1]
    if inner := _CONNECTION_STRING_NAME.search(given):
        return re.sub(rb"\\(.)", rb"\1", inner[1]).decode("utf-8", "replace")
    if given[:1] == given[-1:] == b'"':
        given = given[1:-1].replace(b'""', b'"')
    return given.decode("utf-8", "replace")


def created_encoding(text: bytes) -> Optional[str]:
    """The encoding that a C(CREATE DATABASE) statement names."""
    return _first(_ENCODING, text, search=True) if text[:15].upper() == b"CREATE DATABASE" else None


def version_in(remark: bytes) -> tuple[Optional[str], Optional[str]]:
    """The versions of the server that was dumped and of its pg_dump, if a remark says one of them."""
    return _first(_DUMPED_FROM, remark), _first(_DUMPED_BY, remark)


def _first(pattern: re.Pattern[bytes], text: bytes, *, search: bool = False) -> Optional[str]:
    found = pattern.search(text) if search else pattern.match(text)
    return found[1].decode("utf-8", "replace") if found else None
