"""What inventories give to roles: variables that there are, rules that can be read, one ladder for one figure."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.paths import REPOSITORY

from ansible_collections.runbook.ops.plugins.plugin_utils.judging.judge import judge
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.rules import compile_rules

ROLES = {path.name for path in REPOSITORY.joinpath("roles").iterdir()}
FILES = sorted(path for path in REPOSITORY.glob("inventories/*/*_vars/*/*.yml") if path.stem in ROLES)
# Those of PostgreSQL have templates in their rules; Ansible renders them for tests/integration/inventories.
JUDGED = [path for path in FILES if path.stem.startswith("check_") and path.stem != "check_postgresql"]
INVENTORIES = REPOSITORY / "inventories"


def name_of(path: Path) -> str:
    return str(path.relative_to(INVENTORIES))


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def given(system: str, group: str, role: str) -> dict[str, Any]:
    return read(INVENTORIES / system / "group_vars" / group / f"{role}.yml")


def defaults(role: str) -> dict[str, Any]:
    return read(REPOSITORY / "roles" / role / "defaults" / "main.yml")


@cache
def options(role: str) -> set[str]:
    spec = read(REPOSITORY / "roles" / role / "meta" / "argument_specs.yml")
    return set(spec["argument_specs"]["main"]["options"])


def rules_of(role: str, found: dict[str, Any]) -> list[dict[str, Any]]:
    """A role's rules, all lists of them where it has several, with those of the inventory."""
    lists = [each for name, each in defaults(role).items() if name.endswith("_rules") and "_extra_" not in name]
    return [*(rule for each in lists for rule in each), *found.get(f"{role}_extra_rules", [])]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_roles_variables_are_those_that_it_has(path: Path) -> None:
    """One that is misspelt sets nothing, and nobody says so."""
    for name in read(path):
        # backup_verification_... is not backup's.
        role = max((each for each in ROLES if name.startswith(f"{each}_")), key=len, default="")
        assert not role or name in options(role), name


@pytest.mark.parametrize("path", JUDGED, ids=name_of)
def test_rules_and_their_overrides_can_be_read(path: Path) -> None:
    found = read(path)
    rules = rules_of(path.stem, found)
    compile_rules(rules, found.get(f"{path.stem}_rule_overrides", {}))
    compile_rules(found.get("review_weekly_metrics_rules", []), {})


def severity(system: str, group: str, role: str, rule: str, facts: dict[str, Any]) -> str:
    found = given(system, group, role)
    rules = [each for each in rules_of(role, found) if each["id"] == rule]
    overrides = {key: each for key, each in found.get(f"{role}_rule_overrides", {}).items() if key == rule}
    [finding] = judge(facts, rules, overrides=overrides)
    return str(finding["severity"])


def probe(name: str, seconds: float) -> dict[str, Any]:
    told = {"name": name, "endpoint": name, "answered_count": 5, "latency": {"p95_seconds": seconds}}
    return {"available": True, "probes": [{**told, "first_byte_seconds": seconds, "ok": True, "tls": False}]}


@pytest.mark.parametrize(
    ("system", "rule", "probed", "steps"),
    [
        # The SLA and HighLatency.
        ("autoclip", "http.latency", "health", (0.5, 2)),
        # Page and API have levels of their own.
        ("duly", "http.latency", "page", (3, 5)),
        ("duly", "http.api_latency", "api_health", (1, 3)),
        ("excelapp", "http.latency", "up", (0.5, 1)),
        ("stockboom", "http.latency", "health", (0.5, 1)),
    ],
)
def test_how_long_an_answer_may_take(system: str, rule: str, probed: str, steps: tuple[float, float]) -> None:
    warning, critical = steps
    at = {warning: "ok", warning + 0.01: "warning", critical: "warning", critical + 0.01: "critical"}
    for seconds, expected in at.items():
        facts = probe(probed, seconds)
        assert severity(system, "http", "check_http", rule, facts) == expected, seconds


