"""The daily round against the same facts collected with one published module a check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from lab.bench import alternate, median, ratio
from lab.paths import REPOSITORY

ROUNDS = 3
COUNTS = (1, 10, 50)


def playbook(name: str, *inventories: Path, extra: dict[str, Any] | None = None) -> list[str]:
    options = [item for inventory in inventories for item in ("-i", str(inventory))]
    return ["ansible-playbook", name, *options, *(f"-e{key}={value}" for key, value in (extra or {}).items())]


def test_daily_round(storebridge: Path, tmp_path: Path, table: Callable[..., Any]) -> None:
    system = REPOSITORY / "inventories" / "storebridge"
    baseline = str(REPOSITORY / "tests" / "bench" / "baseline" / "check_daily.yml")
    commands = {
        "one module a check": playbook(baseline, system, storebridge),
        "runbook.ops.check_daily": playbook(
            "runbook.ops.check_daily",
            system,
            storebridge,
            extra={"report_fail_on": "never", "report_destination": tmp_path / "report"},
        ),
    }
    taken = alternate(commands, tmp_path, ROUNDS)
    rows = table("One daily round of StoreBridge", "command", "median wall time", "ratio")
    slow, fast = taken.values()
    rows.add("one published module a check (facts only)", median(slow), ratio(slow, fast))
    rows.add("runbook.ops.check_daily (facts, findings, report)", median(fast), "1")


def test_growth(storebridge: Path, tmp_path: Path, table: Callable[..., Any]) -> None:
    """1, 10 and 50 endpoints: the same server under many names; the other side up to 10, which takes a minute."""
    lab_variables = (storebridge / "host_vars" / "storebridge-postgres" / "lab.yml").read_text(encoding="utf-8")
    rows = table(
        "Growth with the number of PostgreSQL endpoints", "endpoints", "one module a check", "check_daily", "ratio"
    )
    baseline = str(REPOSITORY / "tests" / "bench" / "baseline" / "check_daily.yml")
    commands = {}
    for count in COUNTS:
        inventory = tmp_path / f"inventory-{count}"
        (inventory / "group_vars" / "postgresql").mkdir(parents=True)
        hosts = {f"endpoint-{number:02d}": {} for number in range(count)}
        content = {
            "all": {
                "vars": {
                    "ansible_connection": "local",
                    "ansible_python_interpreter": "{{ ansible_playbook_python }}",
                    "runbook_system": "growth",
                },
                "children": {"postgresql": {"hosts": hosts}},
            }
        }
        (inventory / "hosts.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
        (inventory / "group_vars" / "postgresql" / "lab.yml").write_text(lab_variables, encoding="utf-8")
        commands[f"check_daily {count}"] = playbook(
            "runbook.ops.check_daily",
            inventory,
            extra={"report_fail_on": "never", "report_destination": tmp_path / f"report-{count}"},
        )
        if count <= 10:
            commands[f"baseline {count}"] = playbook(baseline, inventory)
    taken = alternate(commands, tmp_path, ROUNDS)
    for count in COUNTS:
        fast, slow = taken[f"check_daily {count}"], taken.get(f"baseline {count}")
        rows.add(str(count), median(slow) if slow else "", median(fast), ratio(slow, fast) if slow else "")
