"""pytest fixtures: machines for a module's or a session's tests. Tests that break a machine start one of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from lab.hosts.fleet import Fleet
from lab.hosts.images import SUITES
from lab.hosts.machine import Host

FleetOf = Callable[..., Fleet]


@pytest.fixture(scope="session")
def debian12() -> Iterator[Host]:
    """A machine that the tests of one worker share: leave it as it was."""
    with Fleet({"debian12": 12}) as fleet:
        yield fleet.first


@pytest.fixture(scope="module", params=list(SUITES), ids=lambda release: f"debian{release}")
def debian(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A machine of every release, for this file's tests."""
    with Fleet({f"debian{request.param}": request.param}) as fleet:
        yield fleet.first


@pytest.fixture(scope="module")
def machine() -> Iterator[Host]:
    """A machine of Debian 12 of this file's own."""
    with Fleet(1) as fleet:
        yield fleet.first


@pytest.fixture(scope="module")
def fleet_of() -> Iterator[FleetOf]:
    """``fleet_of(3)`` or ``fleet_of({"web1": 12, "lb": 13})``: machines until the end of this file's tests."""
    with ExitStack() as stack:
        yield lambda names, *options: stack.enter_context(Fleet(names, options))
