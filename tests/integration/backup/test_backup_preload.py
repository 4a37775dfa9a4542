"""A dump whose extension works only when the server loads its library at the start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.backup_runs import bin_directory
from lab.postgresql import PostgresServer

RunModule = Callable[..., dict[str, Any]]
PATTERN = "shop-%Y%m%d-%H%M%S.dump"


@pytest.fixture(scope="module")
def shop() -> Iterator[PostgresServer]:
    with PostgresServer(settings={"shared_preload_libraries": "pg_stat_statements"}) as server:
        server.execute("CREATE DATABASE shop")
        for statement in (
            "CREATE EXTENSION pg_stat_statements",
            # pg_restore fills it, and for that it asks the view of the extension.
            "CREATE MATERIALIZED VIEW busy AS SELECT count(*) >= 0 AS is_known FROM pg_stat_statements",
        ):
            server.psql(statement, db="shop")
        yield server


def test_preload(run_module: RunModule, shop: PostgresServer, tmp_path: Path) -> None:
    place = {"repository": str(tmp_path), "name_pattern": PATTERN, "bin_directory": bin_directory(shop)}
    assert run_module("postgresql_backup", {**shop.login("shop"), **place})["changed"] is True
    options = {**place, "on_failure": "report"}
    without = run_module("postgresql_backup_verify", options)
    [artefact] = without["artefacts"]
    assert artefact["verdict"] == "error", "nothing is said against the backup"
    [finding] = [each for each in artefact["findings"] if each["code"] == "preload_missing"]
    # Newer majors put the name of the setting in quotes.
    assert "pg_stat_statements must be loaded via" in finding["message"]
    assert finding["message"].endswith(". Name its library in preload")
    assert finding["remedy"] == (
        "Name the extension's library in preload; on a staging server, in shared_preload_libraries."
    )

    loaded = run_module("postgresql_backup_verify", {**options, "preload": ["pg_stat_statements"]})
    assert [each["verdict"] for each in loaded["artefacts"]] == ["verified"], loaded["artefacts"]


@pytest.mark.parametrize("module", ["postgresql_backup_verify", "postgresql_restore"])
def test_a_path_is_no_library(run_module: RunModule, shop: PostgresServer, tmp_path: Path, module: str) -> None:
    more = {**shop.login("postgres"), "database": "shop"} if module == "postgresql_restore" else {}
    given = {**more, "repository": str(tmp_path), "name_pattern": PATTERN, "preload": ["../evil"]}
    assert run_module(module, given)["msg"] == (
        "preload: '../evil' is not accepted. Accepted: libraries as in shared_preload_libraries, such as timescaledb."
    )
