# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes of a log in blocks of whole lines, from plain and compressed files and from programs."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import signal
import threading
import zlib
from collections.abc import Generator, Iterable, Iterator
from typing import IO, Any

from ansible_collections.runbook.ops.plugins.module_utils.common.children import Child, ChildFailed, clean_environment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.logs.budget import Budget, LimitReached

BLOCK_BYTES = 4 * 1024 * 1024
# A line without an end is cut here, so that memory stays flat.
_LONGEST_LINE = 16 * 1024 * 1024
_OPENERS: dict[str, Any] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}

Block = tuple[int, bytes]


class Shortened(RunbookError):
    """A file ended before its end: it was truncated, or its compressed data are damaged."""


def whole_lines(chunks: Iterable[bytes], base: int = 0) -> Iterator[Block]:
    """Blocks that end where a line does, with their offsets; the last one may lack the line's end."""
    rest = b""
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if end == 0 and len(rest) + len(chunk) <= _LONGEST_LINE:
            rest += chunk
            continue
        block = rest + (chunk[:end] if end else chunk)
        rest = chunk[end:] if end else b""
        yield base, block
        base += len(block)
    if rest:
        yield base, rest


def plain_chunks(descriptor: int, start: int, end: int, budget: Budget) -> Iterator[bytes]:
    """A range of an open file; raises Shortened when it has become shorter meanwhile."""
    at = start
    while at < end:
        wanted = min(BLOCK_BYTES, end - at)
        budget.spend(wanted)
        data = os.pread(descriptor, wanted, at)
        if not data:
            raise Shortened(f"it was truncated while it was read: {end - at} bytes of it are gone")
        yield data
        at += len(data)


def unpacked_chunks(descriptor: int, compression: str, budget: Budget) -> Generator[bytes, None, None]:
    """The content of a compressed file; raises Shortened for damaged data and RunbookError without a program."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    if compression == "zstd":
        yield from _of_zstd(descriptor, budget)
        return
    with os.fdopen(os.dup(descriptor), "rb") as stream, _OPENERS[compression](stream) as unpacked:
        yield from _read(unpacked, budget)


def _read(unpacked: IO[bytes], budget: Budget) -> Iterator[bytes]:
    while True:
        try:
            data = unpacked.read(BLOCK_BYTES)
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise Shortened(f"its compressed data are damaged or end early ({error})") from None
        if not data:
            return
        budget.spend(len(data))
        yield data


def _of_zstd(descriptor: int, budget: Budget) -> Iterator[bytes]:
    with Child(["zstd", "-q", "-d", "-c"], stdin=descriptor, environment=clean_environment()) as child:
        yield from child_chunks(child, budget)


def _kill(child: Child) -> None:
    # Only this: what it had written is read to its end by the thread that does so.
    if child.poll() is None:
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)


def child_chunks(child: Child, budget: Budget, *, harmless: tuple[int, ...] = ()) -> Iterator[bytes]:
    """What a program writes; raises Shortened when it fails, and LimitReached when it is silent for too long.

    An exit status in C(harmless) is no failure.
    """
    budget.spend(0)
    watch = threading.Timer(budget.seconds_left(), _kill, (child,))
    watch.daemon = True
    watch.start()
    try:
        for data in child.chunks(BLOCK_BYTES):
            budget.spend(len(data))
            yield data
    except LimitReached:
        raise
    except RunbookError as error:
        if isinstance(error, ChildFailed) and error.code in harmless:
            return
        if budget.seconds_left() == 0:
            budget.spend(0)
        raise Shortened(error.message) from None
    finally:
        watch.cancel()
