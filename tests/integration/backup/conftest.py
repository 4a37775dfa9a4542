"""Real dumps, good and bad, a server that they were taken from, a store, and the role as a user runs it."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab.copied_backups import Place, place_at, place_in
from lab.installations import client_program
from lab.play import ansible_playbook
from lab.postgresql import PostgresServer
from lab.s3 import S3Server

REPOSITORY = Path(__file__).resolve().parents[3]

PLAYBOOK = """
- name: Check
  hosts: all
  gather_facts: false
  roles:
    - role: runbook.ops.check_backups
  post_tasks:
    - name: Hand the outcome to the test
      ansible.builtin.copy:
        dest: "{{ outcome }}/{{ inventory_hostname }}.json"
        mode: "0600"
        content: "{{ {'findings': check_backups_findings, 'facts': check_backups_facts} | to_json }}"
      check_mode: false
"""

SCHEMA = """
CREATE TABLE orders (id int PRIMARY KEY, item text NOT NULL);
INSERT INTO orders SELECT g, md5(g::text) FROM generate_series(1, 20000) g;
CREATE TABLE customers (id bigserial PRIMARY KEY, name text);
INSERT INTO customers (name) SELECT 'customer ' || g FROM generate_series(1, 500) g;
CREATE VIEW all_orders AS SELECT * FROM orders;
SELECT lo_from_bytea(0, 'a large object');
"""


@dataclass(frozen=True)
class Dumps:
    """pg_dump of one database in several formats, and the programs of the same version."""

    directory: Path
    server: PostgresServer

    def read(self, name: str) -> bytes:
        return (self.directory / name).read_bytes()

    def program(self, name: str) -> str:
        return str(client_program(name, prefer=self.server.installation))

    def run(self, name: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        login = self.server.login()
        return subprocess.run(
            [self.program(name), *arguments],
            env={
                **os.environ,
                "PGHOST": login["login_host"],
                "PGPORT": str(login["login_port"]),
                "PGUSER": login["login_user"],
                "PGPASSWORD": login["login_password"],
                "TZ": "UTC",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            **options,
        )


@pytest.fixture(scope="session")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dumps]:
    directory = tmp_path_factory.mktemp("dumps")
    with PostgresServer() as server:
        server.execute("CREATE DATABASE shop")
        with server.connect(db="shop") as connection, connection.cursor() as cursor:
            cursor.execute(SCHEMA)
        made = Dumps(directory, server)
        for name, arguments in {
            "plain": [],
            "verbose": ["-v", "-C"],
            "schema-only": ["-s"],
            "custom": ["-Fc"],
            "custom-z0": ["-Fc", "-Z0"],
            "tar": ["-Ft"],
            "directory": ["-Fd"],
        }.items():
            done = made.run("pg_dump", *arguments, "-f", str(directory / name), "shop")
            assert done.returncode == 0, done.stderr
        yield made


@pytest.fixture(scope="session")
def artefacts(dumps: Dumps) -> dict[str, bytes]:
    """The set of single-file artefacts that a verification must tell apart, by name."""
    plain, custom = dumps.read("plain"), dumps.read("custom")
    zipped = gzip.compress(plain)
    in_copy = plain.index(b"COPY public.orders") + 100_000
    marker = plain.index(b"\n--\n-- PostgreSQL database dump complete\n--\n")
    end_of_marker = marker + len(b"\n--\n-- PostgreSQL database dump complete\n--\n")
    bad_crc = bytearray(zipped)
    bad_crc[-6] ^= 0x01
    flipped = bytearray(zipped)
    flipped[len(flipped) // 2] ^= 0x10
    custom_flipped = bytearray(custom)
    custom_flipped[len(custom) // 2] ^= 0x10
    return {
        "plain": plain,
        "plain with unrestrict": plain[:end_of_marker] + b"\n\\unrestrict abcDEF123\n\n",
        "plain without unrestrict": plain[:end_of_marker] + b"\n",
        "verbose": dumps.read("verbose"),
        "schema only": dumps.read("schema-only"),
        "gzip": zipped,
        "custom": custom,
        "custom without compression": dumps.read("custom-z0"),
        "tar": dumps.read("tar"),
        "no bytes": b"",
        "20 bytes of gzip": gzip.compress(b"", mtime=0),
        "gzip with a bad CRC": bytes(bad_crc),
        "gzip with a flipped bit": bytes(flipped),
        "gzip cut in half": zipped[: len(zipped) // 2],
        "gzip of a cut dump": gzip.compress(plain[:in_copy]),
        "plain cut in COPY": plain[:in_copy],
        "custom cut at the end": custom[: len(custom) * 9 // 10],
        "custom with a flipped bit": bytes(custom_flipped),
        "tar cut": dumps.read("tar")[:-20_000],
    }


@dataclass(frozen=True)
class Outcome:
    """What the role found on one host."""

    findings: list[dict[str, Any]]
    facts: dict[str, Any]

    def not_ok(self) -> list[tuple[str, str, str]]:
        """Findings that are not ok as (severity, id, object)."""
        return [(e["severity"], e["id"], e["object"]) for e in self.findings if e["severity"] != "ok"]

    def summary(self, rule: str) -> str:
        [found] = [each["summary"] for each in self.findings if each["id"] == rule]
        return found


@dataclass(frozen=True)
class Run:
    """What a run of the role gave: the text that ansible-playbook printed, and the outcome of every host."""

    output: str
    outcomes: dict[str, Outcome]


CheckRole = Callable[..., Run]


@pytest.fixture(scope="session")
def check_role(tmp_path_factory: pytest.TempPathFactory) -> CheckRole:
    """Run the role over hosts: their role variables by name; C(expect) is the exit status."""

    def run(hosts: dict[str, dict[str, Any]], *arguments: str, expect: int = 0) -> Run:
        place = tmp_path_factory.mktemp("role")
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        inventory = {"all": {"hosts": {name: {**local, **variables} for name, variables in hosts.items()}}}
        (place / "inventory.yml").write_text(json.dumps(inventory), encoding="utf-8")
        (place / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
        (place / "outcome").mkdir()
        outcome = f"outcome={place / 'outcome'}"
        completed = ansible_playbook(place, "-i", "inventory.yml", "play.yml", "-e", outcome, *arguments, timeout=300)
        assert completed.returncode == expect, completed.stdout
        outcomes = {
            path.stem: Outcome(**json.loads(path.read_text(encoding="utf-8"))) for path in (place / "outcome").iterdir()
        }
        return Run(completed.stdout, outcomes)

    return run


@pytest.fixture(scope="session")
def store() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def make_bucket(store: S3Server) -> Callable[..., str]:
    """Make a bucket of the test's own, with or without versions: its name."""
    client = store.client()

    def make(versioning: str | None = None) -> str:
        name = f"test-{uuid.uuid4().hex[:12]}"
        client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": store.region})
        if versioning:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": versioning})
        return name

    return make


@pytest.fixture
def copy_dump(dumps: Dumps) -> Callable[[Path], None]:
    """Put the directory dump (-Fd) somewhere."""

    def copy(target: Path) -> None:
        shutil.copytree(dumps.directory / "directory", target)

    return copy


@pytest.fixture
def make(tmp_path: Path, store: S3Server, make_bucket: Callable[..., str]) -> Callable[[str, str], Place]:
    """Make a repository of a kind (directory, bucket, or versioned for a bucket with versions) and a name."""

    def made(kind: str, name: str) -> Place:
        if kind == "directory":
            return place_in(tmp_path / name)
        return place_at(store, make_bucket("Enabled" if kind == "versioned" else None), name)

    return made
