"""Written, proven, listed, pruned: the modules of one repository agree about what is good, in every place and form."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.faults.shop import NAME, make_shop
from lab.postgresql import PostgresServer
from lab.s3 import S3Server

pytestmark = pytest.mark.xdist_group("backup")

RunModule = Callable[..., dict[str, Any]]
MakeBucket = Callable[..., str]
NOW = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
PATTERN = "shop-%Y%m%d-%H%M%S"


@pytest.fixture(scope="module")
def shop() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        make_shop(server, now=NOW)
        yield server


def next_second() -> None:
    """Until the clock shows another second than now."""
    now = int(time.time())
    while int(time.time()) == now:
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("place", "form"),
    [("directory", "custom"), ("directory", "directory"), ("versions", "custom"), ("bucket", "directory")],
)
def test_what_is_proven_is_kept(
    run_module: RunModule,
    shop: PostgresServer,
    store: S3Server,
    make_bucket: MakeBucket,
    tmp_path: Path,
    place: str,
    form: str,
) -> None:
    where: dict[str, Any] = {"repository": str(tmp_path / "kept")}
    if place != "directory":
        bucket = make_bucket("Enabled" if place == "versions" else None)
        where = {**store.login(), "repository": f"s3://{bucket}/db"}
    names = []
    for minutes in (30, 20, 10):
        # Of backups of one second none is older than the other, and nobody may tell which may go.
        next_second()
        moment = (NOW - dt.timedelta(minutes=minutes)).isoformat()
        taken = run_module(
            "postgresql_backup",
            {**where, **shop.login(NAME), "name_pattern": PATTERN, "format": form, "reference_time": moment},
        )
        assert taken.get("changed"), taken
        names.append(taken["backup"]["name"])
    oldest, middle, newest = names
    for name in (oldest, middle):
        proof = {**where, "name": name, "level": "decode"}
        verified = run_module("postgresql_backup_verify", proof)
        assert verified["artefacts"][0]["verdict"] == "verified", verified

    found = run_module("backup_info", {**where, "name_pattern": PATTERN})
    facts = {each["name"]: each for each in found["artefacts"]}
    assert [facts[name]["verified"] and facts[name]["verified"]["is_proven"] for name in names] == [True, True, None]
    assert found["inventory"]["newest_verified"]["name"] == middle
    assert (facts[newest]["manifest"]["database"], facts[newest]["taken_at_source"]) == (NAME, "manifest")
    assert facts[newest]["inspected"]["complete"] is True
    assert facts[newest]["inspected"]["verdict"].startswith("whole: SHA-256 ")
    assert found["inventory"]["unrecognised_count"] == 0, found["inventory"]["unrecognised"]

    # The names' moments and those of the snapshots are of one day: one daily place, for the newest proven.
    pruned = run_module("backup_prune", {**where, "name_pattern": PATTERN, "daily": 1, "min_keep": 1, "rpo": "26h"})
    assert [each["object"] for each in pruned["actions"]] == [oldest], pruned
    left = run_module("backup_info", {**where, "name_pattern": PATTERN})
    assert [each["name"] for each in left["artefacts"]] == [newest, middle]
    assert left["inventory"]["unrecognised_count"] == 0, left["inventory"]["unrecognised"]
