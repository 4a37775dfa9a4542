"""Benchmarks: whole commands in one run, side by side with what a user would use instead, reported as ratios.

Nothing here asserts a time: machines differ. The figures are printed and kept in ``build/bench``.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.paths import BUILD, PACKAGE_PARENT

Command = Sequence[str]


def environment() -> dict[str, str]:
    """What playbooks of this checkout need to find the collection and its tools."""
    return {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(BUILD / "collections"),
        "ANSIBLE_NOCOLOR": "1",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(PACKAGE_PARENT),
    }


def seconds(command: Command, cwd: Path) -> float:
    """Wall seconds of one run; a command that fails is no measurement."""
    began = time.perf_counter()
    completed = subprocess.run(
        list(command), cwd=cwd, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    took = time.perf_counter() - began
    assert completed.returncode == 0, f"{command}\n{completed.stdout[-3000:]}{completed.stderr[-2000:]}"
    return took


def alternate(commands: Mapping[str, Command], cwd: Path, rounds: int) -> dict[str, list[float]]:
    """Every command in turn, round by round, so that a drifting machine touches all of them; one warm-up each."""
    for command in commands.values():
        seconds(command, cwd)
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _round in range(rounds):
        for name, command in commands.items():
            taken[name].append(seconds(command, cwd))
    return taken


def median(values: Sequence[float]) -> str:
    """The median, in seconds, for people."""
    return f"{statistics.median(values):.2f} s"


def ratio(slow: Sequence[float], fast: Sequence[float]) -> str:
    """The median of the ratios of each pair."""
    return f"{statistics.median(a / b for a, b in zip(slow, fast, strict=True)):.1f} times"


@dataclass
class Table:
    """Rows for people, in the terminal and in ``build/bench``."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        self.rows.append(cells)

    def markdown(self) -> str:
        lines = [f"## {self.title}", "", "| " + " | ".join(self.columns) + " |", "|" + "---|" * len(self.columns)]
        return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in self.rows), ""])


def keep(name: str, tables: Sequence[Table]) -> str:
    """Write the tables to ``build/bench`` and return them as text."""
    folder = BUILD / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n".join(each.markdown() for each in tables)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return text
