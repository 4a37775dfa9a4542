"""Scans: pace, budgets, patterns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import CommandRefused, Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import (
    Budget,
    Pacer,
    Scan,
    common_match,
    compile_glob,
    escape_glob,
)


@pytest.mark.parametrize(
    ("overhead", "seconds", "counts"),
    [
        (0.0, [0.004, 0.004], [500, 500]),
        (0.0, [0.006], [250]),
        (0.0, [0.02, 0.02, 0.02, 0.02, 0.02, 0.02], [250, 125, 62, 50, 50, 50]),
        (0.0, [0.0005, 0.0005, 0.0005], [1000, 2000, 2000]),
        # Thirty milliseconds away is not busy.
        (0.030, [0.0305, 0.033, 0.036], [1000, 1000, 500]),
    ],
)
def test_pacer(overhead: float, seconds: list[float], counts: list[int]) -> None:
    pacer = Pacer(overhead)
    seen = []
    for each in seconds:
        pacer.after(each)
        seen.append(pacer.count)
    assert seen == counts


class FakeServer:
    """Answers SCAN from a list; remembers what it was asked."""

    def __init__(self, batches: Sequence[Sequence[bytes]], seconds: float = 0.003) -> None:
        self.batches = batches
        self.seconds = seconds
        self.commands: list[tuple[Any, ...]] = []

    def nodes(self) -> list[FakeServer]:
        return [self]

    def topology(self) -> None:
        return None

    def disturbance(self, before: None) -> str | None:
        return None

    def timed(self, *command: Any) -> tuple[Any, float]:
        self.commands.append(command)
        position = int(command[1])
        following = 0 if position + 1 >= len(self.batches) else position + 1
        return [str(following).encode(), list(self.batches[position])], self.seconds


def names(scan: Scan) -> list[bytes]:
    return sorted(name for batch in scan for name in batch)


def test_a_pass_gives_every_name_once() -> None:
    # A rehash makes a server repeat names.
    server = FakeServer([[b"a1", b"a2"], [b"a2", b"b1"], [b"a3"]])
    scan = Scan(server, [b"a*"], Budget(), dbsize=4)  # type: ignore[arg-type]
    assert names(scan) == [b"a1", b"a2", b"a3"]
    assert (scan.complete, scan.keys_seen, scan.stopped_by) == (True, 4, None)
    assert server.commands[0] == ("SCAN", 0, "MATCH", b"a*", "COUNT", 500)


def test_several_patterns_share_a_pass() -> None:
    server = FakeServer([[b"x", b"a:1", b"b:1"]])
    scan = Scan(server, [b"a:*", b"b:*"], Budget())  # type: ignore[arg-type]
    assert names(scan) == [b"a:1", b"b:1"]
    assert server.commands == [("SCAN", 0, "COUNT", 500)]
    assert scan.keys_seen == 3


def test_max_keys_stops_it() -> None:
    server = FakeServer([[b"a"], [b"b"], [b"c"]])
    scan = Scan(server, [b"*"], Budget(max_keys=800), dbsize=5000)  # type: ignore[arg-type]
    assert names(scan) == [b"a", b"b"]
    assert [command[-1] for command in server.commands] == [500, 300]
    assert (scan.complete, scan.keys_seen) == (False, 800)
    assert scan.incomplete_reason() == "the scan stopped at max_keys (800) after 800 of 5000 keys"


def test_max_seconds_stops_it() -> None:
    scan = Scan(FakeServer([[b"a"], [b"b"]]), [b"*"], Budget(max_seconds=1e-9))  # type: ignore[arg-type]
    assert names(scan) == [b"a"]
    assert not scan.complete
    assert scan.incomplete_reason() == "the scan stopped at max_seconds (1e-09) after 500 keys"


def test_a_refused_scan_is_an_error() -> None:
    class Refusing(FakeServer):
        def timed(self, *command: Any) -> tuple[Any, float]:
            return Refusal("SCAN", "NOPERM", "has no permissions to run"), 0.0

    with pytest.raises(CommandRefused) as caught:
        names(Scan(Refusing([]), [b"*"], Budget()))  # type: ignore[arg-type]
    assert caught.value.message == "SCAN was refused: the ACL does not grant +scan."


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (b"*", [b"", b"a", b"\xff\n"], []),
        (b"a?c", [b"abc", b"a\nc"], [b"ac", b"abbc"]),
        (b"a[bc]d", [b"abd", b"acd"], [b"aed", b"a[bc]d"]),
        (b"a[^b]d", [b"acd"], [b"abd"]),
        (b"a[c-a]d", [b"abd"], [b"add"]),
        (b"a[\\]]d", [b"a]d"], [b"a\\d"]),
        (b"a\\*d", [b"a*d"], [b"abd"]),
        (b"q:a.b*", [b"q:a.bc"], [b"q:axb"]),
        (b"a[]d", [], [b"ad", b"a]d"]),
        (b"\xff*", [b"\xffa"], [b"a"]),
        (b"a\\", [b"a\\"], [b"a"]),
        (b"a[b", [b"ab"], [b"a[b"]),
    ],
)
def test_compile_glob(pattern: bytes, matching: list[bytes], other: list[bytes]) -> None:
    compiled = compile_glob(pattern)
    assert [name for name in matching if not compiled.match(name)] == []
    assert [name for name in other if compiled.match(name)] == []


@pytest.mark.parametrize("name", [b"a*b?c[d]e", b"a-b^c\\", b"\xff\xfe", b"normal"])
def test_escaped_names_match_only_themselves(name: bytes) -> None:
    assert compile_glob(escape_glob(name)).match(name)
    assert not compile_glob(escape_glob(name)).match(name + b"x")


@pytest.mark.parametrize(
    ("patterns", "match"),
    [
        ([b"app:a*", b"app:b*"], b"app:*"),
        ([b"a*", b"b*"], None),
        ([b"*x", b"a*"], None),
        ([b"a[b]*", b"a[c]*"], b"a*"),
        ([b"a-1*", b"a-2*"], b"a\\-*"),
    ],
)
def test_common_match(patterns: list[bytes], match: bytes | None) -> None:
    assert common_match(patterns) == match
