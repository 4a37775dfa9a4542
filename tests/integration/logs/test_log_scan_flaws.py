"""What manuals do with logs, run as they have it, beside what is there to be found."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.hosts.daemon import docker
from lab.hosts.images import image
from lab.process import eventually

NOW = dt.datetime(2026, 1, 31, 12, tzinfo=dt.timezone.utc)


def at(seconds_ago: float, form: str = "%Y-%m-%dT%H:%M:%S.000000") -> str:
    return (NOW - dt.timedelta(seconds=seconds_ago)).strftime(form)


@pytest.fixture
def manual(tmp_path: Path) -> Callable[[str], str]:
    """A line of a manual, run by a shell where the logs are."""

    def run(command: str) -> str:
        completed = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert not completed.stderr, completed.stderr
        return completed.stdout.strip()

    return run


@pytest.fixture
def scan(run_module: Callable[..., dict[str, Any]], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def run(name: str, **options: Any) -> dict[str, Any]:
        sources = [{"name": "log", "paths": [str(tmp_path / name)], "timezone": "UTC"}]
        result = run_module("log_scan_info", {"sources": sources, "reference_time": NOW.isoformat(), **options})
        assert "msg" not in result, result["msg"]
        return result

    return run


Manual = Callable[[str], str]
Scan = Callable[..., dict[str, Any]]


def test_the_word_error_is_not_an_error(tmp_path: Path, manual: Manual, scan: Scan) -> None:
    """A grep -i error counts parameters and paths, has no window, and misses fatal lines and rotated files."""
    info = f"I, [{at(60)} #1]  INFO -- : "
    lines = [
        f"E, [{at(400_000)} #1] ERROR -- : of last week",
        *[f'{info}Parameters: {{"error"=>"none", "id"=>"{number}"}}' for number in range(40)],
        *[f'{info}Started GET "/errors/{number}"' for number in range(30)],
        f"F, [{at(50)} #1] FATAL -- : NoMethodException",
        f"{info}Completed 500 Internal Server Exception in 12ms",
    ]
    (tmp_path / "production.log").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with gzip.open(tmp_path / "production.log.1.gz", "wt", encoding="utf-8") as stream:
        stream.write(f"F, [{at(80_000)} #1] FATAL -- : of last night\n")
    assert manual("grep -c -i error production.log") == "71"
    assert "FATAL" not in manual("grep -i error production.log | tail -20")
    found = scan("production.log", since="1d")["classes"][0]
    assert found["count"] == 3
    assert {each["message"].split(" -- : ")[-1] for each in found["top"]} == {
        "NoMethodException",
        "of last night",
        "Completed 500 Internal Server Exception in <n>ms",
    }


def test_a_level_in_json_is_not_the_word(tmp_path: Path, manual: Manual, scan: Scan) -> None:
    records = [{"level": 50, "time": NOW.timestamp() * 1000 - 60_000, "msg": "payment failed"}] * 3
    records.append({"level": 30, "time": NOW.timestamp() * 1000 - 60_000, "msg": "ERROR is the name of a film"})
    (tmp_path / "api.log").write_text("".join(json.dumps(each) + "\n" for each in records), encoding="utf-8")
    assert manual("grep -c ERROR api.log") == "1"
    found = scan("api.log")["classes"][0]
    assert (found["count"], found["top"][0]["message"]) == (3, "payment failed")


RAILS = "I, [%s #1]  INFO -- : Completed 200 OK in %sms (Views: %sms | ActiveRecord: 1.0ms)\n"


def test_a_duration_is_a_number(tmp_path: Path, manual: Manual, scan: Scan) -> None:
    """The manual's pattern misses 1200 and 2300 ms, and takes the rendering of a quick request for it."""
    times = [(12, 600), (1200, 4), (2300, 4), (700, 4), (45, 4)]
    text = "".join(RAILS % (at(60), total, views) for total, views in times)
    (tmp_path / "production.log").write_text(text, encoding="utf-8")
    grepped = manual("grep 'Completed.*[5-9][0-9][0-9]ms' production.log | grep -o 'in [0-9]*ms'")
    assert grepped.splitlines() == ["in 12ms", "in 700ms"]
    # Text sorts 700 above 2300, and the field that awk takes is the rendering.
    assert manual("grep -o 'in [0-9]*ms' production.log | sort -r | head -1") == "in 700ms"
    assert manual("awk -F'[ m]' '/in [5-9][0-9][0-9]ms|[5-9][0-9][0-9]ms/ {n++} END {print n}' production.log") == "2"
    found = scan("production.log", durations=["rails"], slow_ms=500)["durations"][0]
    assert (found["count"], found["slow_count"], found["max_ms"], found["p50_ms"]) == (5, 3, 2300.0, 700.0)
    assert [each["duration_ms"] for each in found["slowest"]] == [2300.0, 1200.0, 700.0]


