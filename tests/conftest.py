"""The order of a complete run, and what it says at its end beside pytest's own summary."""

from __future__ import annotations

import os
from collections import Counter

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Several workers get the long ones first, so that none is left with one; what is short fills up the end.

    First the longest gate, then groups by their number of tests, then what stands alone, then unit tests by the file:
    one by one, their administration would cost as much as they do.
    """
    if not getattr(config.option, "loadgroup", False):  # xdist's, in its workers
        return
    groups = {item: mark.args[0] for item in items if (mark := item.get_closest_marker("xdist_group"))}
    sizes = Counter(groups.values())

    def place(item: pytest.Item) -> tuple[int, int, str]:
        if item.nodeid.startswith("tests/gates/") and item.name == "test_gate[sanity]":
            return (0, 0, "")
        if item in groups:
            return (1, -sizes[groups[item]], groups[item])
        return (3 if item.nodeid.startswith("tests/unit/") else 2, 0, "")

    items.sort(key=place)
    for item in items:
        if item not in groups and item.nodeid.startswith("tests/unit/"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A test that passed at the second attempt only is a defect to look at: its first failure is shown, not lost."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"failed at first: {report.nodeid}", sep="_")
        terminalreporter.write_line(str(report.longrepr)[-6000:])
    if not os.environ.get("RUNBOOK_TEST_KUBECONFIG"):
        terminalreporter.write_line("Not run: what is marked real_cluster_only; it needs RUNBOOK_TEST_KUBECONFIG.")
