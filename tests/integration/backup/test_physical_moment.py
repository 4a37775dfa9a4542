"""postgresql_restore with method=basebackup: a cluster brought to a moment, row for row, or refused before anything."""

from __future__ import annotations

import datetime as dt
import json
import os
import pwd
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.physical import Shop, eventually, leftovers, running, shop, writers
from lab.users import scratch_directory

ModuleRunner = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def history() -> Iterator[Shop]:
    with shop() as made:
        yield made


@pytest.fixture(scope="module")
def rows(run_module: ModuleRunner, history: Shop) -> list[int]:
    """Orders that two sessions wrote without a pause after, and while, a base backup was taken."""
    with writers(history.server) as written:
        eventually(lambda: len(written) > 50, "orders are written")
        taken = run_module("postgresql_backup", history.backup_options())
        assert taken["changed"], taken
        before = len(written)
        eventually(lambda: len(written) > before + 400, "orders are written after the backup")
    history.switch()
    history.insert(1)
    history.switch()
    # Those that were certainly committed after the backup's end.
    moment = taken["backup"]["taken_at"]
    found = history.server.query(
        "SELECT id FROM orders WHERE pg_xact_commit_timestamp(xmin) > %s ORDER BY 1", (moment,)
    )
    return [number for (number,) in found]


def by_commit(history: Shop) -> list[tuple[int, str]]:
    """Orders in the order of their commits, with the moments."""
    found = history.server.query(
        "SELECT id, to_char(pg_xact_commit_timestamp(xmin) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US') FROM "
        "orders "
        "WHERE id > 20000 ORDER BY pg_xact_commit_timestamp(xmin), id"
    )
    return [(number, f"{moment}+00:00") for number, moment in found]


def seen(number: int) -> dict[str, str]:
    return {"query": f"SELECT 1 FROM orders WHERE id = {number}"}


@pytest.mark.parametrize("inclusive", [True, False], ids=["inclusive", "exclusive"])
def test_the_boundary_is_hit_to_the_row_under_write_load(
    run_module: ModuleRunner, history: Shop, rows: list[int], inclusive: bool
) -> None:
    committed = [each for each in by_commit(history) if each[0] in set(rows)]
    middle = len(committed) // 2
    (last, moment), (following, _moment) = committed[middle], committed[middle + 1]
    before = committed[middle - 1][0]
    target = f"moment-{inclusive}"
    expected = {"must_see": [seen(last)], "must_not_see": [seen(following)]}
    if not inclusive:
        expected = {"must_see": [seen(before)], "must_not_see": [seen(last), seen(following)]}
    options = history.restore_options(target, moment, target_inclusive=inclusive, **expected)
    check = run_module("postgresql_restore", options, check_mode=True)
    assert check["changed"], check
    assert check["after"] is None
    assert not (history.place / target).exists()

    done = run_module("postgresql_restore", options)
    assert done["changed"], done
    assert done["actions"] == check["actions"]
    assert [each["holds"] for each in done["answers"]] == [True] * len(done["answers"])
    assert set(done["seconds"]) == {"copy", "replay", "check", "place"}
    data = history.place / target
    assert data.stat().st_mode & 0o777 == 0o700
    assert data.stat().st_uid == (pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else os.geteuid())
    assert leftovers(history.place) == []

    # Started as its steps say, psql finds the same rows, all of those before and none behind.
    with running(history.server, data) as started:
        end = middle + 1 if inclusive else middle
        # Rows of the same microsecond belong together.
        wanted = {number for number, at in committed if (at <= moment if inclusive else at < moment)}
        assert len(wanted) >= end - 1
        found = {int(line) for line in started.psql("SELECT id FROM orders WHERE id > 20000").splitlines()}
        assert found & set(rows) == wanted
        assert started.psql("SHOW archive_mode") == "off"
        assert started.psql("SELECT pg_is_in_recovery()") == "f"
        started.psql("INSERT INTO orders DEFAULT VALUES")

    again = run_module("postgresql_restore", options)
    assert again.get("changed") is False, again
    assert history.server.password not in str(done)


def test_latest_is_the_end_of_the_archive_and_a_new_timeline(
    run_module: ModuleRunner, history: Shop, rows: list[int]
) -> None:
    last = history.server.query("SELECT max(id) FROM orders")[0][0]
    done = run_module("postgresql_restore", history.restore_options("latest", "latest", must_see=[seen(last)]))
    assert done["changed"], done
    assert done["recovered"]["timeline"] == 2
    assert done["recovered"]["last_commit_at"] == done["window"]["until"]
    assert rows


