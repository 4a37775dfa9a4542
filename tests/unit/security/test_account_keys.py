"""An account's keys, moved aside and back, whatever links the account has put in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.account_lock.keys import (
    Place,
    look,
    move_aside,
    move_back,
    place_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.security.accounts import Account

KIM = Account("kim", 1000, 1000, "/home/kim", "/bin/bash")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (".ssh/authorized_keys", Place("/home/kim", (".ssh", "authorized_keys"))),
        ("%h/.ssh/authorized_keys", Place("/home/kim", (".ssh", "authorized_keys"))),
        ("/etc/ssh/keys/%u", Place("/etc/ssh/keys", ("kim",))),
        ("/etc/ssh/%U/100%%", Place("/etc/ssh/1000", ("100%",))),
        ("/%u", Place("/", ("kim",))),
        ("/etc/ssh/authorized_keys", None),
        ("none", None),
    ],
)
def test_where_keys_are(pattern: str, expected: Place | None) -> None:
    assert place_of(pattern, KIM) == expected


def test_a_link_is_moved_and_what_it_points_to_stays(tmp_path: Path) -> None:
    home, root = tmp_path / "kim", tmp_path / "root"
    for each in (home, root):
        each.mkdir()
        (each / "authorized_keys").write_text(each.name)
    place = Place(str(home), (".ssh", "authorized_keys"))
    link = home / ".ssh"
    assert look(place) == ([], [])
    link.symlink_to(root)
    assert look(place) == ([str(link)], [])
    move_aside(place, str(link))
    assert look(place) == ([], [f"{link}.runbook-locked"])
    assert (root / "authorized_keys").read_text() == "root"
    move_back(place, str(link))
    assert look(place) == ([str(link)], [])
    assert link.readlink() == root
    # A directory that becomes a link after the look is not followed.
    link.unlink()
    link.mkdir()
    keys = link / "authorized_keys"
    keys.write_text("kim")
    assert look(place) == ([str(keys)], [])
    keys.unlink()
    link.rmdir()
    link.symlink_to(root)
    with pytest.raises(OSError, match=r"\.ssh"):
        move_aside(place, str(keys))
    assert [each.name for each in root.iterdir()] == ["authorized_keys"]


def test_keys_that_came_after_the_first_lock_are_kept_beside(tmp_path: Path) -> None:
    place = Place(str(tmp_path), ("authorized_keys",))
    file = tmp_path / "authorized_keys"
    for text in ("first", "second"):
        file.write_text(text)
        move_aside(place, str(file))
    kept = sorted(tmp_path.iterdir())
    assert [each.read_text() for each in kept] == ["first", "second"]
    assert kept[0].name == "authorized_keys.runbook-locked"
