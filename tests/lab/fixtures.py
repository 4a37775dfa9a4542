"""pytest fixtures for tests against real servers.

Servers of the session are shared by the tests of one worker: a test makes its own database, its own key prefix
or its own bucket. A test that restarts, breaks or reconfigures a server starts one of its own.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from lab.hosts.machines import debian, debian12, fleet_of, machine  # noqa: F401 # fixtures
from lab.paths import REPOSITORY
from lab.postgresql import PostgresServer, installations
from lab.redis import RedisServer
from lab.s3 import S3Server


def pytest_configure() -> None:
    """Let every ansible-playbook of the tests find the packed modules that an earlier one made of the same files."""
    content = hashlib.sha256()
    for path in sorted((REPOSITORY / "plugins").rglob("*.py")):
        content.update(str(path).encode() + path.read_bytes())
    os.environ.setdefault("ANSIBLE_CALLBACK_PLUGINS", str(REPOSITORY / "tests" / "lab" / "callbacks"))
    os.environ.setdefault("RUNBOOK_LAB_PAYLOADS", str(REPOSITORY / "build" / "payloads" / content.hexdigest()[:16]))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresServer]:
    """The preferred installation's server, with pg_stat_statements preloaded where there is one."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session", params=list(installations()) or [0], ids=lambda major: f"postgresql-{major}")
def postgresql_by_major(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """One server per installed major version; ``python -m lab fetch-postgresql`` brings more of them."""
    with PostgresServer(request.param or None) as server:
        yield server


def _database(server: PostgresServer) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    server.execute(f"CREATE DATABASE {name}")
    yield name
    server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def postgresql_database(postgresql_server: PostgresServer) -> Iterator[str]:
    """An empty database of the test's own on ``postgresql_server``: its name."""
    yield from _database(postgresql_server)


@pytest.fixture
def database_by_major(postgresql_by_major: PostgresServer) -> Iterator[str]:
    """An empty database of the test's own on ``postgresql_by_major``: its name."""
    yield from _database(postgresql_by_major)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A server with a password that needs quoting everywhere."""
    with RedisServer(password="lab @:/% p\u00e4ss") as server:
        yield server


@pytest.fixture
def empty_redis(redis_server: RedisServer) -> RedisServer:
    """``redis_server`` with nothing in it."""
    with redis_server.client() as client:
        client.flushall()
        client.config_resetstat()
    return redis_server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def bucket(s3_server: S3Server) -> Iterator[str]:
    """An empty bucket of the test's own: its name."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    client: Any = s3_server.client()
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": s3_server.region})
    yield name
    for page in client.get_paginator("list_object_versions").paginate(Bucket=name):
        for each in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
            client.delete_object(Bucket=name, Key=each["Key"], VersionId=each["VersionId"])
    client.delete_bucket(Bucket=name)
