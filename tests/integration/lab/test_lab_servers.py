"""Every kind of server starts, answers its own tools, and goes away without a trace."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import urllib.request
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import redis
from botocore.exceptions import ClientError
from lab import process, server
from lab.errors import LabError, MissingServer
from lab.http_stub import HttpStub
from lab.paths import PACKAGE_PARENT
from lab.postgresql import PostgresServer
from lab.process import Identity
from lab.prometheus import PrometheusServer, prometheus_binary
from lab.redis import RedisServer, binaries
from lab.s3 import S3Server
from lab.serve import ServedProcess

AWKWARD = "a'b\"c \\ @:/% päss"


# --- PostgreSQL


def test_every_major_answers_psql_with_its_own_version(
    postgresql_by_major: PostgresServer, database_by_major: str
) -> None:
    major = postgresql_by_major.installation.major
    assert postgresql_by_major.psql("SHOW server_version_num", db=database_by_major).startswith(str(major))
    assert postgresql_by_major.server_version_num // 10000 == major
    assert postgresql_by_major.psql("SHOW data_checksums") == "on"
    assert postgresql_by_major.psql("SHOW timezone") == "UTC"


def test_statements_are_recorded_where_the_installation_can(postgresql_by_major: PostgresServer) -> None:
    can = postgresql_by_major.installation.has_library("pg_stat_statements")
    assert postgresql_by_major.psql("SHOW shared_preload_libraries") == ("pg_stat_statements" if can else "")
    offered = postgresql_by_major.psql("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_stat_statements'")
    assert offered == ("1" if can else "")


def test_nobody_gets_in_without_the_password(postgresql_server: PostgresServer) -> None:
    for password in ("template", "wrong"):
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            postgresql_server.connect(password=password)
    with pytest.raises(psycopg2.OperationalError, match="no password supplied"):
        psycopg2.connect(host=postgresql_server.socket_dir, port=postgresql_server.port, user="postgres")


def test_settings_win_and_the_data_survives_a_restart() -> None:
    settings: dict[str, Any] = {"fsync": True, "max_connections": 17, "log_min_messages": "info"}
    with PostgresServer(settings=settings, password=AWKWARD, checksums=False) as own:
        assert [own.psql(f"SHOW {name}") for name in ("fsync", "max_connections", "data_checksums")] == [
            "on", "17", "off",
        ]  # fmt: skip
        own.execute("CREATE TABLE kept AS SELECT 1 AS x")
        port = own.port
        own.restart()
        assert own.port == port
        own.kill()
        own.start()
        assert own.query("SELECT x FROM kept") == [(1,)]
        base = own.base
    assert not base.exists()


def test_a_directory_is_used_again_with_the_same_password(tmp_path: Path) -> None:
    with PostgresServer(base=tmp_path / "base", password="same") as first:
        first.execute("CREATE TABLE kept AS SELECT 2 AS x")
    with PostgresServer(base=tmp_path / "base", password="same") as second:
        assert second.query("SELECT x FROM kept") == [(2,)]
        second.remove()


def test_servers_from_the_cache_are_alike_and_fresh_ones_are_not(postgresql_server: PostgresServer) -> None:
    identifier = "SELECT system_identifier FROM pg_control_system()"
    with PostgresServer(fresh=True) as own:
        assert own.psql(identifier) != postgresql_server.psql(identifier)


def test_a_major_that_is_not_here_names_the_command_that_brings_it() -> None:
    with pytest.raises(
        MissingServer, match=r"PostgreSQL 9 is not here .* 'python -m lab fetch-postgresql 9' brings it\."
    ):
        PostgresServer(9)


def test_a_setting_that_the_server_refuses_is_shown_with_its_log() -> None:
    with pytest.raises(LabError, match=r"(?s)PostgreSQL ended with code 1\. The end of .*invalid value for parameter"):
        PostgresServer(settings={"shared_buffers": "little"}).__enter__()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers as somebody else")
def test_root_runs_it_as_somebody_else_also_below_a_private_directory(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    with PostgresServer(base=private / "base") as own:
        assert own.pid is not None
        assert Path(f"/proc/{own.pid}").stat().st_uid != 0
        assert own.psql("SELECT 1") == "1"
        (outside,) = own.extra_directories
        own.remove()
    assert not outside.exists()


def test_a_standby_follows_its_primary(postgresql_server: PostgresServer) -> None:
    with PostgresServer(standby_of=postgresql_server) as standby:
        assert standby.psql("SELECT pg_is_in_recovery()") == "t"
        streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        assert process.wait_until(lambda: postgresql_server.psql(streaming) == "1", 10)


# --- Redis


@pytest.mark.parametrize("binary", list(binaries()))
def test_every_redis_takes_any_password_and_its_tools_agree(binary: str) -> None:
    with RedisServer(
        password=AWKWARD, settings={"maxmemory": "10mb", "maxmemory-policy": "noeviction"}, binary=binary
    ) as own:
        assert own.cli("set", "käy", "välue") == "OK"
        assert own.client(decode_responses=True).get("käy") == "välue"
        assert own.cli("config", "get", "maxmemory") == "maxmemory\n10485760"
        with pytest.raises(LabError, match=r"NOAUTH|AUTH failed|WRONGPASS"):
            own.cli("ping", password="wrong")
        assert redis.Redis(unix_socket_path=str(own.socket), password=AWKWARD).ping()


def test_redis_keeps_its_data_over_a_restart_when_it_persists(tmp_path: Path) -> None:
    with RedisServer(base=tmp_path, settings={"appendonly": True, "save": ["900 1", "300 10"]}) as own:
        own.cli("set", "kept", "1")
        assert own.cli("config", "get", "save") == "save\n900 1 300 10"
        own.restart()
        assert own.cli("get", "kept") == "1"


# --- S3


def test_the_store_asks_for_its_own_key(s3_server: S3Server, bucket: str) -> None:
    assert bucket in [each["Name"] for each in s3_server.client().list_buckets()["Buckets"]]
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        s3_server.client(aws_access_key_id="AKIAWRONG").list_buckets()
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{s3_server.endpoint_url}/{bucket}", timeout=5)


def test_objects_and_delete_markers_can_be_made_old(s3_server: S3Server, bucket: str) -> None:
    then = datetime(2025, 10, 8, 2, 30, tzinfo=timezone.utc)
    client = s3_server.client()
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = client.put_object(Bucket=bucket, Key="dump", Body=b"1")["VersionId"]
    client.put_object(Bucket=bucket, Key="dump", Body=b"22")
    s3_server.backdate(bucket, "dump", then, first)
    versions = client.list_object_versions(Bucket=bucket)["Versions"]
    assert [each["LastModified"] == then for each in versions if each["VersionId"] == first] == [True]
    assert all(each["LastModified"] > then for each in versions if each["VersionId"] != first)
    client.delete_object(Bucket=bucket, Key="dump")
    s3_server.backdate(bucket, "dump", then)
    assert client.list_object_versions(Bucket=bucket)["DeleteMarkers"][0]["LastModified"] == then
    with pytest.raises(LabError, match="S3: backdate failed"):
        s3_server.backdate(bucket, "no such object", then)


# --- Prometheus


def test_prometheus_scrapes_a_stub_and_sees_who_is_down() -> None:
    assert prometheus_binary() is not None, "this test needs the package 'prometheus'"
    with (
        HttpStub({"/metrics": "lab_answer 42\n"}) as stub,
        PrometheusServer({"good": [f"127.0.0.1:{stub.port}"], "bad": ["127.0.0.1:1"]}) as own,
    ):
        assert own.wait_for_scrapes(30)
        assert own.query("lab_answer")[0]["value"][1] == "42"
        assert {each["metric"]["job"]: each["value"][1] for each in own.query("up")} == {"good": "1", "bad": "0"}


def test_prometheus_can_be_given_a_past() -> None:
    assert prometheus_binary() is not None, "this test needs the package 'prometheus'"
    history = "# TYPE lab_past gauge\nlab_past 1 1760580000\nlab_past 2 1760580060\n# EOF\n"
    with PrometheusServer(backfill=history) as own:
        answer = own.get("/api/v1/query", query="lab_past", time="1760580065")
    assert answer["data"]["result"][0]["value"][1] == "2"


# --- all of them


def test_a_port_that_was_taken_in_between_is_not_the_end(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer, postgresql_server: PostgresServer
) -> None:
    """The race between finding a port and binding it, lost on purpose, against a server of the same kind."""
    for own, taken in ((RedisServer(), redis_server.port), (PostgresServer(), postgresql_server.port)):
        ports = iter([taken, taken])
        real = server.free_port
        monkeypatch.setattr(server, "free_port", lambda host, ports=ports, real=real: next(ports, None) or real(host))
        with own:
            assert own.running
            assert own.port != taken
        monkeypatch.setattr(server, "free_port", real)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_servers_die_with_their_parent(how: signal.Signals, tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import json, time
        from lab.postgresql import PostgresServer
        from lab.redis import RedisServer
        from lab.s3 import S3Server
        servers = [PostgresServer(), RedisServer(), S3Server()]
        for each in servers:
            each.start()
        print(json.dumps([[each.pid, str(each.base)] for each in servers]), flush=True)
        time.sleep(60)
    """)
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)},
    )
    assert parent.stdout is not None
    started = json.loads(parent.stdout.readline())
    identities = [Identity.of(pid) for pid, _ignored in started]
    assert all(each.alive() for each in identities)
    parent.send_signal(how)
    parent.communicate()
    try:
        assert process.wait_until(lambda: not any(each.alive() for each in identities), 15)
    finally:
        for _ignored, base in started:
            shutil.rmtree(base)


def test_a_server_that_ends_at_once_says_why(tmp_path: Path) -> None:
    class Broken(ServedProcess):
        label = "Broken"
        kind = "no such kind"

        def __init__(self, base: Path) -> None:
            super().__init__(base)
            self.specification = {}

    with pytest.raises(LabError, match=r"(?s)Broken ended with code 1\..*There is no server 'no such kind'"):
        Broken(tmp_path).start()
