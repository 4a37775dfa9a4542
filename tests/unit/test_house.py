"""The house rules that a machine can check: every room looks like the others."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.runbook.ops.plugins.plugin_utils.report.wording import split_remedy

REPOSITORY = Path(__file__).resolve().parents[2]
ROLES = sorted(path.parent.parent for path in REPOSITORY.glob("roles/*/tasks/main.yml"))
PLAYBOOKS = sorted(REPOSITORY.glob("playbooks/*.yml"))
MODULES = sorted(path for path in REPOSITORY.glob("plugins/modules/*.py"))


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_rooms_are_not_empty() -> None:
    assert ROLES
    assert PLAYBOOKS
    assert MODULES


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_argument_specs_and_defaults_agree(role: Path) -> None:
    specs = load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    defaults = load(role / "defaults" / "main.yml") or {}
    documented = {name: option["default"] for name, option in specs.items() if "default" in option}
    undocumented = sorted(set(defaults) - set(specs))
    assert not undocumented, f"in defaults/main.yml but not in meta/argument_specs.yml: {undocumented}"
    # Rule lists are long: their documentation says where to read them instead of repeating them.
    for name, value in documented.items():
        assert name in defaults, f"{name} has a documented default but none in defaults/main.yml"
        assert defaults[name] == value, name
    required = {name for name, option in specs.items() if option.get("required")}
    assert not required & set(defaults), "a required variable has a default"
    optional_without_default = {
        name
        for name, option in specs.items()
        if "default" not in option and not option.get("required") and name in defaults
    }
    assert all(name.endswith("_rules") for name in optional_without_default), optional_without_default


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_role_variables_carry_the_roles_name(role: Path) -> None:
    names = set(load(role / "defaults" / "main.yml") or {})
    assert all(name.startswith(f"{role.name}_") for name in names), names


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_roles_do_not_know_inventories(role: Path) -> None:
    for path in role.rglob("*.yml"):
        text = path.read_text(encoding="utf-8")
        assert "ignore_errors" not in text, path
        assert not re.search(r"groups\[['\"](?!all)", text), f"{path}: a role names no inventory group"
    assert (role / "README.md").is_file()


def test_readmes_list_the_roles_variables() -> None:
    command = [sys.executable, str(REPOSITORY / ".ci" / "role_readmes.py"), "--check"]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.name)
def test_playbooks_say_what_they_do(playbook: Path) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", playbook.stem), "verb_noun, without dashes, to be addressable by FQCN"
    header = playbook.read_text(encoding="utf-8").split("\n- ", 1)[0]
    for heading in ("# Purpose", "# Requires", "# Example", "# Undo"):
        assert heading in header, heading
    for play in load(playbook):
        assert "tasks" not in play, "playbooks are lists of roles"
        for role in play["roles"]:
            name = role["role"] if isinstance(role, dict) else role
            assert name.startswith("runbook.ops."), name
            assert (REPOSITORY / "roles" / name.removeprefix("runbook.ops.")).is_dir(), name


def test_every_module_of_a_connection_is_in_its_action_group() -> None:
    groups = load(REPOSITORY / "meta" / "runtime.yml")["action_groups"]
    for module in MODULES:
        text = module.read_text(encoding="utf-8")
        for group, members in groups.items():
            documented = f"attributes.actiongroup_{group}" in text
            assert documented == (module.stem in members), f"{module.stem} and action group {group}"


@pytest.mark.parametrize(
    "path",
    sorted(
        [
            *REPOSITORY.glob("roles/*/defaults/main.yml"),
            *REPOSITORY.glob("roles/incident_response/files/incidents/*.yml"),
            *REPOSITORY.glob("inventories/*/*_vars/*/*.yml"),
        ]
    ),
    ids=lambda path: str(path.relative_to(REPOSITORY)),
)
def test_remedies_name_playbooks_that_exist(path: Path) -> None:
    """A command that fails at three in the morning is worse than a sentence."""
    playbooks = {playbook.stem for playbook in PLAYBOOKS}
    plugins = {plugin.stem for plugin in [*MODULES, *REPOSITORY.glob("plugins/filter/*.py")]}
    incidents = {sheet.stem for sheet in REPOSITORY.glob("roles/incident_response/files/incidents/*.yml")}
    for remedy in remedies(load(path)):
        assert set(re.findall(r"\brunbook\.ops\.([a-z]+_[a-z]+)\b", remedy)) <= playbooks | plugins, remedy
        assert set(re.findall(r"incident=(\w+)", remedy)) <= incidents, remedy
        assert not re.search(r"playbook (?!runbook\.ops\.)[a-z]+_[a-z]+", remedy), f"without its whole name: {remedy}"
        for kind, said in split_remedy(remedy).parts:
            if kind == "command" and said.startswith("ansible-playbook"):
                # A sentence that goes on behind the command would be copied with it.
                assert re.fullmatch(r"ansible-playbook runbook\.ops\.\w+( (-e|-i|--tags) \S+| --check)*", said), said


def remedies(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        for key, value in data.items():
            if key == "remedy" and isinstance(value, str):
                yield value
            else:
                yield from remedies(value)
    elif isinstance(data, list):
        for each in data:
            yield from remedies(each)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_modules_are_short_and_leave_through_one_door(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    code = text.split("\nfrom ", 1)[1] if "\nfrom " in text else ""
    assert text.count(".exit_json(") <= 1
    assert text.count(".fail_json(") <= 1
    assert len([line for line in code.splitlines() if line.strip()]) <= 130 or 'RETURN = r"""' in code


@pytest.mark.parametrize(
    "path",
    sorted(
        path
        for folder in ("plugins", "roles", "playbooks", "inventories", "docs", "tests", ".ci", "molecule", "extensions")
        for path in (REPOSITORY / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in {".png", ".pyc", ".gz"}
    ),
    ids=lambda path: str(path.relative_to(REPOSITORY)),
)
def test_no_path_of_one_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8", errors="replace")
    # Spelled apart, so that this file passes its own test.
    for word in ("/wo" + "rk/", "/ro" + "ot/", "regis" + "try.npmjs", "py" + "pi.org", "pytho" + "nhosted"):
        assert word not in text, word
