"""log_scan_info beside grep, over an ordered log of RUNBOOK_BENCH_LOG_MEGABYTES."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.bench import Table, environment, median, ratio
from lab.paths import BUILD

MEGABYTES = int(os.environ.get("RUNBOOK_BENCH_LOG_MEGABYTES", "10000"))
ROUNDS = 3
# So that an hour of 10 GB is one in a hundred.
HOURS = 100
END = dt.datetime(2026, 1, 31, 12, tzinfo=dt.timezone.utc)
_STRETCH_LINES = 100_000


def write_log(path: Path, megabytes: int) -> None:
    """An ordered log up to END: one line in a thousand is an error, one in a hundred has the word in a parameter."""
    chance = random.Random(1)
    texts = [_text(chance, number) for number in range(_STRETCH_LINES)]
    average = sum(map(len, texts)) / len(texts) + 26
    lines = int(megabytes * 1e6 / average)
    begin = END.timestamp() - HOURS * 3600
    step = HOURS * 3600 / lines
    with path.open("w", encoding="utf-8", buffering=1 << 20) as stream:
        second, stamp = -1, ""
        for number in range(lines):
            moment = begin + number * step
            if int(moment) != second:
                second = int(moment)
                stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            stream.write(f"{stamp}.{number % 1000:03d}Z {texts[number % _STRETCH_LINES]}")


def _text(chance: random.Random, number: int) -> str:
    luck = chance.random()
    if luck < 0.001:
        return f"ERROR app.worker: Rate limit exceeded for item {number}: HTTP 429 after {chance.randint(1, 9999)} ms\n"
    if luck < 0.01:
        return f'INFO  app.web: Parameters: {{"error"=>"none", "id"=>"{number}"}}\n'
    took = chance.randint(1, 900)
    return f"INFO  app.web: Completed 200 OK in {took}ms (Views: {took // 2}.1ms) request={number:x}\n"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("logs") / "app.log"
    write_log(path, MEGABYTES)
    yield path
    path.unlink()


def processor_seconds() -> float:
    """What all processes that have ended under this one have used."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def module(log: Path, **options: Any) -> tuple[dict[str, Any], float, int]:
    """One run as Ansible would start it: its result, wall seconds and the most memory that it had, in bytes."""
    source = {"name": "app", "paths": [str(log)], "rotated": False}
    arguments = {"sources": [source], "reference_time": END.isoformat(), "timeout": 3600, **options}
    command = [sys.executable, "-m", "ansible_collections.runbook.ops.plugins.modules.log_scan_info"]
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**environment(), "PYTHONPATH": str(BUILD / "collections")},
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    json.dump({"ANSIBLE_MODULE_ARGS": arguments}, process.stdin)
    process.stdin.close()
    told = json.loads(process.stdout.read())
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    took = time.perf_counter() - began
    assert told.get("complete"), told
    return told, took, usage.ru_maxrss * 1024


def grep(log: Path, *arguments: str) -> tuple[int, float]:
    """What grep -c says, and its wall seconds."""
    began = time.perf_counter()
    completed = subprocess.run(["grep", "-c", *arguments, str(log)], capture_output=True, text=True, check=True)
    return int(completed.stdout), time.perf_counter() - began


def forget(log: Path) -> None:
    """Take a file out of the kernel's memory, where a log of a week is not when somebody asks for its last hour."""
    with log.open("rb") as stream:
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@pytest.mark.parametrize(
    ("title", "options", "arguments", "same", "cold"),
    [
        ("One hour", {"since": "1h"}, [" ERROR "], False, False),
        # 10 GB in a hundred hours are a busy log. In a month of 10 GB an hour is as long as these 500 seconds.
        ("As much as an hour of a month", {"since": "500s"}, [" ERROR "], False, False),
        ("One hour, read from the disk", {"since": "1h"}, [" ERROR "], False, True),
        ("One hour, beside the manual's pattern", {"since": "1h"}, ["-i", "error"], False, False),
        ("All of it, with fingerprints", {"since": ""}, [" ERROR "], True, False),
        ("All of it, beside the manual's pattern", {"since": ""}, ["-i", "error"], False, False),
        (
            "All durations, as numbers",
            {"since": "", "classes": [], "durations": ["rails"]},
            ["Completed.*in"],
            True,
            False,
        ),
    ],
)
def test_beside_grep(
    log: Path,
    table: Callable[..., Table],
    title: str,
    options: dict[str, Any],
    arguments: list[str],
    same: bool,
    cold: bool,
) -> None:
    grep(log, *arguments)  # Both read from memory as far as it goes.
    ours: list[float] = []
    theirs: list[float] = []
    used: list[float] = []
    their_used: list[float] = []
    memory = 0
    for _round in range(ROUNDS):
        if cold:
            forget(log)
        before = processor_seconds()
        told, took, peak = module(log, **options)
        ours.append(took)
        used.append(processor_seconds() - before)
        memory = max(memory, peak)
        if cold:
            forget(log)
        before = processor_seconds()
        count, took = grep(log, *arguments)
        theirs.append(took)
        their_used.append(processor_seconds() - before)
    found = (told["classes"] or told["durations"])[0]["count"]
    assert not same or found == count
    size = log.stat().st_size
    shown = table(f"{title}: {size / 1e6:.0f} MB", "way", "time", "processor time", "MB/s", "found", "most memory")
    rate = size / 1e6
    shown.add(
        f"grep -c {' '.join(arguments)}",
        median(theirs),
        median(their_used),
        f"{rate / statistics.median(theirs):.0f}",
        str(count),
        "",
    )
    shown.add(
        f"log_scan_info, {ratio(theirs, ours)} as fast, {ratio(their_used, used)} by processor time",
        median(ours),
        median(used),
        f"{rate / statistics.median(ours):.0f}",
        str(found),
        f"{memory / 2**20:.0f} MiB",
    )


def test_memory_does_not_grow_with_the_log(log: Path, table: Callable[..., Table], tmp_path: Path) -> None:
    small = tmp_path / "small.log"
    write_log(small, max(MEGABYTES // 10, 1))
    shown = table("Most memory of a full scan", "log", "MiB")
    for each in (small, log):
        peak = module(each, since="", durations=["rails"])[2]
        shown.add(f"{each.stat().st_size / 1e6:.0f} MB", f"{peak / 2**20:.0f}")
