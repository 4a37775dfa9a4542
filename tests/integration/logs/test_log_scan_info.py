"""Logs as programs, logrotate, journald and Docker leave them; grep, zgrep and journalctl are the second opinion."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.journal import Journal
from lab.paths import BUILD

NOW = dt.datetime(2026, 1, 31, 12, tzinfo=dt.timezone.utc)
Scan = Callable[..., dict[str, Any]]


def at(seconds_ago: float) -> str:
    return (NOW - dt.timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def said(command: str, cwd: Path) -> str:
    return subprocess.run(["sh", "-c", command], cwd=cwd, capture_output=True, text=True, check=False).stdout.strip()


@pytest.fixture
def scan(run_module: Callable[..., dict[str, Any]]) -> Scan:
    def run(*paths: Path | str, source: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        sources = [{"name": "log", "paths": [str(path) for path in paths], "timezone": "UTC", **(source or {})}]
        given = {"sources": sources, "reference_time": NOW.isoformat(), **options}
        result = run_module("log_scan_info", given)
        assert "msg" not in result, result["msg"]
        assert result["changed"] is False
        return result

    return run


def errors(result: dict[str, Any]) -> dict[str, Any]:
    return next(each for each in result["classes"] if each["name"] == "errors")


def ways(result: dict[str, Any]) -> dict[str, str]:
    return {Path(part["name"]).name: part["way"] for part in result["parts"]}


@pytest.fixture
def rotated(tmp_path: Path) -> Path:
    """One log over a day, an error each minute, in six files by six programs."""
    program = {"": None, ".1": None, ".2.gz": "gzip", "-20260130.zst": "zstd", ".3.xz": "xz", ".4.bz2": "bzip2"}
    for number, (suffix, packer) in enumerate(program.items()):
        lines = [
            f"{at(60 * minute)} {'ERROR' if minute % 2 else 'INFO'} item {minute} done\n"
            for minute in range(240 * number + 239, 240 * number - 1, -1)
        ]
        plain = tmp_path / (
            "app.log" + suffix.removesuffix(".gz").removesuffix(".zst").removesuffix(".xz")
        ).removesuffix(".bz2")
        plain.write_text("".join(lines), encoding="utf-8")
        stamp = NOW.timestamp() - 240 * number * 60
        os.utime(plain, (stamp, stamp))
        if packer:
            subprocess.run([packer, "-q", *(["--rm"] if packer == "zstd" else []), str(plain)], check=True)
    (tmp_path / "app.log.old").write_text(f"{at(60)} ERROR not of this log\n", encoding="utf-8")
    return tmp_path / "app.log"


@pytest.mark.parametrize(("since", "count"), [("1h", 30), ("5h", 150), ("13h", 390), ("2d", 720)])
def test_rotated_and_compressed_files(scan: Scan, rotated: Path, since: str, count: int) -> None:
    result = scan(rotated, since=since)
    assert errors(result)["count"] == count
    assert result["complete"] is True
    assert result["sources"][0]["covers_window"] is (since != "2d")
    if since == "2d":
        assert {part["compression"] for part in result["parts"]} == {None, "gzip", "zstd", "xz", "bzip2"}
        text = "(cat app.log app.log.1; zcat app.log.2.gz; zstdcat app.log-*; xzcat app.log.3.xz; bzcat app.log.4.bz2)"
        assert said(f"{text} | grep -c ERROR", rotated.parent) == str(count)
    if since == "1h":
        # What was last written long before the window is not read at all.
        assert ways(result)["app.log.4.bz2"] == "none"
        # For how long the log was silent is known from when it was written.
        older = scan(f"{rotated}.1", since=since)["sources"][0]
        assert (older["newest_at"], older["silent_seconds"], older["complete"]) == (at(14400), 14400, True)


def ordered(path: Path, lines: int, per_second: int = 20, padding: str = "padding") -> None:
    """An ordered log of so many lines up to NOW, with a stack trace in it now and then."""
    begin = NOW.timestamp() - lines / per_second
    stamp = ""
    with path.open("w", encoding="utf-8") as stream:
        for number in range(lines):
            if number % per_second == 0:
                stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(begin + number // per_second))
            stream.write(f"{stamp}.{number % 1000:03d}Z ")
            if number % 50 == 7:
                stream.write(f"ERROR job {number} failed\n  at frame one\nRuntimeError: the same error again\n")
            else:
                stream.write(f'INFO params {{"error": "none"}} request {number} {padding}\n')


def test_a_window_is_found_without_reading_the_file(scan: Scan, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    ordered(log, 100_000)
    window = {"start": at(3600), "end": at(3000)}
    searched = scan(log, **window)
    read = scan(log, search="scan", **window)
    assert (ways(searched), ways(read)) == ({"app.log": "binary_search"}, {"app.log": "scan"})
    assert searched["read_bytes"] < log.stat().st_size / 4
    for key in ("count", "first_at", "last_at", "buckets", "top", "samples"):
        assert errors(searched)[key] == errors(read)[key], key
    inside = f"awk '$1 >= \"{at(3600)[:-1]}\" && $1 < \"{at(3000)[:-1]}\"' app.log | grep -c ' ERROR '"
    assert str(errors(searched)["count"]) == said(inside, tmp_path) == "240"


def test_a_file_out_of_order_is_read_as_a_whole(scan: Scan, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    ordered(log, 60_000)
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    # A day's end that somebody put before its beginning.
    log.write_text("".join(lines[40_000:] + lines[:40_000]), encoding="utf-8")
    result = scan(log, since="10m")
    assert ways(result) == {"app.log": "scan"}
    assert result["parts"][0]["way_reason"].startswith("its lines are not in the order of their moments (at byte ")
    begin = at(600)[:-1]
    assert str(errors(result)["count"]) == said(f"grep ' ERROR ' app.log | awk '$1 >= \"{begin}\"' | wc -l", tmp_path)


def test_large_files_are_searched_by_grep_with_the_same_result(scan: Scan, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    ordered(log, 60_000, padding="padding " * 80)
    assert log.stat().st_size > 32 * 2**20
    everything = scan(log, since="")
    # A pattern without a literal has every line looked at here.
    line_by_line = scan(log, since="", patterns=[{"name": "every", "pattern": "[E]RROR"}])
    assert errors(everything) == errors(line_by_line)
    found = {each["name"]: each["count"] for each in line_by_line["classes"]}
    assert str(found["errors"]) == str(found["every"]) == said("grep -c ' ERROR ' app.log", tmp_path) == "1200"
    assert errors(everything)["samples"][0]["text"].splitlines()[1:] == [
        "  at frame one",
        "RuntimeError: the same error again",
    ]


def test_nothing_in_a_large_file_is_nothing(scan: Scan, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text(f"{at(60)} INFO {'fine ' * 200}\n" * 40_000, encoding="utf-8")
    assert log.stat().st_size > 32 * 2**20
    result = scan(log, since="")
    assert (errors(result)["count"], result["complete"], result["read_bytes"]) == (0, True, log.stat().st_size)
    assert said("grep -c ' ERROR ' app.log", tmp_path) == "0"


def test_a_log_without_known_timestamps_is_unknown_and_not_zero(scan: Scan, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("31.01.2026 11:59:00 ERROR x\n31.01.2026 10:00:00 ERROR y\n", encoding="utf-8")
    result = scan(log)
    assert (errors(result)["count"], errors(result)["found_count"], result["complete"]) == (None, 0, False)
    assert result["skipped_sections"] == [
        {
            "section": f"log: {log}",
            "reason": "no line at its beginning has a timestamp of a known layout, so no window can be applied",
            "remedy": "Set time_pattern and time_format of the source, or its timezone, or look without a window.",
        }
    ]
    own = {"time_pattern": r"^(\S+ \S+)", "time_format": "%d.%m.%Y %H:%M:%S", "timezone": "Europe/Berlin"}
    assert errors(scan(log, source=own, since="2h"))["count"] == 1
    assert errors(scan(log, since=""))["count"] == 2


def test_limits_say_what_was_not_read(scan: Scan, rotated: Path) -> None:
    result = scan(rotated, since="2d", max_bytes=20_000)
    assert errors(result)["count"] is None
    assert errors(result)["found_count"] > 0
    assert result["read_bytes"] <= 20_000
    assert {each["section"] for each in result["skipped_sections"]} == {
        f"log: {part['name']}" for part in result["parts"] if not part["complete"]
    }
    assert "max_bytes (20000) is reached" in result["skipped_sections"][0]["reason"]
    assert result["skipped_sections"][0]["remedy"] == "Narrow the window, or raise the limit."
    late = scan(rotated, since="2d", timeout=1e-9)
    assert late["available"] is False
    assert "timeout (1e-09 s) is reached" in late["reason"]


def test_damage_is_told(scan: Scan, rotated: Path) -> None:
    packed = rotated.with_name("app.log.2.gz")
    packed.write_bytes(packed.read_bytes()[:-200])
    result = scan(rotated, rotated.with_name("gone.log"), since="2d")
    assert errors(result)["count"] is None
    assert 0 < errors(result)["found_count"] < 720
    told = {each["section"]: each["reason"] for each in result["skipped_sections"]}
    assert told[f"log: {rotated.with_name('gone.log')}"] == "no such file"
    assert told[f"log: {packed}"].startswith("its compressed data are damaged or end early (")


def test_a_file_that_may_not_be_read_is_data(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "shut").mkdir()
    for name in ("open.log", "closed.log", "shut/x.log"):
        (tmp_path / name).write_text(f"{at(60)} ERROR x\n", encoding="utf-8")
    (tmp_path / "closed.log").chmod(0)
    (tmp_path / "shut").chmod(0)
    sources = [{"name": name, "paths": [str(tmp_path / f"{name}.log")]} for name in ("open", "closed", "shut/x")]
    payload = {"ANSIBLE_MODULE_ARGS": {"sources": sources, "reference_time": NOW.isoformat()}}
    module = [sys.executable, "-m", "ansible_collections.runbook.ops.plugins.modules.log_scan_info"]
    # The superuser may read everything, unless it gives up that right.
    less = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
    completed = subprocess.run(
        [*(less if os.geteuid() == 0 else []), *module],
        input=json.dumps(payload),
        env={**os.environ, "PYTHONPATH": str(BUILD / "collections")},
        capture_output=True,
        text=True,
        check=False,
    )
    result = json.loads(completed.stdout)
    assert {each["source"]: each["count"] for each in result["classes"]} == {"open": 1, "closed": None, "shut/x": None}
    assert result["skipped_sections"] == [
        {
            "section": f"closed: {tmp_path / 'closed.log'}",
            "reason": "it cannot be opened: Permission denied",
            "remedy": "Run the task with become, or give its user the group that may read the file (adm).",
        },
        {
            "section": f"shut/x: {tmp_path / 'shut/x.log'}",
            "reason": "it cannot be looked for: Permission denied",
            "remedy": "Correct the path in sources, or run the task with become.",
        },
    ]


def test_classes_of_ones_own(scan: Scan, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    texts = [
        "Rate limit exceeded",
        "RATE LIMIT EXCEEDED",
        "Rate limit exceeded in a test",
        "Naver API 503",
        "Naver API 404",
    ]
    log.write_bytes(b"".join(f"{at(60)} INFO {text} ".encode() + b"\xff\xfe\n" for text in texts))
    patterns = [
        {"name": "limited", "pattern": "Rate limit exceeded", "exclude": "in a test"},
        {"name": "any_case", "pattern": "rate limit", "ignore_case": True},
        {"name": "naver", "pattern": r"Naver API 5\d\d"},
    ]
    result = scan(log, patterns=patterns, classes=[], top=0, samples=1)
    assert {each["name"]: each["count"] for each in result["classes"]} == {"limited": 1, "any_case": 3, "naver": 1}
    assert said("grep -a -c 'Naver API 5xx' app.log", tmp_path) == "0"
    assert result["classes"][1]["samples"][0]["text"].endswith("\ufffd\ufffd")
    assert [each["truncated"] for each in result["classes"]] == [False, True, False]


class Rotating(threading.Thread):
    """Writes numbered errors and rotates as logrotate does: rename, begin anew, compress the one before."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self._log = log
        self._ending = threading.Event()
        self.rotations = 0

    def run(self) -> None:
        number = 0
        while not self._ending.is_set():
            with self._log.open("a", encoding="utf-8") as stream:
                for _line in range(200):
                    stream.write(f"{dt.datetime.now(dt.timezone.utc):%Y-%m-%dT%H:%M:%SZ} ERROR number {number}\n")
                    number += 1
            self._rotate()
            self._ending.wait(0.02)

    def _rotate(self) -> None:
        self.rotations += 1
        for kept in range(self.rotations, 1, -1):
            name = self._log.with_name(f"app.log.{kept - 1}" + (".gz" if kept > 2 else ""))
            if name.exists():
                name.rename(self._log.with_name(f"app.log.{kept}" + (".gz" if kept > 2 else "")))
        self._log.rename(self._log.with_name("app.log.1"))
        self._log.touch()
        second = self._log.with_name("app.log.2")
        if second.exists():
            subprocess.run(["gzip", "-q", str(second)], check=True)

    def stop(self) -> None:
        self._ending.set()
        self.join()


