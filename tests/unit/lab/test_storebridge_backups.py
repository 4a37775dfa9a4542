"""Dumps as the bucket of StoreBridge holds them, good and bad."""

from __future__ import annotations

import gzip
import zlib
from datetime import datetime, timedelta, timezone

import pytest
from lab.storebridge import objects
from lab.storebridge.objects import MARKER, backup_name, backups, damaged, dumps_of, last_night, written_dump

NOW = datetime(2026, 3, 2, 0, 15, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("now", "day"),
    [
        ("2026-03-02T00:15:00+00:00", "20260302"),
        # 02:00 in Seoul is 17:00 UTC, and the job takes a moment.
        ("2026-03-01T17:00:00+00:00", "20260301"),
        ("2026-03-01T17:00:39+00:00", "20260301"),
        ("2026-03-01T17:00:40+00:00", "20260302"),
        ("2026-03-01T14:59:59+00:00", "20260301"),
        ("2026-03-01T15:00:00+00:00", "20260301"),
    ],
)
def test_the_newest_backup_is_last_nights(now, day):
    moment = datetime.fromisoformat(now)
    assert backup_name(last_night(moment)) == f"storebridge-{day}.sql.gz"
    newest = backups("healthy", moment)[0]
    assert newest.written_at <= moment
    assert moment - newest.written_at < timedelta(hours=24)


def test_healthy_backups_are_good_and_daily():
    planned = backups("healthy", NOW)
    assert {backup.fault for backup in planned} == {"good"}
    assert [(planned[0].day - backup.day).days for backup in planned] == list(range(14))


def test_degraded_backups():
    planned = backups("degraded", NOW)
    assert [(backup.key, backup.fault) for backup in planned[:4]] == [
        ("storebridge-20260302.sql.gz", "truncated"),
        ("storebridge-20260301.sql.gz", "empty"),
        ("storebridge-20260228.sql.gz", "unfinished"),
        ("storebridge-20260222.sql.gz", "good"),
    ]
    assert {backup.fault for backup in planned[3:]} == {"good"}


@pytest.fixture(scope="module")
def dump():
    return written_dump("healthy", "small", 1, NOW)


def test_a_written_dump_looks_like_pg_dumps(dump):
    assert dump.startswith("--\n-- PostgreSQL database dump\n--\n")
    # The marker is not the last line (since 15.14 and 17.6).
    assert dump.rstrip().endswith("\\unrestrict lab")
    assert dump.count(f"\n{MARKER}\n") == 1
    for table in ("jobs", "product_registrations", "products"):
        assert f"CREATE TABLE public.{table} (" in dump
        assert f"\nCOPY public.{table} (" in dump
    assert dump == written_dump("healthy", "small", 1, NOW)


def test_every_nights_dump_is_whole_and_holds_what_there_was(dump):
    planned = backups("healthy", NOW)
    texts = [gzip.decompress(content).decode() for content in dumps_of(dump, planned)]
    sizes = [len(text) for text in texts]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)
    assert all(text.count(f"\n{MARKER}\n") == 1 for text in texts)
    last = texts[-1].split("COPY public.product_registrations")[1].split("\n\\.\n")[0]
    moments = [line.split("\t")[4] for line in last.splitlines()[1:]]
    assert max(moments) < planned[-1].written_at.isoformat()


def test_faults(dump):
    content = dumps_of(dump, backups("healthy", NOW)[:1])[0]
    assert damaged(content, "good") == content
    with pytest.raises(EOFError):
        gzip.decompress(damaged(content, "truncated"))
    assert gzip.decompress(damaged(content, "empty")) == b""
    assert len(damaged(content, "empty")) == 20
    unfinished = gzip.decompress(damaged(content, "unfinished")).decode(errors="replace")
    assert MARKER not in unfinished
    assert "COPY public.jobs" in unfinished
    with pytest.raises(ValueError, match="There is no fault 'x'"):
        damaged(content, "x")


def test_a_dump_without_registrations_is_refused():
    with pytest.raises(objects.LabError, match="The dump holds no registrations"):
        dumps_of("-- nothing", backups("healthy", NOW))


def test_a_checksum_protects_every_dump(dump):
    content = bytearray(dumps_of(dump, backups("healthy", NOW)[:1])[0])
    content[-6] ^= 1
    with pytest.raises((zlib.error, gzip.BadGzipFile)):
        gzip.decompress(bytes(content))
