# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles beside a backup: whether they are there, are those that were written, and are enough."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.content import Content
from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import Decryption
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import Part
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.decode import code_of
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.findings import Report
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import BYTES, DECODE
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.subject import Subject

_ROLE = re.compile(r'^CREATE (?:ROLE|USER) (?:"((?:[^"]|"")+)"|([^\s;"]+))', re.MULTILINE)
# They exist in every server, or are no roles.
_ALWAYS_THERE = frozenset({"postgres", "public", "PUBLIC"})


def check_globals(subject: Subject, report: Report) -> None:
    """That the globals of an unchanged backup are still there and are those that were written; raises Undecided."""
    noted = subject.manifest.globals if subject.manifest is not None else None
    if noted is None:
        return
    content = _content(subject, noted.name, noted.sha256, None, report)
    if content is not None:
        content.drain()
        _compare(content, noted, report)


def read_globals(subject: Subject, decryption: Optional[Decryption], report: Report) -> Optional[str]:
    """The SQL of the globals; None when there is none that can be used, which then is a finding or left open.

    Its hash is compared with the manifest's. With a level below C(decode) it is not decrypted.
    """
    name = subject.globals_name
    noted = subject.manifest.globals if subject.manifest is not None else None
    if name is None:
        report.leave_open("roles and their memberships: there are no globals beside it")
        return None
    try:
        content = _content(subject, name, noted.sha256 if noted else None, decryption, report)
        if content is None:
            return None
        if not report.wants(DECODE):
            content.drain()
            sql = ""
        else:
            sql = b"".join(content.chunks()).decode("utf-8", "replace")
            content.drain()
    except (Damaged, Undecided) as error:
        if isinstance(error, Damaged):
            report.failed(code_of(error), f"the globals: {error.message}", object_=name)
        else:
            report.undecided(code_of(error), f"the globals: {error.message}", object_=name)
        return None
    if noted is not None and not _compare(content, noted, report):
        return None
    return sql or None


def _content(
    subject: Subject, name: str, sha256: Optional[str], decryption: Optional[Decryption], report: Report
) -> Optional[Content]:
    if subject.depot.stat(name) is None:
        report.failed(
            "globals_missing",
            f"{subject.depot.address(name)}, which holds the roles, is not there (any more)",
            object_=name,
            expected=sha256,
        )
        return None
    return Content(subject.depot.open(name), decryption=decryption)


def _compare(content: Content, noted: Part, report: Report) -> bool:
    if (content.hashes.bytes, content.hashes.sha256) == (noted.bytes, noted.sha256):
        return True
    report.failed(
        "digest_mismatch",
        f"the globals have SHA-256 {content.hashes.sha256}, and the manifest says {noted.sha256}",
        object_=noted.name,
        expected=noted.sha256,
        found=content.hashes.sha256,
        level=BYTES,
    )
    return False


def roles_in(sql: str) -> set[str]:
    """The roles that globals make."""
    return {(quoted or "").replace('""', '"') or plain for quoted, plain in _ROLE.findall(sql)}


def missing_roles(wanted: Iterable[str], sql: str) -> list[str]:
    """The roles that a database names and its globals do not make."""
    made = roles_in(sql)
    return sorted(each for each in set(wanted) - made - _ALWAYS_THERE if not each.startswith("pg_"))
