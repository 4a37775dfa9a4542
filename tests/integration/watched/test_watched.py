"""Long-running modules: what is printed while they work, and what is left when they are interrupted.

The module is there for these tests only: it counts, keeps a journal, and ends when a file appears. So a test decides
when the work ends, and nothing depends on the machine's speed.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ansible_runner
import pytest
import yaml
from lab.bench import environment
from lab.paths import BUILD
from lab.playbook_run import DEADLINE, PlaybookRun, eventually, is_alive

HERE = Path(__file__).parent
SECRET = "nevér @:/% printed"
COUNTED = " | count public.steps: "


class Playground:
    """A directory with a playbook, its inventory, and all that Ansible writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.remote = folder / "remote"
        self.gate = folder / "gate"
        collections = folder / "collections"
        shutil.copytree(HERE / "slow", collections / "ansible_collections" / "lab" / "slow")
        self.environ = {
            **environment(),
            "ANSIBLE_COLLECTIONS_PATH": f"{collections}{os.pathsep}{BUILD / 'collections'}",
            "ANSIBLE_HOME": str(folder / "home"),
            "ANSIBLE_REMOTE_TMP": str(self.remote),
            "ANSIBLE_ASYNC_DIR": str(folder / "async"),
        }
        self.began: list[PlaybookRun] = []

    def journal(self, host: str) -> Path:
        return self.folder / f"journal-{host}"

    def notes(self, host: str = "one") -> list[str]:
        journal = self.journal(host)
        return journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []

    def pid(self, host: str = "one") -> int:
        return int(self.notes(host)[0].removeprefix("pid "))

    def was_watched(self, host: str = "one") -> bool:
        return self.notes(host)[1] != "watched None"

    def write(self, options: dict[str, Any], hosts: tuple[str, ...], task: dict[str, Any]) -> tuple[Path, Path]:
        """The inventory and the playbook."""
        inventory = {
            "all": {
                "hosts": dict.fromkeys(hosts),
                "vars": {
                    "ansible_connection": "local",
                    "ansible_python_interpreter": "{{ ansible_playbook_python }}",
                    "runbook_progress_interval": 0.5,
                },
            }
        }
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
        kept = str(self.folder / "answer-{{ inventory_hostname }}")
        content = [
            {
                "hosts": "all",
                "gather_facts": False,
                "tasks": [
                    {
                        "name": "Count",
                        "lab.slow.count_slowly": {
                            "journal": str(self.folder / "journal-{{ inventory_hostname }}"),
                            **options,
                        },
                        "register": "counted",
                        "ignore_errors": True,
                        **task,
                    },
                    {
                        "name": "Keep",
                        "ansible.builtin.copy": {"content": "{{ counted | to_json }}", "dest": kept, "mode": "0600"},
                        "diff": False,
                    },
                ],
            }
        ]
        (self.folder / "play.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
        return self.folder / "hosts.yml", self.folder / "play.yml"

    def begin(
        self,
        options: dict[str, Any] | None = None,
        *arguments: str,
        hosts: tuple[str, ...] = ("one",),
        task: dict[str, Any] | None = None,
        environ: dict[str, str] | None = None,
        **variables: Any,
    ) -> PlaybookRun:
        inventory, playbook = self.write(options or {}, hosts, task or {})
        command = [
            str(Path(sys.executable).with_name("ansible-playbook")),
            *("-i", str(inventory), "-e", json.dumps(variables), *arguments, str(playbook)),
        ]
        run = PlaybookRun(command, {**self.environ, **(environ or {})})
        self.began.append(run)
        return run

    def gated(self, **more: Any) -> dict[str, Any]:
        """Options of a module that counts until the gate opens."""
        return {"gate": str(self.gate), **more}

    def answer(self, host: str = "one") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / f"answer-{host}").read_text(encoding="utf-8"))
        return found

    def left(self) -> list[str]:
        """Files and directories that somebody will have to clear away."""
        # Not the home: a killed ansible-playbook leaves a directory of its own there, with or without all this.
        places = [self.remote, self.folder / "async"]
        return sorted(str(each) for place in places if place.exists() for each in place.iterdir())

    def close(self) -> None:
        self.gate.touch()
        for run in self.began:
            if run.process.poll() is None:
                run.process.terminate()
                run.process.wait(timeout=DEADLINE)


