"""Services from what systemd and Docker say of them; the limit; what is run."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.services.dependencies import check_dependencies
from ansible_collections.runbook.ops.plugins.module_utils.services.limiter import (
    Restart,
    read_restarts,
    recent,
    record_restart,
)
from ansible_collections.runbook.ops.plugins.module_utils.services.model import (
    Service,
    candidates,
    container_facts,
    log_lines,
    parse_show,
    services_from,
    unit_facts,
)
from ansible_collections.runbook.ops.plugins.module_utils.services.request import (
    commands_of,
    refusal_of,
    request_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.services.surroundings import _process
from ansible_collections.runbook.ops.plugins.modules.service_restart import argument_spec

NOW = dt.datetime(2026, 11, 29, 20, 0, tzinfo=dt.timezone.utc)
SHOWN = """\
Id=api.service
LoadState=loaded
UnitFileState=enabled
ActiveState=active
SubState=running
Result=success
Type=simple
NRestarts=2
MainPID=120
MemoryCurrent=1048576
StateChangeTimestamp=Sun 2026-11-29 19:59:00 UTC
ExecMainExitTimestamp=
CanReload=no
NeedDaemonReload=no
ControlGroup=/system.slice/api.service
"""


def unit(**more: str) -> dict[str, Any]:
    (shown,) = parse_show(SHOWN)
    return unit_facts(Service("api.service"), {**shown, **more}, NOW)


def test_a_unit_that_runs() -> None:
    facts = unit()
    assert (facts["exists"], facts["enabled"], facts["healthy"], facts["reason"]) == (True, True, True, "")
    assert (facts["since"], facts["since_seconds"], facts["restarts_count"]) == ("2026-11-29T19:59:00Z", 60, 2)
    assert (facts["memory_bytes"], facts["last_exit"]) == (1048576, None)


@pytest.mark.parametrize(
    ("more", "healthy", "reason"),
    [
        ({"LoadState": "not-found", "ActiveState": "inactive"}, False, "there is no unit api.service on this machine"),
        ({"LoadState": "masked", "UnitFileState": "masked", "ActiveState": "inactive"}, False,
         "api.service cannot be started: its unit file is masked"),
        ({"ActiveState": "failed", "SubState": "failed", "Result": "oom-kill", "ExecMainCode": "2",
          "ExecMainStatus": "9", "ExecMainExitTimestamp": "Sun 2026-11-29 19:58:00 UTC"}, False,
         "api.service is failed (failed) (oom-kill, its process killed with status 9)"),
        ({"ActiveState": "activating", "SubState": "auto-restart"}, False, "api.service is activating (auto-restart)"),
        ({"ActiveState": "inactive", "SubState": "dead", "Type": "oneshot"}, True, ""),
        ({"MemoryCurrent": "18446744073709551615"}, True, ""),
        ({"MemoryCurrent": "[not set]"}, True, ""),
    ],
)  # fmt: skip
def test_units_that_do_not(more: dict[str, str], healthy: bool, reason: str) -> None:
    facts = unit(**more)
    assert (facts["healthy"], facts["reason"]) == (healthy, reason)
    assert facts["memory_bytes"] in (None, 1048576)


def container(status: str = "running", **state: Any) -> dict[str, Any]:
    times = {"StartedAt": "2026-11-29T19:59:00.123456789Z", "FinishedAt": "0001-01-01T00:00:00Z"}
    return {
        "Name": "/shop-api-1", "RestartCount": 0, "Image": "sha256:1", "Config": {"Image": "shop/api:1", "Labels": {}},
        "State": {"Status": status, "Pid": 7, **times, **state},
        "HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}},
    }  # fmt: skip


def test_containers() -> None:
    api = Service("api", "compose", "shop")
    well = container_facts(api, [container()], NOW)
    assert (well["healthy"], well["enabled"], well["containers"], well["since_seconds"]) == (
        True,
        True,
        ["shop-api-1"],
        60,
    )
    ill = container_facts(api, [container(), container(Health={"Status": "unhealthy"})], NOW)
    assert (ill["healthy"], ill["active"], ill["reason"]) == (False, True, "shop/api is running and unhealthy")
    assert ill["containers"] == ["shop-api-1", "shop-api-1"]
    over = container_facts(
        api, [container("exited", ExitCode=137, OOMKilled=True, FinishedAt="2026-11-29T19:59:30Z")], NOW
    )
    assert over["reason"] == "shop/api is exited, ended with status 137 (oom-kill)"
    none = container_facts(api, [], NOW)
    assert (none["exists"], none["healthy"]) == (False, False)
    assert none["reason"] == "there is no container of the service api in the Compose project shop"


def test_what_may_be_meant() -> None:
    containers = [{"project": "stockboom", "service": "api", "name": "stockboom-api-1"}]
    assert candidates("stockboom-api.service", ["ssh.service"], containers) == ["the Compose service stockboom/api"]
    assert candidates("excelap.service", ["excelapp.service", "ssh.service"], []) == ["the unit excelapp.service"]


def test_names_are_names() -> None:
    assert services_from([{"name": "nginx"}, {"name": "a.timer"}]) == [Service("nginx.service"), Service("a.timer")]
    for bad, message in (
        ({"name": "-x"}, "services[0].name"),
        ({"name": "a*"}, "services[0].name"),
        ({"name": "api", "kind": "compose"}, "services[0].project"),
        ({"name": "api", "project": "shop"}, "for a container set kind to compose"),
    ):
        with pytest.raises(InvalidOption) as raised:
            services_from([bad])
        assert message in raised.value.message
    for dependency in ({"name": "a"}, {"name": "a", "port": 1, "url": "http://x"}, {"name": "a", "port": 70000},
                       {"name": "a", "service": "b"}):  # fmt: skip
        with pytest.raises(InvalidOption):
            check_dependencies([dependency])


def test_command_lines_are_without_secrets_also_at_their_end(tmp_path: Path) -> None:
    process = tmp_path / "4711"
    process.mkdir()
    (process / "status").write_text("State:\tS (sleeping)\nThreads:\t1\n", encoding="utf-8")
    words = [b"worker", b"x" * 270, b"postgres://shop:S3cret99@db.internal/shop"]
    (process / "cmdline").write_bytes(b"\0".join(words) + b"\0")
    # Cut first, it would be no login in a URL any more.
    assert "S3c" not in _process(process)["command"]
    (process / "cmdline").write_bytes(b"redis-server\0--requirepass\0S3 cret\0")
    assert _process(process)["command"] == "redis-server --requirepass <hidden>"


def test_logs_are_short_and_without_secrets() -> None:
    text = "-- Journal begins --\n\nfirst\npassword=hunter2hunter2 a\n" + "x" * 900 + "\n"
    lines = log_lines(text, 2)
    assert lines[0] == "password=<hidden> a"
    assert len(lines[1]) == 500
    assert log_lines(text, 0) == []


def request(**more: Any) -> Any:
    params = {name: spec.get("default") for name, spec in argument_spec().items()}
    return request_from({**params, "name": "api", "reason": "it is down", **more})


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"reason": " "}, "reason: ' ' is not accepted"),
        ({"allowed": ["web"]}, "what is allowed to be restarted: web"),
        ({"max_restarts": 0}, "max_restarts: 0 is not accepted. Accepted: 1 to 100."),
        ({"window": "soon"}, "window: 'soon' is not accepted"),
        ({"evidence_path": "here"}, "evidence_path: 'here' is not accepted"),
        ({"wait": 0}, "wait: 0 is not accepted"),
    ],
)
def test_options_that_cannot_be(more: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as raised:
        request(**more)
    assert message in raised.value.message


def test_what_speaks_against_a_restart() -> None:
    well, down = {"name": "db", "ok": True, "reason": ""}, {"name": "db", "ok": False, "reason": "refused"}
    assert refusal_of(request(allowed=["api"]), unit(), [well], 2) is None
    for more, facts, dependencies, count, reason in (
        ({}, unit(LoadState="not-found"), [], 0, "there is no unit api.service on this machine"),
        ({}, unit(UnitFileState="masked"), [], 0, "it is masked: somebody wanted it not to run"),
        ({}, unit(), [down], 0, "what it depends on is at fault, and a restart would not help (db: refused)"),
        ({"state": "reloaded"}, unit(), [], 0, "it is a unit without ExecReload and cannot be reloaded"),
        ({}, unit(), [], 3, "it was restarted 3 times within 3600 s, and max_restarts is 3"),
        ({"max_restarts": 1, "window": "1d"}, unit(), [], 1,
         "it was restarted once within 86400 s, and max_restarts is 1"),
    ):  # fmt: skip
        refusal = refusal_of(request(**more), facts, dependencies, count)
        assert refusal is not None
        assert refusal.reason == reason
    assert refusal_of(request(state="reloaded"), unit(CanReload="yes"), [], 99) is None


def test_what_is_run() -> None:
    limited = unit(
        NeedDaemonReload="yes", ActiveState="failed", Result="start-limit-hit", ExecMainCode="1",
        ExecMainExitTimestamp="Sun 2026-11-29 19:58:00 UTC",
    )  # fmt: skip
    assert [each[-1] for each in commands_of(request(), limited, ["docker"])] == [
        "api.service", "daemon-reload", "api.service",
    ]  # fmt: skip
    assert commands_of(request(), limited, ["docker"])[0][:2] == ["systemctl", "reset-failed"]
    compose = request(kind="compose", project="shop")
    assert commands_of(compose, {"containers": ["a", "b"]}, ["podman"]) == [["podman", "restart", "a", "b"]]


def test_the_record_of_restarts(tmp_path: Path) -> None:
    path = tmp_path / "restarts.json"
    assert read_restarts(path) == []
    old, new = Restart("a", NOW - dt.timedelta(days=40), "x"), Restart("a", NOW, "y")
    ahead = Restart("a", NOW + dt.timedelta(hours=2), "z")
    record_restart(path, [old, ahead], new)
    kept = read_restarts(path)
    assert kept == [ahead, new]
    assert recent([*kept, Restart("b", NOW, "")], "a", NOW + dt.timedelta(minutes=30), 3600) == [ahead, new]
    assert recent(kept, "a", NOW + dt.timedelta(hours=1), 3600) == [ahead]
    for torn in ("{", json.dumps({"restarts": [{"object": "a"}]}), "[]"):
        path.write_text(torn, encoding="utf-8")
        with pytest.raises(RunbookError, match="nobody knows how many there were"):
            read_restarts(path)
