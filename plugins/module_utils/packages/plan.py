# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which updates are installed, and which are left alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.packages.model import Installed, Update, matches


@dataclass
class Chosen:
    """Versions to install by name, and what is left with the reason."""

    wanted: dict[str, Optional[str]] = field(default_factory=dict)
    left: list[dict[str, str]] = field(default_factory=list)


def choose(
    updates: Iterable[Update],
    *,
    packages: Sequence[str],
    hold: Sequence[str],
    security_only: bool,
    versions: Optional[Mapping[str, str]],
) -> Chosen:
    """The updates that are wanted; C(versions), if given, are all that may be, and may be none.

    Packages that come in beside others are their affair.
    """
    chosen = Chosen()
    for update in updates:
        if update.installed is None:
            continue
        reason = _reason(update, packages, hold, security_only, versions)
        if reason:
            chosen.left.append({"object": update.name, "version": update.candidate, "reason": reason})
        else:
            chosen.wanted[update.name] = (versions or {}).get(update.name, update.candidate)
    return chosen


def _reason(
    update: Update,
    packages: Sequence[str],
    hold: Sequence[str],
    security_only: bool,
    versions: Optional[Mapping[str, str]],
) -> str:
    """Why an update is left alone; nothing if it is wanted."""
    if matches(update.name, hold):
        return "it is on the list of packages that are not updated in passing"
    if update.held:
        return "it is held on the machine (apt-mark hold)"
    if versions is not None and update.name not in versions:
        return "no version was named for it"
    if not matches(update.name, packages):
        return "it is not among the packages that were named"
    if security_only and not update.security:
        return "it does not come from a security archive"
    return ""


def check_plan(
    installs: Sequence[Update],
    removals: Sequence[str],
    wanted: Mapping[str, Optional[str]],
    hold: Sequence[str],
    max_packages: int,
) -> None:
    """Refuse a run that would do more than was meant; raises Refused."""
    unwanted = [name for name in removals if name not in wanted]
    if unwanted:
        raise Refused(
            f"The updates would remove {', '.join(unwanted)}. Nothing was changed. Update without the package that "
            "wants it, or remove it by hand first."
        )
    drawn = [each.name for each in installs if each.name not in wanted and matches(each.name, hold)]
    if drawn:
        raise Refused(
            f"The updates would take along {', '.join(drawn)}, on the list of packages that are not updated in "
            "passing. Nothing was changed. Leave out the package that needs it, or plan that update for itself."
        )
    if len(installs) > max_packages:
        raise Refused(
            f"{len(installs)} packages would be changed, and max_packages is {max_packages}. Nothing was changed. "
            "Look at the list in check mode, then raise max_packages."
        )


def not_reached(
    wanted: Mapping[str, Optional[str]], installed: Mapping[str, Installed], also: Mapping[str, Optional[str]]
) -> list[str]:
    """What is not as it should be afterwards, in words: the proof that a run did what it planned."""
    found = []
    for name, version in {**also, **wanted}.items():
        now = installed.get(name)
        if version is None:
            if now is not None:
                found.append(f"{name} is still there")
        elif now is None or now.version != version:
            found.append(f"{name} is {now.version if now else 'not installed'} instead of {version}")
        elif not now.whole:
            found.append(f"{name} {version} is not set up: its script failed")
    return found


def actions_of(installs: Iterable[Update], removals: Iterable[str], verb: str) -> list[dict[str, Any]]:
    """The entries of C(actions)."""
    entries: list[dict[str, Any]] = [
        {
            "action": verb if each.installed is not None else "install",
            "object": each.name,
            "version_before": each.installed,
            "version_after": each.candidate,
            "is_security": each.security,
            "reason": "security" if each.security else "",
        }
        for each in installs
    ]
    return entries + [
        {"action": "remove", "object": name, "version_before": None, "version_after": None, "is_security": False,
         "reason": "it came in with what is undone"}
        for name in removals
    ]  # fmt: skip
