"""What is an error, and what only has the word in it."""

from __future__ import annotations

import json
import re

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.logs.framing import DockerJson
from ansible_collections.runbook.ops.plugins.module_utils.logs.levels import (
    ERROR_NEEDLES,
    EXACT_ERROR_NEEDLES,
    WARNING_NEEDLES,
    is_error,
    is_warning,
)
from ansible_collections.runbook.ops.plugins.module_utils.logs.needles import cheapest, needles_of


@pytest.mark.parametrize(
    ("line", "error", "warning"),
    [
        (b"2026-01-31 09:00:01,123 ERROR app: x", True, False),
        (b"2026-01-31 09:00:01,123 [CRITICAL] app: x", True, False),
        (b"F, [2026-01-31T09:00:01.1 #7] FATAL -- : x", True, False),
        (b"2026-01-31 09:00:01.123 UTC [77] PANIC:  x", True, False),
        (b'{"level":50,"msg":"x"}', True, False),
        (b'{"msg":"x","severity":"Error"}', True, False),
        (b"time=x level=error msg=y", True, False),
        (b"2026/01/31 09:00:01 [crit] 12#12: x", True, False),
        (b"[Sat Jan 31 09:00:01 2026] [core:error] x", True, False),
        (b'10.0.0.1 - - [31/Jan/2026:09:00:01 +0900] "GET / HTTP/1.1" 502 157 "-"', True, False),
        (b"I, [2026-01-31T09:00:01.1 #7]  INFO -- : Completed 500 Internal Server Error in 12ms", True, False),
        (b"Traceback (most recent call last)", True, False),
        (b"ActionView::Template::Error (undefined method)", True, False),
        (b"java.lang.NullPointerException: x", True, False),
        (b"Jan 31 09:00:01 web1 sshd[1]: error: kex_exchange_identification", True, False),
        (b"W, [2026-01-31T09:00:01.1 #7]  WARN -- : x", False, True),
        (b'{"level":"warn","msg":"x"}', False, True),
        (b'{"level":40,"msg":"x"}', False, True),
        # The word is not the level.
        (b'Parameters: {"error"=>"none"}', False, False),
        (b'I, [2026-01-31T09:00:01.1 #7]  INFO -- : Parameters: {"error"=>"ERROR"}', False, False),
        (b"2026-01-31 09:00:01 INFO retry after ERROR from api", False, False),
        (b"2026-01-31 09:00:01 WARNING ValueError: x", False, True),
        (b'{"level":30,"err":null,"responseTime":50}', False, False),
        (b'10.0.0.1 - - [31/Jan/2026:09:00:01 +0900] "GET /errors/ERROR?error=1 HTTP/1.1" 200 500 "-"', False, False),
        (b"I, [2026-01-31T09:00:01.1 #7]  INFO -- : Completed 200 OK in 500ms", False, False),
        (b"0 errors found", False, False),
    ],
)
def test_levels(line: bytes, error: bool, warning: bool) -> None:
    assert (is_error(line, line), is_warning(line, line)) == (error, warning)
    # What is found by literals first must be findable by them.
    for needles in (ERROR_NEEDLES, EXACT_ERROR_NEEDLES):
        assert not error or any(needle in line for needle in needles)
    assert not warning or any(needle in line for needle in WARNING_NEEDLES)


_LEVELS = (
    *b"error err fatal critical crit panic severe alert emerg emergency ERROR FATAL Error Fatal Critical Panic".split(),
    b"50",
)


@pytest.mark.parametrize("level", _LEVELS)
@pytest.mark.parametrize("colon", [b":", b": ", b" :", b" : "])
def test_every_level_has_a_literal(level: bytes, colon: bytes) -> None:
    """Whatever the search passes over is no error, also in the files of Docker, and however the literals are chosen."""
    lines = [b'{"a":1,"level"' + colon + b'"' + level + b'"}', b"level=" + level + b" x", b'lvl="' + level + b'" x']
    lines += [b"[" + level + b"] x", b"[core:" + level + b"] x", level + b": x", b"a: " + level + b" error: x"]
    lines += [b"2026-01-31 09:00:01 " + level + b" x", b'{"level"' + colon + level + b"}"]
    sample = b"\n".join(lines) * 20
    chosen = (ERROR_NEEDLES, EXACT_ERROR_NEEDLES, cheapest(EXACT_ERROR_NEEDLES, sample), cheapest(ERROR_NEEDLES, b""))
    for line in lines:
        if is_error(line, line):
            for needles in chosen:
                assert any(needle in line for needle in needles), line
                written = [DockerJson().as_written(needle) for needle in needles]
                assert any(needle in json.dumps(line.decode()).encode() for needle in written), line


def test_an_end_of_a_literal_is_in_every_line_with_it() -> None:
    for sample in (b"", b"Completed 200 OK in 12ms (Views: 600ms)", bytes(range(256)), b"error: no error\n" * 9):
        chosen = cheapest(EXACT_ERROR_NEEDLES, sample)
        assert all(any(needle.endswith(end) for end in chosen) for needle in EXACT_ERROR_NEEDLES)
        assert all(len(end) >= 3 for end in chosen)


def test_the_first_line_of_an_entry_names_the_level() -> None:
    assert not is_error(b"ValueError: x", b"2026-01-31 09:00:01 WARNING x")
    assert is_error(b"ValueError: x", b"2026-01-31 09:00:01 something")


@pytest.mark.parametrize(
    ("pattern", "needles"),
    [
        ("Rate limit exceeded", (b"Rate limit exceeded",)),
        ("timeout|refused", (b"timeout", b"refused")),
        (r"Naver API 5\d\d", (b"Naver API 5",)),
        (r"took (\d+)ms", (b"took ",)),
        (r"Completed \d{3} .* in (\d+)ms", (b"Completed ",)),
        (r"(foo|barbaz) queued", (b" queued",)),
        (r"colou?rs", (b"colo",)),
        (r"abcd*", (b"abc",)),
        (r"abc{0,2}", ()),
        (r"(abcdef)?x", ()),
        (r"abc|d.f", ()),
        (r"(?i)error", ()),
        (r"(?<!x)error", ()),
        (r"[abcdef]+", ()),
        (r"a|b", ()),
        (r"((one|two) three)* four", (b" four",)),
        (r"\berror\b", (b"error",)),
        (r"x\|yyyy", (b"yyyy",)),
    ],
)
def test_literals_that_a_pattern_needs(pattern: str, needles: tuple[bytes, ...]) -> None:
    assert needles_of(pattern) == needles
    assert needles_of(pattern, ignore_case=True) == ()
    re.compile(pattern)