def test_an_assertion_that_does_not_hold_leaves_nothing(
    run_module: ModuleRunner, history: Shop, rows: list[int]
) -> None:
    options = history.restore_options("asserted", history.committed_at(rows[10]), must_see=[seen(99_999_999)])
    refused = run_module("postgresql_restore", options)
    assert refused["failed"]
    assert "postgres does not show what it must (no row)" in refused["msg"]
    assert not (history.place / "asserted").exists()
    assert leftovers(history.place) == []


# --- refused before anything is written


def after(moment: str, seconds: float) -> str:
    return (dt.datetime.fromisoformat(moment) + dt.timedelta(seconds=seconds)).isoformat()


@pytest.mark.parametrize(
    ("moment", "message"),
    [
        ("2026-01-31T09:00:00", "target_time: '2026-01-31T09:00:00' is not accepted"),
        ("", "target_time: '' is not accepted"),
        ("yesterday", "target_time: 'yesterday' is not accepted"),
    ],
    ids=["33-no-timezone", "nothing", "words"],
)
def test_33_a_moment_without_timezone_is_no_moment(
    run_module: ModuleRunner, history: Shop, rows: list[int], moment: str, message: str
) -> None:
    assert rows
    refused = run_module("postgresql_restore", history.restore_options("never", moment))
    assert refused["failed"]
    assert message in refused["msg"]
    assert not (history.place / "never").exists()


def test_31_a_moment_behind_the_archive_is_unreached_and_the_window_is_shown(
    run_module: ModuleRunner, history: Shop, rows: list[int]
) -> None:
    end = by_commit(history)[-1][1]
    refused = run_module("postgresql_restore", history.restore_options("never", after(end, 60)))
    assert refused["failed"]
    assert refused["code"] == "target_unreached"
    assert "the archive ends: its last transaction is of" in refused["msg"]
    assert refused["window"]["from"] < refused["window"]["until"]
    assert not (history.place / "never").exists()
    assert rows


def test_32_a_moment_before_the_backups_end_is_refused(
    run_module: ModuleRunner, history: Shop, rows: list[int]
) -> None:
    refused = run_module("postgresql_restore", history.restore_options("never", "2026-01-31T09:00:00+09:00"))
    assert refused["failed"]
    assert refused["code"] == "target_before_backup"
    assert "a backup can only be brought forward" in refused["msg"]
    assert not (history.place / "never").exists()
    assert rows


def test_29_a_gap_is_told_with_the_last_moment_before_it(
    run_module: ModuleRunner, history: Shop, rows: list[int], tmp_path: Path
) -> None:
    archive = tmp_path / "wal"
    shutil.copytree(history.archive, archive)
    (archive / history.segments()[-2]).unlink()
    end = by_commit(history)[-1][1]
    options = history.restore_options("never", end, wal_archive=str(archive), target_inclusive=False)
    refused = run_module("postgresql_restore", options)
    assert refused["code"] == "target_unreached", refused
    assert f"{history.segments()[-2]} is missing" in refused["msg"]
    newest = run_module("postgresql_restore", {**options, "target_time": "latest"})
    assert newest["code"] == "wal_gap"
    assert not (history.place / "never").exists()
    assert rows


def test_30_wal_that_cannot_be_replayed_puts_nothing_in_place(
    run_module: ModuleRunner, history: Shop, rows: list[int], tmp_path: Path
) -> None:
    archive = tmp_path / "wal"
    shutil.copytree(history.archive, archive)
    # In the segment behind the backup's own, which holds rows from its beginning on.
    [manifest] = history.repository.glob("*.manifest.json")
    own = json.loads(manifest.read_text(encoding="utf-8"))["physical"]["wal_segments"][-1]
    bad = archive / next(name for name in history.segments() if name > own)
    with bad.open("r+b") as stream:
        # Within its first four hundred orders (a recycled segment has old bytes behind its end), and as long as the
        # longest filling between two records, which no checksum covers, and one byte.
        stream.seek(12 * 1024)
        found = stream.read(8)
        stream.seek(12 * 1024)
        stream.write(bytes(each ^ 0x01 for each in found))
    options = history.restore_options("never", history.committed_at(rows[-1]), wal_archive=str(archive))
    refused = run_module("postgresql_restore", options)
    assert refused.get("code") == "target_unreached", refused
    assert not (history.place / "never").exists()
    assert leftovers(history.place) == []


