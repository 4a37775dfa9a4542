"""docker_cleanup and its role: what goes, and what stays although the manual's prune takes it."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.compose_project import ComposeProject
from lab.hosts.daemon import docker
from lab.paths import REPOSITORY
from lab.play import ansible_playbook

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
    # A record that cannot be read may be about any image.
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "release.json").write_text("{", encoding="utf-8")
    unknown = run_module("docker_cleanup", {**options, "reference_time": later(30)})
    assert unknown["msg"].startswith(f"{tmp_path}/other/release.json does not say which images")
    (tmp_path / "other" / "release.json").unlink()
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


def test_the_playbook_clears_away_and_reports(project: ComposeProject, tmp_path: Path) -> None:
    """With files of the README's example beside the images."""
    readme = (REPOSITORY / "roles" / "disk_cleanup" / "README.md").read_text(encoding="utf-8")
    [example] = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)[-1])
    files = example["roles"][0]["vars"]["disk_cleanup_files"]
    files["directories"][0].update(path=str(tmp_path / "logs"), older_than="1s")
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "shop.log.1"
    log.write_text("old\n", encoding="utf-8")
    os.utime(log, (1, 1))
    old = project.image("web", "old", {"/www/name": "web"})
    options = {
        "only": [f"{project.name}/web:*"],
        "keep_newest": 0,
        "reference_time": later(30),
        "state_root": str(tmp_path),
    }
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    # As an inventory says it: what the playbook does without it, it does not do here.
    given = {
        "disk_cleanup_docker": {**example["roles"][0]["vars"]["disk_cleanup_docker"], **options},
        "disk_cleanup_files": files,
    }
    given.update(runbook_system="shop", clean_up_destination=str(tmp_path / "report"))
    del given["disk_cleanup_docker"]["build_cache_limit"]
    inventory = {"all": {"vars": given, "children": {"compose": {"hosts": {"shop": host}}}}}
    (tmp_path / "inventory.yml").write_text(json.dumps(inventory), encoding="utf-8")
    command = ["-i", "inventory.yml", "runbook.ops.clean_up"]
    refused = ansible_playbook(tmp_path, *command)
    assert refused.returncode == 2 and "confirm with -e confirm=shop" in refused.stdout and log.exists()
    done = ansible_playbook(tmp_path, *command, "-e", "confirm=shop")
    assert done.returncode == 0, done.stdout
    changes = json.loads((tmp_path / "report" / "changes.json").read_text(encoding="utf-8"))
    assert {(each["source"].rpartition(".")[2], each["status"]) for each in changes} == {
        ("docker_cleanup", "done"),
        ("disk_reclaim", "done"),
    }
    assert old.removeprefix(f"{project.name}/") not in there(project) and not log.exists()