@pytest.fixture
def playground(tmp_path: Path) -> Iterator[Playground]:
    ground = Playground(tmp_path)
    yield ground
    ground.close()


def is_count(line: str) -> bool:
    """Whether a line says how many steps are done; the first ones may only say for how long."""
    return COUNTED in line and " step" in line


def steps(line: str) -> int:
    """The count in a line such as C(one | count public.steps: 12 steps, 20 steps/s)."""
    return int(line.partition(COUNTED)[2].split()[0].replace(",", ""))


def assert_nothing_is_left(playground: Playground) -> None:
    # Ansible's asynchronous wrapper removes its own directory within five seconds.
    eventually(lambda: playground.left() == [], playground.left)


WAYS = {"directly": {}, "by commands": {"runbook_direct": False}}


@pytest.mark.parametrize("variables", WAYS.values(), ids=WAYS.keys())
def test_lines_appear_while_the_modules_work(playground: Playground, variables: dict[str, Any]) -> None:
    """Two hosts at once, told apart by their names."""
    run = playground.begin(playground.gated(), hosts=("one", "two"), **variables)
    for host in ("one", "two"):
        first, second = run.line(host + COUNTED, " step"), run.line(host + COUNTED, " step")
        assert steps(second) > steps(first) > 0
        assert second.endswith("; keeps a journal")
        assert "end" not in playground.notes(host)
        assert is_alive(playground.pid(host))
    assert "steps/s" in second
    playground.gate.touch()
    assert run.end() == 0, run.output
    assert "changed: [one]" in run.output
    assert "changed: [two]" in run.output
    assert playground.notes("one")[-1] == playground.notes("two")[-1] == "end"
    assert_nothing_is_left(playground)


def test_a_short_run_prints_nothing(playground: Playground) -> None:
    run = playground.begin(runbook_progress_interval="10s")
    assert run.end() == 0, run.output
    assert playground.was_watched()
    assert COUNTED not in run.output
    assert_nothing_is_left(playground)


