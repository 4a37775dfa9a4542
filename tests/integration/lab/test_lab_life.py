"""A lab's life: started, asked, interrupted, killed and stopped, with nothing left behind.

A tiny system stands in for a real one, because only the machinery is tested here.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml
from lab import process
from lab.paths import PACKAGE_PARENT
from lab.process import Identity
from lab.state import FILE, MARK

TINY = Path(__file__).parent / "tiny" / "tiny_system.py"


class Tiny:
    """``python -m lab`` with the tiny system, in a directory of the test's own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def environment(self, **extra: str) -> dict[str, str]:
        path = os.pathsep.join([str(PACKAGE_PARENT), str(TINY.parent)])
        return {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", **extra}

    def command(self, name: str, *arguments: str) -> list[str]:
        return [sys.executable, str(TINY), name, "tiny", "--directory", str(self.directory), *arguments]

    def run(self, name: str, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(name, *arguments),
            env=self.environment(**extra),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def spawn(self, name: str, *arguments: str, **extra: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(name, *arguments),
            env=self.environment(**extra),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def variables(self, host: str) -> dict[str, Any]:
        content: dict[str, Any] = yaml.safe_load(
            (self.directory / "inventory" / "host_vars" / host / "lab.yml").read_text()
        )
        return content

    def processes(self) -> list[Identity]:
        """What still runs for this lab, looked up in /proc by the mark and by the directory in the command line."""
        marked = process.with_variable(MARK, str(self.directory))
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    words = (entry / "cmdline").read_bytes().decode(errors="replace")
                    if str(self.directory) in words:
                        marked.append(Identity.of(int(entry.name)))
                except OSError:
                    continue
        return [each for each in marked if each.alive()]

    def wait_for(self, *members: str) -> None:
        """Until the state names these members."""

        def there() -> bool:
            try:
                state = json.loads((self.directory / FILE).read_text())
            except (OSError, ValueError):
                return False
            return set(members) <= {member["name"] for member in state["members"]}

        assert process.wait_until(there, 60)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Tiny]:
    lab = Tiny(tmp_path / "lab")
    yield lab
    lab.run("down")


def test_up_status_up_again_and_down(tiny: Tiny) -> None:
    first = tiny.run("up", "--without", "prometheus")
    assert first.returncode == 0, first.stderr
    assert f"Inventory: {tiny.directory}/inventory" in first.stdout
    assert "Prometheus" in first.stdout
    assert "left out: the check must call its metrics unknown" in first.stdout
    running = tiny.processes()
    assert len(running) >= 7

    status = tiny.run("status")
    assert (status.returncode, status.stdout.splitlines()[0].split(": ")[1][:7]) == (0, "running")
    assert f"{tiny.variables('tiny-redis')['redis_login_port']}" in status.stdout

    again = tiny.run("up", "--without", "prometheus")
    assert (again.returncode, again.stdout.splitlines()[0][:21]) == (0, "Tiny runs already in ")
    assert set(tiny.processes()) == set(running)

    other = tiny.run("up", "--scenario", "healthy")
    assert other.returncode == 1
    assert "Stop it first (python -m lab down tiny --directory" in other.stderr

    down = tiny.run("down")
    assert (down.returncode, down.stderr) == (0, "")
    assert "postgresql" in down.stdout
    assert tiny.processes() == []
    assert not any(each.alive() for each in running)
    assert not tiny.directory.exists()
    assert tiny.run("down").stdout == f"Nothing runs in {tiny.directory}.\n"
    assert tiny.run("status").returncode == 3


def test_the_inventory_leads_to_the_servers(tiny: Tiny) -> None:
    assert tiny.run("up").returncode == 0
    listed = subprocess.run(
        ["ansible-inventory", "-i", str(tiny.directory / "inventory"), "--list"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
    )
    assert "WARNING" not in listed.stderr
    content = json.loads(listed.stdout)
    assert content["backups"]["hosts"] == ["tiny-backups"]
    hosts = content["_meta"]["hostvars"]
    assert {each["ansible_connection"] for each in hosts.values()} == {"local"}

    login = hosts["tiny-postgresql"]
    connection = psycopg2.connect(
        host=login["postgresql_login_host"],
        port=login["postgresql_login_port"],
        user=login["postgresql_login_user"],
        password=login["postgresql_login_password"],
        dbname=login["postgresql_login_db"],
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_has_role('pg_monitor', 'member'), rolsuper FROM pg_roles WHERE rolname = current_user"
        )
        assert cursor.fetchone() == (True, False)
        # Held by a process of its own since long after the one that started the lab has gone.
        cursor.execute("SELECT usename, state FROM pg_stat_activity WHERE application_name = 'held'")
        assert cursor.fetchall() == [("tiny_app", "idle in transaction")]
    connection.close()

    api = hosts["tiny-api"]
    health = urllib.request.urlopen(f"{api['http_base_url']}/health", timeout=5)
    assert json.load(health) == {"status": "ok"}
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{api['http_base_url']}/v1/things", timeout=5)
    request = urllib.request.Request(
        f"{api['http_base_url']}/v1/things", headers={"Authorization": f"Bearer {api['http_bearer_token']}"}
    )
    assert json.load(urllib.request.urlopen(request, timeout=5)) == {"scenario": "degraded"}
    query = f"{hosts['tiny-prometheus']['prometheus_url']}/api/v1/query?query=tiny_seed"
    assert json.load(urllib.request.urlopen(query, timeout=5))["data"]["result"][0]["value"][1] == "1"


def test_no_secret_is_readable_by_others(tiny: Tiny) -> None:
    assert tiny.run("up", "--without", "prometheus").returncode == 0
    secrets = [
        tiny.variables("tiny-postgresql")["postgresql_login_password"],
        tiny.variables("tiny-redis")["redis_login_password"],
        tiny.variables("tiny-api")["http_bearer_token"],
        tiny.variables("tiny-backups")["aws_secret_key"],
    ]
    assert all(len(secret) >= 20 for secret in secrets)
    for path in tiny.directory.rglob("*"):
        if path.is_file() and path.stat().st_mode & 0o077:
            content = path.read_text(errors="replace")
            assert not any(secret in content for secret in secrets), path
    for each in tiny.processes():
        words = Path(f"/proc/{each.pid}/cmdline").read_text(errors="replace")
        assert not any(secret in words for secret in secrets), words


def test_without_prometheus_the_check_has_no_address(tiny: Tiny) -> None:
    assert tiny.run("up", "--without", "prometheus").returncode == 0
    assert tiny.variables("tiny-prometheus") == {"prometheus_url": ""}


@pytest.mark.parametrize("part", ["postgresql", "redis", "s3", "http"])
def test_a_failing_start_takes_everything_down_again(tiny: Tiny, part: str) -> None:
    failed = tiny.run("up", TINY_FAIL=part)
    assert failed.returncode == 1
    assert f"{part} was told to fail" in failed.stderr
    assert "Stopping what was started." in failed.stdout
    assert tiny.processes() == []
    assert not tiny.directory.exists()


def test_a_failing_server_shows_the_end_of_its_log(tiny: Tiny) -> None:
    failed = tiny.run("up", TINY_FAIL="http")
    assert f"lab: api ended with code 1. The end of {tiny.directory}/api/api.log:" in failed.stderr
    assert failed.stderr.splitlines()[-1] == "RuntimeError: http was told to fail"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
)
def test_an_interrupted_start_cleans_up(tiny: Tiny, number: signal.Signals, code: int) -> None:
    started = tiny.spawn("up", TINY_DAWDLE="s3")
    tiny.wait_for("postgresql", "redis", "s3", "sessions")
    started.send_signal(number)
    output, errors = started.communicate(timeout=300)
    assert started.returncode == code, errors
    assert "Interrupted; stopping what was started." in output
    assert "Traceback" not in errors
    assert tiny.processes() == []
    assert not tiny.directory.exists()


def test_down_cleans_up_after_a_start_that_was_killed(tiny: Tiny) -> None:
    started = tiny.spawn("up", TINY_DAWDLE="s3")
    tiny.wait_for("postgresql", "redis", "s3", "sessions")
    started.kill()
    started.communicate()
    assert len(tiny.processes()) >= 4
    status = tiny.run("status")
    assert status.returncode == 1
    assert "left behind by a start that did not finish" in status.stdout
    down = tiny.run("down")
    assert down.returncode == 0, down.stderr
    assert tiny.processes() == []
    assert not tiny.directory.exists()


def test_up_cleans_up_after_a_start_that_was_killed(tiny: Tiny) -> None:
    started = tiny.spawn("up", TINY_DAWDLE="s3")
    tiny.wait_for("postgresql", "redis", "s3")
    started.kill()
    started.communicate()
    before = tiny.processes()
    again = tiny.run("up", "--without", "prometheus")
    assert again.returncode == 0, again.stderr
    assert f"Removing what an earlier start left in {tiny.directory}." in again.stdout
    assert not any(each.alive() for each in before)


def test_down_finds_processes_that_nothing_was_written_down_about(tiny: Tiny) -> None:
    """The moment between a start and the writing: the environment names the lab."""
    stray = subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: str(tiny.directory)})
    bystander = subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: f"{tiny.directory}-other"})
    try:
        down = tiny.run("down")
        assert f"Stopped process {stray.pid}." in down.stdout
        assert stray.wait(timeout=240) == -signal.SIGTERM
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_down_stops_a_start_that_is_under_way(tiny: Tiny) -> None:
    started = tiny.spawn("up", TINY_DAWDLE="s3")
    tiny.wait_for("postgresql", "redis", "s3")
    busy = tiny.run("up")
    assert busy.returncode == 1
    assert f"process {started.pid} is at work on the lab in {tiny.directory}." in busy.stderr
    down = tiny.run("down")
    assert down.returncode == 0, down.stderr
    started.communicate(timeout=300)
    assert tiny.processes() == []
    assert not tiny.directory.exists()


