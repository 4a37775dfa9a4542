"""Whole or not: every kind of artefact from a real pg_dump, in a directory and in a bucket, one survey each.

For each flaw of the usual checks there is a test in which the usual check is content and ours is not.
"""

from __future__ import annotations

import datetime as dt
import gzip
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab.s3 import S3Server

pytestmark = pytest.mark.xdist_group("backup")

RunModule = Callable[..., dict[str, Any]]
NOW = dt.datetime.now(dt.timezone.utc).isoformat()
FIRST = dt.datetime(2026, 1, 1, 2, tzinfo=dt.timezone.utc)

MARKER = 'it ends without "PostgreSQL database dump complete": the dump was cut off'
EMPTY = "it holds no data: the program that should have written it produced nothing (a failed pg_dump in a pipe?)"
CUT_GZIP = "the gzip data is cut off: it ends before its end mark"
CUT_ARCHIVE = "the archive is cut off inside its data"

# name -> (kind, complete, reason or how it was proven)
EXPECTED: dict[str, tuple[str, bool, str]] = {
    "plain": ("plain", True, "end marker found"),
    "plain with unrestrict": ("plain", True, "end marker found"),
    "plain without unrestrict": ("plain", True, "end marker found"),
    "verbose": ("plain", True, "end marker found"),
    "schema only": ("plain", True, "end marker found"),
    "gzip": ("plain+gzip", True, "gzip decoded, end marker found"),
    "custom": ("custom", True, "every data block decoded"),
    "custom without compression": ("custom", True, "every data block found; its content carries no checksum"),
    "tar": ("tar", True, "every member found; its content carries no checksum"),
    "directory": ("directory", True, "every data file found, compressed ones decoded"),
    "no bytes": ("empty", False, EMPTY),
    "20 bytes of gzip": ("empty", False, EMPTY),
    "gzip with a bad CRC": (
        "plain+gzip",
        False,
        "the gzip data is damaged: its checksum (CRC) or its length does not match",
    ),
    "gzip with a flipped bit": ("plain+gzip", False, "the gzip data is damaged: "),
    "gzip cut in half": ("plain+gzip", False, CUT_GZIP),
    "gzip of a cut dump": ("plain+gzip", False, MARKER),
    "plain cut in COPY": ("plain", False, MARKER),
    "custom cut at the end": ("custom", False, CUT_ARCHIVE),
    "custom with a flipped bit": ("custom", False, "the archive's data is damaged: "),
    "tar cut": ("tar", False, "the tar archive is cut off"),
    "directory with a cut file": ("directory", False, CUT_GZIP),
    "directory with a missing file": ("directory", False, "data files that toc.dat names are missing"),
}


def named(name: str) -> str:
    return f"b-{FIRST + dt.timedelta(days=list(EXPECTED).index(name)):%Y%m%d}"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, artefacts: dict[str, bytes], dumps: Any) -> Path:
    """All of them in one directory, one a day."""
    directory = tmp_path_factory.mktemp("all")
    for name, data in artefacts.items():
        (directory / named(name)).write_bytes(data)
    for name in ("directory", "directory with a cut file", "directory with a missing file"):
        shutil.copytree(dumps.directory / "directory", directory / named(name))
    tables = sorted((directory / named("directory with a cut file")).glob("[0-9]*.dat.gz"))
    tables[0].write_bytes(tables[0].read_bytes()[:-5])
    sorted((directory / named("directory with a missing file")).glob("[0-9]*.dat.gz"))[0].unlink()
    for number, name in enumerate(EXPECTED):
        moment = (FIRST + dt.timedelta(days=number)).timestamp()
        os.utime(directory / named(name), (moment, moment))
    return directory


def survey(run_module: RunModule, where: str, **options: Any) -> dict[str, Any]:
    defaults = {"name_pattern": "b-%Y%m%d", "inspect": "all", "reference_time": NOW}
    return run_module("backup_info", {"repository": where, **defaults, **options})


@pytest.fixture(scope="module")
def in_directory(run_module: RunModule, repository: Path) -> dict[str, Any]:
    return survey(run_module, str(repository))


@pytest.fixture(scope="module")
def in_bucket(
    run_module: RunModule, repository: Path, store: S3Server, make_bucket: Callable[..., str]
) -> dict[str, Any]:
    bucket = make_bucket()
    client = store.client()
    for path in sorted(repository.rglob("*")):
        if path.is_file():
            key = f"db/{path.relative_to(repository)}"
            client.upload_file(str(path), bucket, key)
            day = dt.datetime.strptime(key.split("/")[1], "b-%Y%m%d").replace(hour=2, tzinfo=dt.timezone.utc)
            store.backdate(bucket, key, day)
    return survey(run_module, f"s3://{bucket}/db", **store.login())


def by_name(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in result["artefacts"]}


