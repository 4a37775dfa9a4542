"""check_compose and compose_info over StockBoom's project in small, whole and with planted faults."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab import compose_shop
from lab.compose_project import ComposeProject
from lab.compose_shop import ENV_FILE, PLANTED, SECRETS, variables
from lab.paths import REPOSITORY
from lab.play import ansible_playbook, run_role

pytestmark = pytest.mark.xdist_group("compose")


@pytest.fixture(scope="module")
def degraded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with compose_shop.compose_shop(tmp_path_factory.mktemp("shop"), degraded=True) as shop:
        yield shop


def test_exactly_the_planted_faults_are_found(degraded: ComposeProject, tmp_path: Path) -> None:
    run = run_role(tmp_path, "check_compose", variables(degraded), environment=degraded.environment)
    assert sorted(run.of("critical", "warning")) == sorted(PLANTED), run.of("critical", "warning")
    assert run.of("unknown") == []
    assert run.finding("compose.up", "worker")["summary"].startswith(f"{degraded.name}-worker-1 is restarted again")
    # No value of a secret is told, at any place of the facts or the output.
    told = run.output + json.dumps(run.facts) + json.dumps(run.findings)
    assert not [value for value in SECRETS.values() if value in told]
    # What the manual looks at beside it: "docker compose ps" from the repository finds no project at all, since the
    # folder's name is another one; and its list of running containers says nothing of drift, secrets or limits.
    assert degraded.compose("ps", "--format", "{{.Name}}").count(degraded.name) >= 4
    listed = degraded.compose("--project-name", degraded.directory.name, "ps", "--all", "--quiet")
    assert listed.strip() == ""


def test_names_files_and_variables_are_not_guessed(degraded: ComposeProject, run_module: Any) -> None:
    # The manual's .env.production is read by nobody: Compose says so on a side, and starts with empty passwords.
    facts = run_module("compose_info", degraded.options(gather=[]))
    assert facts["definition"]["unset_variables"] == sorted(SECRETS)
    empty = {(each["object"], each["is_known"]) for each in facts["secrets"]}
    assert empty == {(f"api.{key}", True) for key in SECRETS}
    # With the file named, and the containers were made with it.
    facts = run_module("compose_info", degraded.options(gather=[], env_files=[ENV_FILE]))
    assert facts["definition"]["unset_variables"] == []
    assert not any(each["config_drifted"] for each in facts["services"])
    wrong = run_module("compose_info", degraded.options(env_files=["nowhere.env"]))
    assert wrong["msg"].startswith("env_files: 'nowhere.env' is not accepted. Accepted: files that are there")


def test_an_engine_that_is_not_there_is_one_finding(degraded: ComposeProject, tmp_path: Path) -> None:
    given = {**variables(degraded), "compose_docker_host": f"unix://{tmp_path}/nobody.sock"}
    run = run_role(tmp_path, "check_compose", given, "--check", environment=degraded.environment)
    assert run.of("critical", "warning") == [("compose.available", "")]
    assert run.of("unknown") == [("compose.not_judged", "")]


def test_the_example_of_the_readme(degraded: ComposeProject, tmp_path: Path) -> None:
    readme = (REPOSITORY / "roles" / "check_compose" / "README.md").read_text(encoding="utf-8")
    [play] = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)[-1])
    play["roles"][0]["vars"].update(
        check_compose_project_name=degraded.name, check_compose_project_src=str(degraded.directory)
    )
    (tmp_path / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = {"all": {"children": {"compose": {"hosts": {"shop": host}}}}}
    (tmp_path / "inventory.yml").write_text(json.dumps(inventory), encoding="utf-8")
    run = ansible_playbook(tmp_path, "-i", "inventory.yml", "play.yml", environment=degraded.environment)
    assert run.returncode == 0, run.stdout


def test_an_environment_file_in_git_is_told_without_its_values(run_module: Any, tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.com"]
    (tmp_path / ".env.example").write_text("JWT_SECRET=change-this-to-something-long\n", encoding="utf-8")
    path = tmp_path / ENV_FILE
    path.write_text("JWT_SECRET=change-this-to-something-long\nSMTP_PASS=kitten-9\nTZ=UTC\n", encoding="utf-8")
    path.chmod(0o644)
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all of it"]):
        subprocess.run([*git, *command], check=True, capture_output=True, timeout=300)
    options = {"files": [str(path)], "required_keys": ["KIS_APP_KEY"], "example": str(tmp_path / ".env.example")}
    facts = run_module("compose_env_info", options)
    assert {each["kind"] for each in facts["problems"]} == {"missing", "default", "weak", "mode", "tracked"}
    assert facts["is_ok"] is False and facts["skipped_sections"] == []
    told = json.dumps({name: each for name, each in facts.items() if name != "invocation"})
    assert "kitten-9" not in told and "change-this" not in told
    # The manual's look at the file shows every value on the terminal, and nothing says that git has it.
    assert "kitten-9" in subprocess.run(["cat", str(path)], capture_output=True, text=True, check=True).stdout
    subprocess.run([*git, "rm", "-q", "--cached", ENV_FILE], check=True, timeout=300)
    path.write_text(
        f"JWT_SECRET={SECRETS['JWT_SECRET']}\nKIS_APP_KEY={SECRETS['POSTGRES_PASSWORD']}\n", encoding="utf-8"
    )
    path.chmod(0o600)
    mended = run_module("compose_env_info", options)
    assert mended["is_ok"] and [each["kind"] for each in mended["problems"]] == ["history"]
