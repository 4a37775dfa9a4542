# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dates and names in a server's certificate. Pure: DER in, facts out.

The standard library decodes a certificate only after it was accepted; an expired one, or one that is not
verified, is just the certificate whose dates a person wants to know. The fields needed here are few and their
place is fixed (RFC 5280, section 4.1).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

_SEQUENCE, _SET, _OID = 0x30, 0x31, 0x06
_EXPLICIT_VERSION = 0xA0
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_BMP_STRING = 0x1E
# Object identifiers in their encoded form: id-at-commonName, id-at-organizationName.
_COMMON_NAME, _ORGANIZATION = b"\x55\x04\x03", b"\x55\x04\x0a"


@dataclass(frozen=True)
class Certificate:
    """Validity (aware, UTC) and names; a name is the common name, else the organization, else empty."""

    not_before: dt.datetime
    not_after: dt.datetime
    subject: str
    issuer: str

    def days_left(self, moment: dt.datetime) -> float:
        """Days until the certificate expires, one decimal, negative once it has expired."""
        return round((self.not_after - moment).total_seconds() / 86400, 1)


@dataclass(frozen=True)
class _Element:
    tag: int
    content: bytes


def parse_certificate(der: bytes | None) -> Certificate | None:
    """Read a DER certificate; None for what is not one, because dates of a probe must never fail it."""
    if not der:
        return None
    try:
        fields = _children(_children(_children(der)[0].content)[0].content)
        # tbsCertificate: [version], serialNumber, signature, issuer, validity, subject, …
        start = 1 if fields[0].tag == _EXPLICIT_VERSION else 0
        issuer, validity, subject = fields[start + 2], fields[start + 3], fields[start + 4]
        not_before, not_after = (_moment(each) for each in _children(validity.content))
        return Certificate(not_before, not_after, _name(subject.content), _name(issuer.content))
    except (ValueError, IndexError):
        return None


def _children(data: bytes) -> list[_Element]:
    found, position = [], 0
    while position < len(data):
        tag, length = data[position], data[position + 1]
        position += 2
        if length & 0x80:
            count = length & 0x7F
            length = int.from_bytes(data[position : position + count], "big")
            position += count
        if position + length > len(data):
            raise ValueError("an element is longer than its data")
        found.append(_Element(tag, data[position : position + length]))
        position += length
    return found


def _moment(element: _Element) -> dt.datetime:
    if element.tag not in (_UTC_TIME, _GENERALIZED_TIME):
        raise ValueError("not a time")
    text = element.content.decode("ascii")
    if element.tag == _UTC_TIME:
        # RFC 5280, 4.1.2.5.1: 50 to 99 are the years 1950 to 1999.
        text = ("19" if text[:2] >= "50" else "20") + text
    return dt.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=dt.timezone.utc)


def _name(rdn_sequence: bytes) -> str:
    names: dict[bytes, str] = {}
    for relative in _children(rdn_sequence):
        for attribute in _children(relative.content):
            kind, value = _children(attribute.content)[:2]
            encoding = "utf-16-be" if value.tag == _BMP_STRING else "utf-8"
            names[kind.content] = value.content.decode(encoding, errors="replace")
    return names.get(_COMMON_NAME) or names.get(_ORGANIZATION) or ""
