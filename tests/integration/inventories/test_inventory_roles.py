"""What each inventory says to roles, as Ansible reads it: variables of roles exist, and are what the roles accept."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from lab.inventories import SYSTEMS, rendered
from lab.paths import REPOSITORY

# Nobody is logged in to: what is said about a machine is read here.
HERE = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
# The longest first: backup_verification_x is no variable of the role backup.
ROLES = sorted((path.name for path in (REPOSITORY / "roles").iterdir()), key=len, reverse=True)


def specification(role: str) -> dict[str, Any]:
    path = REPOSITORY / "roles" / role / "meta" / "argument_specs.yml"
    options = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
    # Defaults are templates, and no values to look for in the output.
    return {
        name: {key: each[key] for key in each if key not in ("default", "no_log", "required")}
        for name, each in options.items()
    }


SPECIFICATIONS = {role: specification(role) for role in ROLES}


def of_roles(variables: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, value in variables.items():
        role = next(role for role in ROLES if name.startswith(f"{role}_"))
        found.setdefault(role, {})[name] = value
    return found


@pytest.mark.parametrize("system", SYSTEMS)
def test_roles_accept_what_the_inventory_says(system: str, tmp_path: Path) -> None:
    """A mistyped name changes nothing, and a path of the wrong kind fails in the night: both are told here."""
    hosts = rendered(system, tmp_path, hosts="all", wanted="|".join(ROLES), variables=HERE)
    wrong = []
    for host, variables in hosts.items():
        assert "{{" not in str(variables), host
        for role, given in of_roles(variables).items():
            options = SPECIFICATIONS[role]
            unknown = sorted(set(given) - set(options))
            known = {name: value for name, value in given.items() if name in options}
            errors = ArgumentSpecValidator(options).validate(known).error_messages
            wrong += [(host, role, each) for each in (*unknown, *errors)]
    assert wrong == []
    # A path that is meant for another machine's folder depends on nobody's working directory.
    for host, variables in hosts.items():
        for name in ("backup_redis_directory", "restore_redis_directory"):
            assert str(variables.get(name, "/")).startswith("/"), (host, name)
