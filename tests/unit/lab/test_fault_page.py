"""Answers of tools become words, and damage is what it says."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from lab.faults import damage
from lab.faults.cases import CASES, Case
from lab.faults.page import BEGIN, END, cell, ours, part, rendered
from lab.faults.rivals import GZIP, PGBACKREST, RESTORE, TEXT_ONLY, Answer

BY_NUMBER: dict[int, Case] = {case.number: case for case in CASES}


@pytest.mark.parametrize(
    ("number", "answers", "expected"),
    [
        (1, [], "–"),
        (1, [Answer(GZIP, "gzip -t", "exit 1", True)], "caught"),
        (1, [Answer(GZIP, "gzip -t", "exit 0", False)], "missed"),
        (1, [Answer(PGBACKREST, "verify", TEXT_ONLY, False)], "text only"),
        (4, [Answer(RESTORE, "postgresql_db state=restore", "hangs", False)], "missed"),
        (45, [Answer(GZIP, "gzip -t", "exit 0", False)], "silent"),
        (45, [Answer(GZIP, "gzip -t", "exit 1", True)], "caught"),
        (
            9,
            [
                Answer(RESTORE, "postgresql_db state=dump", "ok", False),
                Answer(RESTORE, "postgresql_db state=restore", "failed", True),
            ],
            "dump missed, restore caught",
        ),
    ],
    ids=["nothing", "caught", "missed", "text", "hangs", "silent", "disturbed", "two"],
)
def test_words(number: int, answers: list[Answer], expected: str) -> None:
    assert cell(BY_NUMBER[number], answers) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1, "**caught** `decode_failed`"),
        (9, "**caught**"),
        (22, "**noted** `collation_version`"),
        (33, "**refused**"),
        (37, "**error** `unreadable`"),
        (42, "**proven off**"),
        (45, "**silent**"),
    ],
    ids=str,
)
def test_our_words(number: int, expected: str) -> None:
    assert ours(BY_NUMBER[number]) == expected


def test_every_case_has_a_line_and_the_page_is_cut_where_it_is_marked() -> None:
    text = rendered({1: [Answer(GZIP, "gzip -t", "exit 1", True)]})
    assert [f"\n| {case.number} | {case.happened} |" in text for case in CASES] == [True] * 45
    assert "| 1 | `gzip -t`: exit 1 |" in text
    assert part(f"before\n{BEGIN}\n{text}{END}\nafter") == text


def test_a_page_without_marks() -> None:
    with pytest.raises(ValueError, match="has no part between"):
        part("nothing")


def test_damage(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    damage.cut(path)
    assert path.read_bytes() == b"01234"
    damage.flip_in(path, b"23")
    assert path.read_bytes() == b"01224"
    damage.cut_after(path, b"01", 1)
    assert path.read_bytes() == b"012"
    damage.flip(path, 0.0, 0x01)
    assert path.read_bytes() == b"112"


def test_a_changed_value_leaves_the_form(tmp_path: Path) -> None:
    for name, data in (("plain", b"a value"), ("zipped", gzip.compress(b"a value"))):
        path = tmp_path / name
        path.write_bytes(data)
        damage.change_value(path, b"value", b"volte")
        content = path.read_bytes()
        assert (gzip.decompress(content) if name == "zipped" else content) == b"a volte"
    with pytest.raises(ValueError, match="another length"):
        damage.change_value(path, b"a", b"ab")
    with pytest.raises(ValueError, match="is not in"):
        damage.change_value(path, b"x", b"y")
