"""A running StoreBridge and a way to run playbooks over it as a user does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from lab.plays import Played, play
from lab.running import Running, running_lab

Player = Callable[..., Played]


@pytest.fixture(scope="session")
def degraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_lab("storebridge", "degraded", tmp_path_factory.mktemp("lab") / "degraded", size="medium") as lab:
        yield lab


@pytest.fixture
def to_maintain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A degraded lab of a test's own, because it will be changed."""
    with running_lab("storebridge", "degraded", tmp_path_factory.mktemp("lab") / "degraded", size="medium") as lab:
        yield lab


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_lab("storebridge", "healthy", tmp_path_factory.mktemp("lab") / "healthy", size="medium") as lab:
        yield lab


@pytest.fixture(name="play")
def player(tmp_path: Path) -> Player:
    """Run a playbook of the collection by its FQCN over a lab."""
    return partial(play, place=tmp_path)
