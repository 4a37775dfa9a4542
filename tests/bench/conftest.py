"""What the benchmarks share: a table to fill and a lab to measure."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab.bench import Table, environment, keep


@pytest.fixture
def table(request: pytest.FixtureRequest) -> Iterator[Callable[..., Table]]:
    made: list[Table] = []

    def make(title: str, *columns: str) -> Table:
        made.append(Table(title, columns))
        return made[-1]

    yield make
    print(f"\n{keep(request.node.name, made)}")


@pytest.fixture(scope="session")
def storebridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A degraded StoreBridge: the directory of its inventory."""
    directory = tmp_path_factory.mktemp("lab") / "storebridge"
    command = [sys.executable, "-m", "lab"]
    where = ["storebridge", "--directory", str(directory)]
    subprocess.run([*command, "up", *where], env=environment(), check=True, stdout=subprocess.DEVNULL)
    yield directory / "inventory"
    subprocess.run([*command, "down", *where], env=environment(), check=True, stdout=subprocess.DEVNULL)
