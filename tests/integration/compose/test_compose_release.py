"""compose_release on a real engine: nobody notices a release, and a bad one is taken back by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lab.compose_colours import BETTER, COLOURS, CRASHES, GOOD, SECRET, SICK, Colours, colours
from lab.hosts.hammer import Hammer
from lab.process import eventually

pytestmark = pytest.mark.xdist_group("compose")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with colours(tmp_path_factory.mktemp("colours")) as made:
        yield made


def planned(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["action"], each["object"]) for each in result["actions"]]


def test_nobody_notices_a_release_nor_one_that_is_taken_back(shop: Colours, run_module: Any) -> None:
    database = shop.project.inspect("database")
    with Hammer(shop.url) as hammer:
        hammer.asked(20)
        shop.set(BETTER, "second")
        plan = run_module("compose_release", shop.options(services=list(COLOURS)), check_mode=True)
        assert shop.images() == {"api_blue": GOOD, "api_green": GOOD, "worker": GOOD}
        assert not shop.project.state_dir.exists()
        done = run_module("compose_release", shop.options(services=list(COLOURS)))
        assert planned(plan) == planned(done) == [("release", "api_blue"), ("release", "api_green")]
        assert plan["actions"] == done["actions"] and plan["release"] == done["release"], "check mode is exact"
        assert shop.images() == {"api_blue": BETTER, "api_green": BETTER, "worker": GOOD}
        assert shop.environment_of("api_blue")["NOTE"] == "second"
        again = run_module("compose_release", shop.options(services=list(COLOURS)))
        assert (again["changed"], again["actions"]) == (False, [])
        assert (plan["is_new"], done["is_new"], again["is_new"]) == (True, True, False)
        hammer.asked(20)
        # The environment of the release that fails must not stay behind either.
        shop.set(SICK, "third")
        failed = run_module("compose_release", shop.options(services=list(COLOURS), wait_timeout=30))
        hammer.asked(20)
    assert hammer.failures == []
    assert set(hammer.answers) == {"200 1\n", "200 2\n"}
    assert failed["failed"] and failed["rolled_back"] and failed["failed_service"] == "api_blue"
    assert failed["msg"].startswith("api_blue did not become healthy within 30 s:")
    assert planned(failed) == [("release", "api_blue"), ("roll_back", "api_blue")]
    assert failed["evidence"][0]["health"] == "unhealthy" and "404" in failed["evidence"][0]["health_output"]
    assert shop.images() == {"api_blue": BETTER, "api_green": BETTER, "worker": GOOD}
    assert shop.environment_of("api_blue")["NOTE"] == "second"
    # What keeps data was not touched by any of it.
    after = shop.project.inspect("database")
    assert (after["Id"], after["State"]["StartedAt"]) == (database["Id"], database["State"]["StartedAt"])
    assert SECRET not in json.dumps([plan, done, again, failed])
    modes = {path.stat().st_mode & 0o777 for path in shop.project.state_dir.rglob("*") if path.is_file()}
    assert modes == {0o600}


def test_a_service_without_a_check_that_ends_at_once_is_taken_back(shop: Colours, run_module: Any) -> None:
    shop.set(BETTER, "second", worker=CRASHES)
    failed = run_module("compose_release", shop.options(services=["worker"], settle_seconds=3))
    assert failed["rolled_back"] and shop.images()["worker"] == GOOD
    [evidence] = failed["evidence"]
    lines = "\n".join(evidence["log_lines"])
    assert "no database" in lines and "hunter2hunter2" not in lines


def test_a_run_that_was_killed_goes_on(shop: Colours, run_module: Any) -> None:
    run_module(
        "compose_release", shop.options(services=list(COLOURS), images=dict.fromkeys(COLOURS, tag(shop, BETTER)))
    )
    shop.set(GOOD, "fourth")
    kill_while_drained(shop, "api_green")
    assert shop.images()["api_blue"] == GOOD and shop.images()["api_green"] == BETTER
    done = run_module("compose_release", shop.options(services=list(COLOURS)))
    assert planned(done) == [("release", "api_green")]
    assert shop.images() == {"api_blue": GOOD, "api_green": GOOD, "worker": GOOD}
    # Going back goes to where the interrupted run began, twice to the same.
    plan = run_module("compose_release", shop.options(state="rolled_back"), check_mode=True)
    back = run_module("compose_release", shop.options(state="rolled_back"))
    assert plan["actions"] == back["actions"] and back["rolled_back"]
    assert shop.images() == {"api_blue": BETTER, "api_green": BETTER, "worker": GOOD}
    assert run_module("compose_release", shop.options(state="rolled_back"))["changed"] is False
    # What was drained and not touched yet has nothing to go back to, and still goes back to its balancer.
    kill_while_drained(shop, "api_blue")
    assert shop.status_of("api_blue") == "DRAIN"
    back = run_module("compose_release", shop.options(state="rolled_back"))
    assert planned(back) == [("undrain", "api_blue")] and shop.status_of("api_blue") == "UP"
    assert run_module("compose_release", shop.options(state="rolled_back"))["changed"] is False


def kill_while_drained(shop: Colours, service: str) -> None:
    """A release that is killed after it took a service out of the balancer, and before it touched it."""
    # The command lives as long as the one who waits for it.
    waits = '"$@" && while kill -0 $PPID; do sleep 0.2; done'
    drain = {**shop.hooks["drain"], service: ["sh", "-c", waits, "-", *shop.hooks["drain"][service]]}
    options = shop.options(services=list(COLOURS), drain=drain, hook_timeout=600)
    process = subprocess.Popen(
        [sys.executable, "-m", "ansible_collections.runbook.ops.plugins.modules.compose_release"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=dict(os.environ),
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": options}))
    process.stdin.close()
    record = shop.project.state_dir / "release.json"
    eventually(
        lambda: (json.loads(record.read_text())["in_progress"] or {}).get("drained") == service, f"{service} waits"
    )
    eventually(lambda: shop.status_of(service) == "DRAIN", f"{service} is drained")
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=300)


def tag(shop: Colours, which: str) -> str:
    return f"{shop.project.name}/api:{which}"


def test_a_restart_does_not_apply_the_environment_and_a_release_does(shop: Colours, run_module: Any) -> None:
    shop.set(BETTER, "fifth")
    # The manual: docker compose restart, and for all services at once.
    shop.project.compose("--env-file", ".env.production", "restart", "worker")
    assert shop.environment_of("worker")["NOTE"] != "fifth"
    facts = run_module("compose_info", shop.project.options(env_files=[".env.production"], gather=[]))
    drifted = [each["name"] for each in facts["services"] if each["config_drifted"]]
    assert "worker" in drifted
    started = shop.project.inspect("database")["State"]["StartedAt"]
    done = run_module("compose_release", shop.options(services=["worker"]))
    assert [each["reason"] for each in done["actions"]] == ["another definition or environment"]
    assert shop.environment_of("worker")["NOTE"] == "fifth"
    assert shop.project.inspect("database")["State"]["StartedAt"] == started
    # For an incident: the log is kept before the container is made anew.
    before = shop.project.inspect("worker")["Id"]
    anew = run_module("compose_release", shop.options(state="recreated", services=["worker"]))
    assert [each["id"] for each in anew["evidence"]] == [before[:12]] and shop.project.inspect("worker")["Id"] != before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"services": ["database"]}, "database keeps data"),
        ({"services": ["nobody"]}, "services: 'nobody' is not accepted. Accepted: services of the project: api_blue"),
        ({"env_files": []}, "Nothing sets NOTE, SIGNING_KEY, TAG, WORKER_TAG, which would be empty"),
        ({"images": {"worker": "busybox"}}, "Images without a version are not released: worker (busybox)."),
        ({"images": {"worker": "nowhere/worker:9"}}, "Images that are not on this host: worker (nowhere/worker:9)."),
        ({"blocked_window": ["Mon-Sun 00:00-24:00"]}, "is not released: it is"),
        (
            {"state": "rolled_back", "release": "abc"},
            "release: 'abc' is not accepted. Accepted: a release that is kept",
        ),
        ({"project_name": "Shop"}, "project_name: 'Shop' is not accepted."),
    ],
)
def test_what_cannot_go_well_is_refused(shop: Colours, run_module: Any, options: dict[str, Any], said: str) -> None:
    before = shop.images()
    refused = run_module("compose_release", shop.options(**options))
    assert refused.get("failed") and said in refused["msg"], refused["msg"]
    assert shop.images() == before


def test_the_manual_stops_everything(shop: Colours, tmp_path: Path) -> None:
    """Down, build, up: an outage, and the database is another container. Nothing of this file comes after it."""
    database = shop.project.inspect("database")["Id"]
    with Hammer(shop.url) as hammer:
        hammer.asked(10)
        shop.project.compose("--env-file", ".env.production", "down")
        hammer.asked(10)
        shop.project.compose("--env-file", ".env.production", "up", "--detach", "--wait")
    assert hammer.failures != []
    assert shop.project.inspect("database")["Id"] != database
