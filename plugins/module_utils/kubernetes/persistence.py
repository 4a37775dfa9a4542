# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trying again what may work the next time. Pure of any cluster: the caller gives what is tried and how to pause."""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from typing import TypeVar

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError

# How often it is decided at the most when somebody else changes the object in between.
TRIES = 3
# What is tried until the time is over. An address that nobody answers at is more likely a wrong one.
_PASSING = frozenset({"busy", "timeout", "interrupted", "gone"})
_T = TypeVar("_T")


def anew(
    attempt: Callable[[], _T],
    *,
    kinds: Container[str] = ("conflict",),
    unless: Callable[[], object] = lambda: False,
) -> _T:
    """What C(attempt) gives, which reads and decides anew each time that somebody else was faster.

    Args:
        attempt: Reads, decides and changes.
        kinds: The kinds of failures that say so.
        unless: Whether it must not be tried again, because a part is done already.

    Raises:
        ClusterError: of the last attempt.

    """
    for left in reversed(range(TRIES)):
        try:
            return attempt()
        except ClusterError as error:
            if error.kind not in kinds or unless() or not left:
                raise
    raise AssertionError("the last one gives or raises")


def persist(
    attempt: Callable[[], _T],
    *,
    timeout: float,
    sleep: float,
    pause: Callable[[float, str], None],
    clock: Callable[[], float] = time.monotonic,
) -> _T:
    """What C(attempt) gives, which reads, decides and changes anew each time.

    Args:
        attempt: Must find out by itself what an earlier attempt, whose answer was lost, has done.
        timeout: Seconds for a server that is busy or silent; with 0 it is asked once.
        sleep: Seconds between two attempts.
        pause: Spends them; gets the reason, too.
        clock: Seconds, monotonic.

    Raises:
        ClusterError: of the last attempt.

    """
    begun, conflicts = clock(), 0
    while True:
        try:
            return attempt()
        except ClusterError as error:
            if error.kind == "conflict" and conflicts < TRIES - 1:
                conflicts += 1
            elif error.kind in _PASSING and clock() - begun + sleep < timeout:
                pause(sleep, error.message)
            else:
                raise
