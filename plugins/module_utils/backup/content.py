# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An artefact's content in one pass: hashed as it lies there, decrypted, decompressed, never on a disk in between."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Hashes
from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import Decryption, decrypted
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.inspect import HEAD_BYTES, identify
from ansible_collections.runbook.ops.plugins.module_utils.backup.streams import Meter, Reader, decompress
from ansible_collections.runbook.ops.plugins.module_utils.common.children import Child, ChildFailed, first_words

_DECODED_HERE = ("gzip", "bzip2", "xz")
_DECODED_BY = {"zstd": ("zstd", "-d", "-c", "-q"), "lz4": ("lz4", "-d", "-c", "-q")}
_LAYERS = 4
_UNBOUNDED = 1 << 62


class Content:
    """One artefact, to be read once to its end.

    Args:
        chunks: The artefact's bytes as they lie in the repository.
        decryption: The recovery side's keys.
        on_bytes: Told how many bytes of the artefact were read; may raise in order to end.

    After C(chunks) is exhausted, C(hashes) and C(bytes_out) are complete, also when the content was damaged further on:
    then only as far as it was read.

    """

    def __init__(
        self,
        chunks: Iterator[bytes],
        *,
        decryption: Optional[Decryption] = None,
        on_bytes: Callable[[int], None] = lambda _count: None,
    ) -> None:
        self._raw = chunks
        self._decryption = decryption
        self._on_bytes = on_bytes
        # A program that decodes is fed from a thread of its own, which may still read when somebody drains.
        self._lock = threading.Lock()
        self.hashes = Hashes()
        self.bytes_out = 0
        # What was around the content, from outside to inside, such as ["encrypted", "gzip"].
        self.layers: list[str] = []
        # What it is inside all layers: plain, custom, tar, directory, unknown or empty. None until chunks() began.
        self.kind: Optional[str] = None

    def chunks(self) -> Iterator[bytes]:
        """The decoded content, in chunks.

        Raises:
            Damaged: the artefact is cut off or damaged.
            Undecided: it cannot be read or decoded here.

        """
        reader = Reader(self._hashed())
        for _layer in range(_LAYERS):
            head = reader.peek(HEAD_BYTES)
            kind = identify(head)
            if kind == "encrypted":
                reader = Reader(decrypted(reader.rest(), head, self._decryption))
            elif kind in _DECODED_HERE:
                reader = Reader(decompress(kind, reader, Meter(_UNBOUNDED, float("inf"))))
            elif kind in _DECODED_BY:
                reader = Reader(_decoded_by(kind, reader.rest()))
            else:
                self.kind = kind
                break
            self.layers.append(kind)
        else:
            raise Undecided(f"it is packed more than {_LAYERS} times")
        for chunk in reader.rest():
            self.bytes_out += len(chunk)
            yield chunk

    def drain(self) -> None:
        """Read what is left without decoding it, so that C(hashes) are those of the whole artefact."""
        for _chunk in self._hashed():
            pass

    def _hashed(self) -> Iterator[bytes]:
        while True:
            with self._lock:
                chunk = next(self._raw, b"")
                self.hashes.update(chunk)
            if not chunk:
                return
            self._on_bytes(self.hashes.bytes)
            yield chunk


def _decoded_by(kind: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    argv = _DECODED_BY[kind]
    program = shutil.which(argv[0])
    if program is None:
        raise Undecided(f"decoding {kind} needs the program {argv[0]}, which the host does not have")
    with Child([program, *argv[1:]], stdin=subprocess.PIPE) as child:
        child.feed(chunks)
        try:
            yield from child.chunks()
        except ChildFailed as error:
            raise Damaged(f"the {kind} data is damaged: {first_words(error.words) or error.message}") from None
