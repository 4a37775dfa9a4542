"""Compose on the lab's engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab.compose_plugin import compose_environment


@pytest.fixture(scope="module", autouse=True)
def compose_is_found() -> Iterator[None]:
    """Modules and playbooks find the plugin as they would on a host: by the client's own configuration."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in compose_environment().items():
            if name.startswith("DOCKER_"):
                patch.setenv(name, value)
        yield