@pytest.mark.parametrize("how", ["well", "fail"])
def test_the_result_is_the_same_as_ever(playground: Playground, how: str) -> None:
    """Watched directly, watched by commands, called in the worker, and sent without anything special."""
    ways: dict[str, dict[str, Any]] = {
        "watched directly": {},
        "watched by commands": {"runbook_direct": False},
        "called": {"runbook_progress": False},
        "sent": {"runbook_progress": False, "runbook_direct": False},
    }
    task = {"environment": {"GREETING": "hello"}}
    answers = {}
    for way, variables in ways.items():
        playground.journal("one").unlink(missing_ok=True)
        run = playground.begin({"how": how, "secret": SECRET}, "--diff", "-v", task=task, **variables)
        assert run.end() == 0, run.output
        assert playground.was_watched() is way.startswith("watched"), run.output
        assert SECRET not in run.output
        assert run.output.count("Counting is slow") >= 1
        answers[way] = playground.answer()
    if how == "well":
        assert answers["sent"]["changed"] is True
        assert answers["sent"]["diff"] == {"before": "0\n", "after": "3\n"}
        assert answers["sent"]["greeting"] == "hello"
        assert answers["sent"]["repeated"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    else:
        assert answers["sent"]["failed"] is True
        assert answers["sent"]["msg"] == "Counting failed"
    for way in ("watched directly", "watched by commands"):
        assert answers[way] == answers["sent"], way
    assert answers["called"]["counted"] == answers["sent"]["counted"]
    assert_nothing_is_left(playground)


@pytest.mark.parametrize("callback", ["ansible.posix.json", "ansible.posix.jsonl", "minimal", "community.general.null"])
def test_quiet_callbacks_stay_quiet(playground: Playground, callback: str) -> None:
    run = playground.begin(playground.gated(), environ={"ANSIBLE_STDOUT_CALLBACK": callback})
    eventually(lambda: len(playground.notes()) > 60, playground.notes)
    playground.gate.touch()
    assert run.end() == 0, run.output
    assert playground.was_watched()
    assert COUNTED not in run.output
    if callback == "ansible.posix.json":
        said = json.loads(run.output[run.output.index("{") :])
        assert said["plays"][0]["tasks"][0]["hosts"]["one"]["changed"] is True
    if callback == "ansible.posix.jsonl":
        assert all(json.loads(line) for line in run.lines if line.startswith("{"))


def test_nothing_is_said_of_a_secret_task(playground: Playground) -> None:
    run = playground.begin(playground.gated(), task={"no_log": True})
    eventually(lambda: len(playground.notes()) > 60, playground.notes)
    os.kill(run.process.pid, signal.SIGINT)
    assert run.end() == 99, run.output
    assert "public.steps" not in run.output
    assert "one | interrupted. Run the playbook again; it goes on from there." in run.lines


@pytest.mark.parametrize("variables", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_leaves_nothing_behind(
    playground: Playground, number: signal.Signals, variables: dict[str, Any]
) -> None:
    """Ctrl-C, a cancelled job, and a controller that was killed: the module ends at a safe place, and is whole."""
    run = playground.begin(playground.gated(), hosts=("one", "two"), **variables)
    for host in ("one", "two"):
        run.line(host + COUNTED, " step")
    run.process.send_signal(number)
    code = run.end()
    assert code == (99 if number == signal.SIGINT else -number), run.output
    why = "ansible-playbook is gone" if number == signal.SIGKILL else "the run was interrupted"
    for host in ("one", "two"):
        assert not is_alive(playground.pid(host))
        before, last = playground.notes(host)[-2:]
        done = int(last.removeprefix("stopped "))
        assert before == f"step {done}"
        assert (
            f"{host} | stopped at count public.steps: {done} steps. Stopped because {why}. "
            f"The steps up to {done} are whole. Run the task again to go on."
        ) in run.lines, run.output
    assert_nothing_is_left(playground)


def test_a_killed_worker_leaves_nothing_behind(playground: Playground) -> None:
    run = playground.begin(playground.gated(patience=5))
    run.line("one" + COUNTED, " step")
    children = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text(encoding="utf-8").split()
    assert len(children) == 1
    os.kill(int(children[0]), signal.SIGKILL)
    assert run.end() != 0
    eventually(lambda: not is_alive(playground.pid()), playground.notes)
    assert playground.notes()[-1].startswith("stopped ")
    assert_nothing_is_left(playground)


def test_a_module_that_does_not_listen_is_not_waited_for_for_ever(playground: Playground) -> None:
    run = playground.begin(playground.gated(how="deaf"))
    eventually(lambda: len(playground.notes()) > 30, playground.notes)
    run.process.send_signal(signal.SIGINT)
    run.line("one | interrupted (SIGINT); waiting for the module to end at a safe place")
    assert run.end() == 99
    last = (
        "one | the module has not ended yet; it does at the next safe place, by itself. It was at count public.steps: "
    )
    assert any(
        line.startswith(last) and line.endswith(" steps. Run the playbook again; it goes on from there.")
        for line in run.lines
    ), run.output
    assert is_alive(playground.pid())
    playground.gate.touch()
    eventually(lambda: not is_alive(playground.pid()), playground.notes)
    assert playground.notes()[-1].startswith("stopped ")
    assert_nothing_is_left(playground)


def test_a_second_interruption_gives_the_prompt_back(playground: Playground) -> None:
    """Whoever cannot wait need not; the module ends all the same."""
    run = playground.begin(playground.gated(how="deaf"))
    eventually(lambda: len(playground.notes()) > 30, playground.notes)
    run.process.send_signal(signal.SIGINT)
    run.line("one | interrupted (SIGINT); waiting for the module to end at a safe place")
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(timeout=DEADLINE) == -signal.SIGINT
    assert is_alive(playground.pid())
    playground.gate.touch()
    run.end()
    eventually(lambda: not is_alive(playground.pid()), playground.notes)
    assert playground.notes()[-1].startswith("stopped ")
    assert_nothing_is_left(playground)


def test_the_tasks_own_timeout_ends_the_module_too(playground: Playground) -> None:
    run = playground.begin(playground.gated(), task={"timeout": 6})
    assert run.end() == 0, run.output
    assert playground.answer()["failed"] is True
    assert "6 second" in playground.answer()["msg"]
    assert not is_alive(playground.pid())
    assert playground.notes()[-1].startswith("stopped ")
    assert_nothing_is_left(playground)


def test_the_limit_ends_the_module_at_a_safe_place(playground: Playground) -> None:
    run = playground.begin(playground.gated(), runbook_progress_limit="1s")
    assert run.end() == 0, run.output
    done = playground.answer()["counted"]
    assert playground.answer()["msg"] == (
        f"Stopped because runbook_progress_limit (1s) is over. The steps up to {done} are whole. "
        "Run the task again to go on"
    )
    assert playground.notes()[-1] == f"stopped {done}"
    assert_nothing_is_left(playground)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"runbook_progress_interval": "soon"},
            "runbook_progress_interval: 'soon' is not accepted. Accepted: a number of seconds (90, 0.5)",
        ),
        (
            {"runbook_progress_interval": 0},
            "runbook_progress_interval: 0 is not accepted. Accepted: 0.2 seconds to 1d.",
        ),
        ({"runbook_progress_limit": "-1d"}, "runbook_progress_limit: '-1d' is not accepted. Accepted: 1 seconds to"),
    ],
)
def test_bad_variables_are_told_before_anything_begins(
    playground: Playground, variables: dict[str, Any], message: str
) -> None:
    run = playground.begin(**variables)
    assert run.end() == 0, run.output
    assert message in playground.answer()["msg"]
    assert playground.notes() == []
    assert playground.left() == []