def test_a_directory_that_holds_anything_is_left_alone(
    run_module: ModuleRunner, history: Shop, rows: list[int]
) -> None:
    live = history.restore_options("unused", history.committed_at(rows[5]))
    refused = run_module("postgresql_restore", {**live, "data_directory": str(history.server.data)})
    assert "holds a database cluster. Nothing was touched: a restore never writes into what is there" in refused["msg"]
    assert history.server.psql("SELECT 1") == "1"
    hidden = run_module("postgresql_restore", {**live, "data_directory": "/nowhere/at/all"})
    assert "/nowhere/at does not" in hidden["msg"]
    small = run_module("postgresql_restore", {**live, "target_timeline": "7"})
    assert "target_timeline: '7' is not accepted" in small["msg"]


# --- tablespaces, settings of the original, timelines


def test_tablespaces_go_where_they_are_sent_and_the_originals_settings_stay_harmless(
    run_module: ModuleRunner, tmp_path: Path
) -> None:
    with shop() as made:
        old = scratch_directory("rbl-space-", made.server.account)
        try:
            made.server.execute(f"CREATE TABLESPACE fast LOCATION '{old}'")
            made.server.execute("CREATE TABLE hot TABLESPACE fast AS SELECT generate_series(1, 1000) AS id")
            made.server.execute("ALTER SYSTEM SET archive_timeout = '61s'")
            made.server.execute("ALTER SYSTEM SET primary_conninfo = 'host=primary.invalid'")
            made.server.execute("ALTER SYSTEM SET archive_mode = 'always'")
            taken = run_module("postgresql_backup", made.backup_options())
            assert taken["changed"], taken
            made.insert(1)
            made.switch()
            proven = run_module("postgresql_backup_verify", made.verify_options(level="consistency"))
            assert proven["verdict"] == "verified", proven["findings"]
            options = made.restore_options("spaces", "latest")
            refused = run_module("postgresql_restore", options)
            assert f"fast at {old} has none" in refused["msg"]
            inside = {**options, "tablespaces": {str(old): str(made.place / "spaces" / "inside")}}
            assert "directories that do not lie in each other" in run_module("postgresql_restore", inside)["msg"]
            done = run_module("postgresql_restore", {**options, "tablespaces": {str(old): str(made.place / "fast")}})
            assert done["changed"], done
            # Nothing was archived by what was started, here or there.
            assert not [path.name for path in made.archive.iterdir() if path.name.startswith("00000002")]
            with running(made.server, made.place / "spaces") as started:
                assert started.psql("SELECT count(*) FROM hot") == "1000"
                location = started.psql("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'fast'")
                assert location == str(made.place / "fast")
                assert started.psql("SHOW archive_timeout") == "61s"
                assert started.psql("SHOW primary_conninfo") == ""
                assert started.psql("SHOW archive_mode") == "off"
                started.psql("INSERT INTO hot VALUES (0)")
            assert made.server.psql("SELECT count(*) FROM hot") == "1000"
        finally:
            shutil.rmtree(old, ignore_errors=True)


def test_wal_goes_on_over_a_change_of_timelines(run_module: ModuleRunner) -> None:
    """The archive of a server that was restored, promoted, and archives into the same place."""
    with shop() as made:
        run_module("postgresql_backup", made.backup_options())
        first = made.insert(3)
        made.switch()
        server = made.server
        server.stop()
        (server.data / "recovery.signal").touch()
        os.chown(server.data / "recovery.signal", *_owner(server.data))
        with (server.data / "postgresql.conf").open("a", encoding="utf-8") as stream:
            stream.write(f"\nrestore_command = 'cp {made.archive}/%f %p'\n")
        server.start()
        eventually(lambda: server.psql("SELECT pg_is_in_recovery()") == "f", "it is promoted")
        second = made.insert(3)
        made.switch()
        assert any(path.name == "00000002.history" for path in made.archive.iterdir())
        proven = run_module(
            "postgresql_backup_verify", made.verify_options(level="semantics", must_see=[seen(first), seen(second)])
        )
        assert proven["verdict"] == "verified", proven["findings"]
        [artefact] = proven["artefacts"]
        assert (artefact["wal"]["timeline"], artefact["recovered"]["timeline"]) == (2, 3)
        options = made.restore_options("old", "latest", target_timeline="1", must_see=[seen(first)])
        done = run_module("postgresql_restore", {**options, "must_not_see": [seen(second)]})
        assert done["changed"], done


def _owner(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid
