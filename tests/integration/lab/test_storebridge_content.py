"""StoreBridge's content on real servers, looked at with the servers' own tools."""

from __future__ import annotations

import gzip
from datetime import datetime, timedelta, timezone

import pytest
from lab import process
from lab.postgresql import PostgresServer
from lab.redis import RedisServer
from lab.s3 import S3Server
from lab.storebridge import hold_sessions, populate_postgresql, populate_redis, populate_s3
from lab.storebridge.database import INVALID_INDEX, UNUSED_INDEX
from lab.storebridge.generator import business_date
from lab.storebridge.objects import BACKUPS, IMAGES, MARKER, backups

NOW = datetime.now(timezone.utc).replace(microsecond=0)


@pytest.fixture(scope="module")
def degraded():
    with PostgresServer() as server:
        counts = populate_postgresql(server, "degraded", "small", 1, NOW)
        assert counts["products"] == 3_000
        yield server


def test_planted_rows(degraded):
    def count(condition):
        return int(degraded.psql(f"SELECT count(*) FROM {condition}", db="storebridge"))

    seoul = "created_at AT TIME ZONE 'Asia/Seoul'"
    day = business_date(NOW, -1)
    assert count(f"product_registrations WHERE state = 'COMPLETED' AND ({seoul})::date = '{day}'") == 80
    assert count(f"product_registrations WHERE state = 'FAILED' AND ({seoul})::date = '{day}'") == 20
    assert count("product_registrations WHERE state = 'MANUAL_REVIEW'") == 100
    assert count("audit_logs WHERE created_at < now() - interval '180 days'") == 100
    assert count("audit_logs WHERE created_at < now() - interval '178 days 23 hours'") > 100
    assert count("jobs JOIN job_items ON job_id = jobs.id WHERE completed_at < now() - interval '95 days'") > 100
    assert count('"MixedCase"') == 500


def test_planted_indexes(degraded):
    def ask(statement):
        return degraded.psql(statement, db="storebridge")

    assert ask("SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid") == INVALID_INDEX
    unused = (
        "SELECT indexrelname FROM pg_stat_user_indexes JOIN pg_index USING (indexrelid) "
        "WHERE idx_scan = 0 AND NOT indisunique AND indisvalid"
    )
    # A session's statistics arrive a moment after it has ended.
    assert process.wait_until(lambda: ask(unused) == UNUSED_INDEX, 20, 0.1), ask(unused)
    assert int(ask(f"SELECT pg_relation_size('{UNUSED_INDEX}')")) > 10_000_000
    assert ask("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'products_domeggook_item_id_key'") == "0"
    assert ask("SELECT confdeltype FROM pg_constraint WHERE conname = 'job_items_job_id_fkey'") == "c"
    # A server as one runs it, in spite of the fast load.
    assert [ask(f"SHOW {name}") for name in ("fsync", "full_page_writes", "synchronous_commit")] == ["on"] * 3


def test_the_monitor_may_read_and_the_application_owns(degraded):
    assert (
        degraded.psql("SELECT has_table_privilege('runbook_monitor', 'audit_logs', 'SELECT')", db="storebridge") == "t"
    )
    assert (
        degraded.psql("SELECT has_table_privilege('runbook_monitor', 'audit_logs', 'DELETE')", db="storebridge") == "f"
    )
    owners = degraded.psql("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'", db="storebridge")
    assert owners == "storebridge_app"


def test_sessions(degraded):
    degraded.execute("ALTER ROLE storebridge_app PASSWORD 'planted'")
    held = hold_sessions(
        degraded.login("storebridge", "storebridge_app", "planted"), degraded.login("storebridge"), "degraded"
    )
    shown = degraded.psql(
        "SELECT application_name, state, count(*) FROM pg_stat_activity "
        "WHERE datname = 'storebridge' AND pid <> pg_backend_pid() AND backend_type = 'client backend' "
        "GROUP BY 1, 2 ORDER BY 1",
        db="storebridge",
    )
    for connection in held:
        connection.close()
    assert shown.splitlines() == [
        "psql|idle|1",
        "storebridge-web|idle|8",
        "storebridge-worker-batch|idle in transaction|1",
        "storebridge-worker-normal|idle|4",
    ]


def test_two_fillings_are_the_same(degraded):
    digest = "SELECT md5(string_agg(t::text, '' ORDER BY id)) FROM (SELECT * FROM {} ORDER BY id) AS t"
    with PostgresServer() as other:
        populate_postgresql(other, "degraded", "small", 1, NOW)
        for table in ("products", "product_registrations", "jobs", "job_items", "audit_logs"):
            statement = digest.format(table)
            assert degraded.psql(statement, db="storebridge") == other.psql(statement, db="storebridge")


def test_queues_of_a_dead_worker():
    with RedisServer(password="p@ss:/% 비밀") as server:
        populate_redis(server, "degraded", 1, NOW)
        assert server.cli("llen", "celery:normal") == "40"
        assert server.cli("llen", "celery:normal\x06\x163") == "25"
        assert server.cli("llen", "celery:batch") == "60"
        assert server.cli("hlen", "celery:unacked") == "11"
        held = server.cli("zcount", "celery:unacked_index", "-inf", int(NOW.timestamp()) - 3_600)
        assert held == "6"
        failures = [
            key for key in server.cli("keys", "celery-task-meta-*").splitlines() if "FAILURE" in server.cli("get", key)
        ]
        assert len(failures) == 14
        assert "cmd=brpop" not in server.cli("client", "list")
        assert server.cli("get", f"domeggook:daily_calls:{business_date(NOW)}") == "14200"
        assert server.cli("config", "get", "appendonly").splitlines()[1] == "yes"


def test_queues_of_a_living_worker():
    with RedisServer() as server:
        populate_redis(server, "healthy", 1, NOW)
        assert "cmd=brpop" in server.cli("client", "list")
        assert int(server.cli("zcount", "celery:unacked_index", "-inf", int(NOW.timestamp()) - 3_600)) == 0


@pytest.mark.parametrize("real", [True, False], ids=["pg_dump", "written"])
def test_backups(degraded, real):
    with S3Server() as server:
        counts = populate_s3(server, "degraded", "small", 1, NOW, postgresql=degraded if real else None)
        client = server.client()
        planned = {backup.key: backup for backup in backups("degraded", NOW)}
        listed = {each["Key"]: each for each in client.list_objects_v2(Bucket=BACKUPS)["Contents"]}
        assert counts["backups"] == len(planned)
        assert set(planned) <= set(listed)
        for key, backup in planned.items():
            assert listed[key]["LastModified"] == backup.written_at
            content = client.get_object(Bucket=BACKUPS, Key=key)["Body"].read()
            if backup.fault == "truncated":
                with pytest.raises(EOFError):
                    gzip.decompress(content)
                continue
            text = gzip.decompress(content).decode(errors="replace")
            assert (MARKER in text) is (backup.fault == "good")
        assert len({each["ETag"] for each in listed.values()}) == len(listed)
        pictures = client.list_objects_v2(Bucket=IMAGES)
        assert pictures["KeyCount"] == counts["pictures"]


def test_a_good_backup_can_be_restored(degraded):
    from lab.storebridge.objects import dumps_of, pg_dump

    dump = pg_dump(degraded)
    assert dump is not None
    [backup] = backups("healthy", NOW)[:1]
    text = gzip.decompress(dumps_of(dump, [backup])[0]).decode()
    with PostgresServer() as target:
        target.execute("CREATE ROLE storebridge_app")
        target.execute("CREATE ROLE runbook_monitor")
        target.execute("CREATE DATABASE restored")
        # psql of an older minor release does not know \restrict.
        lines = [line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]
        script = target.base / "dump.sql"
        script.write_text(
            "\n".join(line for line in lines if "pg_stat_statements" not in line) + "\n", encoding="utf-8"
        )
        script.chmod(0o644)
        import subprocess

        subprocess.run(
            [target.client("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", script],
            env={
                "PGHOST": target.host,
                "PGPORT": str(target.port),
                "PGUSER": target.superuser,
                "PGPASSWORD": target.password,
                "PGDATABASE": "restored",
            },
            check=True,
            stdout=subprocess.DEVNULL,
        )
        assert target.psql("SELECT count(*) FROM jobs", db="restored") == degraded.psql(
            "SELECT count(*) FROM jobs", db="storebridge"
        )
        late = (backup.written_at + timedelta(seconds=1)).isoformat()
        assert (
            target.psql(f"SELECT count(*) FROM product_registrations WHERE created_at > '{late}'", db="restored") == "0"
        )