@pytest.mark.parametrize("variables", WAYS.values(), ids=WAYS.keys())
def test_a_module_that_was_killed_is_a_readable_failure(playground: Playground, variables: dict[str, Any]) -> None:
    run = playground.begin({"how": "crash"}, **variables)
    assert run.end() == 0, run.output
    assert playground.answer()["failed"] is True
    assert playground.answer()["msg"] == (
        "The module's process ended without a result: it was killed, perhaps for lack of memory. The system's log may "
        "say. Run the playbook again; it goes on from there."
    )
    assert "Traceback" not in json.dumps(playground.answer())
    assert_nothing_is_left(playground)


def test_a_job_that_was_killed_with_its_wrapper_is_noticed(playground: Playground) -> None:
    """Where nothing is left that could write a result, the missing process is seen."""
    run = playground.begin(playground.gated())
    run.line("one" + COUNTED, " step")
    os.killpg(os.getpgid(playground.pid()), signal.SIGKILL)
    assert run.end() == 0, run.output
    assert playground.answer()["msg"].startswith("The module's process ended without a result: it was killed")
    assert "It was last seen at count public.steps: " in playground.answer()["msg"]


def test_a_directory_that_is_gone_is_noticed(playground: Playground) -> None:
    run = playground.begin(playground.gated())
    run.line("one" + COUNTED, " step")
    (place,) = (each for each in playground.remote.iterdir() if each.name.startswith("ansible-runbook-"))
    assert place.stat().st_mode & 0o777 == 0o700
    # Away at once: file by file it could be written into meanwhile.
    place.rename(playground.remote / "gone")
    shutil.rmtree(playground.remote / "gone", ignore_errors=True)
    assert run.end() == 0, run.output
    assert playground.answer()["msg"].startswith("The module has ended at a safe place, because nobody had asked")
    eventually(lambda: not is_alive(playground.pid()), playground.notes)
    assert playground.notes()[-1].startswith("stopped ")


@pytest.mark.parametrize("variables", WAYS.values(), ids=WAYS.keys())
def test_check_mode_is_as_ever(playground: Playground, variables: dict[str, Any]) -> None:
    run = playground.begin({}, "--check", **variables)
    assert run.end() == 0, run.output
    assert not playground.was_watched()
    assert "ok: [one]" in run.output
    assert_nothing_is_left(playground)


def test_ones_own_asynchronous_task_is_as_ever(playground: Playground) -> None:
    run = playground.begin(task={"async": 60, "poll": 1}, ansible_async_dir=str(playground.folder / "async"))
    assert run.end() == 0, run.output
    assert not playground.was_watched()
    assert playground.answer()["counted"] == 3
    assert playground.answer()["ansible_job_id"]
    assert playground.answer()["finished"]


