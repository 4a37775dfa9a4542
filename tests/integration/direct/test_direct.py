"""A measuring module gives the same result inside the worker and in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.bench import environment
from lab.redis import RedisServer

SECRET = "never @:/% prïnted"


def play(
    tmp_path: Path, task: dict[str, Any], *, environment_added: dict[str, str] | None = None, **variables: Any
) -> Any:
    """Run one task on localhost at full verbosity: its registered result and all that was printed."""
    answer = tmp_path / "answer.json"
    content = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}", **variables},
            "tasks": [
                {"name": "Measure", **task, "register": "measured", "ignore_errors": True},
                {"name": "Keep", "ansible.builtin.copy": {"content": "{{ measured | to_json }}", "dest": str(answer)}},
            ],
        }
    ]
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump(content), encoding="utf-8")
    completed = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-vvvv", str(playbook)],
        env={**environment(), "ANSIBLE_HOME": str(tmp_path / "home"), **(environment_added or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return json.loads(answer.read_text(encoding="utf-8")), completed.stdout + completed.stderr


def was_sent(output: str) -> bool:
    """Whether a module process was started for the measuring task."""
    return "AnsiballZ_redis_" in output


@pytest.mark.parametrize(("direct", "sent"), [(True, False), (False, True)])
def test_both_ways_measure_the_same(redis_server: RedisServer, tmp_path: Path, direct: bool, sent: bool) -> None:
    options = {**redis_server.login(), "keys": [{"name": "nothing", "key": "no such key"}]}
    found, output = play(tmp_path, {"runbook.ops.redis_key_info": options}, runbook_direct=direct)
    assert was_sent(output) is sent
    assert found["available"] is True
    assert found["changed"] is False
    assert found["keys"]["nothing"]["exists"] is False
    assert found["keys"]["nothing"]["value"] is None
    assert redis_server.password not in output


@pytest.mark.parametrize("direct", [True, False])
def test_secrets_stay_hidden(tmp_path: Path, direct: bool) -> None:
    """The module repeats what a server says; a secret in it is taken out in both ways."""
    options = {"login_host": "127.0.0.1", "login_port": 1, "login_user": "x", "login_password": SECRET}
    found, output = play(tmp_path, {"runbook.ops.redis_health_info": options}, runbook_direct=direct)
    assert found["available"] is False
    assert SECRET not in output
    assert SECRET not in json.dumps(found, ensure_ascii=False)


@pytest.mark.parametrize("direct", [True, False])
def test_bad_options_are_told_alike(tmp_path: Path, direct: bool) -> None:
    found, output = play(tmp_path, {"runbook.ops.redis_health_info": {"login_port": "six"}}, runbook_direct=direct)
    assert found["failed"] is True
    assert "login_port" in found["msg"]
    assert "six" in found["msg"]
    assert "Traceback" not in output


@pytest.mark.parametrize("direct", [True, False])
def test_the_tasks_environment_counts(redis_server: RedisServer, tmp_path: Path, direct: bool) -> None:
    task = {
        "runbook.ops.redis_health_info": {"login_host": redis_server.host, "login_port": redis_server.port},
        "environment": {"REDIS_LOGIN_PASSWORD": redis_server.password},
    }
    found, output = play(tmp_path, task, runbook_direct=direct)
    assert found["available"] is True, found["reason"]
    assert "Traceback" not in output


def test_another_interpreter_is_another_process(redis_server: RedisServer, tmp_path: Path) -> None:
    other = tmp_path / "python"
    other.symlink_to(os.path.realpath(sys.executable))
    options = {"login_host": redis_server.host, "login_port": redis_server.port}
    found, output = play(
        tmp_path,
        {"runbook.ops.redis_health_info": options},
        environment_added={"PYTHONPATH": os.pathsep.join(sys.path)},
        ansible_python_interpreter=str(other),
    )
    assert was_sent(output)
    assert "available" in found


def test_asynchronous_tasks_are_sent(redis_server: RedisServer, tmp_path: Path) -> None:
    task = {"runbook.ops.redis_health_info": redis_server.login(), "async": 60, "poll": 1}
    # Ansible looks for the job in the account's home and writes it to HOME, which need not be the same.
    found, output = play(tmp_path, task, ansible_async_dir=str(tmp_path / "async"))
    assert found["available"] is True
    assert was_sent(output)
