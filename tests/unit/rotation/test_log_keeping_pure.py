"""Which class a rotated file belongs to, files that change or are damaged, and a store that falls silent."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.log_keeping import files
from ansible_collections.runbook.ops.plugins.module_utils.log_keeping.classes import RetentionClass
from ansible_collections.runbook.ops.plugins.module_utils.log_keeping.store import LogStore


def of(name: str, *paths: str) -> RetentionClass:
    return RetentionClass(name, paths, 86400, None, is_exported=True, is_redacted=False)


@pytest.mark.parametrize(
    ("names", "belongs"),
    [
        (["real_time", "audit"], "audit"),
        (["real_time", "error", "security"], "security"),
        (["security", "audit"], "security"),
        (["error", "real_time"], "error"),
    ],
)
def test_records_are_records_in_every_order(tmp_path: Path, names: list[str], belongs: str) -> None:
    (tmp_path / "shop.log.1").write_text("x", encoding="utf-8")
    assert [kept.of.name for kept in files.rotated_files(of(name, f"{tmp_path}/*") for name in names)] == [belongs]


@pytest.mark.parametrize(
    "data",
    [gzip.compress(b"x" * 1000)[:-9], gzip.compress(b"x")[:10] + b"\xff" * 20],
    ids=["truncated", "overwritten"],
)
def test_a_damaged_file_is_said(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "audit.log.1.gz").write_bytes(data)
    [kept] = files.rotated_files([of("audit", f"{tmp_path}/*")])
    with pytest.raises(RunbookError, match="is damaged"):
        files.content_digest(kept)


@pytest.mark.parametrize("name", ["audit.log.2.gz", "audit.log.2"])
def test_a_rotation_while_a_file_is_read_is_seen(tmp_path: Path, name: str) -> None:
    """Another content has come under the name: what was read must not count as the content that was to be sent."""
    log, place = tmp_path / "log", tmp_path / "place"
    log.mkdir()
    place.mkdir()
    (log / name).write_bytes(gzip.compress(b"older"))
    [kept] = files.rotated_files([of("audit", f"{log}/*")])
    assert files.packed(kept, place)[0].exists()
    (log / name).rename(log / name.replace("2", "3"))
    (log / name).write_bytes(gzip.compress(b"newer"))
    with pytest.raises(RunbookError, match="changed while it was read"):
        files.packed(kept, place)


def test_a_store_that_falls_silent_while_it_is_read() -> None:
    options: dict[str, Any] = dict.fromkeys(["region", "session_token"])
    login = {"endpoint_url": "http://store.example.com", "access_key": "k", "secret_key": "s", "read_timeout": 1}
    store = LogStore({**options, **login})
    answer = mock.Mock(status=200, read=mock.Mock(side_effect=[b"a part", TimeoutError("timed out")] * 2))
    connection = mock.Mock(getresponse=mock.Mock(return_value=answer))
    with (
        mock.patch.object(store, "_connection", return_value=connection) as connect,
        pytest.raises(RunbookError, match=r"did not answer \(GET s3://b/k\): timed out"),
    ):
        store.digest("b", "k")
    assert connect.call_count == connection.close.call_count == 1
