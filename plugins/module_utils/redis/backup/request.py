# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What redis_backup is asked. Pure, but for the directories it looks for."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import reference_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.object_store.options import object_store_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.verify import Workshop, workshop_from

FILE, STREAM = "file", "stream"
METHODS = (FILE, STREAM)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def backup_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of redis_backup beside connection, guards and proof."""
    return {
        "name": {"type": "str", "required": True},
        "dest": {"type": "path", "required": True},
        "method": {"type": "str", "default": FILE, "choices": list(METHODS)},
        "data_directory": {"type": "path"},
        "dbfilename": {"type": "str"},
        "verify": {"type": "bool", "default": True},
        "max_age": {"type": "str"},
        "save_timeout": {"type": "float", "default": 3600.0},
        "copy_on_write_percent": {"type": "float", "default": 50.0},
        "bucket": {"type": "str"},
        "prefix": {"type": "str", "default": ""},
        "s3": {"type": "dict", "options": object_store_argument_spec()},
    }


@dataclass(frozen=True)
class BackupRequest:
    """Checked options; times are in seconds."""

    name: str
    dest: Path
    method: str
    data_directory: Optional[str]
    dbfilename: Optional[str]
    verify: bool
    queues: bool
    workshop: Workshop
    save_seconds: float
    copy_on_write_percent: float
    max_age: Optional[int]
    now: dt.datetime
    bucket: Optional[str]
    prefix: str


def request_from(params: Mapping[str, Any]) -> BackupRequest:
    """Check the options of redis_backup; raises InvalidOption before anything is touched."""
    if not _NAME.fullmatch(params["name"]):
        raise InvalidOption(
            "name", params["name"], "letters, digits, dots, dashes and underscores, such as storebridge"
        )
    if not Path(params["dest"]).is_absolute():
        raise InvalidOption("dest", params["dest"], "an absolute path")
    if Path(params["dest"]).exists() and not Path(params["dest"]).is_dir():
        raise InvalidOption("dest", params["dest"], "a directory")
    if not params["save_timeout"] > 0:
        raise InvalidOption("save_timeout", params["save_timeout"], "a number of seconds greater than 0")
    if not 0 <= params["copy_on_write_percent"] <= 100:
        raise InvalidOption("copy_on_write_percent", params["copy_on_write_percent"], "a number from 0 to 100")
    prefix = params["prefix"] or ""
    if prefix and not params["bucket"]:
        raise InvalidOption("prefix", prefix, "together with bucket")
    dbfilename = params["dbfilename"] or None
    if dbfilename and "/" in dbfilename:
        raise InvalidOption("dbfilename", dbfilename, "a file's name without a directory")
    return BackupRequest(
        name=params["name"],
        dest=Path(params["dest"]),
        method=params["method"],
        data_directory=params["data_directory"] or None,
        dbfilename=dbfilename,
        verify=params["verify"],
        queues=params["queue_counts"],
        workshop=workshop_from(params),
        save_seconds=params["save_timeout"],
        copy_on_write_percent=params["copy_on_write_percent"],
        max_age=parse_seconds(params["max_age"], "max_age") if params["max_age"] else None,
        now=reference_moment(params["reference_time"]).replace(microsecond=0),
        bucket=params["bucket"] or None,
        prefix=prefix if not prefix or prefix.endswith("/") else f"{prefix}/",
    )