@pytest.mark.parametrize("name", EXPECTED)
def test_in_a_directory(in_directory: dict[str, Any], name: str) -> None:
    kind, complete, text = EXPECTED[name]
    found = by_name(in_directory)[named(name)]
    assert (found["kind"], found["inspected"]["complete"]) == (kind, complete)
    assert text in (found["inspected"]["method"] if complete else found["inspected"]["reason"])
    # The dumps are of today and their names of January: seen wherever a header tells.
    assert found["diverges"] is (found["content_at"] is not None)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_same_in_a_bucket(in_directory: dict[str, Any], in_bucket: dict[str, Any], name: str) -> None:
    here, there = by_name(in_directory)[named(name)], by_name(in_bucket)[named(name)]
    same = ("kind", "inspected", "size_bytes", "modified_at", "named_at", "taken_at", "header", "age_seconds")
    assert {key: here[key] for key in same} == {key: there[key] for key in same}


def test_counts(in_directory: dict[str, Any]) -> None:
    facts = in_directory["inventory"]
    good = [name for name, expected in EXPECTED.items() if expected[1]]
    assert (facts["count"], facts["complete_count"]) == (len(EXPECTED), len(good))
    assert (facts["incomplete_count"], facts["empty_count"]) == (len(EXPECTED) - len(good), 2)
    # Not by its name, but by what its header says with certainty.
    assert facts["newest"]["name"] == facts["newest_complete"]["name"] == named("verbose")
    assert facts["newest"]["taken_at_source"] == "content"


def test_headers(in_directory: dict[str, Any], dumps: Any) -> None:
    """What the archives say of themselves, asked of pg_restore as well."""
    found = by_name(in_directory)
    listed = dumps.run("pg_restore", "--list", str(dumps.directory / "custom")).stdout
    header = found[named("custom")]["header"]
    assert f"Dump Version: {header['format_version']}" in listed
    assert f"Dumped by pg_dump version: {header['dumped_by']}" in listed
    assert f"Dumped from database version: {header['dumped_from']}" in listed
    assert f"dbname: {header['database']}" in listed
    assert found[named("tar")]["header"] == {**header, "compression": "none"}
    created = found[named("custom")]["content_at"].replace("T", " ").rstrip("Z")
    assert f"Archive created at {created} UTC" in listed
    assert found[named("custom")]["content_uncertain_seconds"] == 50400
    # A verbose plain dump names its timezone and, with --create, its database.
    verbose = found[named("verbose")]
    assert verbose["content_uncertain_seconds"] == 0
    assert verbose["header"]["database"] == "shop"


class TestOtherTools:
    """Our verdict against tools that read everything."""

    @pytest.mark.parametrize("name", [name for name in EXPECTED if EXPECTED[name][0].endswith("gzip")])
    def test_gzip(self, repository: Path, name: str) -> None:
        code = subprocess.run(["gzip", "-t"], stdin=(repository / named(name)).open("rb"), check=False).returncode
        # gzip cannot know that pg_dump broke off before it.
        assert (code == 0) is (EXPECTED[name][1] or name == "gzip of a cut dump")

    @pytest.mark.parametrize("name", [name for name in EXPECTED if name.startswith(("custom", "directory"))])
    def test_pg_restore(self, repository: Path, dumps: Any, name: str) -> None:
        done = dumps.run("pg_restore", "-f", os.devnull, str(repository / named(name)))
        assert (done.returncode == 0) is EXPECTED[name][1]

    def test_truncations_and_flips_of_archives(
        self, run_module: RunModule, dumps: Any, artefacts: dict[str, bytes], tmp_path: Path
    ) -> None:
        """30 archives, cut and flipped all over: the same verdict as pg_restore, which has to decode them for it."""
        data = artefacts["custom"]
        for number in range(30):
            changed = bytearray(data)
            place = len(data) * (number + 1) // 32
            if number % 2:
                del changed[place:]
            else:
                changed[place] ^= 0x40
            (tmp_path / f"b-202601{number + 1:02}").write_bytes(changed)
        ours = by_name(survey(run_module, str(tmp_path)))
        for name, found in ours.items():
            decoded = dumps.run("pg_restore", "-f", os.devnull, str(tmp_path / name)).returncode == 0
            assert found["inspected"]["complete"] is decoded, name


