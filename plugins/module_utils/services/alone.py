# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time over a state file of the machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, locked


@contextlib.contextmanager
def alone(path: Path, what: str, *, check_mode: bool) -> Iterator[None]:
    """Keep a second run away from the file, which need not be there yet; check mode makes and locks nothing."""
    if check_mode:
        yield
        return
    with explained("make", path.parent):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(path.with_name(f"{path.name}.lock"), what):
        yield