def test_a_server_that_died_is_named_and_the_rest_is_stopped(tiny: Tiny) -> None:
    assert tiny.run("up", "--without", "prometheus").returncode == 0
    members = {member["name"]: member for member in json.loads((tiny.directory / FILE).read_text())["members"]}
    os.kill(members["redis"]["identity"]["pid"], signal.SIGKILL)
    assert process.wait_until(lambda: not Identity(**members["redis"]["identity"]).alive(), 10)
    status = tiny.run("status")
    assert status.returncode == 1
    assert ": broken (" in status.stdout
    facts = json.loads(tiny.run("status", "--json").stdout)
    assert [each["name"] for each in facts[0]["members"] if not each["running"]] == ["redis"]
    assert tiny.run("down").returncode == 0
    assert tiny.processes() == []


def test_the_number_of_another_process_in_the_state_is_harmless(tiny: Tiny) -> None:
    assert tiny.run("up", "--without", "prometheus").returncode == 0
    path = tiny.directory / FILE
    state = json.loads(path.read_text())
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        for member in state["members"]:
            if member["name"] == "redis":
                member["identity"]["pid"] = bystander.pid
        path.write_text(json.dumps(state))
        assert tiny.run("down").returncode == 0
        assert bystander.poll() is None
        assert tiny.processes() == []
    finally:
        bystander.kill()
        bystander.wait()


def test_two_labs_live_side_by_side(tiny: Tiny, tmp_path: Path) -> None:
    other = Tiny(tmp_path / "other lab with spaces")
    starts = [lab.spawn("up", "--without", "prometheus") for lab in (tiny, other)]
    try:
        for start in starts:
            assert start.communicate(timeout=300)[1] == ""
            assert start.returncode == 0
        assert tiny.run("down").returncode == 0
        assert tiny.processes() == []
        assert other.run("status").returncode == 0
    finally:
        assert other.run("down").returncode == 0
    assert other.processes() == []