@pytest.fixture
def rotating(tmp_path: Path) -> Iterator[Rotating]:
    (tmp_path / "app.log").touch()
    writer = Rotating(tmp_path / "app.log")
    writer.start()
    yield writer
    writer.stop()


def test_no_line_is_lost_or_counted_twice_while_files_are_rotated(
    scan: Scan, rotating: Rotating, tmp_path: Path
) -> None:
    began = time.time()
    counted: list[tuple[str, int]] = []
    while len(counted) < 6 or rotating.rotations < 20:
        end = dt.datetime.fromtimestamp(int(time.time()), dt.timezone.utc)
        result = scan(tmp_path / "app.log", since="1h", reference_time=end.isoformat())
        assert result["complete"] is True, result["skipped_sections"]
        counted.append((f"{end:%Y-%m-%dT%H:%M:%SZ}", errors(result)["count"]))
        assert time.time() - began < 60
    rotating.stop()
    assert counted[-1][1] > 0
    for end_at, count in counted:
        before = f"(cat app.log app.log.1; zcat app.log.*.gz) | awk '$1 < \"{end_at}\"' | wc -l"
        assert (end_at, str(count)) == (end_at, said(before, tmp_path))


def test_dockers_files(scan: Scan, tmp_path: Path) -> None:
    root = tmp_path / "docker"
    container = root / "containers" / ("ab" * 32)
    container.mkdir(parents=True)
    log = container / f"{'ab' * 32}-json.log"
    config = {"Name": "/shop-worker-1", "LogPath": str(log)}
    (container / "config.v2.json").write_text(json.dumps(config), encoding="utf-8")
    texts = ['{"level":50,"msg":"boom & 1"}', '{"level":30,"err":"none"}', "  at frame: Error: x", 'say "Rate <limit>"']
    log.write_text(
        # As Docker writes it: <, > and & as escapes.
        "".join(
            json.dumps({"log": f"{text}\n", "stream": "stderr", "time": at(60)})
            .replace("<", "\\u003c")
            .replace(">", "\\u003e")
            .replace("&", "\\u0026")
            + "\n"
            for text in texts
        ),
        encoding="utf-8",
    )
    older = json.dumps({"log": '{"level":60,"msg":"boom & 2"}\n', "stream": "stderr", "time": at(120)})
    with gzip.open(f"{log}.1.gz", "wt", encoding="utf-8") as stream:
        stream.write(older + "\n")
    source = {"containers": ["shop-worker-1"], "docker_root": str(root)}
    result = scan(source=source, patterns=[{"name": "limited", "pattern": 'say "Rate <limit>"'}])
    assert {each["name"]: each["count"] for each in result["classes"]} == {"errors": 2, "limited": 1}
    assert errors(result)["top"] == [
        {"message": "boom & <n>", "count": 2, "example": errors(result)["top"][0]["example"]}
    ]
    assert {part["kind"] for part in result["parts"]} == {"container"}
    assert said("grep -c ERROR *-json.log", container) == "0"


