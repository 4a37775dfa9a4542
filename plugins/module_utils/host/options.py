# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is asked for: the argument spec, and the checks that types cannot make. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

SECTIONS = (
    *("cpu", "load", "pressure", "memory", "disks", "time", "units", "ports", "reboot", "certificates"),
    *("large_files", "processes", "oom"),
)
_PORT = {
    "port": {"type": "int", "required": True},
    "protocol": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
    "name": {"type": "str"},
    "address": {"type": "list", "elements": "str", "default": []},
    "process": {"type": "str"},
    "unit": {"type": "str"},
    "required": {"type": "bool", "default": True},
}
_PROCESS = {
    "name": {"type": "str", "required": True},
    "pattern": {"type": "str", "required": True},
    "min": {"type": "int", "default": 1},
    "max": {"type": "int"},
}


def host_argument_spec() -> dict[str, Any]:
    """The options of M(runbook.ops.host_health_info)."""
    return {
        "sections": {"type": "list", "elements": "str", "choices": list(SECTIONS), "default": list(SECTIONS)},
        "sample_seconds": {"type": "float", "default": 1.0},
        "top": {"type": "int", "default": 10},
        "ignore_mounts": {"type": "list", "elements": "str", "default": []},
        "expected_ports": {"type": "list", "elements": "dict", "options": _PORT},
        "expected_units": {"type": "list", "elements": "str", "default": []},
        "expected_processes": {"type": "list", "elements": "dict", "options": _PROCESS, "default": []},
        "certificates": {"type": "list", "elements": "path", "default": []},
        "large_files_roots": {"type": "list", "elements": "path", "default": []},
        "large_files_min_bytes": {"type": "int", "default": 104857600},
        "large_files_max_entries": {"type": "int", "default": 200000},
        "large_files_timeout": {"type": "float", "default": 20.0},
        "oom_since": {"type": "str", "default": "24h"},
        "command_timeout": {"type": "float", "default": 15.0},
        "reference_time": {"type": "str"},
    }


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with durations in seconds; raises InvalidOption."""
    for name, least, most in (
        ("sample_seconds", 0.05, 60),
        ("top", 1, 100),
        ("large_files_max_entries", 1, 100_000_000),
        ("large_files_timeout", 0.1, 3600),
        ("command_timeout", 0.1, 600),
        ("large_files_min_bytes", 0, 1 << 62),
    ):
        if not least <= options[name] <= most:
            raise InvalidOption(name, options[name], f"a number from {least} to {most}")
    for name in ("certificates", "large_files_roots"):
        for path in options[name]:
            if not PurePosixPath(path).is_absolute():
                raise InvalidOption(name, path, "absolute paths")
    for each in options["expected_ports"] or []:
        _check_port(each)
    for each in options["expected_processes"]:
        _check_process(each)
    return {**options, "oom_seconds": parse_seconds(options["oom_since"], "oom_since")}


def _check_port(each: Mapping[str, Any]) -> None:
    if not 1 <= each["port"] <= 65535:
        raise InvalidOption("expected_ports.port", each["port"], "a number from 1 to 65535")
    for network in each["address"] or []:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            raise InvalidOption(
                "expected_ports.address", network, "addresses and networks such as 127.0.0.1, 10.0.0.0/8 or ::/0"
            ) from None


def _check_process(each: Mapping[str, Any]) -> None:
    try:
        re.compile(each["pattern"])
    except re.error as error:
        raise InvalidOption("expected_processes.pattern", each["pattern"], f"a regular expression ({error})") from None
    if each["min"] < 0 or (each["max"] is not None and each["max"] < each["min"]):
        raise InvalidOption("expected_processes.min", each["min"], "a number that is not above max, and not negative")