def test_top_errors_need_what_they_have_in_common(tmp_path: Path, manual: Manual, scan: Scan) -> None:
    """With moments and ids in them, all lines differ and every count is 1."""
    lines = [f"{at(600 - number)} ERROR order {7000 + number} refused: HTTP 503" for number in range(40)]
    lines += [f"{at(500 - number)} ERROR lock 0x{number:08x} lost" for number in range(25)]
    (tmp_path / "app.log").write_text("\n".join(lines) + "\n", encoding="utf-8")
    counts = manual("grep ERROR app.log | sort | uniq -c | sort -rn | head -10")
    assert {line.split()[0] for line in counts.splitlines()} == {"1"}
    top = scan("app.log")["classes"][0]["top"]
    assert [(each["message"], each["count"]) for each in top] == [
        ("ERROR order <n> refused: HTTP 503", 40),
        ("ERROR lock <hex> lost", 25),
    ]


def test_the_last_thousand_lines_are_not_the_last_hour(tmp_path: Path, manual: Manual, scan: Scan) -> None:
    lines = [f"{at(3000 - number / 100)} ERROR early" for number in range(10)]
    lines += [f"{at(2000 - number)} INFO fine" for number in range(1500)]
    (tmp_path / "app.log").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert manual("tail -1000 app.log | grep -c ERROR || true") == "0"
    found = scan("app.log", samples=3)["classes"][0]
    assert (found["count"], len(found["samples"]), found["truncated"]) == (10, 3, True)
    assert found["buckets"] == [{"at": "2026-01-31T11:10:00Z", "count": 10}]


def test_the_exit_status_of_grep_is_not_the_answer(tmp_path: Path, manual: Manual, scan: Scan) -> None:
    """No error, no file and no permission all end a task that greps; an old error ends none."""
    (tmp_path / "app.log").write_text(f"{at(60)} INFO fine\n", encoding="utf-8")
    (tmp_path / "old.log").write_text(f"{at(900_000)} ERROR of long ago\n{at(60)} INFO fine\n", encoding="utf-8")
    (tmp_path / "folder.log").mkdir()
    assert manual("grep ERROR app.log >told; echo $?") == "1"
    assert manual("grep ERROR none.log >told 2>&1; echo $?") == "2"
    assert manual("grep ERROR old.log >told; echo $?") == "0"
    # With || true, which is the usual cure, a log that cannot be read is one without errors.
    assert manual("(grep ERROR none.log 2>/dev/null || true) | wc -l") == "0"
    assert [scan(name)["classes"][0]["count"] for name in ("app.log", "old.log", "none.log", "folder.log")] == [
        *(0, 0),
        *(None, None),
    ]
    assert scan("none.log")["skipped_sections"][0]["reason"] == "no such file"


@pytest.fixture
def replicas() -> Iterator[str]:
    """A Compose project: two containers of a service, of which only the second fails, and one of another."""
    project = f"runbook-logs-{uuid.uuid4().hex[:8]}"
    labels = "com.docker.compose"
    said = {"api-1": "INFO fine", "api-2": "ERROR no connection", "db-1": "ERROR of another service"}
    for name, line in said.items():
        service = name.split("-")[0]
        docker(
            *("run", "--detach", "--name", f"{project}-{name}", "--network", "none", "--entrypoint", "sh"),
            *("--label", f"{labels}.project={project}", "--label", f"{labels}.service={service}"),
            *(image(), "-c", f"echo {line}; exec sleep infinity"),
        )
    # They live on: of a container that ends at once, a busy engine may lose what it wrote.
    for name, line in said.items():
        eventually(lambda name=name, line=line: line in docker("logs", f"{project}-{name}"), f"the log of {name}")
    yield project
    docker("rm", "--force", *(f"{project}-{name}" for name in said))