def test_a_container_that_is_nowhere(scan: Scan, tmp_path: Path) -> None:
    result = scan(source={"containers": ["no-such-container"], "docker_root": str(tmp_path)})
    assert (result["available"], errors(result)["count"]) == (False, None)
    skipped = result["skipped_sections"][0]
    assert skipped["section"] == "log: no-such-container"
    assert skipped["reason"].startswith("docker failed with status 1: ")
    assert skipped["remedy"].startswith("Run docker logs --timestamps --since=")


def test_the_journal(scan: Scan, tmp_path: Path) -> None:
    begin = int(time.time())
    with Journal(tmp_path) as journal:
        journal.write(
            {"SYSLOG_IDENTIFIER": "shop", "PRIORITY": "3", "MESSAGE": "payment 17 failed"},
            {"SYSLOG_IDENTIFIER": "shop", "PRIORITY": "3", "MESSAGE": b"payment 18 failed \xff"},
            {"SYSLOG_IDENTIFIER": "shop", "PRIORITY": "6", "MESSAGE": "no error at all"},
            {"SYSLOG_IDENTIFIER": "shop", "PRIORITY": "3", "MESSAGE": "x" * 5000 + " needle"},
            {"SYSLOG_IDENTIFIER": "sshd", "SYSLOG_PID": "7", "MESSAGE": "Invalid user eve from 192.0.2.1 port 22"},
            {"SYSLOG_IDENTIFIER": "end", "MESSAGE": "end"},
        )
        source = {"journal": True, "journal_directory": str(journal.directory)}
        until = dt.datetime.fromtimestamp(begin + 600, dt.timezone.utc).isoformat()
        options: dict[str, Any] = {"reference_time": until, "security": ["failed_logins"]}
        options["patterns"] = [{"name": "long", "pattern": "needle"}]
        result = scan(source={**source, "identifiers": ["shop", "sshd"]}, **options)
        assert {each["name"]: each["count"] for each in result["classes"]} == {"errors": 3, "long": 1}
        assert result["security"][0]["by_user"] == [{"user": "eve", "count": 1}]
        assert journal.journalctl("--identifier=shop", "--priority=err", "--output=cat").count("\n") == 3
        early = dt.datetime.fromtimestamp(begin - 60, dt.timezone.utc).isoformat()
        assert errors(scan(source=source, reference_time=early))["count"] == 0


