"""docker_cleanup and its role: what goes, and what stays although the manual's prune takes it."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from lab.compose_project import ComposeProject
from lab.hosts.daemon import docker
from lab.play import run_role

pytestmark = pytest.mark.xdist_group("compose")


def later(days: int) -> str:
    return (dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=days)).isoformat()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with ComposeProject(tmp_path_factory.mktemp("cleanup")) as made:
        yield made


def there(project: ComposeProject) -> set[str]:
    listed = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{project.name}/*")
    return {each.removeprefix(f"{project.name}/") for each in listed.split()}


def test_what_nobody_needs_goes_and_everything_else_stays(
    project: ComposeProject, run_module: Any, tmp_path: Path
) -> None:
    image = {
        name: project.image("api", name, {"/www/name": name}) for name in ("runs", "stopped", "released", "old", "new")
    }
    project.image("base", "kept", {"/www/name": "base"})
    # A release may go back to this one. Nothing else protects it: no container uses it.
    record = {"history": [{"id": "a", "images": {"api": project.id_of(image["released"])}}]}
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "release.json").write_text(json.dumps(record), encoding="utf-8")
    forever = {"command": ["sleep", "100000"], "volumes": ["data:/data"]}
    project.services = {"runs": {"image": image["runs"], **forever}, "stopped": {"image": image["stopped"], **forever}}
    project.extra = {"volumes": {"data": {}}}
    project.write()
    project.compose("up", "--detach")
    project.compose("stop", "stopped")
    project.compose("run", "runs", "echo", "once")
    docker("tag", image["new"], f"{project.name}/api:alias")
    only = [f"{project.name}/*", f"{project.name}-*"]
    options = {"state_root": str(tmp_path), "only": only, "keep_newest": 0, "keep_images": ["*/base:*"]}
    # Nothing is old enough.
    young = run_module("docker_cleanup", {**options, "containers_until": "1d"})
    assert (young["changed"], young["actions"]) == (False, [])
    options.update(reference_time=later(30), containers_until="7d")
    refused = run_module("docker_cleanup", {**options, "max_images": 1})
    assert refused["msg"].startswith("2 images would be removed, which is more than max_images (1).")
    plan = run_module("docker_cleanup", options, check_mode=True)
    assert there(project) == {"api:runs", "api:stopped", "api:released", "api:old", "api:new", "api:alias", "base:kept"}
    done = run_module("docker_cleanup", options)
    assert [each["object"] for each in plan["actions"]] == [each["object"] for each in done["actions"]]
    assert sorted((each["kind"], each["object"].rpartition("/")[2][:8]) for each in done["actions"])[1:] == [
        ("image", "api:alia"),
        ("image", "api:old"),
    ]
    assert there(project) == {"api:runs", "api:stopped", "api:released", "base:kept"}
    assert run_module("docker_cleanup", options)["changed"] is False
    # The services' own containers are there, the one of "docker compose run" is gone; so is no volume.
    names = docker("ps", "--all", "--format", "{{.Names}}", "--filter", f"name={project.name}").split()
    assert sorted(names) == [f"{project.name}-runs-1", f"{project.name}-stopped-1"]
    project.compose("down")
    listed = run_module("docker_cleanup", options, check_mode=True)
    assert f"{project.name}_data" in listed["unused_volumes"]
    # The manual's "docker system prune -a --volumes" calls the stack's volume unused now, and the released image too.
    assert f"{project.name}_data" in docker("volume", "ls", "--quiet", "--filter", "dangling=true").split()
    assert "api:released" in there(project)


def test_the_role_clears_away_and_reports(project: ComposeProject, tmp_path: Path) -> None:
    old = project.image("web", "old", {"/www/name": "web"})
    options = {
        "only": [f"{project.name}/web:*"],
        "keep_newest": 0,
        "reference_time": later(30),
        "state_root": str(tmp_path),
    }
    given = {"disk_cleanup_docker": options, "runbook_system": "shop"}
    refused = run_role(tmp_path, "disk_cleanup", given, expect=2)
    assert "confirm with -e confirm=shop" in refused.output
    run = run_role(tmp_path, "disk_cleanup", given, "-e", "confirm=shop")
    assert run.of("critical", "unknown") == []
    assert old.removeprefix(f"{project.name}/") not in there(project)
