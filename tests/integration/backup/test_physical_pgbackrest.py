"""method=pgbackrest: pgBackRest does the work, and is judged by what it did, not by its exit status."""

from __future__ import annotations

import gzip
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.pgbackrest import STANZA, RestShop, rest_shop
from lab.physical import codes, leftovers, running

ModuleRunner = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def made() -> Iterator[RestShop]:
    with rest_shop() as shop:
        yield shop


@pytest.fixture(scope="module")
def taken(run_module: ModuleRunner, made: RestShop) -> dict[str, Any]:
    """A full backup, orders behind it, an incremental one, and orders behind that."""
    first = run_module("postgresql_backup", {**made.backup_options(), "pgbackrest": {**made.rest, "type": "full"}})
    assert first["changed"], first
    # pgBackRest counts in seconds.
    time.sleep(1.1)
    between = made.insert(3)
    second = run_module("postgresql_backup", made.backup_options())
    assert second["changed"], second
    time.sleep(1.1)
    behind = made.insert(3)
    following = made.insert(1)
    made.switch()
    made.insert(1)
    made.switch()
    return {"first": first, "second": second, "between": between, "behind": behind, "following": following}


@pytest.fixture
def spoiled(made: RestShop, taken: dict[str, Any], tmp_path: Path) -> Iterator[Path]:
    """The repository, put back as it was afterwards."""
    assert taken
    kept = tmp_path / "kept"
    shutil.copytree(made.archive, kept, symlinks=True)
    yield made.archive
    for path in (path for path in kept.rglob("*") if path.is_file()):
        target = made.archive / path.relative_to(kept)
        if not target.is_symlink() and (not target.exists() or target.read_bytes() != path.read_bytes()):
            shutil.copyfile(path, target)
            shutil.chown(target, "postgres", "postgres")


def seen(number: int) -> dict[str, str]:
    return {"query": f"SELECT 1 FROM orders WHERE id = {number}"}


def test_backups_are_those_that_pgbackrest_tells_of(
    run_module: ModuleRunner, made: RestShop, taken: dict[str, Any]
) -> None:
    info = json.loads(made.call("info", "--output=json").stdout)[0]["backup"]
    assert [each["label"] for each in info] == [taken["first"]["backup"]["name"], taken["second"]["backup"]["name"]]
    assert taken["second"]["backup"]["physical"]["type"] == "incr"
    assert taken["second"]["before"] == taken["first"]["after"]
    check = run_module("postgresql_backup", made.backup_options(), check_mode=True)
    assert check["changed"]
    assert check["after"] is None
    assert check["actions"] == taken["second"]["actions"]
    assert len(json.loads(made.call("info", "--output=json").stdout)[0]["backup"]) == 2
    young = run_module("postgresql_backup", made.backup_options(max_age="1h"))
    assert young["changed"] is False
    unknown = run_module("postgresql_backup", {**made.backup_options(), "pgbackrest": {**made.rest, "stanza": "nope"}})
    assert unknown["failed"]
    assert "pgbackrest --stanza=nope stanza-create" in unknown["msg"]


def test_a_healthy_backup_is_proven_by_restoring_it(
    run_module: ModuleRunner, made: RestShop, taken: dict[str, Any]
) -> None:
    options = made.verify_options(level="consistency", must_see=[seen(taken["between"]), seen(taken["behind"])])
    proven = run_module("postgresql_backup_verify", options)
    assert proven["verdict"] == "verified", proven["findings"]
    assert codes(proven) == []
    [artefact] = proven["artefacts"]
    assert artefact["name"] == taken["second"]["backup"]["name"]
    assert artefact["recovered"]["settings"]["archive_mode"] == "off"
    older = run_module(
        "postgresql_backup_verify", {**options, "pgbackrest": {**made.rest, "label": taken["first"]["backup"]["name"]}}
    )
    assert older["verdict"] == "verified", older["findings"]
    assert leftovers(made.place) == []
    stale = run_module(
        "postgresql_backup_verify",
        {**options, "level": "fresh", "max_age": "1h", "reference_time": "2036-01-01T00:00:00Z"},
    )
    assert codes(stale) == ["stale"]


