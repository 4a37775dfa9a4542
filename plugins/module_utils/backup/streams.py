# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes from beginning to end, once, in constant memory: look-ahead, budgets and decompression."""

from __future__ import annotations

import bz2
import lzma
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.gunzip import GUNZIP_ERRORS, gunzip_decoder

# Decompressed bytes handed on at once: bounds memory whatever the compression ratio. Pieces of this size stay in a
# processor's cache on their way, and their memory is used again, not given back to the system and asked for anew.
_PIECE_BYTES = 256 * 1024
# Compressed bytes that a decoder is given at once: what it has not used yet it hands back as a copy, every time.
_INPUT_BYTES = 128 * 1024
# What decoders raise for data that is damaged.
DECODING_ERRORS: tuple[type[Exception], ...] = (*GUNZIP_ERRORS, OSError, lzma.LZMAError, EOFError)
# What zlib and python-isal write before the words.
_NUMBER = re.compile(r"^Error -?\d+ (?:while decompressing data: )?")


class Meter:
    """What reading may cost: bytes taken from the repository, and a moment when everything ends."""

    def __init__(self, max_bytes: int, timeout_seconds: float) -> None:
        self.max_bytes = max_bytes
        self.timeout_seconds = timeout_seconds
        self.bytes_read = 0
        self._lock = threading.Lock()
        self._end = time.monotonic() + timeout_seconds

    @property
    def remaining_bytes(self) -> int:
        """What is left of the budget."""
        return max(0, self.max_bytes - self.bytes_read)

    @property
    def is_over(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._end

    def check_time(self) -> None:
        """Raise Undecided when the time is over."""
        if self.is_over:
            raise Undecided(f"not read to its end: the limit of {self.timeout_seconds:g} seconds (timeout) was reached")

    def count(self, chunks: Iterator[bytes]) -> Generator[bytes, None, None]:
        """Pass chunks on and count them."""
        try:
            for chunk in chunks:
                with self._lock:
                    self.bytes_read += len(chunk)
                yield chunk
                self.check_time()
        finally:
            # A backup that is not read to its end gives back its file or connection at once.
            close = getattr(chunks, "close", None)
            if close is not None:
                close()


class Reader:
    """Sequential reading with look-ahead over an iterator of chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = b""
        self._position = 0

    def peek(self, size: int) -> bytes:
        """The next bytes without taking them; fewer only at the end."""
        self._fill(size)
        return self._buffer[self._position : self._position + size]

    def read(self, size: int) -> bytes:
        """Exactly that many bytes.

        Raises:
            EOFError: it ends before.

        """
        self._fill(size)
        end = self._position + size
        if end > len(self._buffer):
            raise EOFError
        data = self._buffer[self._position : end]
        self._position = end
        return data

    def skip(self, size: int) -> None:
        """Leave out that many bytes; EOFError if it ends before."""
        while size > 0:
            step = min(size, _PIECE_BYTES)
            self._fill(step)
            if self._position + step > len(self._buffer):
                raise EOFError
            self._position += step
            size -= step

    def is_at_end(self) -> bool:
        """Whether nothing is left."""
        return not self.peek(1)

    def rest(self) -> Iterator[bytes]:
        """Everything that is left, in chunks."""
        if self._position < len(self._buffer):
            yield self._buffer[self._position :]
        self._buffer, self._position = b"", 0
        yield from self._chunks

    def _fill(self, size: int) -> None:
        if len(self._buffer) - self._position >= size:
            return
        parts = [self._buffer[self._position :]]
        available = len(parts[0])
        while available < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            parts.append(chunk)
            available += len(chunk)
        self._buffer, self._position = b"".join(parts), 0


# name of the compression -> (first bytes, decompressor)
COMPRESSIONS: dict[str, tuple[bytes, Callable[[], Any]]] = {
    "gzip": (b"\x1f\x8b", gunzip_decoder),
    "bzip2": (b"BZh", bz2.BZ2Decompressor),
    "xz": (b"\xfd7zXZ\x00", lzma.LZMADecompressor),
}


def compression_of(head: bytes) -> str | None:
    """The compression that the first bytes show, of those that can be decoded here."""
    for name, (magic, _decompressor) in COMPRESSIONS.items():
        if head.startswith(magic):
            return name
    return None


def decompress(compression: str, reader: Reader, meter: Meter) -> Iterator[bytes]:
    """Decode to the very end, several members in a row included, checksums verified.

    Raises:
        Damaged: cut off, a checksum that does not match, or something else behind the data.

    """
    magic, decompressor = COMPRESSIONS[compression]
    chunks = _parts(reader.rest())
    pending = b""
    is_first = True
    while True:
        pending, chunks = _next_member(pending, chunks, magic, compression, is_first=is_first)
        if not pending:
            return
        is_first = False
        decoder = decompressor()
        while not decoder.eof:
            is_exhausted = False
            if not pending and not _wants_nothing(decoder):
                pending = next(chunks, b"")
                is_exhausted = not pending
            try:
                piece, pending = _decode(decoder, pending)
            except DECODING_ERRORS as error:
                raise Damaged(f"the {compression} data is damaged: {_cause(error)}") from None
            meter.check_time()
            if piece:
                yield piece
            elif is_exhausted and not decoder.eof:
                raise Damaged(f"the {compression} data is cut off: it ends before its end mark")
        pending = decoder.unused_data


def _parts(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Chunks in parts that are worth being copied."""
    for chunk in chunks:
        for first in range(0, len(chunk), _INPUT_BYTES):
            yield chunk[first : first + _INPUT_BYTES]


def _next_member(
    pending: bytes, chunks: Iterator[bytes], magic: bytes, compression: str, *, is_first: bool
) -> tuple[bytes, Iterator[bytes]]:
    """The beginning of the next member, with enough bytes to see that it is one; empty at the end."""
    # Tapes and some tools pad with zeros.
    pending = pending.lstrip(b"\0") if not is_first else pending
    while len(pending) < len(magic):
        chunk = next(chunks, b"")
        if not chunk:
            break
        pending = pending + chunk
        pending = pending.lstrip(b"\0") if not is_first else pending
    if pending and not pending.startswith(magic):
        if is_first:
            raise Damaged(f"it does not begin as {compression} data does")
        raise Damaged(f"something that is not {compression} data follows the end of the {compression} data")
    return pending, chunks


def _wants_nothing(decoder: Any) -> bool:
    """Whether a bz2 or lzma decoder still holds input it has not decoded; zlib hands that back instead."""
    return not getattr(decoder, "needs_input", True)


def _decode(decoder: Any, data: bytes) -> tuple[bytes, bytes]:
    """One bounded piece of output, and the input to come back with."""
    piece: bytes = decoder.decompress(data, _PIECE_BYTES)
    if hasattr(decoder, "unconsumed_tail"):
        return piece, decoder.unconsumed_tail
    return piece, b""


def _cause(error: Exception) -> str:
    text = _NUMBER.sub("", str(error))
    # zlib tells the checksum from the length, python-isal does not.
    if text in ("incorrect data check", "incorrect length check", "Incorrect checksum found"):
        return "its checksum (CRC) or its length does not match"
    return text or type(error).__name__