@pytest.mark.parametrize(
    ("system", "steps"), [("duly", (5, 9)), ("excelapp", (26, 50)), ("storebridge", (26, 50))], ids=str
)
def test_how_old_the_newest_backup_may_be(system: str, steps: tuple[int, int]) -> None:
    """Duly's come every four hours; a day without one is six of them."""
    for hours, expected in ((steps[0], "ok"), (steps[0] + 1, "warning"), (steps[1] + 1, "critical")):
        newest = {"name": "newest", "age_seconds": hours * 3600, "taken_at_source": "name"}
        facts = {"available": True, "inventory": {"count": 3, "newest": newest}}
        assert severity(system, "backups", "check_backups", "backup.newest_age", facts) == expected, hours


def test_requests_of_excelapp_are_slow_from_half_a_second_on() -> None:
    for milliseconds, expected in ((500, "ok"), (501, "warning"), (1001, "critical")):
        told = {"source": "rails", "name": "rails", "count": 9, "slow_count": 1, "p95_ms": milliseconds}
        found = severity("excelapp", "servers", "check_logs", "logs.slow", {"durations": [told]})
        assert found == expected, milliseconds


def ladder(rule: dict[str, Any]) -> tuple[str, ...]:
    """The steps without units: 85 % and 85 are one number."""
    return tuple(str(rule.get(step)).replace("%", "").strip() for step in ("warning", "critical"))


def test_what_autoclip_measures_twice_has_one_ladder() -> None:
    metrics = {
        each["id"]: each for each in given("autoclip", "prometheus", "check_metrics")["check_metrics_extra_rules"]
    }
    [success] = [
        each
        for each in given("autoclip", "postgresql", "check_postgresql")["check_postgresql_query_rules"]
        if each["id"] == "business.content_success"
    ]
    assert ladder(metrics["metrics.content_success"]) == ladder(success) == ("< 95", "None")
    backlog = given("autoclip", "redis", "check_queues")["check_queues_rule_overrides"]["queue.backlog"]
    assert ladder(metrics["metrics.jobs_waiting"]) == ladder(backlog) == ("> 100", "> 500")
    latency = given("autoclip", "http", "check_http")["check_http_rule_overrides"]["http.latency"]
    assert ladder(metrics["metrics.latency_p95"]) == ladder(latency) == ("> 500 ms", "> 2 s")
    # The SLA's, and HighErrorRate's.
    assert ladder(metrics["metrics.error_rate"]) == ("> 0.5", "> 5")


def test_models_that_ask_for_a_key_answer() -> None:
    """HEAD without a key is refused by services that are well: 401 is an answer, 500 is none."""
    for name in ("gemini", "elevenlabs"):
        [asked] = read(INVENTORIES / "autoclip" / "host_vars" / f"autoclip-{name}" / "check_http.yml")[
            "check_http_probes"
        ]
        assert {200, 401, 403} == set(asked["expected_status"])
        assert asked.get("method", "GET") == "GET"
    for asked in read(INVENTORIES / "duly" / "host_vars" / "duly-platforms" / "check_http.yml")["check_http_probes"]:
        assert set(asked["expected_status"]) == {200, 401}


@pytest.mark.parametrize("system", ["autoclip", "duly", "excelapp", "stockboom", "storebridge"])
def test_what_is_looked_at_every_day_is_expected_in_the_report(system: str) -> None:
    """A capability that is named and measured by nobody is unknown; one that is not named is missed by nobody."""
    groups = read(INVENTORIES / system / "hosts.yml")["all"]["children"]
    expected = set(given(system, "all", "main")["runbook_capabilities"])
    domains = {
        "http": "http",
        "prometheus": "metrics",
        "object_store": "object_store",
        "backups": "backup",
        "aws": "backup",
    }
    for group, domain in domains.items():
        assert domain in expected or group not in groups, group
    assert {"http", "backup"} <= expected


def test_what_is_written_is_what_is_looked_for() -> None:
    """One rule of names for whoever writes, checks, proves and deletes."""
    for system in ("duly", "excelapp", "stockboom"):
        found = given(system, "backups", "check_backups")
        for name in ("repository", "name_pattern"):
            assert found[f"check_backups_{name}"] == f"{{{{ postgresql_backup_{name} }}}}"
    for system, days in (("excelapp", 30), ("stockboom", 30)):
        keep = given(system, "all", "recovery")["postgresql_backup_keep"]
        assert (keep["daily"], keep["rpo"]) == (days, "26h")
