"""Files that are proven: names, bytes, rows and digests."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.export import (
    Batch,
    DirectoryWriter,
    line_hash,
    measure_lines,
    store_rows,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.policy import TableName

BATCH = Batch("jobs", "2026-03-03 00:00:00+00", "000007-ab12cd34", 12)


def test_names_are_the_batchs_own() -> None:
    stem = "jobs.2026-03-03T000000Z.000007-ab12cd34.000012"
    assert BATCH.file(TableName("public", "jobs")) == f"{stem}.public.jobs.jsonl.gz"
    assert BATCH.manifest == f"{stem}.manifest.json"
    odd = [BATCH.file(TableName("public", name)) for name in ("a b", "a_b", "a/b", "a?b")]
    assert len(set(odd)) == 4
    assert all("/" not in name for name in odd)


def test_same_rows_make_the_same_bytes(tmp_path: Path) -> None:
    writer = DirectoryWriter(str(tmp_path / "x"))
    writer.prepare()
    first = store_rows(writer, "a.jsonl.gz", ['{"a": 1}', '{"a": "ä"}'])
    again = store_rows(writer, "a.jsonl.gz", ['{"a": 1}', '{"a": "ä"}'])
    assert first == again
    assert (first.rows, first.digest) == (2, line_hash(b'{"a": 1}') + line_hash('{"a": "ä"}'.encode()))
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["a.jsonl.gz"]
    assert store_rows(writer, "none.jsonl.gz", []).rows == 0


def test_unconfirmed_batch_is_removed_and_nothing_else(tmp_path: Path) -> None:
    writer = DirectoryWriter(str(tmp_path))
    for name in (BATCH.manifest, "jobs.2026-03-03T000000Z.000007-ab12cd34.000011.manifest.json", "other"):
        writer.put(name, b"x")
    writer.drop(BATCH.stem)
    assert not (tmp_path / BATCH.manifest).exists()
    assert len(list(tmp_path.iterdir())) == 2


class Liar(DirectoryWriter):
    """A place that gives back something else than it was given."""

    answer = b""

    def get(self, name: str, version_id: str | None) -> bytes:
        return self.answer


def test_place_that_does_not_keep_what_it_is_given(tmp_path: Path) -> None:
    writer = Liar(str(tmp_path))
    writer.answer = gzip.compress(b"{}\n")
    with pytest.raises(RunbookError, match=r"reads back as [0-9a-f]{64}\. No row of this batch was deleted"):
        store_rows(writer, "a", ["{}", "{}"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no gzip", "x cannot be decompressed: "),
        (gzip.compress(b"{}\n" * 50)[:-9], "x cannot be decompressed: "),
        (gzip.compress(b"{}\n" * 50)[:12] + b"\xff" * 20, "x cannot be decompressed: "),
        (gzip.compress(b"{}\n{"), "x ends within a line."),
    ],
    # The bytes hold the time, and every worker has to collect the same names.
    ids=["no gzip", "cut", "damaged", "unfinished line"],
)
def test_broken_files(data: bytes, message: str) -> None:
    with pytest.raises(RunbookError) as refused:
        measure_lines(data, "x")
    assert refused.value.message.startswith(message)


def test_directory_must_be_absolute() -> None:
    with pytest.raises(InvalidOption):
        DirectoryWriter("export")
