# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds that run playbooks, as the module C(schedule) takes them. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.plugin_utils.cron_job_manifest import KEYS
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.paths import is_list

_OF_PLAYBOOKS = ("playbook", "tags", "limit", "extra_vars", "arguments")
_OF_ROUNDS = (
    *("name", "at", "command", "user", "description", "directory", "environment", "environment_file"),
    *("timeout", "timezone", "persistent"),
    *KEYS,
)


def playbook_rounds(
    rounds: object, ansible_playbook: str, inventory: str, defaults: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Each round with its command; what it does not say itself is taken from C(defaults).

    Raises:
        InvalidOption: a round has neither or both of C(command) and C(playbook), or a key that there is not.

    """
    if not isinstance(rounds, Sequence) or not is_list(rounds):
        raise InvalidOption("rounds", type(rounds).__name__, "a list of rounds")
    return [_round(each, position, ansible_playbook, inventory, defaults) for position, each in enumerate(rounds)]


def _round(
    each: object, position: int, ansible_playbook: str, inventory: str, defaults: Mapping[str, Any]
) -> dict[str, Any]:
    place = f"rounds[{position}]"
    if not isinstance(each, Mapping):
        raise InvalidOption(place, type(each).__name__, "a mapping with name, at and command or playbook")
    unknown = sorted(set(each) - {*_OF_PLAYBOOKS, *_OF_ROUNDS})
    if unknown:
        raise InvalidOption(place, unknown[0], ", ".join((*_OF_ROUNDS, *_OF_PLAYBOOKS)))
    if bool(each.get("command")) == bool(each.get("playbook")):
        raise InvalidOption(place, each.get("name"), "exactly one of command and playbook")
    made = {key: value for key, value in defaults.items() if value not in ("", None, {})}
    made.update({key: value for key, value in each.items() if key in _OF_ROUNDS})
    if isinstance(each.get("environment"), Mapping):
        made["environment"] = {**(defaults.get("environment") or {}), **each["environment"]}
    if each.get("playbook"):
        made["command"] = _command(each, ansible_playbook, inventory)
    return made


def _command(each: Mapping[str, Any], ansible_playbook: str, inventory: str) -> list[str]:
    words = [ansible_playbook, str(each["playbook"])]
    words += ["--inventory", inventory] if inventory else []
    tags = each.get("tags") or []
    words += ["--tags", tags if isinstance(tags, str) else ",".join(map(str, tags))] if tags else []
    words += ["--limit", str(each["limit"])] if each.get("limit") else []
    words += ["--extra-vars", json.dumps(each["extra_vars"], sort_keys=True)] if each.get("extra_vars") else []
    return [*words, *map(str, each.get("arguments") or [])]
