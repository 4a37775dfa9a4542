"""The page that shows what other tools say of the fault matrix says what a fresh measurement gives."""

from __future__ import annotations

import pytest
from lab.faults.measure import Answers, measure
from lab.faults.page import PAGE, cell, part, rendered
from lab.faults.rivals import RESTORE

pytestmark = pytest.mark.xdist_group("faults")


@pytest.fixture(scope="module")
def answers() -> Answers:
    return measure()


def test_the_page_says_what_is_measured(answers: Answers) -> None:
    written = part(PAGE.read_text(encoding="utf-8"))
    assert rendered(answers) == written, "python -m lab.faults.page writes it anew"


def test_the_healthy_control_disturbs_nobody(answers: Answers) -> None:
    assert [(each.tool, each.words) for each in answers[45] if each.objected] == []


def test_what_the_manuals_trust_is_blind(answers: Answers) -> None:
    """The claims of the documentation that everything else rests on."""
    by_command = {(number, each.command): each for number, given in answers.items() for each in given}
    # A dump that is cut in half is listed without a word.
    assert by_command[3, "pg_restore --list"].status == "exit 0"
    # 20 bytes of nothing are good gzip.
    assert by_command[7, "gzip -t"].status == "exit 0"
    # A full disk is a dump that was taken.
    assert by_command[9, "postgresql_db state=dump"].status == "ok"
    # Half a table, and no constraints.
    assert by_command[2, "postgresql_db state=restore"].status == "ok"


def test_each_answer_is_on_the_page(answers: Answers) -> None:
    from lab.faults.cases import CASES

    for case in CASES:
        given = [each for each in answers.get(case.number, ()) if each.tool == RESTORE]
        assert cell(case, given).count(",") == max(0, len(given) - 1)
