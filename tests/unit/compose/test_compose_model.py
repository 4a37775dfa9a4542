"""Definitions, containers, plans and clean-ups, as data."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.compose.cleanup.plan import (
    Limits,
    cache_action,
    removable_containers,
    removable_images,
)
from ansible_collections.runbook.ops.plugins.module_utils.compose.containers import container_facts, published_ports
from ansible_collections.runbook.ops.plugins.module_utils.compose.definition import (
    is_database,
    is_pinned,
    lint,
    secrets_of,
    services_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.compose.release.plan import (
    check_unset,
    chosen_services,
    steps_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.compose.services import service_facts
from ansible_collections.runbook.ops.plugins.module_utils.compose.values import memory_bytes, moment_of, size_bytes

NOW = dt.datetime(2026, 1, 31, tzinfo=dt.timezone.utc)
OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.mark.parametrize(
    ("text", "size"),
    [("1.98MB", 1980000), ("668KiB", 684032), ("0B", 0), ("1.2e+03kB", 1200000), ("N/A", None), (None, None)],
)
def test_sizes(text: object, size: int | None) -> None:
    assert size_bytes(text) == size


def test_limits_and_moments() -> None:
    assert [memory_bytes(each) for each in ("512m", "1g", 1024, "", "much")] == [512 << 20, 1 << 30, 1024, None, None]
    assert moment_of("0001-01-01T00:00:00Z") is None and moment_of("2026-01-31T00:00:00.123456789Z") == NOW


@pytest.mark.parametrize(
    ("image", "database", "pinned"),
    [
        ("postgres:14-alpine", True, True),
        ("bitnami/redis", True, False),
        ("prom/prometheus:latest", False, False),
        ("localhost:5000/api", False, False),
        ("oliver006/redis_exporter:v1", False, True),
        ("shop/api@sha256:" + "c" * 64, False, True),
        (OLD, False, True),
    ],
)
def test_images(image: str, database: bool, pinned: bool) -> None:
    assert (is_database(image), is_pinned(image)) == (database, pinned)


# The manual's file, as Compose gives it without the environment file that nobody named.
MANUAL: dict[str, Any] = {
    "name": "docker",
    "services": {
        "postgres": {
            "image": "postgres:14-alpine",
            "environment": {"POSTGRES_PASSWORD": "", "POSTGRES_USER": ""},
            "ports": [{"target": 5432, "published": "5432"}],
            "healthcheck": {"test": ["CMD-SHELL", "pg_isready -U postgres"]},
            "restart": "unless-stopped",
        },
        "redis": {
            "image": "redis:7-alpine",
            "command": ["redis-server", "--appendonly", "yes"],
            "ports": [{"target": 6379, "published": "6379"}],
        },
        "api": {
            "build": {"context": "/srv/docker"},
            "environment": {"DATABASE_URL": "postgresql://postgres:x@postgres:5432/stockboom"},
            "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
        },
        "grafana": {"image": "grafana/grafana:latest", "environment": {"GF_SECURITY_ADMIN_PASSWORD": "admin"}},
    },
}


def test_the_manuals_file_is_recognised() -> None:
    services = services_of(MANUAL)
    found = {(each["kind"], each["object"]) for each in lint(services, version_is_obsolete=True)}
    assert {
        ("obsolete_version", "version"),
        ("exposed_database", "postgres:5432"),
        ("exposed_database", "redis:6379"),
        ("unpinned_image", "grafana"),
        ("no_healthcheck", "api"),
        ("no_log_limit", "postgres"),
    } <= found
    assert ("no_log_limit", "api") not in found and ("unpinned_image", "api") not in found
    [redis] = [each for each in lint(services) if each["object"] == "redis:6379"]
    assert redis["message"].endswith("which a host's firewall does not see, and it asks for no password")
    assert [(each["object"], each["is_known"]) for each in secrets_of(services)] == [
        ("postgres.POSTGRES_PASSWORD", True),
        ("api.DATABASE_URL", False),
        ("grafana.GF_SECURITY_ADMIN_PASSWORD", True),
    ]


def container(**state: Any) -> dict[str, Any]:
    restarts = state.pop("restarts", 0)
    given = {"Status": "running", "StartedAt": "2026-01-30T23:59:00.1Z", "ExitCode": 0, **state}
    labels = {"com.docker.compose.service": "api", "com.docker.compose.config-hash": "h"}
    return {
        "Id": "c" * 64, "Name": "/shop-api-1", "Image": OLD, "RestartCount": restarts, "State": given,
        "Config": {"Labels": labels}, "HostConfig": {"LogConfig": {"Type": "json-file", "Config": {}}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("state", "up", "loop", "reason"),
    [
        ({}, True, False, None),
        ({"restarts": 5}, False, True, "shop-api-1 is restarted again and again; 1 of 1 run"),
        ({"restarts": 5, "StartedAt": "2026-01-01T00:00:00Z"}, True, False, None),
        ({"Status": "exited", "ExitCode": 137, "OOMKilled": True}, False, False,
         "shop-api-1 is exited with status 137, because it ran out of memory; 0 of 1 run"),
    ],
)  # fmt: skip
def test_whether_a_service_is_up(state: dict[str, Any], up: bool, loop: bool, reason: str | None) -> None:
    declared = services_of({"services": {"api": {"image": "shop/api:1"}}})["api"]
    found = [container_facts(container(**state), NOW)]
    facts = service_facts("api", declared, found, is_expected=True, current_image_id=NEW, config_hashes={"h", "i"})
    assert facts["is_restart_loop"] is loop
    if up:
        assert facts["is_up"] and facts["reason"] is None
    else:
        assert not facts["is_up"]
        assert reason is not None and facts["reason"].split(";")[0] == reason.split(";")[0]
    assert (facts["image_drifted"], facts["config_drifted"]) == (True, False)


def test_a_service_that_runs_once_is_up_when_it_has_ended_well() -> None:
    waits = {"migrate": {"condition": "service_completed_successfully"}, "db": {"condition": "service_healthy"}}
    given = {"api": {"image": "shop/api:1", "depends_on": waits}, "migrate": {"image": "shop/api:1"}, "db": None}
    services = services_of({"services": given})
    assert [name for name, each in services.items() if each.runs_once] == ["migrate"]
    found = {(each["kind"], each["object"]) for each in lint(services)}
    assert {("no_healthcheck", "api"), ("no_restart_policy", "api"), ("no_memory_limit", "migrate")} <= found
    assert not found & {("no_healthcheck", "migrate"), ("no_restart_policy", "migrate")}

    def facts(name: str, code: int) -> dict[str, Any]:
        ended = [container_facts(container(Status="exited", ExitCode=code), NOW)]
        return service_facts(name, services[name], ended, is_expected=True, current_image_id=None, config_hashes=())

    assert (facts("migrate", 0)["is_up"], facts("migrate", 0)["reason"]) == (True, None)
    assert facts("migrate", 1)["reason"] == "shop-api-1 is exited with status 1; 0 of 1 run"
    assert not facts("api", 0)["is_up"]


def test_a_port_on_both_families_is_one() -> None:
    raw = container()
    raw["NetworkSettings"] = {
        "Ports": {
            "5432/tcp": [{"HostIp": "0.0.0.0", "HostPort": "1"}, {"HostIp": "::", "HostPort": "1"}],
            "1/udp": None,
        }
    }
    assert [(each["address"], each["is_public"]) for each in published_ports(raw, is_stateful=True)] == [
        ("0.0.0.0", True)
    ]


def test_which_services_a_release_touches() -> None:
    declared = services_of(MANUAL)
    assert chosen_services([], declared) == ["api", "grafana"]
    with pytest.raises(Refused, match="postgres keeps data"):
        chosen_services(["postgres"], declared)
    with pytest.raises(InvalidOption, match="services: 'web' is not accepted"):
        chosen_services(["web"], declared)
    with pytest.raises(Refused, match="Nothing sets JWT_SECRET"):
        check_unset(["JWT_SECRET", "TZ"], ["TZ"])
    same = {"image_ids": [OLD], "config_drifted": False, "is_up": True, "is_healthy": True, "reason": None}
    facts = {
        "same": same,
        "image": {**same, "image_ids": [NEW]},
        "config": {**same, "config_drifted": True},
        "sick": {**same, "is_healthy": False},
        "new": {**same, "image_ids": []},
    }
    steps = steps_of(list(facts), facts, dict.fromkeys(facts, OLD))
    assert [(each.service, each.reason) for each in steps] == [
        ("image", "another image"),
        ("config", "another definition or environment"),
        ("sick", "its health check fails"),
        ("new", "it was never started"),
    ]


def image(name: str, days: int, tagged: int | None = None, number: str = "") -> dict[str, Any]:
    made = (NOW - dt.timedelta(days=days)).isoformat()
    came = {"LastTagTime": (NOW - dt.timedelta(days=tagged)).isoformat()} if tagged is not None else {}
    return {
        "Id": f"sha256:{number or name}",
        "RepoTags": [name] if name else [],
        "Created": made,
        "Metadata": came,
        "Size": 5,
    }


def test_images_that_may_go() -> None:
    images = [
        image("shop/api:1", 60),
        image("shop/api:2", 50),
        image("shop/api:3", 40),
        image("base/node:18", 90),
        image("fetched/today:1", 300, tagged=0),
        image("", 30, number="dangling"),
        image("", 3, number="young"),
    ]
    limits = Limits(14 * 86400, None, None, keep_images=["base/*"], keep_newest=0)
    found = removable_images(images, ["sha256:shop/api:3"], ["sha256:shop/api:2"], limits, NOW)
    assert [each["id"] for each in found] == ["sha256:shop/api:1", "sha256:dangling"]
    newest = removable_images(images, [], [], Limits(14 * 86400, None, None, keep_newest=1), NOW)
    assert [each["id"] for each in newest] == ["sha256:shop/api:1", "sha256:shop/api:2", "sha256:dangling"]
    assert removable_images(images, [], [], Limits(None, None, None), NOW) == []


def test_containers_and_cache_that_may_go() -> None:
    stopped = {"Status": "exited", "FinishedAt": "2026-01-01T00:00:00Z"}
    service, once, free = container(**stopped), container(**stopped), container(**stopped)
    service["Config"]["Labels"]["com.docker.compose.project"] = "shop"
    once["Config"]["Labels"].update({"com.docker.compose.project": "shop", "com.docker.compose.oneoff": "True"})
    once["Name"], free["Name"] = "/shop-run", "/free"
    found = removable_containers([service, once, free, container()], Limits(None, 7 * 86400, None), NOW)
    assert [each["object"] for each in found] == ["free", "shop-run"]
    assert removable_containers([free], Limits(None, 90 * 86400, None), NOW) == []
    assert [each["bytes"] for each in cache_action(10, Limits(None, None, 4))] == [6]
    assert cache_action(3, Limits(None, None, 4)) == cache_action(None, Limits(None, None, 4)) == []
