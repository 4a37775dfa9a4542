"""method=pgbackrest killed whenever: pgBackRest's own processes end as well, and the next run comes through."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.killing import kill_after, usual_seconds
from lab.pgbackrest import RestShop, rest_shop
from lab.physical import ROWS, eventually, leftovers, running

ModuleRunner = Callable[..., dict[str, Any]]
KILLS = 4


@pytest.fixture(scope="module")
def made(run_module: ModuleRunner) -> Iterator[RestShop]:
    with rest_shop() as one:
        taken = run_module("postgresql_backup", one.backup_options())
        assert taken["changed"], taken
        one.switch()
        yield one


def at_work(made: RestShop) -> list[str]:
    """Command lines that name the shop's configuration; the server's own archive-push comes and goes."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if f"--config={made.config}" in words and "archive-push" not in words:
            found.append(words)
    return found


def killed(
    run_module: ModuleRunner,
    made: RestShop,
    name: str,
    options: dict[str, Any],
    prepare: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Kill a module at moments that are spread over its usual time, then run it to its end."""
    chance = random.Random(name)
    usual = usual_seconds(lambda: run_module(name, options))
    for number in range(KILLS):
        prepare()
        kill_after(usual * 0.9 * (number + chance.random()) / KILLS, name, options)
        eventually(lambda: at_work(made) == [], "pgBackRest is gone")
        eventually(lambda: leftovers(made.place) == [], "the scratch place is gone")
    prepare()
    return run_module(name, options)


def labels(made: RestShop) -> list[str]:
    return [each["label"] for each in json.loads(made.call("info", "--output=json").stdout)[0]["backup"]]


def test_a_killed_backup_is_none(run_module: ModuleRunner, made: RestShop) -> None:
    done = killed(run_module, made, "postgresql_backup", made.backup_options())
    assert done["changed"], done
    assert labels(made)[-1] == done["backup"]["name"]
    for each in labels(made):
        verify = {**made.verify_options(level="bytes"), "pgbackrest": {**made.rest, "label": each}}
        assert run_module("postgresql_backup_verify", verify)["verdict"] == "verified", each


def test_a_killed_proof_leaves_nothing(run_module: ModuleRunner, made: RestShop) -> None:
    done = killed(run_module, made, "postgresql_backup_verify", made.verify_options(level="restore"))
    assert done["verdict"] == "verified", done["findings"]


def test_a_killed_restore_is_there_as_a_whole_or_not_at_all(run_module: ModuleRunner, made: RestShop) -> None:
    target = made.place / "restored"

    def prepare() -> None:
        if target.exists():
            # It came to its end, or would not be there.
            assert (target / "runbook-restored.json").exists()
            assert not (target / "recovery.signal").exists()
            shutil.rmtree(target)

    options = made.common(data_directory=str(target), target_time="latest")
    done = killed(run_module, made, "postgresql_restore", options, prepare)
    assert done["changed"], done
    with running(made.server, target) as started:
        assert int(started.psql("SELECT count(*) FROM orders")) >= ROWS