def test_an_own_progress_path_is_left_alone(playground: Playground) -> None:
    path = playground.folder / "mine"
    run = playground.begin({"progress_path": str(path)})
    assert run.end() == 0, run.output
    assert playground.notes()[1] == f"watched {path}"
    assert json.loads(path.read_text(encoding="utf-8"))["phase"] == "count"


# Only root becomes somebody else without a password; anybody else proves the same under their own name.
MYSELF = getpass.getuser()
ACCOUNTS = ["postgres", "nobody"] if os.geteuid() == 0 else [MYSELF]


@pytest.mark.parametrize("account", ACCOUNTS)
def test_another_account_does_the_work(account: str) -> None:
    """The directory is that account's, and everything goes by commands under its name."""
    # Not pytest's directory, which nobody else may enter.
    with tempfile.TemporaryDirectory() as folder:
        playground = Playground(Path(folder))
        mine = playground.folder / "mine"
        for each in (playground.folder, mine):
            each.mkdir(exist_ok=True)
            each.chmod(0o777)
        run = playground.begin(
            playground.gated(),
            environ={"ANSIBLE_REMOTE_TMP": str(mine)},
            ansible_become=account != MYSELF,
            runbook_direct=False,
            ansible_become_method="ansible.builtin.su",
            ansible_become_user=account,
            ansible_become_flags="-s /bin/sh",
            ansible_python_interpreter="/usr/bin/python3",
        )
        try:
            run.line("one" + COUNTED, " step")
            assert playground.journal("one").owner() == account
            (place,) = mine.iterdir()
            assert place.owner() == account
            assert place.stat().st_mode & 0o777 == 0o700
            run.process.send_signal(signal.SIGINT)
            assert run.end() == 99, run.output
            assert playground.notes()[-1].startswith("stopped ")
            assert not is_alive(playground.pid())
            eventually(lambda: not any(mine.iterdir()), lambda: list(mine.iterdir()))
        finally:
            playground.close()


def test_the_job_console_shows_the_lines_as_they_come(playground: Playground) -> None:
    """As AWX runs it: the lines are events, in order, before the task's own end."""
    inventory, playbook = playground.write(playground.gated(), ("one",), {})
    events: list[dict[str, Any]] = []

    def keep(event: dict[str, Any]) -> bool:
        events.append(event)
        if sum(is_count(each["stdout"]) for each in events) == 3:
            playground.gate.touch()
        return True

    (playground.folder / "runner").mkdir()
    outcome = ansible_runner.run(
        private_data_dir=str(playground.folder / "runner"),
        playbook=str(playbook),
        inventory=str(inventory),
        envvars={name: value for name, value in playground.environ.items() if name.startswith(("ANSIBLE_", "PATH"))},
        event_handler=keep,
        quiet=True,
    )
    assert outcome.status == "successful", [event["stdout"] for event in events]
    shown = [event for event in events if is_count(event["stdout"])]
    assert len(shown) >= 3
    counts = [steps(event["stdout"]) for event in shown]
    assert counts == sorted(set(counts))
    ended = next(event for event in events if event["event"] == "runner_on_ok")
    assert all(event["counter"] < ended["counter"] for event in shown)
    counters = [event["counter"] for event in shown]
    assert counters == sorted(set(counters))
    assert not any("errantly" in event["stdout"] for event in events)


def test_a_cancelled_job_leaves_nothing_behind(playground: Playground) -> None:
    inventory, playbook = playground.write(playground.gated(), ("one",), {})
    seen = threading.Event()

    def keep(event: dict[str, Any]) -> bool:
        if is_count(event["stdout"]):
            seen.set()
        return True

    (playground.folder / "runner").mkdir()
    outcome = ansible_runner.run(
        private_data_dir=str(playground.folder / "runner"),
        playbook=str(playbook),
        inventory=str(inventory),
        envvars={name: value for name, value in playground.environ.items() if name.startswith(("ANSIBLE_", "PATH"))},
        event_handler=keep,
        cancel_callback=seen.is_set,
        settings={"pexpect_timeout": 1},
        quiet=True,
    )
    assert outcome.status == "canceled"
    eventually(lambda: not is_alive(playground.pid()), playground.notes)
    assert playground.notes()[-1].startswith("stopped ")
    assert_nothing_is_left(playground)
