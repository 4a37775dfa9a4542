"""The other supported versions of ansible-core and Python that this machine can run.

The main environment proves the oldest supported ansible-core; here the newer ones prove the unit tests and the daily
check on controllers, and the oldest module Python proves every module of the check on a target.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.bench import environment
from lab.paths import BUILD, REPOSITORY

INTERPRETERS = Path(
    subprocess.run(
        [sys.executable, str(REPOSITORY / ".ci" / "interpreters.py")], check=True, capture_output=True, text=True
    ).stdout.strip()
)
CONTROLLERS = [("3.12", "2.20"), ("3.13", "2.21"), ("3.12", "2.21")]
TARGETS = ["3.9"]

pytestmark = pytest.mark.xdist_group("matrix")


def interpreter(version: str) -> Path | None:
    path = INTERPRETERS / f"python{version}"
    return path if path.exists() else None


def controllers() -> list[tuple[str, str]]:
    """One controller Python for each ansible-core, of those that are here."""
    chosen: dict[str, str] = {}
    for python, core in CONTROLLERS:
        if interpreter(python):
            chosen.setdefault(core, python)
    return [(python, core) for core, python in chosen.items()]


def make_environment(python: str, name: str, *requirements: str) -> Path:
    """A virtual environment with the collection's run-time libraries: its bin directory."""
    folder = REPOSITORY / f".venv-{name}"
    stamp = folder / ".requirements"
    runtime = REPOSITORY / "requirements" / "runtime.txt"
    wanted = "\n".join([runtime.read_text(encoding="utf-8"), *requirements])
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        subprocess.run([str(interpreter(python)), "-m", "venv", str(folder)], check=True)
        install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run([*install, "-r", str(runtime), *requirements], check=True, env=clean, capture_output=True)
        stamp.write_text(wanted, encoding="utf-8")
    return folder / "bin"


@pytest.fixture(scope="module")
def storebridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("lab") / "storebridge"
    command = [sys.executable, "-m", "lab"]
    where = ["storebridge", "--directory", str(directory)]
    subprocess.run([*command, "up", *where], env=environment(), check=True, capture_output=True)
    yield directory / "inventory"
    subprocess.run([*command, "down", *where], env=environment(), check=True, capture_output=True)


def check_daily(bin_directory: Path, inventory: Path, folder: Path, *arguments: str) -> Counter[tuple[str, str]]:
    """Run the daily check with the ansible-playbook of an environment: what it found, by rule and severity."""
    completed = subprocess.run(
        [
            str(bin_directory / "ansible-playbook"),
            "runbook.ops.check_daily",
            *("-i", str(REPOSITORY / "inventories" / "storebridge"), "-i", str(inventory)),
            *("-e", "report_fail_on=never", "-e", f"report_destination={folder}"),
            *arguments,
        ],
        env={**environment(), "ANSIBLE_HOME": str(folder / "home"), "PYTHONPATH": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout[-6000:] + completed.stderr[-3000:]
    assert "Traceback" not in completed.stdout + completed.stderr
    findings = json.loads((folder / "findings.json").read_text(encoding="utf-8"))
    return Counter((finding["id"], finding["severity"]) for finding in findings)


@pytest.fixture(scope="module")
def expected(storebridge: Path, tmp_path_factory: pytest.TempPathFactory) -> Counter[tuple[str, str]]:
    return check_daily(Path(sys.executable).parent, storebridge, tmp_path_factory.mktemp("report"))


@pytest.mark.parametrize(("python", "core"), controllers(), ids=lambda part: part)
def test_controller(
    python: str, core: str, storebridge: Path, expected: Counter[tuple[str, str]], tmp_path: Path
) -> None:
    bin_directory = make_environment(
        python, f"core-{core}", f"ansible-core~={core}.0", "pytest", "pytest-xdist", "isal"
    )
    assert check_daily(bin_directory, storebridge, tmp_path) == expected
    units = subprocess.run(
        [str(bin_directory / "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:lab.fixtures",
         "--ignore", "tests/unit/lab", "tests/unit"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(BUILD / "collections"), "tests"])},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert units.returncode == 0, units.stdout[-6000:] + units.stderr[-2000:]


@pytest.mark.parametrize("python", [version for version in TARGETS if interpreter(version)])
def test_target(python: str, storebridge: Path, expected: Counter[tuple[str, str]], tmp_path: Path) -> None:
    bin_directory = make_environment(python, f"target-{python}")
    found = check_daily(
        Path(sys.executable).parent,
        storebridge,
        tmp_path,
        *("-e", f"ansible_python_interpreter={bin_directory / 'python'}"),
    )
    assert found == expected
