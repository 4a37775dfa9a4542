"""daemon.json merged, journald's limits, and retention classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.docker_logs import limits as docker_limits
from ansible_collections.runbook.ops.plugins.module_utils.docker_logs.engine import value_of
from ansible_collections.runbook.ops.plugins.module_utils.docker_logs.merge import (
    container_limits,
    merged,
    parse_daemon_json,
    wanted_options,
)
from ansible_collections.runbook.ops.plugins.module_utils.journald import limits as journal_limits
from ansible_collections.runbook.ops.plugins.module_utils.journald.settings import (
    default_max_use,
    deleted_bytes,
    effective,
    render,
    uncovered,
    usage_bytes,
    wanted_settings,
)
from ansible_collections.runbook.ops.plugins.module_utils.log_keeping.classes import retention_classes


def test_other_settings_stay() -> None:
    current = {"data-root": "/d", "log-driver": "json-file", "log-opts": {"tag": "x", "max-size": "1g", "max-file": 5}}
    wanted = wanted_options("json-file", "10m", 3, None, {})
    found = merged(current, "json-file", wanted)
    # A number among the options is what dockerd does not start with.
    assert found == {**current, "log-opts": {"tag": "x", "max-size": "10m", "max-file": "3"}}
    assert merged(found, "json-file", wanted) == found
    assert merged(current, "local", wanted)["log-opts"] == wanted
    assert merged({}, "json-file", wanted) == {"log-driver": "json-file", "log-opts": wanted}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('// x\n{"a": 1}', "JSON has no comments"),
        ('{"a": 1,}', "is no valid JSON"),
        ("[]", "holds no JSON object"),
    ],
)
def test_a_broken_file_is_left_alone(text: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        parse_daemon_json(text, "/etc/docker/daemon.json")
    assert parse_daemon_json(" \n", "x") == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("10 MB", 3, None, {}), "max_size: '10 MB' is not accepted. Accepted: a number with k, m or g, such as 10m."),
        (("10m", 0, None, {}), "max_file: 0 is not accepted. Accepted: 1 to 1000 files."),
        (("10m", 1, True, {}), "false with max_file=1: only rotated files are compressed"),
        (("10m", 3, None, {"syslog-address": "x"}), "labels, labels-regex, env, env-regex, tag"),
    ],
)
def test_limits_that_cannot_be(given: tuple[str, int, Any, dict[str, Any]], message: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        wanted_options("json-file", *given)
    assert message in refused.value.message


@pytest.mark.parametrize(
    ("config", "limited"),
    [
        ({"Type": "json-file", "Config": {}}, False),
        ({"Type": "json-file", "Config": {"max-file": "3"}}, False),
        ({"Type": "json-file", "Config": {"max-size": "-1"}}, False),
        ({"Type": "json-file", "Config": {"max-size": "10m"}}, True),
        ({"Type": "local", "Config": {}}, True),
        ({"Type": "journald", "Config": {}}, True),
    ],
)
def test_containers_without_limits(config: dict[str, Any], limited: bool) -> None:
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": "api"}
    found = container_limits({"Name": "/shop-api-1", "HostConfig": {"LogConfig": config}, "Config": {"Labels": labels}})
    assert (found["is_limited"], found["name"], found["project"], found["service"]) == (
        limited, "shop-api-1", "shop", "api",
    )  # fmt: skip


def test_the_command_line_of_a_daemon() -> None:
    words = ["dockerd", "--data-root=/a", "--config-file", "/b.json"]
    assert value_of(words, "--data-root", "-g") == "/a"
    assert value_of(words, "--config-file") == "/b.json"
    assert value_of(words, "--log-driver") is None


def test_secrets_of_a_daemon_are_not_shown(tmp_path: Path) -> None:
    """Neither those of other settings nor those of drivers, in what the module returns; the file keeps them."""
    path = tmp_path / "daemon.json"
    options = {"splunk-token": "t0p hush", "splunk-url": "https://kim:hunter2@splunk.example.com", "tag": "{{.Name}}"}
    proxies = {"http-proxy": "http://kim:hunter2@proxy.example.com:3128"}
    path.write_text(json.dumps({"proxies": proxies, "log-opts": options}), encoding="utf-8")
    names = {"log_driver": "json-file", "max_size": "10m", "max_file": 3, "compress": None, "log_opts": {}}
    given = {**names, "config_file": str(path), "restart": False, "backup_directory": str(tmp_path / "kept")}
    engine = mock.Mock(has_live_restore=True, version="28")
    with (
        mock.patch.multiple(docker_limits, docker_of=mock.DEFAULT, accepts=lambda *_: [], _containers=lambda _: []),
        mock.patch.multiple(docker_limits, ask=lambda _: engine, daemon_of=lambda _: None),
    ):
        told = docker_limits.limit_logs(given, check_mode=False)
    for secret in ("t0p", "hush", "hunter2"):
        assert secret not in json.dumps(told)
        assert secret in path.read_text(encoding="utf-8")
    assert told["before"]["log_opts"] == {
        "splunk-token": "<hidden>", "splunk-url": "https://<hidden>@splunk.example.com", "tag": "{{.Name}}",
    }  # fmt: skip
    assert "proxy.example.com:3128" in told["diff"]["before"]


NOTHING = dict.fromkeys(
    ["system_max_use", "system_keep_free", "system_max_file_size", "runtime_max_use", "max_retention", "max_file"]
)


def test_limits_of_the_journal() -> None:
    settings = wanted_settings(
        {**NOTHING, "system_max_use": "1G", "max_retention": "30day", "storage": None, "state": "present"}
    )
    assert render(settings).endswith("[Journal]\nSystemMaxUse=1G\nMaxRetentionSec=30day\n")
    assert deleted_bytes(settings, 3 * 1024**3) == 2 * 1024**3
    assert deleted_bytes({}, 10) == 0
    text = "[Journal]\n#SystemMaxUse=\nSystemMaxUse=1G\n# later\n[Journal]\nSystemMaxUse=2G\nStorage=\n"
    assert effective(text) == {"SystemMaxUse": "2G"}
    assert usage_bytes("Archived and active journals take up 56.0M in the file system.") == 56 * 1024**2
    assert usage_bytes("Archived and active journals take up 0B in the file system.") == 0
    for name, value in (("system_max_use", "1 G"), ("max_retention", "a while")):
        with pytest.raises(InvalidOption, match=name):
            wanted_settings({**NOTHING, name: value, "storage": None, "state": "present"})


OURS = "/etc/systemd/journald.conf.d/60-runbook.conf"
SHOWN = f"""\
# /etc/systemd/journald.conf
[Journal]
{{other}}

