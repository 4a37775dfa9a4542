# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates in files: which one ends first, and in how many days."""

from __future__ import annotations

import base64
import datetime as dt
import re
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.http.certificate import Certificate, parse_certificate

_MOST_BYTES = 4 * 1024 * 1024
_BLOCK = re.compile(rb"-----BEGIN (?:TRUSTED )?CERTIFICATE-----(.+?)-----END (?:TRUSTED )?CERTIFICATE-----", re.DOTALL)


def read_certificates(data: bytes) -> list[Certificate]:
    """The certificates in a file's bytes: PEM, one or many, beside keys and comments, or DER."""
    ders: list[bytes] = []
    for match in _BLOCK.finditer(data):
        try:
            ders.append(base64.b64decode(match[1], validate=False))
        except ValueError:
            continue
    if not ders and data[:1] == b"\x30":
        ders = [data]
    return [each for each in (parse_certificate(der) for der in ders) if each is not None]


def certificate_facts(path: Path, now: dt.datetime) -> dict[str, Any]:
    """What is told of one file; unknown, with the reason, when there is no certificate to be read in it."""
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES)
    except OSError as error:
        return _entry(path, [], now, f"cannot be read: {error.strerror}")
    found = read_certificates(data)
    return _entry(path, found, now, None if found else "there is no certificate in it")


def _entry(path: Path, found: list[Certificate], now: dt.datetime, reason: Optional[str]) -> dict[str, Any]:
    # A chain is as good as its first member to end.
    first = min(found, key=lambda each: each.not_after) if found else None
    return {
        "path": str(path),
        "count": len(found),
        "subject": first.subject if first else None,
        "issuer": first.issuer if first else None,
        "not_after": iso(first.not_after) if first else None,
        "days_left": first.days_left(now) if first else None,
        "reason": reason,
    }
