"""Finding the end of rows: the same places as C(bytes.find) gives, whatever the bytes are."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.seeking import find


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\\.",
        b"a\tb\n\\N\t\\N\n\\.\n",
        b"one\n\\.x\n\\.\r\nrest",
        b"a zero \x00 before\n\\.\n",
        b"\n\\.\n and a zero after \x00",
        "ünï\n\\.\n".encode(),
        b"x" * 100_000 + b"\n\\.",
        b"\n\\" * 1000,
    ],
    ids=["nothing", "alone", "nulls", "two", "zero before", "zero after", "umlauts", "far", "nearly"],
)
@pytest.mark.parametrize("start", [0, 1, 5, 1_000_000])
def test_it_finds_what_bytes_find(data: bytes, start: int) -> None:
    assert find(data, b"\n\\.", start) == data.find(b"\n\\.", start)
