"""Case 40: deleting old backups while the new ones are bad."""

from __future__ import annotations

import datetime as dt
import shutil

from lab.faults import damage
from lab.faults.bench import COMPANIONS, PATTERN, Bench, Found, refusal


def failures_newer(bench: Bench) -> Found:
    """One good backup, then bad ones only, for longer than backups are kept."""
    repository = bench.directory("40")
    [good] = bench.yesterday.glob("*.dump")
    for suffix in ("", *COMPANIONS):
        shutil.copy2(good.with_name(good.name + suffix), repository / f"{good.name}{suffix}")
    proven = bench.verify(repository, record=True)
    assert proven.verdict == "verified", proven.told
    [today] = bench.today.glob("*.dump")
    for suffix in ("", *COMPANIONS):
        shutil.copy2(today.with_name(today.name + suffix), repository / f"{today.name}{suffix}")
    damage.cut(repository / today.name)
    bad = bench.verify(repository, record=True)
    assert bad.verdict == "failed", bad.told
    before = sorted(path.name for path in repository.iterdir() if path.name != ".runbook.lock")
    later = bench.now + dt.timedelta(days=30)
    result = bench.run(
        "backup_prune",
        {
            "repository": str(repository),
            "name_pattern": f"{PATTERN}.dump",
            "daily": 7,
            "min_keep": 1,
            "rpo": "26h",
            "reference_time": later.isoformat(),
        },
    )
    assert sorted(path.name for path in repository.iterdir() if path.name != ".runbook.lock") == before
    # The manual's command deletes both.
    old = [path for path in repository.glob("*.dump") if later.timestamp() - path.stat().st_mtime > 14 * 86400]
    assert {path.name for path in old} == {good.name, today.name}
    return refusal(result)


PROBES = {40: failures_newer}
