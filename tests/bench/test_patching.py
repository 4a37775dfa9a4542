"""Hosts updated in batches: the time grows with the number of batches, n/b, and not with the number of hosts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

from lab.bench import Table
from lab.hosts import Fleet, shop
from lab.hosts.apt_repository import publish
from lab.hosts.on_machines import play_on

HOSTS = 6
VARIABLES = {"patching_health_services": ["shop-web"], "patching_health_delay": 1}


def test_patching_grows_with_the_number_of_batches(table: Callable[..., Table], tmp_path: Path) -> None:
    shown = table(f"{HOSTS} hosts updated in batches", "batch", "batches", "seconds", "seconds a batch")
    with Fleet(HOSTS) as fleet:
        hosts = list(fleet.hosts.values())
        shop.install(hosts, [shop.web("1.0")])
        for number, batch in enumerate((1, 2, 3, 6)):
            for host in hosts:
                publish(host, [shop.web(f"1.{number + 1}")])
            began = time.monotonic()
            played = play_on(
                fleet, "runbook.ops.patch_hosts", "-e", f"batch={batch}",
                groups={"servers": list(fleet.hosts)}, variables=VARIABLES, place=tmp_path / str(batch),
            )  # fmt: skip
            seconds = time.monotonic() - began
            assert played.returncode == 0, played.output
            batches = math.ceil(HOSTS / batch)
            shown.add(str(batch), str(batches), f"{seconds:.1f}", f"{seconds / batches:.1f}")