def test_all_containers_of_a_service(replicas: str, manual: Manual, run_module: Callable[..., dict[str, Any]]) -> None:
    assert manual(f"docker logs {replicas}-api-1 2>&1 | grep -c ERROR || true") == "0"
    sources = [{"name": "api", "services": ["api"], "project": replicas}]
    # Once from the files of Docker, once from its command.
    for root in ("/var/lib/docker", "/nowhere"):
        found = run_module("log_scan_info", {"sources": [{**each, "docker_root": root} for each in sources]})
        assert (found["classes"][0]["count"], found["sources"][0]["parts_count"]) == (1, 2), (root, found["sources"])
    wrong = run_module("log_scan_info", {"sources": [{**sources[0], "services": ["apl"]}]})
    assert (wrong["available"], wrong["classes"][0]["count"]) == (False, None)
    assert wrong["skipped_sections"][0]["reason"] == "no container belongs to this service"


def test_a_window_that_rotation_has_cut_is_no_silence(tmp_path: Path, manual: Manual, scan: Scan) -> None:
    """With three files of 10 MB a busy service keeps minutes. No error in what is left says nothing about the hour."""
    text = "".join(f"{at(300 - number)} INFO fine\n" for number in range(300))
    (tmp_path / "app.log").write_text(text, encoding="utf-8")
    assert manual("grep -c ERROR app.log || true") == "0"
    result = scan("app.log")
    source = result["sources"][0]
    assert (source["covers_window"], source["oldest_at"]) == (False, "2026-01-31T11:55:00Z")


AUTH = "%b %e %H:%M:%S"


def test_failed_logins_by_address(tmp_path: Path, manual: Manual, scan: Scan) -> None:
    """Twenty lines of "Failed password" show one address of many, no count, no key-only attempts, no rotated file."""
    lines = [
        f"{at(3000, AUTH)} web1 sshd[1]: message repeated 5 times: "
        "[ Failed password for root from 192.0.2.5 port 1 ssh2]",
        f"{at(2900, AUTH)} web1 sshd[2]: Invalid user oracle from 192.0.2.6 port 2",
        f"{at(2899, AUTH)} web1 sshd[2]: Connection closed by invalid user oracle 192.0.2.6 port 2 [preauth]",
        *[
            f"{at(900 - number, AUTH)} web1 sshd[{100 + number}]: Failed password for root from 192.0.2.7 port 3 ssh2"
            for number in range(30)
        ],
        # Written by a program that anybody can use.
        f"{at(100, AUTH)} web1 app[9]: Failed password for root from 192.0.2.8 port 4 ssh2",
    ]
    (tmp_path / "auth.log").write_text("\n".join(lines) + "\n", encoding="utf-8")
    older = f"{at(3500, AUTH)} web1 sshd[3]: Failed password for invalid user eve from 192.0.2.9 port 5 ssh2\n"
    (tmp_path / "auth.log.1").write_text(older, encoding="utf-8")
    told = manual("grep 'Failed password' auth.log | tail -20")
    assert "192.0.2.5" not in told
    assert "192.0.2.6" not in told
    assert "192.0.2.8" in told
    result = scan("auth.log", classes=[], security=["failed_logins"])
    found = result["security"][0]
    assert found["count"] == 37
    assert {each["address"]: each["count"] for each in found["by_address"]} == {
        "192.0.2.7": 30,
        "192.0.2.5": 5,
        "192.0.2.6": 1,
        "192.0.2.9": 1,
    }
    assert {each["user"]: each["count"] for each in found["by_user"]} == {"root": 35, "oracle": 1, "eve": 1}
    assert found["invalid_users_count"] == 2


def test_a_year_that_is_not_written(tmp_path: Path, manual: Manual, scan: Scan) -> None:
    """Syslog has no year: a line of this day of last year looks like one of today."""
    today = at(60, AUTH)
    (tmp_path / "syslog").write_text(f"{today} web1 app: Error: of today\n", encoding="utf-8")
    old = tmp_path / "syslog.1"
    old.write_text(f"{today} web1 app: Error: of last year\n", encoding="utf-8")
    year_ago = NOW.timestamp() - 365 * 86400
    subprocess.run(["touch", "-d", f"@{int(year_ago)}", str(old)], check=True)
    assert manual(f"cat syslog syslog.1 | grep -c '^{today[:9]}'") == "2"
    result = scan("syslog", since="400d")
    assert result["classes"][0]["count"] == 2
    assert result["classes"][0]["first_at"] == "2025-01-31T11:59:00Z"
    assert scan("syslog", since="1h")["classes"][0]["count"] == 1
