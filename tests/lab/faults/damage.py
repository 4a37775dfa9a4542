"""What happens to files: cut, flipped, changed, rewritten."""

from __future__ import annotations

import gzip
from pathlib import Path


def cut(path: Path, share: float = 0.5) -> None:
    """Keep the first ``share`` of a file, at most all but one byte."""
    data = path.read_bytes()
    path.write_bytes(data[: min(int(len(data) * share), len(data) - 1)])


def cut_after(path: Path, word: bytes, further: int) -> None:
    """End a file so many bytes after a word, in the middle of what follows."""
    data = path.read_bytes()
    path.write_bytes(data[: data.index(word) + len(word) + further])


def flip(path: Path, share: float = 0.5, bit: int = 0x10) -> None:
    """Flip a bit in the byte at ``share`` of a file."""
    data = bytearray(path.read_bytes())
    data[int(len(data) * share)] ^= bit
    path.write_bytes(data)


def flip_in(path: Path, word: bytes, bit: int = 0x01) -> None:
    """Flip a bit in the last byte of a word: the content changes, its form does not."""
    data = bytearray(path.read_bytes())
    data[data.index(word) + len(word) - 1] ^= bit
    path.write_bytes(data)


def change_value(path: Path, old: bytes, new: bytes) -> None:
    """Replace the first occurrence of a value in a dump that is not compressed, or is compressed with gzip."""
    if len(old) != len(new):
        raise ValueError("A value of another length would change the form of the file.")
    data = path.read_bytes()
    is_zipped = data[:2] == b"\x1f\x8b"
    content = gzip.decompress(data) if is_zipped else data
    if old not in content:
        raise ValueError(f"{old!r} is not in {path}.")
    content = content.replace(old, new, 1)
    path.write_bytes(gzip.compress(content, mtime=0) if is_zipped else content)


def ruined_page(path: Path, page: int, *, size: int = 8192) -> None:
    """Overwrite one page of a data file, all but its header, with a pattern, as a bad disk does."""
    data = bytearray(path.read_bytes())
    start = page * size + 64
    if start >= len(data):
        raise ValueError(f"{path} has no page {page}.")
    end = min((page + 1) * size, len(data))
    data[start:end] = bytes([0x5A]) * (end - start)
    path.write_bytes(data)
