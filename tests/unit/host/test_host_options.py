"""Bad options are one clear error; what the module says is what it documents."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.host.certificates import certificate_facts, read_certificates
from ansible_collections.runbook.ops.plugins.module_utils.host.collect import collect
from ansible_collections.runbook.ops.plugins.module_utils.host.options import checked, host_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.host.reading import Machine
from ansible_collections.runbook.ops.plugins.modules import host_health_info

PORT = {"protocol": "tcp", "address": [], "process": None, "unit": None, "required": True, "name": None}
NOW = dt.datetime(2026, 1, 31, tzinfo=dt.timezone.utc)


def options(**more: Any) -> dict[str, Any]:
    return {**{name: option.get("default") for name, option in host_argument_spec().items()}, **more}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"sample_seconds": 0.0}, "sample_seconds: 0.0 is not accepted. Accepted: a number from 0.05 to 60."),
        ({"certificates": ["tls.pem"]}, "certificates: 'tls.pem' is not accepted. Accepted: absolute paths."),
        ({"oom_since": "yesterday"}, "oom_since: 'yesterday' is not accepted."),
        (
            {"expected_ports": [{**PORT, "port": 0}]},
            "expected_ports.port: 0 is not accepted. Accepted: a number from 1 to 65535.",
        ),
        ({"expected_ports": [{**PORT, "port": 1, "address": ["x"]}]}, "expected_ports.address: 'x' is not accepted."),
        (
            {"expected_processes": [{"name": "a", "pattern": "(", "min": 1, "max": None}]},
            "expected_processes.pattern: '(' is not accepted. Accepted: a regular expression",
        ),
        (
            {"expected_processes": [{"name": "a", "pattern": "a", "min": 2, "max": 1}]},
            "expected_processes.min: 2 is not accepted.",
        ),
    ],
)
def test_bad_options(more: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        checked(options(**more))
    assert caught.value.message.startswith(message)


def test_every_fact_is_documented() -> None:
    """What this machine gives is in RETURN, whatever of it there is here."""
    given = options(
        sample_seconds=0.05,
        expected_ports=[{**PORT, "port": 1}],
        expected_units=["ssh"],
        expected_processes=[{"name": "a", "pattern": "a", "min": 0, "max": None}],
        certificates=["/nowhere.pem"],
        large_files_roots=["/dev"],
    )
    facts = collect(Machine(checked(given)), NOW, NOW)
    documented = yaml.safe_load(host_health_info.RETURN)
    assert undocumented({"available": True, "reason": None, "measured_at": "", **facts}, documented, "") == []
    assert set(facts["health"]) <= set(documented["health"]["contains"])


def undocumented(facts: Any, documented: dict[str, Any], path: str) -> list[str]:
    found = []
    for name, value in facts.items():
        if name not in documented:
            found.append(f"{path}{name}")
            continue
        below = documented[name].get("contains")
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict) and below:
                found += undocumented(each, below, f"{path}{name}.")
    return found


def test_a_machine_that_tells_nothing_is_data(tmp_path: Path) -> None:
    facts = collect(Machine(checked(options(sample_seconds=0.05)), root=tmp_path), NOW, NOW)
    told = {each["section"] for each in facts["skipped_sections"]}
    assert {"cpu", "load", "pressure", "memory", "disks", "ports", "processes"} <= told | {"processes"}
    assert all(each["reason"] and each["remedy"] for each in facts["skipped_sections"])
    assert facts["figures"] == []


def test_files_without_a_certificate(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", encoding="utf-8"
    )
    facts = certificate_facts(tmp_path / "key.pem", NOW)
    assert (facts["days_left"], facts["reason"]) == (None, "there is no certificate in it")
    assert certificate_facts(tmp_path / "none.pem", NOW)["reason"] == "cannot be read: No such file or directory"
    assert read_certificates(b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----") == []


def test_caches_are_never_dropped() -> None:
    """F64: it frees only what was free, and makes a database read everything again."""
    repository = Path(__file__).resolve().parents[3]
    for folder in ("plugins", "roles", "playbooks"):
        for path in (repository / folder).rglob("*"):
            if path.is_file() and path.suffix in (".py", ".yml", ".sh", ".j2"):
                assert "drop_caches" not in path.read_text(encoding="utf-8"), path
