"""The page of the documentation that shows the fault matrix: ``python -m lab.faults.page`` measures and writes it."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.faults.cases import CASES, ERROR, REFUSED, VERIFIED, Case
from lab.faults.measure import Answers, measure
from lab.faults.rivals import GZIP, LIST, PGBACKREST, RESTORE, TEXT_ONLY, Answer

PAGE = Path(__file__).resolve().parents[3] / "docs" / "backup_faults.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
TOOLS = (GZIP, LIST, RESTORE, PGBACKREST)
CAUGHT, MISSED, TEXT, SILENT, NOT_APPLICABLE = "caught", "missed", "text only", "silent", "–"


def ours(case: Case) -> str:
    """What the collection's modules say; test_fault_matrix.py proves each line."""
    if case.verdict == VERIFIED:
        return (
            f"**{SILENT}**" if case.code is None and case.number == max(each.number for each in CASES) else "**proven**"
        )
    word = {ERROR: "error", REFUSED: "refused"}.get(case.verdict, CAUGHT)
    return f"**{word}**" + (f" `{case.code}`" if case.code else "")


def word(answer: Answer, case: Case) -> str:
    """One word for an answer."""
    if answer.objected:
        return CAUGHT
    if case.verdict == VERIFIED and case.number != 42:
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


def measured_part(text: str) -> str:
    """The measured part of a page as it is."""
    found = re.search(re.escape(BEGIN) + r"\n(.*?)" + re.escape(END), text, re.DOTALL)
    if found is None:
        raise ValueError(f"{PAGE} has no part between {BEGIN} and {END}.")
    return found.group(1)


def main() -> int:
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.replace(measured_part(text), rendered(measure())), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
