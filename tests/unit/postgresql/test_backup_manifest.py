"""Manifests of PostgreSQL backups: written, read again, and what is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import (
    Manifest,
    Part,
    manifest_bytes,
    manifest_name,
    members_sha256,
    parse_manifest,
)

A, B = "a" * 64, "b" * 64
MANIFEST = Manifest(
    name="shop-20260131.dump.age",
    method="dump",
    taken_at="2026-01-31T00:00:01.123456Z",
    started_at="2026-01-31T00:00:00Z",
    finished_at="2026-01-31T00:01:00Z",
    bytes=12,
    sha256=A,
    blocks=(A, B),
    version_id="v1",
    encryption={"method": "age", "recipients": ["age1x"]},
    globals=Part("shop-20260131.dump.age.globals.sql.age", 3, B),
    dump={"format": "custom", "partial": False},
    census={"format": 1},
)


def test_a_manifest_reads_as_it_was_written() -> None:
    assert parse_manifest(manifest_bytes(MANIFEST), "x") == MANIFEST
    assert manifest_name(MANIFEST.name) == "shop-20260131.dump.age.manifest.json"


def test_a_directory_has_members_and_one_hash_as_sha256sum_would_make_it() -> None:
    members = {"toc.dat": Part("toc.dat", 2, B), "1.dat.gz": Part("1.dat.gz", 1, A, "v")}
    found = parse_manifest(
        manifest_bytes(Manifest("d", "dump", *[MANIFEST.taken_at] * 3, 3, members_sha256(members), members=members)),
        "x",
    )
    assert found.is_directory
    assert found.members == members
    # printf '%s  1.dat.gz\n%s  toc.dat\n' aaa… bbb… | sha256sum
    assert found.sha256 == "5755e044e4c95e13f2da4f524609ab77041e42ac82ed4a7c117b850c9db85c31"


def changed(**values: Any) -> bytes:
    return json.dumps({**MANIFEST.as_dict(), **values}).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "x is damaged: it is not a manifest as this collection writes it", id="nothing"),
        pytest.param(b"[]", "x is damaged: it is not a manifest as this collection writes it", id="a list"),
        pytest.param(
            changed(kind="redis"),
            "x is a manifest of 'redis' in format 1, not of 'postgresql' in format 1. "
            "Use the collection's version that wrote it, or a newer one",
            id="of Redis",
        ),
        pytest.param(
            changed(format=2),
            "x is a manifest of 'postgresql' in format 2, not of 'postgresql' in format 1. "
            "Use the collection's version that wrote it, or a newer one",
            id="of the future",
        ),
        pytest.param(
            changed(method="copy"),
            "x is damaged: it is not a manifest as this collection writes it (ValueError: copy)",
            id="unknown method",
        ),
        pytest.param(
            changed(sha256="A" * 64),
            "x is damaged: it is not a manifest as this collection writes it (ValueError: no SHA-256)",
            id="no hash",
        ),
        pytest.param(
            changed(census=[1]),
            "x is damaged: it is not a manifest as this collection writes it (TypeError: a mapping was expected)",
            id="no census",
        ),
        pytest.param(
            changed(taken_at="2026-01-31 09:00"),
            "x is damaged: it is not a manifest as this collection writes it (InvalidOption: taken_at: "
            "'2026-01-31 09:00' is not accepted. Accepted: an ISO 8601 moment with timezone, such as "
            "2026-01-31T09:00:00+09:00.)",
            id="a moment without timezone",
        ),
    ],
)
def test_what_is_no_manifest_says_so(data: bytes, message: str) -> None:
    with pytest.raises(Undecided) as told:
        parse_manifest(data, "x")
    assert told.value.message == message
