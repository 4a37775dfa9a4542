# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decoding gzip data (RFC 1952): by python-isal where it is installed, which takes half the time, else by zlib."""

from __future__ import annotations

import contextlib
import zlib
from typing import Any

# What a decoder raises for data that is damaged.
GUNZIP_ERRORS: tuple[type[Exception], ...] = (zlib.error,)
_library: Any = zlib

with contextlib.suppress(ImportError):
    from isal import isal_zlib

    _library = isal_zlib
    GUNZIP_ERRORS = (zlib.error, _library.error)


def gunzip_decoder() -> Any:
    """A new decoder of one member, which checks its checksum and length, with the methods of C(zlib.decompressobj)."""
    return _library.decompressobj(wbits=31)
