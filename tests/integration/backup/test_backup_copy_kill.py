"""backup_copy killed at random moments: what is published is whole, and the next run completes the rest."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from lab.backup_runs import whole
from lab.copied_backups import NOW, PATTERN, Place, copying, data_of, moment_of, name_of
from lab.planted_backups import plant_backup, plant_record
from lab.redis_backups import start_module

pytestmark = pytest.mark.xdist_group("backup")

RunModule = Callable[..., dict[str, Any]]
Make = Callable[[str, str], Place]
# Of every pair, twenty-one altogether.
KILLS = 7


@pytest.mark.parametrize("pair", [("directory", "directory"), ("bucket", "directory"), ("directory", "bucket")],
                         ids=" to ".join)  # fmt: skip
def test_kills_leave_whole_copies_only(run_module: RunModule, make: Make, pair: tuple[str, str]) -> None:
    chance = random.Random(67)
    source, target, other = make(pair[0], "first"), make(pair[1], "second"), make(pair[1], "other")
    plant_backup(source.options, name_of(1), moment_of(1), size=17 * 1024 * 1024)
    plant_backup(source.options, name_of(0), moment_of(0), members=8, size=100_000)
    for back in (0, 1):
        plant_record(source.options, name_of(back))
    began = time.monotonic()
    assert run_module("backup_copy", copying(source, other))["changed"]
    usual = time.monotonic() - began
    wanted = data_of(source.digests())
    for number in range(KILLS):
        module = start_module("backup_copy", copying(source, target))
        time.sleep(usual * (0.3 + 0.7 * chance.random()))
        module.kill()
        module.communicate()
        found = target.digests()
        for name in {each.removesuffix(".manifest.json") for each in found if each.endswith(".manifest.json")}:
            for file, digest in wanted.items():
                if file == name or file.startswith((f"{name}/", f"{name}.")):
                    assert found.get(file) == digest, f"kill {number}: {file} of a published copy"
        assert not [each for each in found if each.endswith(".verified.json")
                    and each.replace(".verified.", ".manifest.") not in found]  # fmt: skip
        if target.directory is not None:
            whole(target.directory)
        if number % 3 == 2:
            # Begin anew, so that every phase is hit.
            for name in (name_of(0), name_of(1)):
                clear(target, name)
    last = run_module("backup_copy", copying(source, target))
    assert not last.get("failed"), last
    assert data_of(target.digests()) == wanted
    assert not [name for name in target.digests() if name.endswith((".pending.json", ".partial"))]
    info = {**target.options, "name_pattern": PATTERN, "reference_time": NOW}
    assert run_module("backup_info", info)["inventory"]["verified_count"] == 2


def clear(place: Place, name: str) -> None:
    """Take the manifest of a copy away, and leave the note that says that the rest is ours."""
    manifest, record = f"{name}.manifest.json", f"{name}.verified.json"
    if manifest not in place.digests():
        return
    note = json.dumps({"kind": "pending", "host": "gone", "pid": 1, "started_at": "2020-01-01T00:00:00Z"}).encode()
    if place.directory is not None:
        (place.directory / f"{name}.pending.json").write_bytes(note)
        (place.directory / record).unlink(missing_ok=True)
        (place.directory / manifest).unlink()
        path = place.directory / name
        (path / "toc.dat" if path.is_dir() else path).unlink()
        return
    assert place.store is not None
    bucket, _slash, prefix = place.options["repository"].removeprefix("s3://").partition("/")
    client = place.store.client()
    client.put_object(Bucket=bucket, Key=f"{prefix}/{name}.pending.json", Body=note)
    for each in (record, manifest, name):
        client.delete_object(Bucket=bucket, Key=f"{prefix}/{each}")
