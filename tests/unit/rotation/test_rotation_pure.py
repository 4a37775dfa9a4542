"""logrotate's language read and written, what is wrong with it, and the numbers that prove a rotation."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.rotation.info import _shown
from ansible_collections.runbook.ops.plugins.module_utils.rotation.logs import (
    is_database_own,
    is_rotated_name,
    matches,
)
from ansible_collections.runbook.ops.plugins.module_utils.rotation.program import Spoken
from ansible_collections.runbook.ops.plugins.module_utils.rotation.render import (
    MARK,
    check_entry,
    check_name,
    entry_argument_spec,
    render,
)
from ansible_collections.runbook.ops.plugins.module_utils.rotation.sequence import (
    WINDOW_BYTES,
    compile_sequence,
    continuity,
    numbers_at_end,
    numbers_at_start,
)
from ansible_collections.runbook.ops.plugins.module_utils.rotation.settings import Settings, applied, parse_size
from ansible_collections.runbook.ops.plugins.module_utils.rotation.status import parse_status
from ansible_collections.runbook.ops.plugins.module_utils.rotation.syntax import Directive, Entry, Problem, parse

TEXT = """\
# see man logrotate
weekly
rotate 4
include /etc/logrotate.d
"/var/log/with space.log" /var/log/a.log
/var/log/b/*.log {
\tdaily
    size=10M
    create 0640 www-data adm
    # a comment
    su www-data adm
    sharedscripts
    postrotate
        [ -f /run/a.pid ] && kill -HUP $(cat /run/a.pid)
        # } is no end here
    endscript
}
/var/log/c.log { monthly
}
"""


def entry(**given: Any) -> dict[str, Any]:
    """An entry as Ansible hands it over, with its defaults."""
    spec = entry_argument_spec()
    reopen = {key: option.get("default") for key, option in spec["reopen"]["options"].items()}
    made = {key: option.get("default") for key, option in spec.items()}
    return {**made, "logs": ["/var/log/a.log"], **given, "reopen": {**reopen, **given.get("reopen", {})}}


def test_the_language_is_read() -> None:
    items = parse(TEXT)
    assert [each.name for each in items if isinstance(each, Directive)] == ["weekly", "rotate", "include"]
    first, second = (each for each in items if isinstance(each, Entry))
    assert first.patterns == ["/var/log/with space.log", "/var/log/a.log", "/var/log/b/*.log"]
    assert (first.line, first.end_line) == (5, 17)
    assert "kill -HUP" in first.scripts["postrotate"]
    assert [each.name for each in first.directives] == ["daily", "size", "create", "su", "sharedscripts"]
    assert (second.patterns, [each.name for each in second.directives]) == (["/var/log/c.log"], ["monthly"])
    settings = Settings()
    for directive in first.directives:
        settings = applied(settings, directive)
    assert (settings.frequency, settings.size_bytes) == (None, 10 * 1024**2), "the size after it makes daily void"
    assert (settings.create_mode, settings.create_owner, settings.create_group) == ("0640", "www-data", "adm")
    assert (settings.su_user, settings.has_shared_scripts) == ("www-data", True)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("/a.log {\n daily\n", 1, "the entry has no }"),
        ("/a.log {\n postrotate\n x\n}\n", 2, "postrotate has no endscript"),
        ("/a.log\nweekly\n", 1, "the files /a.log weekly are not followed by {"),
        ("postrotate\n x\nendscript\n", 1, "postrotate stands outside of an entry"),
        ("}\n", 1, "there is a } without a {"),
        ('"/a.log {\n}\n', 1, "the names of the files cannot be read: No closing quotation"),
    ],
)
def test_what_cannot_be_read_is_a_problem(text: str, line: int, message: str) -> None:
    found = [each for each in parse(text) if isinstance(each, Problem)]
    assert Problem(line, message) in found


def test_scripts_are_told_without_their_secrets() -> None:
    script = "  curl -sS -u ops:S3cret99 http://127.0.0.1:9200/_reopen\n  kill -HUP 1\n"
    assert _shown(script) == script.replace("S3cret99", "<hidden>")
    assert _shown(None) is None


def test_the_state_file_is_read() -> None:
    text = (
        'logrotate state -- version 2\n"/var/log/a b.log" 2026-1-31-6:25:1\n"/x" 2025-12-01\n"/bad" 2026-13-1-0:0:0\n'
    )
    assert parse_status(text) == {
        "/var/log/a b.log": dt.datetime(2026, 1, 31, 6, 25, 1),
        "/x": dt.datetime(2025, 12, 1),
    }


@pytest.mark.parametrize(
    ("text", "size"), [("100k", 102400), ("10M", 10485760), ("1G", 1 << 30), ("5", 5), ("5T", None)]
)
def test_sizes(text: str, size: int | None) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("name", "rotated"),
    [
        ("a.log", False), ("a.log.1", True), ("a.log.12.gz", True), ("a.log-20260131", True), ("a.log.gz", True),
        ("a.log-2026013112.zst", True), ("a-20260131.log", True), ("syslog", False), ("postgresql-15-main.log", False),
        ("postgresql-2026-01-31_000000.log", True), ("postgresql-2026-01-31_000000.csv", True), ("app.v2.log", False),
    ],
)  # fmt: skip
def test_names_of_rotated_copies(name: str, rotated: bool) -> None:
    assert is_rotated_name(name) is rotated


def test_patterns_do_not_cross_directories() -> None:
    assert matches("/var/log/a.log", ["/var/log/*.log"])
    assert not matches("/var/log/x/a.log", ["/var/log/*.log"])
    assert is_database_own("/var/lib/postgresql/15/main/pg_wal/000000010000000000000001")
    assert not is_database_own("/var/lib/postgresql/15/main/log/a.log")


def test_an_entry_is_rendered() -> None:
    reload = {"method": "reload", "unit": "shop.service"}
    text = render([entry(logs=["/srv/a b/*.log", "/srv/c.log"], su_user="d", su_group="d", reopen=reload)])
    assert text.startswith(f'{MARK}\n\n"/srv/a b/*.log"\n/srv/c.log {{\n    su d d\n    daily\n    rotate 14\n')
    assert text.endswith(
        "    create 0640\n    sharedscripts\n    postrotate\n"
        "        ! systemctl --quiet is-active shop.service || systemctl reload shop.service\n    endscript\n}\n"
    )
    assert not [each for each in parse(text) if isinstance(each, Problem)]
    signalled = render([entry(reopen={"method": "signal", "signal": "SIGUSR1", "pid_file": "/run/x.pid"})])
    assert 'test ! -s /run/x.pid || kill -USR1 "$(cat /run/x.pid)"' in signalled
    copied = render([entry(reopen={"method": "copytruncate"})])
    assert "\n    copytruncate\n}" in copied
    assert "create" not in copied.replace("runbook.ops.logrotate_config", "")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"logs": []}, "entries[0].logs: [] is not accepted. Accepted: at least one path."),
        ({"logs": ["a.log"]}, "an absolute path, * allowed, without quotes and braces"),
        ({"logs": ["/var/log/../x.log"]}, "a path without .."),
        ({"logs": ["/var/log/*"]}, "names that rotated copies do not have"),
        ({"logs": ["/var/log/a.log.1"]}, "names that rotated copies do not have"),
        ({"logs": ["/data/pg_wal/*.log"]}, "this directory is the database's own"),
        ({"rotate": 0}, "1 to 10000 copies; 0 would delete the log"),
        ({"mode": "0666"}, "a mode that only the owner may write with"),
        ({"mode": "rw"}, "an octal mode such as 0640"),
        ({"max_size": "big"}, "a number with k, M or G"),
        ({"su_user": "a"}, "su_user and su_group together, or neither"),
        ({"owner": "a;b", "group": "a"}, "the name of an account"),
        ({"reopen": {"method": "reload"}}, "the unit to reload, with method=reload only"),
        ({"reopen": {"method": "reload", "unit": "a; rm"}}, "the name of a unit such as nginx.service"),
        ({"reopen": {"method": "signal", "pid_file": "/run/$(x)"}}, "an absolute path of ordinary characters"),
        ({"reopen": {"method": "signal", "pid_file": "/run/x", "signal": "1;x"}}, "the name of a signal"),
        (
            {"reopen": {"method": "reload", "unit": "a"}, "delay_compress": False},
            "true with compress and method=reload: a writer that is still at the old file would lose lines",
        ),
    ],
)
def test_an_entry_that_cannot_work_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        check_entry(entry(**given), 0)
    assert message in refused.value.message


def test_a_name_that_logrotate_passes_over_is_refused() -> None:
    check_name("shop")
    for name in ("shop.bak", "../shop", "shop~", ""):
        with pytest.raises(InvalidOption):
            check_name(name)


def test_numbers_tell_what_was_lost() -> None:
    found = continuity([1, 2, 5, 5, 4, 9])
    assert (found.seen, found.lost, found.doubled, found.gaps) == (6, 4, 1, [[3, 3], [6, 8]])
    assert continuity([]).as_dict()["first"] is None
    pattern = compile_sequence(r"seq=(\d+)")
    assert pattern
    lines = b"".join(b"seq=%07d %s\n" % (number, b"x" * 90) for number in range(60_000))
    assert len(lines) > WINDOW_BYTES
    last = numbers_at_end(io.BytesIO(lines), pattern)
    assert last[-1] == 59_999
    assert last == list(range(last[0], 60_000)), "the line that is cut is left out"
    assert numbers_at_start(io.BytesIO(b"seq=1\nother\nseq=2\nseq=3"), pattern) == [1, 2]
    with pytest.raises(InvalidOption, match="one group"):
        compile_sequence(r"seq=\d+")


def test_what_logrotate_says() -> None:
    said = Spoken(0, ["error: Ignoring x because it is writable by group or others.", "running postrotate script"])
    assert said.errors == ["Ignoring x because it is writable by group or others."]
    assert said.postrotate_count == 1
    failed = Spoken(1, ["running shared postrotate script", "error: error running shared postrotate script for 'x'"])
    assert failed.postrotate_count == 1
    assert Spoken(1, []).errors == ["it ended with status 1 and gave no reason"]
