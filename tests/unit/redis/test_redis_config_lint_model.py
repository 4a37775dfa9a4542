"""Settings that draw attention, in a running server and in its file: pure code, exact words."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.redis.health.config_file import (
    Unbalanced,
    compare,
    in_file,
    lint_file,
    memory_bytes,
    parse,
    split_arguments,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.health.latency import command_facts, event_facts
from ansible_collections.runbook.ops.plugins.module_utils.redis.health.lint import (
    buffer_limits,
    config_lint_facts,
    lint,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.health.model import Snapshot, health

INFO = {"maxmemory_policy": "noeviction", "maxmemory": "268435456", "total_system_memory": "8589934592"}
CONFIG = {
    "save": "3600 1",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "stop-writes-on-bgsave-error": "yes",
    "no-appendfsync-on-rewrite": "no",
    "auto-aof-rewrite-percentage": "100",
    "rdbchecksum": "yes",
    "timeout": "0",
    "tcp-keepalive": "300",
    "client-output-buffer-limit": "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
    "latency-monitor-threshold": "100",
    "slowlog-log-slower-than": "10000",
    "protected-mode": "yes",
}


def found(info: dict[str, str], config: dict[str, str], **more: Any) -> list[tuple[str, str, str]]:
    given = {"queues": True, "auth_required": True, **more}
    entries = lint({**INFO, **info}, {**CONFIG, **config}, **given)
    return [(entry.setting, entry.value, entry.severity) for entry in entries]


def test_a_server_as_it_should_be() -> None:
    assert found({}, {}) == []


@pytest.mark.parametrize(
    ("info", "config", "expected"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, {}, ("maxmemory-policy", "allkeys-lru", "warning")),
        # Dormant, until somebody sets a limit.
        (
            {"maxmemory_policy": "volatile-ttl", "maxmemory": "1"},
            {},
            ("maxmemory-policy", "volatile-ttl", "warning"),
        ),
        ({"maxmemory": "0"}, {}, ("maxmemory", "0", "hint")),
        ({"maxmemory": "8000000000"}, {}, ("maxmemory", "8000000000", "warning")),
        ({}, {"save": "", "appendonly": "no"}, ("save", '""', "warning")),
        (
            {},
            {"appendonly": "no", "stop-writes-on-bgsave-error": "no"},
            ("stop-writes-on-bgsave-error", "no", "warning"),
        ),
        ({}, {"appendfsync": "no"}, ("appendfsync", "no", "warning")),
        ({}, {"appendfsync": "always"}, ("appendfsync", "always", "hint")),
        ({}, {"auto-aof-rewrite-percentage": "0"}, ("auto-aof-rewrite-percentage", "0", "warning")),
        ({}, {"no-appendfsync-on-rewrite": "yes"}, ("no-appendfsync-on-rewrite", "yes", "hint")),
        ({}, {"rdbchecksum": "no"}, ("rdbchecksum", "no", "hint")),
        ({}, {"tcp-keepalive": "0"}, ("tcp-keepalive", "0", "warning")),
        ({}, {"timeout": "300"}, ("timeout", "300", "hint")),
        (
            {},
            {"client-output-buffer-limit": "normal 0 0 0 replica 0 0 0 pubsub 0 0 0"},
            ("client-output-buffer-limit", "pubsub 0 0 0", "warning"),
        ),
        ({}, {"slowlog-log-slower-than": "-1"}, ("slowlog-log-slower-than", "-1", "hint")),
        ({}, {"latency-monitor-threshold": "0"}, ("latency-monitor-threshold", "0", "hint")),
    ],
)
def test_settings(info: dict[str, str], config: dict[str, str], expected: tuple[str, str, str]) -> None:
    assert found(info, config) == [expected]


def test_what_is_fine_without_queues_or_without_a_file() -> None:
    assert found({"maxmemory_policy": "allkeys-lru"}, {}, queues=False) == []
    assert found({}, {"save": "", "appendonly": "no"}, queues=False) == []
    # Settings of a file that is not written say nothing.
    assert found({}, {"appendonly": "no", "appendfsync": "no", "auto-aof-rewrite-percentage": "0"}) == []
    assert found({}, {"protected-mode": "no"}) == []
    assert found({}, {"protected-mode": "no"}, auth_required=False) == [("protected-mode", "no", "hint")]


def test_words() -> None:
    (entry,) = lint({**INFO, "maxmemory_policy": "allkeys-lru"}, CONFIG, queues=True, auth_required=True)
    assert entry.facts() == {
        "setting": "maxmemory-policy",
        "value": "allkeys-lru",
        "severity": "warning",
        "reason": "when maxmemory is reached, the server throws out keys of job queues like any others: jobs vanish "
        "without an error",
        "remedy": "CONFIG SET maxmemory-policy noeviction, then CONFIG REWRITE.",
        "also_in": "config.eviction_risk",
    }


def test_what_is_not_told_is_unknown() -> None:
    unknown = {"entries": None, "warnings_count": None, "hints_count": None}
    assert config_lint_facts({}, CONFIG, queues=True, auth_required=None) == unknown
    assert config_lint_facts(INFO, {}, queues=True, auth_required=None) == unknown
    assert health(Snapshot())["config_lint"] == unknown


def test_buffer_limits() -> None:
    assert buffer_limits("normal 0 0 0 slave 256 64 60 pubsub 32 8 60") == {
        "normal": ("0", "0", "0"),
        "replica": ("256", "64", "60"),
        "pubsub": ("32", "8", "60"),
    }
    assert buffer_limits("") == {}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("maxmemory 2gb", ["maxmemory", "2gb"]),
        ('save ""', ["save", ""]),
        ('requirepass "a \\"b\\" \\x41\\n"', ["requirepass", 'a "b" A\n']),
        ("requirepass 'it\\'s \\n'", ["requirepass", "it's \\n"]),
        ("maxmemory 2gb # half", ["maxmemory", "2gb", "#", "half"]),
        ('dir "/var/lib/redis data"', ["dir", "/var/lib/redis data"]),
        ("  bind\t127.0.0.1   ::1 ", ["bind", "127.0.0.1", "::1"]),
    ],
)
def test_lines_are_taken_apart_as_the_server_does(line: str, words: list[str]) -> None:
    assert split_arguments(line) == words


@pytest.mark.parametrize("line", ['dir "open', "dir 'open", 'dir "a"b'])
def test_unbalanced_quotes(line: str) -> None:
    with pytest.raises(Unbalanced):
        split_arguments(line)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "maxmemory 2gb # half of the machine",
            "line 1: there are no comments behind a value; the server takes '# half of the machine' as more values, "
            "and does not start",
        ),
        (
            "save 900 1 # after 15 minutes",
            "line 1: there are no comments behind a value; the server takes '# after 15 minutes' as more values, and "
            'does not start ("Invalid save parameters"), or takes no such snapshots before Redis 7',
        ),
        (
            "bind 127.0.0.1 #local",
            "line 1: there are no comments behind a value; the server takes '#local' as more values, and does not "
            "start, because it cannot listen there",
        ),
        (
            "save 900",
            "line 1: 1 values are no pairs of seconds and changes: Invalid save parameters; the server does not start "
            "with it, or takes no such snapshots before Redis 7",
        ),
        (
            "save 900 one",
            "line 1: '900 one' is no pair of seconds and changes: Invalid save parameters; the server does not start "
            "with it, or takes no such snapshots before Redis 7",
        ),
        ("maxmemory 2 gb", "line 1: it takes one value and has 2; the server does not start with it"),
        ("maxmemory 2gib", "line 1: '2gib' is no amount of memory; the server does not start with it"),
        ("appendonly true", "line 1: 'true' is neither yes nor no; the server does not start with it"),
        ("appendfsync every", "line 1: 'every' is no value of it; the server does not start with it"),
        ("port redis", "line 1: 'redis' is no number; the server does not start with it"),
        ('dir "open', "line 1: the quotes do not match; the server does not start with it"),
    ],
)
def test_lines_the_server_stumbles_over(line: str, reason: str) -> None:
    (entry,) = lint_file(line)
    assert (entry.severity, entry.reason) == ("critical", reason)


@pytest.mark.parametrize(
    "line",
    [
        *("", "   ", "# a comment", "  # another", "maxmemory 2GB", "maxmemory 100", 'save ""', "save 900 1 300 10"),
        *("requirepass #hash", 'requirepass "a # b"', "APPENDONLY YES", "maxmemory-policy noeviction"),
        *("user f on #9f86d081 ~* +@all", "client-output-buffer-limit pubsub 32mb 8mb 60"),
    ],
)
def test_lines_that_are_fine(line: str) -> None:
    assert lint_file(line) == []


def test_hints_of_a_file() -> None:
    entries = lint_file('include /etc/redis/local.conf\nrename-command CONFIG ""\n')
    assert [(entry.setting, entry.value, entry.severity) for entry in entries] == [
        ("include", "/etc/redis/local.conf", "hint"),
        ("rename-command", "CONFIG", "hint"),
    ]


def test_secrets_are_not_shown() -> None:
    text = 'requirepass geheim # the password\nmasterauth "geheim\nuser f on >geheim # hm\n'
    assert "geheim" not in str([entry.facts() for entry in lint_file(text)])
    assert len(lint_file(text)) == 3
    assert "geheim" not in str(in_file(text))


def test_what_the_next_restart_changes() -> None:
    text = "maxmemory 256mb\nsave 900 1\nsave 300 10\nbind ::1 127.0.0.1\nappendonly no\nmaxclients 5000\n"
    running = {
        "maxmemory": "268435456",
        "save": "900 1 300 10",
        "bind": "127.0.0.1 ::1",
        "appendonly": "yes",
        "maxmemory-policy": "allkeys-lru",
        "maxclients": "5000",
    }
    assert [entry.facts() for entry in compare(text, running)] == [
        {
            "setting": "maxmemory-policy",
            "value": "allkeys-lru",
            "severity": "warning",
            "reason": "the server runs with allkeys-lru, and the file leaves it at noeviction: the next restart "
            "changes it, unless it was set on the command line",
            "remedy": "CONFIG REWRITE keeps what is running; otherwise set what the file says with CONFIG SET.",
            "also_in": "",
        },
        {
            "setting": "appendonly",
            "value": "yes",
            "severity": "warning",
            "reason": "the server runs with yes, and the file says no: the next restart changes it, unless it was set "
            "on the command line",
            "remedy": "CONFIG REWRITE keeps what is running; otherwise set what the file says with CONFIG SET.",
            "also_in": "",
        },
    ]


def test_what_is_written_twice() -> None:
    assert in_file('save 900 1\nsave ""\nsave 60 1\nmaxmemory 1\nmaxmemory 2\n') == {"save": "60 1", "maxmemory": "2"}
    assert [line.name for line in parse("Port 1\n")[0]] == ["port"]


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("1b", 1), ("1k", 1000), ("1KB", 1024), ("2gb", 2**31), ("1t", None), ("", None), ("-1", None)],
)
def test_memory(text: str, size: int | None) -> None:
    assert memory_bytes(text) == size


def test_a_monitor_that_is_off_knows_nothing() -> None:
    assert event_facts([], 100.0, {"latency-monitor-threshold": "0"}) == {
        "monitor_threshold_milliseconds": None,
        "monitored": False,
        "events": None,
    }
    facts = event_facts([("fork", 90, 5, 20), ("command", 40, 30, 30)], 100.0, {"latency-monitor-threshold": "10"})
    assert facts["events"] == [
        {"event": "command", "last_age_seconds": 60, "last_milliseconds": 30, "longest_milliseconds": 30},
        {"event": "fork", "last_age_seconds": 10, "last_milliseconds": 5, "longest_milliseconds": 20},
    ]
    assert event_facts([], 100.0, {"latency-monitor-threshold": "10"})["events"] == []


def test_slow_commands() -> None:
    info = {
        "latency_percentiles_usec_get": "p50=1.003,p99=4.015,p99.9=10",
        "latency_percentiles_usec_config|get": "p50=20,p99=50.2,p99.9=50.2",
        "cmdstat_get": "calls=12,usec=3",
    }
    assert command_facts(info) == [
        {
            "command": "CONFIG GET",
            "calls_total": None,
            "p50_milliseconds": 0.02,
            "p99_milliseconds": 0.05,
            "p999_milliseconds": 0.05,
        },
        {
            "command": "GET",
            "calls_total": 12,
            "p50_milliseconds": 0.001,
            "p99_milliseconds": 0.004,
            "p999_milliseconds": 0.01,
        },
    ]
    assert command_facts({}) == []
