# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that all modules about queues share, checked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

MOST_SAMPLES = 1000
MOST_FAILED = 100_000
MOST_SAMPLE_SECONDS = 300


def queue_names(params: Mapping[str, Any]) -> list[str]:
    """The option C(queues) without empty names; raises InvalidOption for a name that is there twice."""
    names = [str(name) for name in params["queues"] if name]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InvalidOption("queues", doubled[0], "each name once")
    return names


def check_range(params: Mapping[str, Any], name: str, least: int, most: int) -> None:
    """Raise InvalidOption for a whole number that is out of range."""
    if not least <= params[name] <= most:
        raise InvalidOption(name, params[name], f"a number from {least} to {most}")


def check_positive_seconds(params: Mapping[str, Any], name: str) -> None:
    """Raise InvalidOption for a number of seconds that is given and not positive."""
    if params[name] is not None and params[name] <= 0:
        raise InvalidOption(name, params[name], "a number of seconds greater than 0")


def check_samples(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for C(sample), C(max_failed), C(failed_within) or C(sample_seconds) out of range."""
    check_range(params, "sample", 0, MOST_SAMPLES)
    check_range(params, "max_failed", 1, MOST_FAILED)
    check_positive_seconds(params, "failed_within")
    if not 0 <= params["sample_seconds"] <= MOST_SAMPLE_SECONDS:
        accepted = f"a number of seconds from 0 to {MOST_SAMPLE_SECONDS}"
        raise InvalidOption("sample_seconds", params["sample_seconds"], accepted)
