# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services a release touches, in which order, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.compose.definition import Declared, is_pinned


@dataclass(frozen=True)
class Step:
    """One service to be made anew."""

    service: str
    reason: str
    from_image: Optional[str]
    to_image: Optional[str]

    def as_action(self, action: str) -> dict[str, Any]:
        """The entry of the module's C(actions)."""
        return {
            "action": action,
            "object": self.service,
            "reason": self.reason,
            "image_before": self.from_image,
            "image_after": self.to_image,
        }


def chosen_services(asked: Sequence[str], declared: Mapping[str, Declared], option: str = "services") -> list[str]:
    """The services of a release in their order: those that are named, else all that keep no data.

    Raises:
        InvalidOption: a service that is not declared.
        Refused: a service that keeps data was named.

    """
    for name in asked:
        if name not in declared:
            raise InvalidOption(option, name, f"services of the project: {', '.join(sorted(declared))}")
        if declared[name].is_stateful:
            raise Refused(
                f"{name} keeps data ({declared[name].image}) and is left alone by releases. Leave it out of services; "
                "if it keeps none, say which services do with stateful_services."
            )
    chosen = list(dict.fromkeys(asked)) or [name for name, each in declared.items() if not each.is_stateful]
    if not chosen:
        raise InvalidOption(option, [], "at least one service that keeps no data")
    return chosen


def check_images(names: Iterable[str], declared: Mapping[str, Declared], *, allow_unpinned: bool) -> None:
    """Refuse images whose names say no version; raises Refused."""
    loose = [
        f"{name} ({declared[name].image})"
        for name in names
        if not declared[name].builds and not is_pinned(declared[name].image)
    ]
    if loose and not allow_unpinned:
        raise Refused(
            f"Images without a version are not released: {', '.join(loose)}. Name a tag or a digest in the Compose "
            "files or in images, or set allow_unpinned."
        )


def check_unset(unset: Sequence[str], allowed: Sequence[str]) -> None:
    """Refuse a definition with variables that nothing sets; raises Refused."""
    left = [name for name in unset if name not in allowed]
    if left:
        raise Refused(
            f"Nothing sets {', '.join(left)}, which would be empty in the containers. Name the file that sets them in "
            "env_files (Compose reads .env by itself, and no other), or allow them with allow_unset."
        )


def steps_of(
    services: Sequence[str], facts: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, Optional[str]]
) -> list[Step]:
    """The services that differ from what is wanted, in their order.

    Args:
        services: In the order in which they are released.
        facts: What C(service_facts) says of each, against the definition that is wanted.
        wanted: The image each is to run; None where it is not known yet.

    """
    steps = []
    for name in services:
        each, target = facts[name], wanted.get(name)
        before = each["image_ids"][0] if each["image_ids"] else None
        reason = _why(each, target)
        if reason:
            steps.append(Step(name, reason, before, target))
    return steps


def _why(facts: Mapping[str, Any], target: Optional[str]) -> str | None:
    if not facts["image_ids"]:
        return "it was never started"
    if target is None:
        return "its image is fetched or built anew"
    if facts["image_ids"] != [target]:
        return "another image"
    if facts["config_drifted"]:
        return "another definition or environment"
    if not facts["is_up"]:
        return str(facts["reason"])
    return "its health check fails" if facts["is_healthy"] is False else None
