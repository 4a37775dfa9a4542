"""check_compose and compose_info over StockBoom's project in small, whole and with planted faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lab import compose_shop
from lab.compose_project import ComposeProject
from lab.compose_shop import ENV_FILE, PLANTED, SECRETS, variables
from lab.play import run_role

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
