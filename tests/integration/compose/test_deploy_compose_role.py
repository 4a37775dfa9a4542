"""deploy_compose as a user runs it: its README's example, a rollback, and two hosts of which the first one fails."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.compose_colours import BETTER, COLOURS, ENV_FILE, GOOD, SECRET, SICK, Colours, colours
from lab.hosts.daemon import docker
from lab.paths import REPOSITORY
from lab.play import ansible_playbook

pytestmark = pytest.mark.xdist_group("compose")

README = REPOSITORY / "roles" / "deploy_compose" / "README.md"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with colours(tmp_path_factory.mktemp("colours")) as made:
        yield made


def example() -> list[dict[str, Any]]:
    """The playbook of the README."""
    blocks = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    found: list[dict[str, Any]] = yaml.safe_load(blocks[-1])
    return found


def run(place: Path, shop: Colours, play: list[dict[str, Any]], *arguments: str, hosts: int = 1) -> Any:
    """Run a playbook over hosts that all stand for this machine, each with a state of its own."""
    (place / "play.yml").write_text(json.dumps(play), encoding="utf-8")
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    named = {f"web{number}": {"compose_state_dir": str(place / f"state{number}")} for number in range(1, hosts + 1)}
    group = {"hosts": named, "vars": {**local, **shop.hooks_as_variables()}}
    (place / "inventory.yml").write_text(json.dumps({"all": {"children": {"compose": group}}}), encoding="utf-8")
    return ansible_playbook(place, "-i", "inventory.yml", "play.yml", *arguments)


def test_the_example_of_the_readme(shop: Colours, tmp_path: Path) -> None:
    [play] = example()
    play["roles"][0]["vars"].update(
        deploy_compose_project_name=shop.project.name,
        deploy_compose_project_src=str(shop.project.directory),
        deploy_compose_required_keys=["SIGNING_KEY"],
    )
    shop.set(BETTER, "second")
    checked = run(tmp_path, shop, [play], "--check", "--diff")
    assert checked.returncode == 0 and set(shop.images().values()) == {GOOD}, checked.stdout
    (shop.project.directory / ENV_FILE).chmod(0o644)
    refused = run(tmp_path, shop, [play])
    assert refused.returncode == 2 and "others may read it: its mode is 0644" in refused.stdout
    assert set(shop.images().values()) == {GOOD}
    shop.set(BETTER, "second")
    done = run(tmp_path, shop, [play], "-vv")
    assert done.returncode == 0, done.stdout
    assert [shop.images()[each] for each in COLOURS] == [BETTER, BETTER]
    # A dead service of the same release is mended, and a probe that fails then takes back nothing: what ran before is
    # this release.
    docker("rm", "--force", shop.project.inspect("api_blue")["Id"])
    play["roles"][0]["vars"].update(
        deploy_compose_drain={},
        deploy_compose_probe_base_url=shop.url,
        deploy_compose_probes=[{"name": "nowhere", "path": "/nowhere"}],
    )
    told = run(tmp_path, shop, [play])
    assert told.returncode == 2 and "Nothing was taken back." in told.stdout, told.stdout
    assert [shop.images()[each] for each in COLOURS] == [BETTER, BETTER]
    assert SECRET not in checked.stdout + refused.stdout + done.stdout


def test_a_host_that_fails_stops_the_next_and_the_report_is_written(shop: Colours, tmp_path: Path) -> None:
    shop.set(SICK, "third")
    vars_ = {
        "deploy_compose_project_name": shop.project.name,
        "deploy_compose_project_src": str(shop.project.directory),
        "deploy_compose_env_files": [ENV_FILE],
        "deploy_compose_services": list(COLOURS),
        "deploy_compose_obtain": "present",
        "deploy_compose_wait_timeout": 30,
        "deploy_compose_settle_seconds": 0.5,
    }
    deploy = {
        "hosts": "compose",
        "gather_facts": False,
        "serial": 1,
        "roles": [{"role": "runbook.ops.deploy_compose", "vars": vars_}],
    }
    there = {"report_destination": str(tmp_path / "report"), "report_hosts": ["web1", "web2"]}
    report = {
        "hosts": "localhost", "gather_facts": False, "connection": "local",
        "roles": [{"role": "runbook.ops.report", "vars": there}],
    }  # fmt: skip
    played = run(tmp_path, shop, [deploy, report], hosts=2)
    assert played.returncode == 2, played.stdout
    findings = json.loads((tmp_path / "report" / "findings.json").read_text(encoding="utf-8"))
    bad = sorted((each["host"], each["id"], each["severity"]) for each in findings if each["severity"] != "ok")
    assert bad == [("web1", "deploy_compose.failed", "critical"), ("web2", "deploy_compose.stopped", "warning")]
    changes = json.loads((tmp_path / "report" / "changes.json").read_text(encoding="utf-8"))
    told = [(each["host"], each["action"], each["object"], each["status"]) for each in changes]
    assert ("web1", "roll back", "api_blue", "done") in told and not [each for each in told if each[0] == "web2"]
    assert [shop.images()[each] for each in COLOURS] == [BETTER, BETTER]