# {OURS}
[Journal]
SystemMaxUse=8G
MaxFileSec=1day

# /usr/lib/systemd/journald.conf.d/syslog.conf
[Journal]
ForwardToSyslog=yes
"""


@pytest.mark.parametrize(
    ("other", "settings", "found"),
    [
        ("SystemMaxUse=1G", {}, {"SystemMaxUse": "1G", "MaxFileSec": ""}),
        ("#SystemMaxUse=", {}, {"SystemMaxUse": "", "MaxFileSec": ""}),
        ("", {"SystemMaxUse": "9G", "MaxFileSec": "1day"}, {}),
        ("SystemMaxUse=8G", {"MaxFileSec": "2day"}, {}),
    ],
)
def test_what_comes_into_force_without_our_limits(other: str, settings: dict[str, str], found: dict[str, str]) -> None:
    assert uncovered(SHOWN.format(other=other), OURS, settings) == found


def test_the_default_of_the_journal_counts() -> None:
    gigabyte = 1024**3
    assert [default_max_use(size * gigabyte) for size in (0, 20, 100)] == [1024**2, 2 * gigabyte, 4 * gigabyte]
    assert deleted_bytes({"SystemMaxUse": ""}, 6 * gigabyte, 4 * gigabyte) == 2 * gigabyte
    # No journal on the disk, and a limit that stays as it is.
    assert deleted_bytes({"SystemMaxUse": ""}, 6 * gigabyte, None) == 0
    assert deleted_bytes({}, 6 * gigabyte, 4 * gigabyte) == 0


@pytest.mark.parametrize(
    ("given", "use", "message"),
    [
        ({"max_file": "2day"}, "6.0G", "SystemMaxUse=its default of a tenth of the file system, at most 4G, would"),
        ({"state": "absent"}, "6.0G", "SystemMaxUse=its default"),
        ({"system_max_use": "9G"}, "1.0G", "could not be restarted: it failed. .* is as it was before"),
        ({"state": "absent"}, "1.0G", "could not be restarted: it failed. .* is as it was before"),
        ({"system_max_use": "8G", "max_file": "1day"}, "1.0G", "SystemMaxUse is set by a file that comes after"),
    ],
)
def test_a_journal_that_stays_as_it_is(tmp_path: Path, given: dict[str, Any], use: str, message: str) -> None:
    """Whatever is refused or fails leaves the file so that the next run says the same again."""
    options = {
        **NOTHING, "storage": None, "state": "present", "name": "60-runbook", "may_delete": False,
        "restart_timeout": 9, "directory": str(tmp_path), "backup_directory": str(tmp_path / "kept"), **given,
    }  # fmt: skip
    path = tmp_path / "60-runbook.conf"
    was = render({"SystemMaxUse": "8G", "MaxFileSec": "1day"})
    path.write_text(was, encoding="utf-8")
    shown = SHOWN.format(other="").replace(OURS, str(path))
    if "comes after" in message:
        shown += "SystemMaxUse=2G\n"

    def run(argv: list[str], **_more: Any) -> str:
        if argv[0] == "systemctl":
            raise RunbookError("it failed")
        return shown if argv[0] == "systemd-analyze" else f"Journals take up {use} in the file system."

    with mock.patch.multiple(
        journal_limits, run=run, Stream=mock.Mock(), _check_system=lambda: None, _oldest=lambda: None,
        _default_bytes=lambda: 4 * 1024**3,
    ):  # fmt: skip
        for _run in range(2):
            with pytest.raises(RunbookError, match=message):
                journal_limits.limit_journal(options, check_mode=False)
            assert path.read_text(encoding="utf-8") == was


def kept(**given: Any) -> dict[str, Any]:
    nothing = {"keep": None, "keep_local": None, "export": None, "redact": False}
    return {"name": "audit", "paths": ["/var/log/audit.log*"], **nothing, **given}


def test_classes_have_times_of_their_own() -> None:
    names = ["real_time", "error", "audit", "security"]
    found = retention_classes([kept(name=name) for name in names])
    assert [each.keep_seconds // 86400 for each in found] == [7, 30, 365, 1095]
    assert [each.is_exported for each in found] == [False, False, True, True]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([kept(export=False)], "true: audit records are never deleted without a copy elsewhere"),
        ([kept(name="other")], "a duration such as 90d"),
        ([kept(), kept()], "classes: 'audit' is not accepted. Accepted: each name once."),
        ([kept(paths=["/*"])], "files at least two directories below the root"),
        ([kept(paths=["/v*/log/x"])], "files at least two directories below the root"),
        ([kept(paths=["/var/log/../../etc/x"])], "an absolute path without .."),
        ([kept(paths=["/data/pg_wal/*"])], "this directory is the database's own"),
        ([kept(keep_local="2000d")], "at most keep, and only with export=true"),
        ([kept(name="error", keep_local="1d")], "at most keep, and only with export=true"),
    ],
)
def test_classes_that_would_lose_records(given: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        retention_classes(given)
    assert message in refused.value.message
