"""The inventory that a lab writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from lab.inventory import write_inventory

GROUPS = {"postgresql": ["a-postgres"], "redis": ["a-redis"]}
AWKWARD = "@:/% päss 'quoted' \"twice\" # no comment"


def test_hosts_are_in_their_groups_and_variables_in_files_of_their_own(tmp_path: Path) -> None:
    where = write_inventory(
        tmp_path / "inventory", GROUPS, {"a-postgres": {"port": 5432, "password": AWKWARD}}, {"all": {"x": {"y": [1]}}}
    )
    hosts = yaml.safe_load((where / "hosts.yml").read_text())
    assert {group: list(body["hosts"]) for group, body in hosts["all"]["children"].items()} == GROUPS
    variables = yaml.safe_load((where / "host_vars" / "a-postgres" / "lab.yml").read_text())
    assert variables == {"port": 5432, "password": AWKWARD}
    assert yaml.safe_load((where / "group_vars" / "all" / "lab.yml").read_text()) == {"x": {"y": [1]}}


def test_every_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    where = write_inventory(tmp_path / "inventory", GROUPS, {"a-redis": {"a": 1}}, {"all": {"b": 2}})
    files = [path for path in where.rglob("*") if path.is_file()]
    assert len(files) == 3
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert where.stat().st_mode & 0o777 == 0o700


def test_a_host_that_is_in_no_group_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="hosts in no group: nobody"):
        write_inventory(tmp_path, GROUPS, {"nobody": {}})
