# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""logrotate's state file: when each log was rotated last. Pure."""

from __future__ import annotations

import datetime as dt
import re

# Debian's place first, then that of the RHEL family and older releases.
PLACES = ("/var/lib/logrotate/status", "/var/lib/logrotate/logrotate.status", "/var/lib/logrotate.status")
_LINE = re.compile(r'"((?:[^"\\]|\\.)*)"\s+(\d+)-(\d+)-(\d+)(?:-(\d+):(\d+):(\d+))?\s*')


def parse_status(text: str) -> dict[str, dt.datetime]:
    """The moment of the last rotation by path, on the host's own clock, as logrotate writes it.

    A log that logrotate saw for the first time stands there too, with the hour in which that was.
    """
    found: dict[str, dt.datetime] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match:
            year, month, day, hour, minute, second = (int(each or 0) for each in match.groups()[1:])
            try:
                path = re.sub(r"\\(.)", r"\1", match.group(1))
                found[path] = dt.datetime(year, month, day, hour, minute, second)
            except ValueError:
                continue
    return found
