"""Ten backups of which nine are unchanged since they were proven cost about one: what is known is kept."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.backup_database import build_backup_database, megabytes_wanted
from lab.bench import Table
from lab.paths import BUILD
from lab.postgresql import PostgresServer

# Ten of them: a tenth of the usual size each, so that the benchmark takes minutes.
MEGABYTES = megabytes_wanted() // 10
PATTERN = "shop-%Y%m%d.dump"
TEN = 10


def run(name: str, **options: Any) -> tuple[dict[str, Any], float]:
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", f"ansible_collections.runbook.ops.plugins.modules.{name}"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": options}),
        env={**os.environ, "PYTHONPATH": str(BUILD / "collections")},
        capture_output=True,
        text=True,
        check=False,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    assert not result.get("failed"), result["msg"]
    return result, time.perf_counter() - began


def test_ten_backups_of_which_nine_are_unchanged(table: Callable[..., Table], tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    first = dt.date(2026, 1, 1)
    with PostgresServer(settings={"max_wal_size": "4GB"}) as server:
        built = build_backup_database(server, MEGABYTES)
        for day in range(TEN):
            moment = f"{first + dt.timedelta(days=day)}T02:00:00Z"
            place = {"repository": str(repository), "name_pattern": PATTERN, "reference_time": moment}
            run("postgresql_backup", **built.login(), **place)
            server.execute("DELETE FROM public.audit_logs WHERE id = %s", (day + 1,), db=built.database)
    newest = max(repository.glob("*.dump"))
    alone = tmp_path / "alone"
    alone.mkdir()
    for path in repository.glob(f"{newest.name}*"):
        shutil.copy2(path, alone)

    verify = {"name_pattern": PATTERN, "on_failure": "report"}
    one, seconds_one = run("postgresql_backup_verify", repository=str(alone), **verify)
    every, seconds_all = run("postgresql_backup_verify", repository=str(repository), count=TEN, force=True, **verify)
    newest.with_name(f"{newest.name}.verified.json").unlink()
    mixed, seconds_mixed = run("postgresql_backup_verify", repository=str(repository), count=TEN, **verify)
    again, seconds_again = run("postgresql_backup_verify", repository=str(repository), count=TEN, **verify)

    began = time.perf_counter()
    for path in sorted(repository.glob("*.dump")):
        hashlib.sha256(path.read_bytes()).hexdigest()
    seconds_hash = time.perf_counter() - began

    assert [each["verdict"] for each in (one, every, mixed, again)] == ["verified"] * 4
    assert [each["is_unchanged"] for each in mixed["artefacts"]] == [False, *[True] * (TEN - 1)]
    shown = table(
        f"Proving backups of a database of {built.bytes / 1e6:.0f} MB ({newest.stat().st_size / 1e6:.1f} MB each)",
        "what",
        "seconds",
        "times one",
        "bytes read",
    )
    for what, seconds, read in (
        ("one, new", seconds_one, one["bytes_read"]),
        ("ten, all new (what everybody else does every time)", seconds_all, every["bytes_read"]),
        ("ten, nine of them unchanged", seconds_mixed, mixed["bytes_read"]),
        ("ten, all unchanged", seconds_again, again["bytes_read"]),
        ("sha256sum of ten, for comparison", seconds_hash, None),
    ):
        shown.add(what, f"{seconds:.2f}", f"{seconds / seconds_one:.2f}", "" if read is None else str(read))
