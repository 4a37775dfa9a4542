"""Every incident is a sheet and a folder of the same name, complete and of one shape."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.session_control.criteria import request_from
from ansible_collections.runbook.ops.plugins.modules.postgresql_session import argument_spec
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.rules import compile_rules

REPOSITORY = Path(__file__).resolve().parents[3]
ROLE = REPOSITORY / "roles" / "incident_response"
SHEETS = sorted((ROLE / "files" / "incidents").glob("*.yml"))


def load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_sheets_and_folders_are_the_same() -> None:
    assert SHEETS
    assert [each.stem for each in SHEETS] == sorted(each.name for each in (ROLE / "tasks" / "incidents").iterdir())


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda path: path.stem)
def test_an_incident_is_complete(sheet: Path) -> None:
    content = load(sheet)
    assert set(content) == {"title", "group", "source", "module", "action", "remedy", "rules"}
    steps = {each.name for each in (ROLE / "tasks" / "incidents" / sheet.stem).iterdir()}
    assert steps == {"evidence.yml", "diagnosis.yml", "remedy.yml", "verify.yml"}
    for name in ("source", "module"):
        assert (REPOSITORY / "plugins" / "modules" / f"{content[name].rsplit('.', 1)[1]}.py").is_file()
    assert f"`{sheet.stem}`" in (ROLE / "README.md").read_text(encoding="utf-8")
    header = (REPOSITORY / "playbooks" / "respond_incident.yml").read_text(encoding="utf-8").split("\n- ", 1)[0]
    assert f"{sheet.stem}:" in header


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda path: path.stem)
def test_rules_pass_the_linter_and_begin_with_the_gate(sheet: Path) -> None:
    rules = load(sheet)["rules"]
    assert len(compile_rules(rules, {})) == len(rules)
    assert rules[0]["id"] == "incident.available"
    assert rules[0]["gate"] is True
    assert all(each["id"].startswith("incident.") and each["remedy"] for each in rules)


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda path: path.stem)
def test_remedies_name_playbooks_and_incidents_that_exist(sheet: Path) -> None:
    text = sheet.read_text(encoding="utf-8")
    playbooks = {path.stem for path in (REPOSITORY / "playbooks").glob("*.yml")}
    assert set(re.findall(r"runbook\.ops\.(\w+) -e", text)) <= playbooks
    assert set(re.findall(r"-e incident=(\w+)", text)) <= {each.stem for each in SHEETS}


@pytest.mark.parametrize("sheet", [each for each in SHEETS if each.stem.startswith("db_")], ids=lambda path: path.stem)
def test_session_remedies_are_accepted_by_the_module_and_end_only_who_does_nothing(sheet: Path) -> None:
    options = load(sheet)["remedy"]
    spec = argument_spec()
    assert set(options) <= set(spec)
    defaults = {name: option.get("default") for name, option in spec.items()}
    request = request_from({**defaults, "state": "terminated", **options})
    assert request.parameters["states"] == ["idle in transaction", "idle in transaction (aborted)"]
    assert request.max_sessions <= 20
