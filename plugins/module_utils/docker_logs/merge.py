# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of container logs merged into an existing daemon.json. Pure: texts and dicts in, texts and dicts out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import HIDDEN, redact_text

DRIVERS = ("json-file", "local")
_SIZE = re.compile(r"[1-9]\d*[kmg]")
# What the drivers accept beside the limits.
_OTHERS = ("labels", "labels-regex", "env", "env-regex", "tag")


def wanted_options(
    driver: str, max_size: str, max_file: int, compress: bool | None, more: Mapping[str, Any]
) -> dict[str, str]:
    """The log-opts, all of them texts, because dockerd does not start with a number; raises InvalidOption."""
    if not _SIZE.fullmatch(max_size):
        raise InvalidOption("max_size", max_size, "a number with k, m or g, such as 10m")
    if not 1 <= max_file <= 1000:
        raise InvalidOption("max_file", max_file, "1 to 1000 files")
    if compress and max_file < 2:
        raise InvalidOption("compress", compress, "false with max_file=1: only rotated files are compressed")
    unknown = sorted(set(more) - set(_OTHERS))
    if unknown:
        raise InvalidOption("log_opts", ", ".join(unknown), f"{', '.join(_OTHERS)} for the driver {driver}")
    limits = {"max-size": max_size, "max-file": str(max_file)}
    if compress is not None:
        limits["compress"] = "true" if compress else "false"
    return {**limits, **{key: str(value) for key, value in more.items()}}


def parse_daemon_json(text: str, path: str) -> dict[str, Any]:
    """The settings of a daemon.json, an empty one included; raises Refused for what dockerd does not read."""
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        comment = " JSON has no comments." if re.search(r"(?m)^\s*(//|#|/\*)", text) else ""
        raise Refused(
            f"{path} is no valid JSON: {error}.{comment} dockerd does not start with it. Nothing was changed. "
            "Correct it by hand, so that no setting is lost, and run this again."
        ) from None
    if not isinstance(found, dict):
        raise Refused(
            f"{path} holds no JSON object. dockerd does not start with it. Nothing was changed. Correct it by hand."
        )
    return found


def merged(current: Mapping[str, Any], driver: str, options: Mapping[str, str]) -> dict[str, Any]:
    """The settings with the limits in them and everything else as it was.

    Options of another driver go with that driver: dockerd does not start with options that a driver does not know.
    """
    before = current.get("log-opts")
    same = current.get("log-driver", "json-file") == driver and isinstance(before, Mapping)
    kept = {key: value for key, value in before.items() if isinstance(value, str)} if same and before else {}
    return {**current, "log-driver": driver, "log-opts": {**kept, **options}}


def rendered(settings: Mapping[str, Any]) -> str:
    """The text of the file."""
    return json.dumps(settings, indent=2, ensure_ascii=False) + "\n"


def shown_options(options: Any) -> dict[str, Any]:
    """The log-opts without what only the driver may know, such as C(splunk-token)."""
    found = options if isinstance(options, Mapping) else {}
    return {key: _shown(str(key), value) for key, value in found.items()}


def _shown(name: str, value: Any) -> Any:
    if redact_text(f"{name}=x") != f"{name}=x":
        return HIDDEN
    return redact_text(value) if isinstance(value, str) else value


def container_limits(container: Mapping[str, Any]) -> dict[str, Any]:
    """How the log of a container is limited, from what C(docker inspect) says of it."""
    config = container.get("HostConfig", {}).get("LogConfig", {}) or {}
    labels = container.get("Config", {}).get("Labels") or {}
    driver, options = config.get("Type") or "json-file", config.get("Config") or {}
    size = options.get("max-size")
    return {
        "name": str(container.get("Name", "")).lstrip("/"),
        "project": labels.get("com.docker.compose.project"),
        "service": labels.get("com.docker.compose.service"),
        "is_running": bool(container.get("State", {}).get("Running")),
        "driver": driver,
        "max_size": size,
        "max_file": options.get("max-file"),
        # Only this driver writes without end; local has a limit of its own, the others write elsewhere.
        "is_limited": driver != "json-file" or (size is not None and size != "-1"),
        "log_path": container.get("LogPath") or None,
    }
