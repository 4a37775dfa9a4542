"""What a complete run says at its end, beside pytest's own summary."""

from __future__ import annotations

import os

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A test that passed at the second attempt only is a defect to look at: its first failure is shown, not lost."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"failed at first: {report.nodeid}", sep="_")
        terminalreporter.write_line(str(report.longrepr)[-6000:])
    if not os.environ.get("RUNBOOK_TEST_KUBECONFIG"):
        terminalreporter.write_line("Not run: what is marked real_cluster_only; it needs RUNBOOK_TEST_KUBECONFIG.")
