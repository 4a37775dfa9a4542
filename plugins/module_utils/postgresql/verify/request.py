# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What postgresql_backup_verify is asked. Pure, but for the directories it looks for."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
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
from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.object_store.options import object_store_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.options import postgresql_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.options import (
    physical_verify_argument_spec,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.preload import (
    preload_argument_spec,
    preload_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import (
    ACCEPTABLE,
    CONSISTENCY,
    LEVELS,
    SEMANTICS,
)

# Whether an artefact without a manifest is a backup: auto says no where another one of the repository has one.
AUTO, REQUIRED, OPTIONAL = "auto", "required", "optional"
# What is done about weaknesses that the original has, too.
NOTE, FAIL = "note", "fail"
_WATERMARK = re.compile(r"[^.\s]+\.[^.]+\.[^.]+")
_MOST_BLOCKS = 10_000


def verify_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of postgresql_backup_verify."""
    return {
        **object_store_argument_spec(),
        **decryption_argument_spec(),
        **physical_verify_argument_spec(),
        "repository": {"type": "str"},
        "name_pattern": {"type": "str"},
        "timezone": {"type": "str", "default": "UTC"},
        "name": {"type": "str"},
        "count": {"type": "int", "default": 1},
        "ignore": {"type": "list", "elements": "str", "default": []},
        "max_entries": {"type": "int", "default": 100_000},
        "level": {"type": "str", "default": SEMANTICS, "choices": list(LEVELS)},
        "max_age": {"type": "str"},
        "reference_time": {"type": "str"},
        "identity": {
            "type": "dict",
            "options": {"database": {"type": "str"}, "system_identifier": {"type": "str"}},
        },
        "minimum": {
            "type": "dict",
            "options": {
                "tables": {"type": "int"},
                "rows": {"type": "int"},
                "required_tables": {"type": "list", "elements": "str", "default": []},
            },
        },
        "volume_percent": {"type": "float", "default": 20.0},
        "watermarks": {"type": "list", "elements": "str", "default": []},
        "assertions": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "name": {"type": "str", "required": True},
                "sql": {"type": "str", "required": True},
                "expect": {"type": "raw"},
                "min": {"type": "float"},
                "max": {"type": "float"},
            },
        },
        "assertion_timeout": {"type": "float", "default": 60.0},
        "amcheck": {"type": "bool", "default": True},
        "heapallindexed": {"type": "bool", "default": False},
        "ignore_roles": {"type": "bool", "default": False},
        "weaknesses": {"type": "str", "default": NOTE, "choices": [NOTE, FAIL]},
        "accept": {"type": "list", "elements": "str", "default": []},
        "bin_directory": {"type": "path"},
        "scratch_directory": {"type": "path"},
        **preload_argument_spec(),
        "staging": {"type": "dict", **_server()},
        "production": {"type": "dict", **_server()},
        "jobs": {"type": "int", "default": 0},
        "force": {"type": "bool", "default": False},
        "resample": {"type": "int", "default": 1},
        "manifest": {"type": "str", "default": AUTO, "choices": [AUTO, REQUIRED, OPTIONAL]},
        "record": {"type": "bool", "default": True},
        "record_repository": {"type": "str"},
        "on_failure": {"type": "str", "default": "fail", "choices": ["fail", "report"]},
        "progress_path": {"type": "path"},
    }


def _server() -> dict[str, Any]:
    """Login options of a server that has to be named: neither a default nor the environment may choose it."""
    options = {
        name: {key: value for key, value in each.items() if key != "fallback"}
        for name, each in postgresql_argument_spec().items()
    }
    del options["login_host"]["default"]
    return {"options": options, "required_one_of": [("login_host", "login_unix_socket")]}


@dataclass(frozen=True)
class Assertion:
    """SQL whose one value must equal C(expect), or lie between C(low) and C(high)."""

    name: str
    sql: str
    expect: Any = None
    low: Optional[float] = None
    high: Optional[float] = None

    @property
    def wanted(self) -> str:
        """What the value must be, for people."""
        if self.expect is not None:
            return str(self.expect)
        parts = [
            f"at least {self.low:g}" if self.low is not None else "",
            f"at most {self.high:g}" if self.high is not None else "",
        ]
        return " and ".join(part for part in parts if part)


@dataclass(frozen=True)
class Minimum:
    """The least that a backup must hold, whatever else is known of it."""

    tables: Optional[int] = None
    rows: Optional[int] = None
    required_tables: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.tables is not None or self.rows is not None or bool(self.required_tables)


@dataclass(frozen=True)
class Request:
    """Checked options; times are in seconds.

    C(demands) is, by level, a fingerprint of what a backup has to satisfy there.
    """

    repository: str
    rule: Optional[NamingRule]
    zone: dt.tzinfo
    name: Optional[str]
    count: int
    ignore: tuple[str, ...]
    max_entries: int
    level: str
    max_age: Optional[int]
    now: dt.datetime
    database: Optional[str]
    system_identifier: Optional[str]
    minimum: Minimum
    volume_percent: float
    watermarks: tuple[str, ...]
    assertions: tuple[Assertion, ...]
    assertion_seconds: float
    amcheck: bool
    heapallindexed: bool
    ignore_roles: bool
    weaknesses: str
    accept: tuple[str, ...]
    bin_directory: Optional[str]
    scratch_directory: Optional[Path]
    preload: tuple[str, ...]
    staging: Optional[Mapping[str, Any]]
    production: Optional[Mapping[str, Any]]
    jobs: int
    force: bool
    resample: int
    manifest: str
    record: bool
    record_repository: Optional[str]
    decryption: Optional[Decryption]
    demands: Mapping[str, str]


def request_from(params: Mapping[str, Any]) -> Request:
    """Check the options; raises InvalidOption before anything is touched."""
    name, pattern = params["name"] or None, params["name_pattern"] or None
    if not name and not pattern:
        raise InvalidOption("name_pattern", pattern or "", "the naming rule of the repository, unless name is given")
    for option, lowest, highest in (
        ("count", 1, 10_000),
        ("jobs", 0, 64),
        ("resample", 0, _MOST_BLOCKS),
        ("max_entries", 1, 10**8),
    ):
        if not lowest <= params[option] <= highest:
            raise InvalidOption(option, params[option], f"{lowest} to {highest}")
    if not params["assertion_timeout"] > 0:
        raise InvalidOption("assertion_timeout", params["assertion_timeout"], "a number of seconds greater than 0")
    scratch = params["scratch_directory"] or None
    if scratch and not Path(scratch).is_dir():
        raise InvalidOption("scratch_directory", scratch, "a directory that exists on the host")
    for each in params["watermarks"]:
        if not _WATERMARK.fullmatch(each):
            raise InvalidOption("watermarks", each, "schema.table.column, such as public.orders.created_at")
    identity = params["identity"] or {}
    return Request(
        repository=params["repository"] or "",
        rule=NamingRule(pattern, zone(params["timezone"])) if pattern else None,
        zone=zone(params["timezone"]),
        name=name,
        count=params["count"],
        ignore=tuple(params["ignore"]),
        max_entries=params["max_entries"],
        level=params["level"],
        max_age=parse_seconds(params["max_age"], "max_age") if params["max_age"] else None,
        now=reference_moment(params["reference_time"]),
        database=identity.get("database") or None,
        system_identifier=identity.get("system_identifier") or None,
        minimum=_minimum(params["minimum"] or {}),
        volume_percent=_percent(params["volume_percent"]),
        watermarks=tuple(params["watermarks"]),
        assertions=tuple(assertion_from(each) for each in params["assertions"]),
        assertion_seconds=params["assertion_timeout"],
        amcheck=params["amcheck"],
        heapallindexed=params["heapallindexed"],
        ignore_roles=params["ignore_roles"],
        weaknesses=params["weaknesses"],
        accept=tuple(_acceptance(each) for each in params["accept"]),
        bin_directory=params["bin_directory"] or None,
        scratch_directory=Path(scratch) if scratch else None,
        preload=preload_from(params["preload"]),
        staging=params["staging"],
        production=params["production"],
        jobs=params["jobs"] or min(os.cpu_count() or 1, 8),
        force=params["force"],
        resample=params["resample"],
        manifest=params["manifest"],
        record=params["record"],
        record_repository=params["record_repository"] or None,
        decryption=decryption_from(params),
        demands=_demands(params),
    )


def _minimum(given: Mapping[str, Any]) -> Minimum:
    for option in ("tables", "rows"):
        if given.get(option) is not None and given[option] < 0:
            raise InvalidOption(f"minimum.{option}", given[option], "a number of at least 0")
    required = tuple(given.get("required_tables") or ())
    for each in required:
        if "." not in each:
            raise InvalidOption("minimum.required_tables", each, "schema.table, such as public.orders")
    return Minimum(given.get("tables"), given.get("rows"), required)


def _percent(given: float) -> float:
    if not 0 < given <= 100:
        raise InvalidOption("volume_percent", given, "a number above 0, up to 100")
    return given


def assertion_from(given: Mapping[str, Any]) -> Assertion:
    """One entry of the option C(assertions), checked; raises InvalidOption."""
    if given["expect"] is None and given["min"] is None and given["max"] is None:
        raise InvalidOption("assertions", given["name"], "with expect, min or max, since it could not fail otherwise")
    return Assertion(given["name"], given["sql"], given["expect"], given["min"], given["max"])


def _acceptance(text: str) -> str:
    code, _colon, shell = text.partition(":")
    if code not in ACCEPTABLE or (_colon and not shell):
        raise InvalidOption(
            "accept",
            text,
            f"one of {', '.join(sorted(ACCEPTABLE))}, alone or with a shell pattern for the object, such as "
            "constraint_not_validated:public.orders.*",
        )
    return text


def _demands(params: Mapping[str, Any]) -> dict[str, str]:
    """What a backup has to satisfy, as fingerprints: a proof of less, or of something else, is no proof of this."""
    by_level = {
        SEMANTICS: ("identity", "minimum", "volume_percent", "watermarks", "ignore_roles", "weaknesses", "accept"),
        CONSISTENCY: ("assertions", "amcheck", "heapallindexed"),
    }
    return {
        level: hashlib.sha256(
            json.dumps({name: params[name] for name in names}, sort_keys=True, default=str).encode()
        ).hexdigest()
        for level, names in by_level.items()
    }