class TestOldWays:
    """Checks that people paste, content with artefacts that ours names."""

    @staticmethod
    def shell(repository: Path, command: str, name: str) -> int:
        return subprocess.run(["sh", "-c", command, "sh", str(repository / named(name))], check=False).returncode

    @pytest.mark.parametrize(
        ("command", "name"),
        [
            # A file is there, and it is not empty.
            ('[ -f "$1" ]', "no bytes"),
            ('[ -s "$1" ]', "20 bytes of gzip"),
            ('[ -s "$1" ]', "gzip of a cut dump"),
            ('[ "$(stat -c %s "$1")" -gt 10000 ]', "gzip cut in half"),
            ('[ "$(stat -c %s "$1")" -gt 10000 ]', "custom cut at the end"),
            # It can be unpacked.
            ('gzip -t < "$1"', "20 bytes of gzip"),
            ('gzip -t < "$1"', "gzip of a cut dump"),
            # It begins well.
            ('zcat < "$1" 2>/dev/null | head -n 3 | grep -q "PostgreSQL database dump"', "gzip cut in half"),
            ('zcat < "$1" 2>/dev/null | head -n 3 | grep -q "PostgreSQL database dump"', "gzip with a bad CRC"),
            ('head -n 3 "$1" | grep -q "PostgreSQL database dump"', "plain cut in COPY"),
            ('file -b "$1" | grep -q "PostgreSQL custom database dump" || head -c 5 "$1" | grep -q PGDMP',
             "custom cut at the end"),
            ('tar tf "$1" toc.dat >/dev/null 2>&1 || tar tf "$1" 2>/dev/null | grep -q toc.dat', "tar cut"),
        ],
    )  # fmt: skip
    def test_content_with_what_is_broken(
        self, repository: Path, in_directory: dict[str, Any], command: str, name: str
    ) -> None:
        assert self.shell(repository, command, name) == 0
        assert by_name(in_directory)[named(name)]["inspected"]["complete"] is False

    @pytest.mark.parametrize("name", ["custom cut at the end", "custom with a flipped bit"])
    def test_pg_restore_list(self, repository: Path, in_directory: dict[str, Any], dumps: Any, name: str) -> None:
        """It reads the table of contents and nothing else."""
        assert dumps.run("pg_restore", "--list", str(repository / named(name))).returncode == 0
        assert by_name(in_directory)[named(name)]["inspected"]["complete"] is False

    def test_pg_restore_list_refuses_what_is_good(
        self, repository: Path, in_directory: dict[str, Any], dumps: Any
    ) -> None:
        """The other way round: a plain dump is no archive."""
        done = dumps.run("pg_restore", "--list", str(repository / named("plain")))
        assert done.returncode == 1
        assert "text format dump" in done.stderr
        assert by_name(in_directory)[named("plain")]["inspected"]["complete"] is True

    def test_psql_restores_half_a_dump_without_a_word(
        self, repository: Path, in_directory: dict[str, Any], dumps: Any
    ) -> None:
        """No error, not even with ON_ERROR_STOP and in one transaction, and rows are missing."""
        dumps.server.execute("DROP DATABASE IF EXISTS half")
        dumps.server.execute("CREATE DATABASE half")
        path = repository / named("plain cut in COPY")
        done = dumps.run("psql", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-d", "half", "-f", str(path))
        assert done.returncode == 0, done.stderr
        rows = int(dumps.server.psql("SELECT count(*) FROM orders", db="half"))
        dumps.server.execute("DROP DATABASE half")
        assert 0 < rows < 20_000
        assert by_name(in_directory)[named("plain cut in COPY")]["inspected"]["complete"] is False

    def test_the_marker_as_the_last_line(self, repository: Path, in_directory: dict[str, Any]) -> None:
        """Since 15.14 and 17.6 the marker is not at the very end, and that check condemns every good dump."""
        command = 'grep -v "^$" "$1" | tail -n 2 | grep -q "PostgreSQL database dump complete"'
        assert self.shell(repository, command, "plain without unrestrict") == 0
        assert self.shell(repository, command, "plain with unrestrict") == 1
        assert by_name(in_directory)[named("plain with unrestrict")]["inspected"]["complete"] is True


def test_what_a_failed_pipe_leaves(run_module: RunModule, dumps: Any, tmp_path: Path) -> None:
    """`pg_dump | gzip` of a database that is not there ends well and leaves 20 bytes."""
    target = tmp_path / "b-20260123"
    with target.open("wb") as output:
        dump = [dumps.program("pg_dump"), "-h", str(dumps.server.socket_dir), "no_such_database"]
        pipe = subprocess.run(
            ["sh", "-c", '"$@" 2>/dev/null | gzip', "sh", *dump], stdout=output, check=False, env=os.environ
        )
    assert pipe.returncode == 0
    assert target.stat().st_size == 20
    [found] = survey(run_module, str(tmp_path))["artefacts"]
    assert (found["kind"], found["inspected"]["complete"]) == ("empty", False)


def test_no_copies_are_made(
    run_module: RunModule, artefacts: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, temporary = tmp_path / "r", tmp_path / "t"
    repository.mkdir()
    temporary.mkdir()
    (repository / "b-20260123").write_bytes(gzip.compress(artefacts["plain"]))
    monkeypatch.setenv("TMPDIR", str(temporary))
    before = sorted(path.name for path in repository.iterdir())
    result = survey(run_module, str(repository))
    assert result["inventory"]["complete_count"] == 1
    assert sorted(path.name for path in repository.iterdir()) == before
    assert list(temporary.iterdir()) == []
