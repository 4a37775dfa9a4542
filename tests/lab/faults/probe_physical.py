"""Cases 29 to 33, 41 and 42: physical backups, their WAL, and moments that cannot be reached."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import replace
from typing import Any

from lab.faults import damage
from lab.faults.bench import Bench, Found, found_in, refusal
from lab.physical import Shop, shop
from lab.postgresql import PostgresServer


def backed_up(bench: Bench) -> Shop:
    """A cluster with a base backup and three segments of WAL behind it, and a copy of its archive to break."""
    made: Shop = bench.shared("physical", shop)
    if not made.repository.exists():
        taken = bench.run("postgresql_backup", made.backup_options())
        assert taken.get("changed"), taken
        for _number in range(3):
            made.insert()
            made.switch()
    copy = made.place / f"wal-{uuid.uuid4().hex[:8]}"
    # What is being archived at this moment is none of it.
    shutil.copytree(made.archive, copy, ignore=shutil.ignore_patterns(".*"))
    return replace(made, archive=copy)


def _verify(bench: Bench, made: Shop, **options: Any) -> Found:
    return found_in(bench.run("postgresql_backup_verify", made.verify_options(record=False, **options)))


def wal_gap(bench: Bench) -> Found:
    made = backed_up(bench)
    (made.archive / made.segments()[-2]).unlink()
    return _verify(bench, made, level="decode")


def wal_damaged(bench: Bench) -> Found:
    made = backed_up(bench)
    segment = made.archive / made.segments()[-2]
    content = bytearray(segment.read_bytes())
    # In the middle of the first records, behind the page's header.
    content[200] ^= 0x10
    segment.write_bytes(content)
    return _verify(bench, made, level="decode")


def _restore(bench: Bench, moment: str) -> Found:
    made = backed_up(bench)
    result = bench.run("postgresql_restore", made.restore_options("recovered", moment))
    assert not (made.place / "recovered").exists()
    return refusal(result)


def after_the_archive(bench: Bench) -> Found:
    return _restore(bench, "2099-01-01T00:00:00Z")


def before_the_backup(bench: Bench) -> Found:
    return _restore(bench, "2020-01-01T00:00:00Z")


def without_zone(bench: Bench) -> Found:
    found = _restore(bench, "2026-01-31 09:00:00")
    assert "target_time: '2026-01-31 09:00:00' is not accepted" in found.result["msg"], found.result["msg"]
    return found


def damaged_page(bench: Bench) -> Found:
    """A page of a table is damaged where there are no checksums: pg_basebackup copies it without a word."""
    with PostgresServer(settings={"wal_level": "replica", "max_wal_senders": 4}, checksums=False) as server:
        server.execute("CREATE TABLE orders AS SELECT g AS id, md5(g::text) AS item FROM generate_series(1, 5000) g")
        [[path]] = server.query("SELECT pg_relation_filepath('orders')")
        server.stop()
        damage.ruined_page(server.data / path, 2)
        server.start()
        place = bench.directory("41")
        # The account of the scratch server goes through it.
        place.chmod(0o755)
        made = Shop(server, place, place / "wal", {"wal_archive": None})
        taken = bench.run("postgresql_backup", made.backup_options())
        assert taken.get("changed"), taken
        return _verify(bench, made, level="consistency", amcheck=True)


def live_archiver(bench: Bench) -> Found:
    """The backup brings the production's archive_command along, and the copy must not call it."""
    backed_up(bench)
    made: Shop = bench.shared("physical", shop)
    found = _verify(bench, made, level="consistency")
    [artefact] = found.result["artefacts"]
    assert artefact["recovered"]["settings"]["archive_mode"] == "off"
    # A recovered copy is on a timeline of its own: it would have archived its history first.
    assert int(artefact["recovered"]["timeline"]) > 1
    made.switch()
    # One that is being copied right now has a dot before its name.
    names = [path.name.lstrip(".") for path in made.archive.iterdir()]
    assert [name for name in names if not name.startswith("00000001")] == []
    return found


PROBES = {
    29: wal_gap,
    30: wal_damaged,
    31: after_the_archive,
    32: before_the_backup,
    33: without_zone,
    41: damaged_page,
    42: live_archiver,
}
