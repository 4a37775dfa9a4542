"""The queues of whole systems, and playbooks run over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from lab.plays import Played, play
from lab.running import Running, running_lab

Player = Callable[..., Played]


def _lab(system: str, scenario: str, places: pytest.TempPathFactory) -> Iterator[Running]:
    with running_lab(system, scenario, places.mktemp(system) / scenario, size="medium") as lab:
        yield lab


@pytest.fixture(scope="module")
def stockboom(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A degraded StockBoom that tests only look at."""
    yield from _lab("stockboom", "degraded", tmp_path_factory)


@pytest.fixture
def stockboom_to_change(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A degraded StockBoom of a test's own."""
    yield from _lab("stockboom", "degraded", tmp_path_factory)


@pytest.fixture(name="play")
def player(tmp_path: Path) -> Player:
    """Run a playbook of the collection by its FQCN over a lab."""
    return partial(play, place=tmp_path)
