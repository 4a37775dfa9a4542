"""Where packages of another release are looked for."""

from __future__ import annotations

import pytest
from lab.debian_archive import mirror, release_of

TARGETS = """\
http://mirror.example/debian/|bookworm|main
http://mirror.example/debian/|bookworm-updates|main
http://mirror.example/debian-security/|bookworm-security|main
https://vendor.example/|nodistro|main
"""


@pytest.mark.parametrize(
    ("codename", "address"),
    [("bookworm", "http://mirror.example/debian/"), ("bullseye", None), ("", None)],
)
def test_the_machines_own_mirror(codename: str, address: str | None) -> None:
    assert mirror(TARGETS, codename) == address


@pytest.mark.parametrize(
    ("text", "release"),
    [
        (
            'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_CODENAME=bookworm\nID=debian\n',
            ("debian", "bookworm"),
        ),
        ('ID="ubuntu"\nVERSION_CODENAME="noble"\n', ("ubuntu", "noble")),
        ("", ("", "")),
    ],
)
def test_release_of(text: str, release: tuple[str, str]) -> None:
    assert release_of(text) == release
