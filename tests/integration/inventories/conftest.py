"""The inventories of all systems, read once by Ansible."""

from __future__ import annotations

from typing import Any

import pytest
from lab.inventories import SYSTEMS, rendered

# A login that a test recognises, wherever it turns up.
ENVIRONMENT = {
    f"{system.upper()}_{name}": f"{system} {name.lower()}"
    for system in SYSTEMS
    for name in ("POSTGRESQL_PASSWORD", "POSTGRESQL_ADMIN_PASSWORD")
}


@pytest.fixture(scope="session")
def inventories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, Any]]]:
    """Variables of the hosts in the group postgresql, by system and host."""
    return {system: rendered(system, tmp_path_factory.mktemp(system), environment=ENVIRONMENT) for system in SYSTEMS}
