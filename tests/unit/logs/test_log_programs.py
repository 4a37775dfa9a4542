"""The command lines that read logs, and what Docker's directory says of containers."""

from __future__ import annotations

import json
from pathlib import Path

from ansible_collections.runbook.ops.plugins.module_utils.logs import programs


def test_whole_seconds_hold_the_window() -> None:
    """Both programs take whole seconds of us: what was written in the last one belongs to the window."""
    source = {"journal_directory": None, "units": ["api"], "identifiers": []}
    assert programs.docker_command("api", 10.7, 20.2)[3:] == ["--since=10", "--until=21", "--", "api"]
    assert programs.journal_command(source, 10.7, 20.2)[-3:] == ["--since=@10", "--until=@21", "--unit=api"]
    assert programs.docker_command("api", None, 20.0)[3:] == ["--until=20", "--", "api"]


def container(root: Path, identifier: str, text: str) -> Path:
    folder = root / "containers" / identifier
    folder.mkdir(parents=True)
    (folder / "config.v2.json").write_text(text, encoding="utf-8")
    log = folder / f"{identifier}-json.log"
    log.touch()
    return log


def test_a_container_that_goes_hides_no_other(tmp_path: Path) -> None:
    labels = {"com.docker.compose.service": "api", "com.docker.compose.project": "shop"}
    described = {"Name": "/shop-api-1", "Config": {"Labels": labels}}
    log = container(tmp_path, "b" * 64, json.dumps(described))
    # Before and after it in the order of names: half removed, half written, and something else altogether.
    (tmp_path / "containers" / ("a" * 64)).mkdir()
    (tmp_path / "containers" / ("a" * 64) / "config.v2.json").symlink_to("gone")
    container(tmp_path, "a" * 63 + "b", "{")
    container(tmp_path, "c" * 64, "[]")
    assert programs.containers_of(tmp_path, "api", "shop") == ["b" * 64]
    assert programs.containers_of(tmp_path, "api", None) == ["b" * 64]
    assert programs.containers_of(tmp_path, "api", "other") == []
    assert programs.docker_file(tmp_path, "shop-api-1") == log
    assert programs.docker_file(tmp_path, "b" * 12) == log
    assert programs.docker_file(tmp_path, "b" * 11) is None
    assert programs.docker_file(tmp_path / "none", "shop-api-1") is None
