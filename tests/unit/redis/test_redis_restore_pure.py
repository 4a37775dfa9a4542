"""The pure parts of Redis restores: reading redis.conf, where a server keeps its data, and renames that go back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.redis.restore.config import (
    parse_config,
    read_config,
    split_words,
    value_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.restore.layout import (
    aside,
    layout_from,
    undo_commands,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.restore.place import rename_all


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("dir /var/lib/redis", ["dir", "/var/lib/redis"]),
        ('  dir  "/var/lib/my redis"  ', ["dir", "/var/lib/my redis"]),
        ("dir '/var/lib/my redis'", ["dir", "/var/lib/my redis"]),
        (r'dir "/a\"b\x2fc\n"', ["dir", '/a"b/c\n']),
        ("save 3600 1 300 100", ["save", "3600", "1", "300", "100"]),
        ('save ""', ["save", ""]),
        ("requirepass p#word", ["requirepass", "p#word"]),
    ],
)
def test_words_of_a_line(line: str, words: list[str]) -> None:
    assert split_words(line) == words


def test_the_last_setting_wins_and_includes_stand_where_they_are() -> None:
    text = "# appendonly no\nappendonly no\n\ninclude more.conf\nDIR /srv\nport 6380\n"
    found = parse_config(text, lambda name: {"more.conf": "appendonly yes\nport 1\n"}[name])
    assert value_of(found, "appendonly") == "yes"
    assert value_of(found, "dir") == "/srv"
    assert value_of(found, "port") == "6380"
    assert value_of(found, "dbfilename", "dump.rdb") == "dump.rdb"


def test_files_that_include_files(tmp_path: Path) -> None:
    (tmp_path / "redis.conf").write_text("dir /srv\ninclude conf.d/*.conf\n", encoding="utf-8")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "10.conf").write_text("appendonly yes\n", encoding="utf-8")
    (tmp_path / "conf.d" / "20.conf").write_text("dir /data\n", encoding="utf-8")
    found = read_config(tmp_path / "redis.conf")
    assert (value_of(found, "dir"), value_of(found, "appendonly")) == ("/data", "yes")
    (tmp_path / "loop.conf").write_text(f"include {tmp_path}/loop.conf\n", encoding="utf-8")
    with pytest.raises(InvalidOption) as caught:
        read_config(tmp_path / "loop.conf")
    assert "a file whose includes end" in caught.value.message
    with pytest.raises(InvalidOption) as caught:
        read_config(tmp_path / "none.conf")
    assert "a file that can be read here (No such file or directory)" in caught.value.message


NOTHING = dict.fromkeys(("data_directory", "dbfilename", "appendonly", "appendfilename", "appenddirname"))


def test_where_a_server_keeps_its_data() -> None:
    config = {"dir": ["/srv"], "appendonly": ["yes"], "dbfilename": ["shop.rdb"], "appendfilename": ["shop.aof"]}
    seven = layout_from(NOTHING, config, 7, "redis")
    assert (seven.dump, seven.append_only_name) == (Path("/srv/shop.rdb"), "appendonlydir")
    assert seven.manifest_in(Path("/tmp")) == Path("/tmp/appendonlydir/shop.aof.manifest")
    assert seven.readable == ["shop.rdb", "appendonlydir", "shop.aof"]
    assert seven.placed == ["shop.rdb", "appendonlydir"]
    six = layout_from(NOTHING, config, 6, "redis")
    assert (six.append_only_name, six.manifest_in(Path("/tmp"))) == ("shop.aof", None)
    assert six.placed == ["shop.rdb", "shop.aof"]
    chosen = layout_from({**NOTHING, "data_directory": "/data", "appendonly": False}, config, 8, "valkey")
    assert (chosen.dump, chosen.placed) == (Path("/data/shop.rdb"), ["shop.rdb"])


@pytest.mark.parametrize(
    ("options", "config", "message"),
    [
        ({}, {}, "data_directory: ''"),
        ({}, {"dir": ["./"]}, "data_directory: './'"),
        ({"data_directory": "/srv"}, {}, "appendonly: ''"),
        ({"dbfilename": "a/b"}, {"dir": ["/srv"]}, "dbfilename: 'a/b'"),
        ({"appenddirname": ".."}, {"dir": ["/srv"]}, "appenddirname: '..'"),
    ],
    ids=["no directory", "relative", "no word on the append-only file", "a path", "above"],
)
def test_layouts_that_cannot_work(options: dict[str, Any], config: dict[str, list[str]], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        layout_from({**NOTHING, **options}, config, 7, "redis")
    assert caught.value.message.startswith(f"{message} is not accepted.")


def test_the_way_back() -> None:
    moved = [{"from": "/srv/dump.rdb", "to": "/srv/dump.rdb.before-X"}]
    assert undo_commands(moved, ["/srv/dump.rdb"], "X") == [
        ["mv", "--", "/srv/dump.rdb", "/srv/dump.rdb.restored-X"],
        ["mv", "--", "/srv/dump.rdb.before-X", "/srv/dump.rdb"],
    ]
    assert aside("dump.rdb", "X") == "dump.rdb.before-X"


def test_renames_are_taken_back_when_one_fails(tmp_path: Path) -> None:
    for name in ("old", "new", "taken"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    with pytest.raises(RunbookError) as caught:
        rename_all([(tmp_path / "old", tmp_path / "aside"), (tmp_path / "new", tmp_path / "taken")])
    assert caught.value.message == (
        f"Cannot rename {tmp_path / 'new'} to {tmp_path / 'taken'}: it is there already. Everything is as it was."
    )
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {
        "old": "old",
        "new": "new",
        "taken": "taken",
    }
