"""The page of the documentation that shows the fault matrix: ``python -m lab.faults.page`` measures and writes it."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.faults.cases import CASES, ERROR, REFUSED, VERIFIED, Case
from lab.faults.measure import Answers, measure, newer_installation, programs_without_restrict
from lab.faults.rivals import GZIP, LIST, PGBACKREST, RESTORE, TEXT_ONLY, Answer
from lab.installations import default_installation

PAGE = Path(__file__).resolve().parents[3] / "docs" / "backup_faults.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
VERSIONS_BEGIN, VERSIONS_END = "<!-- versions: begin -->", "<!-- versions: end -->"
TOOLS = (GZIP, LIST, RESTORE, PGBACKREST)
HEALTHY = 45
CAUGHT, MISSED, TEXT, SILENT, NOT_APPLICABLE = "caught", "missed", "text only", "silent", "–"


def ours(case: Case) -> str:
    """What the collection's modules say; test_fault_matrix.py proves each line."""
    if case.number == HEALTHY:
        return f"**{SILENT}**"
    if case.verdict == VERIFIED:
        return f"**noted** `{case.code}`" if case.code else "**proven off**"
    said = {ERROR: "error", REFUSED: "refused"}.get(case.verdict, CAUGHT)
    return f"**{said}**" + (f" `{case.code}`" if case.code else "")


def word(answer: Answer, case: Case) -> str:
    """One word for an answer."""
    if answer.objected:
        return CAUGHT
    if case.number == HEALTHY:
        return SILENT
    return TEXT if answer.status == TEXT_ONLY else MISSED


def cell(case: Case, answers: Sequence[Answer]) -> str:
    """The words of one tool's answers; postgresql_db may have been asked to dump and to restore."""
    if not answers:
        return NOT_APPLICABLE
    if len(answers) == 1:
        [only] = answers
        return word(only, case) + (" (dump)" if only.command.endswith("dump") else "")
    return ", ".join(f"{each.command.rpartition('=')[2]} {word(each, case)}" for each in answers)


def rendered(answers: Answers) -> str:
    """The measured part of the page."""
    lines = [
        f"| | what happened | runbook.ops | `{GZIP}` | `{LIST}` | `{RESTORE}` | {PGBACKREST} |",
        "|--:|---|---|---|---|---|---|",
    ]
    for case in CASES:
        cells = [cell(case, [a for a in answers.get(case.number, ()) if a.tool == tool]) for tool in TOOLS]
        lines.append(f"| {case.number} | {case.happened} | {ours(case)} | {' | '.join(cells)} |")
    lines += ["", "How they ended:", "", "| | command: exit status or result |", "|--:|---|"]
    for case in CASES:
        if given := answers.get(case.number):
            lines.append(f"| {case.number} | {' · '.join(f'`{each.command}`: {each.status}' for each in given)} |")
    return "\n".join(lines) + "\n"


def versions() -> str:
    """What was measured, on which a reader must know it depends."""
    gzip = first_line(["gzip", "--version"])
    backrest = first_line(["pgbackrest", "version"])
    postgresql = [str(each.version) for each in (default_installation(), newer_installation())]
    old = first_line([str(programs_without_restrict() / "psql"), "--version"])
    collection = importlib.import_module("ansible_collections.community.postgresql")
    [place] = collection.__path__
    manifest = json.loads((Path(place) / "MANIFEST.json").read_text(encoding="utf-8"))
    return (
        f"{gzip}; {backrest}; community.postgresql {manifest['collection_info']['version']}; PostgreSQL "
        f"{' and '.join(postgresql)}; {old} in case 24."
    )


def first_line(argv: Sequence[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()[0]


def part(text: str, begin: str = BEGIN, end: str = END) -> str:
    """The part of a page between two marks."""
    found = re.search(re.escape(begin) + r"\n(.*?)" + re.escape(end), text, re.DOTALL)
    if found is None:
        raise ValueError(f"{PAGE} has no part between {begin} and {end}.")
    return found.group(1)


def main() -> int:
    text = PAGE.read_text(encoding="utf-8")
    for begin, end, new in ((BEGIN, END, rendered(measure())), (VERSIONS_BEGIN, VERSIONS_END, f"{versions()}\n")):
        text = text.replace(f"{begin}\n{part(text, begin, end)}{end}", f"{begin}\n{new}{end}")
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
