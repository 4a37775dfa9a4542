"""Expressions on data that is written down, by promtool's own tests of rules."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml


def rounded(expression: str) -> str:
    """Without the dust of floating point, which promtool compares too."""
    return f"round({expression}, 0.000001)"


def sample(labels: str, value: str) -> dict[str, Any]:
    return {"labels": labels, "value": value}


def unit_test(directory: Path, series: dict[str, str], expected: dict[str, list[dict[str, Any]]]) -> str:
    """Run promtool test rules; the output, empty when every expression gives what is expected at ten minutes."""
    document = {
        "rule_files": [],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {
                        "expr": expression,
                        "eval_time": "10m",
                        "exp_samples": [{"labels": each["labels"], "value": float(each["value"])} for each in samples],
                    }
                    for expression, samples in expected.items()
                ],
            }
        ],
    }
    path = directory / "test.yml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    completed = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False)
    return "" if completed.returncode == 0 else completed.stdout + completed.stderr