def test_a_moment_is_hit_to_the_row(run_module: ModuleRunner, made: RestShop, taken: dict[str, Any]) -> None:
    moment = made.committed_at(taken["behind"])
    options = made.restore_options("moment", moment, must_see=[seen(taken["behind"])])
    done = run_module("postgresql_restore", {**options, "must_not_see": [seen(taken["following"])]})
    assert done["changed"], done
    with running(made.server, made.place / "moment") as started:
        assert started.psql("SELECT max(id) FROM orders") == str(taken["behind"])
        assert started.psql("SHOW archive_mode") == "off"
        assert started.psql("SHOW restore_command") == ""
    again = run_module("postgresql_restore", {**options, "must_not_see": [seen(taken["following"])]})
    assert again.get("changed") is False, again
    late = run_module("postgresql_restore", made.restore_options("never", "2036-01-01T00:00:00Z"))
    assert late["code"] == "target_unreached"
    early = run_module("postgresql_restore", made.restore_options("never", "2020-01-01T00:00:00Z"))
    assert early["code"] == "target_before_backup"
    assert not (made.place / "never").exists()


def test_a_file_that_changed_fails_though_verify_ends_with_0(
    run_module: ModuleRunner, made: RestShop, spoiled: Path
) -> None:
    [path, *_others] = sorted(spoiled.glob(f"backup/{STANZA}/*F/pg_data/base/*/2619.gz"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x01
    path.write_bytes(data)
    told = made.call("verify", "--output=text")
    assert told.returncode == 0
    assert "status: error" in told.stdout
    assert made.call("verify").stdout == ""
    assert made.call("info").returncode == 0
    proven = run_module("postgresql_backup_verify", made.verify_options())
    assert (proven["verdict"], codes(proven)) == ("failed", ["digest_mismatch"])


def test_29_a_missing_segment_fails_though_verify_does_not_look_for_it(
    run_module: ModuleRunner, made: RestShop, spoiled: Path
) -> None:
    segments = sorted(spoiled.glob(f"archive/{STANZA}/*/*/*.gz"))
    gone = segments[-2]
    gone.unlink()
    told = made.call("verify", "--output=text", "--verbose")
    assert told.returncode == 0
    assert "status: ok" in told.stdout
    proven = run_module("postgresql_backup_verify", made.verify_options(level="decode"))
    assert (proven["verdict"], codes(proven)) == ("failed", ["wal_gap"])
    assert proven["findings"][0]["object"] == gone.name[:24]


def test_30_a_damaged_segment_fails(run_module: ModuleRunner, made: RestShop, spoiled: Path) -> None:
    path = sorted(spoiled.glob(f"archive/{STANZA}/*/*/*.gz"))[-2]
    # Behind the page's header, in the first records. Where gzip notices it, too, pgBackRest tries for 15 s.
    data = bytearray(gzip.decompress(path.read_bytes()))
    data[200] ^= 0x10
    path.write_bytes(gzip.compress(data, 1))
    assert made.call("verify", "--output=text").returncode == 0
    proven = run_module("postgresql_backup_verify", made.verify_options(level="decode"))
    assert (proven["verdict"], codes(proven)) == ("failed", ["wal_invalid"])


def test_what_pgbackrest_cannot_say_is_no_verdict(run_module: ModuleRunner, made: RestShop) -> None:
    options = {**made.verify_options(), "pgbackrest": {**made.rest, "stanza": "nope"}}
    proven = run_module("postgresql_backup_verify", options)
    assert proven["failed"]
    assert "pgBackRest has no backup" in proven["msg"]
    wrong = run_module("postgresql_backup_verify", {**options, "pgbackrest": {"stanza": STANZA, "config": "/nowhere"}})
    assert "pgbackrest.config: '/nowhere' is not accepted" in wrong["msg"]