def test_an_empty_journal_is_unknown(scan: Scan, tmp_path: Path) -> None:
    result = scan(source={"journal": True, "journal_directory": str(tmp_path)})
    assert (result["available"], errors(result)["count"]) == (False, None)
    assert result["skipped_sections"] == [
        {
            "section": "log: journal",
            "reason": "journalctl found no journal files that it may read",
            "remedy": "Run the task with become; check that systemd-journald runs and keeps files in /var/log/journal.",
        }
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"classes": []},
            "classes: [] is not accepted. Accepted: something to look for in classes, patterns, durations",
        ),
        ({"since": "soon"}, "since: 'soon' is not accepted."),
        ({"start": at(-60)}, f"start: '{at(-60)}' is not accepted. Accepted: a moment before the end of the window."),
        (
            {"patterns": [{"name": "x", "pattern": "("}]},
            "patterns: '(' is not accepted. Accepted: a regular expression",
        ),
        ({"sources": [{"name": "x"}]}, "sources: 'x' is not accepted. Accepted: a source with paths, journal or"),
        ({"timezone": "Seoul"}, "timezone: 'Seoul' is not accepted."),
    ],
)
def test_options_that_cannot_work(run_module: Callable[..., Any], options: dict[str, Any], message: str) -> None:
    given = {"sources": [{"name": "x", "paths": ["/dev/null"]}], "reference_time": NOW.isoformat(), **options}
    assert run_module("log_scan_info", given)["msg"].startswith(message)
