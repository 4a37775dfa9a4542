# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What postgresql_restore is asked. Pure, but for the files it looks for."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import (
    Decryption,
    decryption_argument_spec,
    decryption_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import NamingRule, zone
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import reference_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.object_store.options import object_store_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.options import (
    check_guards,
    maintenance_argument_spec,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.options import postgresql_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.options import (
    physical_restore_argument_spec,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.names import MOST_BYTES
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.preload import (
    preload_argument_spec,
    preload_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.request import (
    Assertion,
    assertion_from,
    verify_argument_spec,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.semantics import split_name

FRESH, SWAP = "fresh", "swap"
APPLY, CHECK, SKIP = "apply", "check", "skip"
REFUSE, KEEP = "refuse", "keep"


def restore_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of postgresql_restore."""
    return {
        **object_store_argument_spec(),
        **postgresql_argument_spec(),
        **maintenance_argument_spec(),
        **decryption_argument_spec(),
        **physical_restore_argument_spec(),
        **{name: verify_argument_spec()[name] for name in ("assertions", "assertion_timeout", "watermarks")},
        "repository": {"type": "str"},
        "name_pattern": {"type": "str"},
        "record_repository": {"type": "str"},
        "name": {"type": "str"},
        "max_entries": {"type": "int", "default": 100_000},
        "allow_unverified": {"type": "bool", "default": False},
        "database": {"type": "str"},
        "source_database": {"type": "str"},
        "owner": {"type": "str"},
        "mode": {"type": "str", "default": FRESH, "choices": [FRESH, SWAP]},
        "keep_old": {"type": "bool", "default": True},
        "keep_failed": {"type": "bool", "default": False},
        "force": {"type": "bool", "default": False},
        "globals": {"type": "str", "default": APPLY, "choices": [APPLY, CHECK, SKIP]},
        "verify": {"type": "bool", "default": True},
        "jobs": {"type": "int", "default": 0},
        "fence": {"type": "bool", "default": True},
        "fence_timeout": {"type": "float", "default": 30.0},
        "max_sessions": {"type": "int"},
        "replication": {"type": "str", "default": REFUSE, "choices": [REFUSE, KEEP]},
        "must_not_be": {
            "type": "dict",
            "options": {
                "system_identifier": {"type": "list", "elements": "str", "default": []},
            },
        },
        "disk_free_bytes": {"type": "int"},
        "work_directory": {"type": "path"},
        "bin_directory": {"type": "path"},
        **preload_argument_spec(),
    }


@dataclass(frozen=True)
class RestoreRequest:
    """Checked options; times are in seconds."""

    rule: NamingRule
    name: Optional[str]
    max_entries: int
    allow_unverified: bool
    database: str
    source_database: Optional[str]
    owner: Optional[str]
    mode: str
    keep_old: bool
    keep_failed: bool
    force: bool
    globals: str
    verify: bool
    assertions: tuple[Assertion, ...]
    assertion_seconds: float
    watermarks: tuple[str, ...]
    jobs: int
    fence: bool
    fence_seconds: float
    max_sessions: Optional[int]
    replication: str
    must_not_be: tuple[str, ...]
    decryption: Optional[Decryption]
    work: Optional[Path]
    bin_directory: Optional[str]
    preload: tuple[str, ...]
    now: dt.datetime

    @property
    def is_swap(self) -> bool:
        """Whether a database that is in use may be replaced."""
        return self.mode == SWAP


def request_from(params: Mapping[str, Any]) -> RestoreRequest:
    """Check the options of postgresql_restore with C(method=dump); raises InvalidOption before anything is touched."""
    check_guards(params)
    for option in ("repository", "name_pattern", "database"):
        if not params[option]:
            raise InvalidOption(option, params[option] or "", "a value, because method is dump")
    database = _database(params)
    for option, lowest, highest in (("jobs", 0, 64), ("max_entries", 1, 10**8)):
        if not lowest <= params[option] <= highest:
            raise InvalidOption(option, params[option], f"{lowest} to {highest}")
    if not 1 <= params["fence_timeout"] <= 3600:
        raise InvalidOption("fence_timeout", params["fence_timeout"], "1 to 3600 seconds")
    for option in ("max_sessions", "disk_free_bytes"):
        if params[option] is not None and params[option] < 0:
            raise InvalidOption(option, params[option], "a number of at least 0")
    if params["owner"] and params["mode"] == SWAP:
        raise InvalidOption("owner", params["owner"], "with mode=fresh; a swapped database keeps its owner")
    if not params["assertion_timeout"] > 0:
        raise InvalidOption("assertion_timeout", params["assertion_timeout"], "a number of seconds greater than 0")
    for each in params["watermarks"]:
        if len(split_name(each)) != 3:
            raise InvalidOption("watermarks", each, "schema.table.column, such as public.orders.created_at")
    work = params["work_directory"] or None
    if work and not Path(work).is_dir():
        raise InvalidOption("work_directory", work, "a directory that exists on the host")
    rule = NamingRule(params["name_pattern"], zone(params["timezone"]))
    name = params["name"] or None
    if name and not rule.period(name):
        raise InvalidOption("name", name, f"a name that follows name_pattern ({rule.pattern})")
    return RestoreRequest(
        rule=rule,
        name=name,
        max_entries=params["max_entries"],
        allow_unverified=params["allow_unverified"],
        database=database,
        source_database=params["source_database"] or (database if params["mode"] == SWAP else None),
        owner=params["owner"] or None,
        mode=params["mode"],
        keep_old=params["keep_old"],
        keep_failed=params["keep_failed"],
        force=params["force"],
        globals=params["globals"],
        verify=params["verify"],
        assertions=tuple(assertion_from(each) for each in params["assertions"]),
        assertion_seconds=params["assertion_timeout"],
        watermarks=tuple(params["watermarks"]),
        jobs=params["jobs"] or min(os.cpu_count() or 1, 8),
        fence=params["fence"],
        fence_seconds=params["fence_timeout"],
        max_sessions=params["max_sessions"],
        replication=params["replication"],
        must_not_be=tuple((params["must_not_be"] or {}).get("system_identifier") or ()),
        decryption=decryption_from(params),
        work=Path(work) if work else None,
        bin_directory=params["bin_directory"] or None,
        preload=preload_from(params["preload"]),
        now=reference_moment(params["reference_time"]),
    )


def _database(params: Mapping[str, Any]) -> str:
    database: str = params["database"]
    if len(database.encode("utf-8")) > MOST_BYTES or "\x00" in database:
        raise InvalidOption("database", database, f"a name of at most {MOST_BYTES} bytes")
    if database in ("postgres", "template0", "template1"):
        raise InvalidOption("database", database, "a database of an application, not one of PostgreSQL's own")
    if database == params["login_db"]:
        raise InvalidOption(
            "login_db", database, "another database than the one to restore, such as postgres: it is renamed meanwhile"
        )
    return database
