"""A system of the least size, for tests of the lab itself: it fails or dawdles when its environment says so."""

from __future__ import annotations

import os
import sys
import time
from datetime import datetime
from typing import Any

import psycopg2
from lab.cli import main
from lab.postgresql import PostgresServer
from lab.redis import RedisServer
from lab.s3 import S3Server
from lab.systems import SYSTEMS, System

TINY = System(
    name="tiny",
    title="Tiny",
    module="tiny_system",
    database="tiny",
    application_role="tiny_app",
    guest_role="tiny_guest",
    hosts={part: f"tiny-{part}" for part in ("postgresql", "redis", "api", "images", "backups", "prometheus", "loki")},
    groups={
        "postgresql": "postgresql",
        "redis": "redis",
        "api": "http",
        "images": "object_store",
        "backups": "backups",
        "prometheus": "prometheus",
        "loki": "logs",
    },
)


def _obey(part: str) -> None:
    if os.environ.get("TINY_FAIL") == part:
        raise RuntimeError(f"{part} was told to fail")
    if os.environ.get("TINY_DAWDLE") == part:
        time.sleep(60)


def populate_postgresql(server: PostgresServer, scenario: str, seed: int, now: datetime) -> dict[str, int]:
    _obey("postgresql")
    server.execute("CREATE TABLE things AS SELECT generate_series(1, 3) AS id", db="tiny")
    return {"things": 3}


def populate_redis(server: RedisServer) -> None:
    _obey("redis")
    server.cli("set", "thing", "1")


def populate_s3(server: S3Server) -> str:
    _obey("s3")
    server.client().create_bucket(
        Bucket="tiny-things", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-2"}
    )
    return "one bucket"


def http_routes(scenario: str) -> dict[str, Any]:
    _obey("http")
    return {"/health": {"status": "ok"}, "/v1/things": {"scenario": scenario}}


def loki_routes(now: datetime) -> dict[str, Any]:
    return {"/ready": now.isoformat()}


def metrics_text(seed: int) -> str:
    return f"tiny_seed {seed}\n"


def hold_sessions(login: dict[str, Any]) -> Any:
    connection = psycopg2.connect(
        host=login["login_host"],
        port=login["login_port"],
        user=login["login_user"],
        password=login["login_password"],
        dbname=login["login_db"],
        application_name="held",
    )
    connection.cursor().execute("SELECT 1")
    return connection


if __name__ == "__main__":
    SYSTEMS["tiny"] = TINY
    sys.exit(main())
