# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine's packages need: updates, restarts, a reboot."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso_of
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.packages.manager import Manager, manager_of
from ansible_collections.runbook.ops.plugins.module_utils.packages.model import matches, natural, newest
from ansible_collections.runbook.ops.plugins.module_utils.packages.record import Record
from ansible_collections.runbook.ops.plugins.module_utils.packages.stale import STUCK, stale_processes, stale_units

_REBOOT_MARKS = (Path("/run/reboot-required"), Path("/var/run/reboot-required"))


def survey(params: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of C(package_updates_info)."""
    manager = manager_of(params)
    if manager is None:
        return {
            "available": False,
            "reason": "There is neither apt-get nor dnf on this machine",
            "skipped_sections": [],
            "updates": [],
            "counts": {"pending": 0, "security": 0, "held": 0},
            "kept_back": [],
            "lists_read_at": None,
            "lists_age_seconds": None,
            "manager": None,
            "record": Record.load(Path(params["state_directory"])).facts(),
            **standing(None, params["hold"]),
        }
    skipped = []
    if params["refresh"]:
        try:
            manager.refresh()
        except RunbookError as error:
            skipped.append(
                {
                    "section": "lists",
                    "reason": error.message,
                    "remedy": "Correct the sources; what is pending is of before.",
                }
            )
    pending = manager.pending()
    updates = []
    for each in pending.installs:
        if each.installed is not None:
            facts = each.facts()
            updates.append({**facts, "is_held": facts["is_held"] or matches(each.name, params["hold"])})
    read_at = manager.lists_at()
    return {
        "available": True,
        "reason": None,
        "skipped_sections": skipped,
        "manager": manager.name,
        "lists_read_at": iso_of(read_at) if read_at else None,
        "lists_age_seconds": round(max(0.0, time.time() - read_at), 3) if read_at else None,
        "updates": updates,
        "kept_back": pending.kept_back,
        "counts": {
            "pending": len(updates),
            "security": sum(each["is_security"] for each in updates),
            "held": sum(each["is_held"] for each in updates),
        },
        "record": Record.load(Path(params["state_directory"])).facts(),
        **standing(manager, params["hold"]),
    }


def standing(manager: Optional[Manager], hold: Sequence[str]) -> dict[str, Any]:
    """Restarts and the reboot that earlier updates left."""
    units = stale_units(stale_processes(), hold)
    running = platform.release()
    installed = newest(manager.kernels()) if manager else None
    stuck = [each["unit"] for each in units if each["reason"] in STUCK]
    reasons = reboot_reasons(running, installed, mark_words(), stuck)
    return {
        "needs_restart": units,
        "kernel": {"running": running, "newest_installed": installed},
        "needs_reboot": bool(reasons),
        "reboot_reasons": reasons,
    }


def mark_words() -> Optional[str]:
    """The packages that asked for a reboot; None if nobody did."""
    for mark in _REBOOT_MARKS:
        if mark.exists():
            packages = mark.with_name(f"{mark.name}.pkgs")
            words = packages.read_text(encoding="utf-8", errors="replace").split() if packages.exists() else []
            return ", ".join(dict.fromkeys(words))
    return None


def reboot_reasons(running: str, installed: Optional[str], marked: Optional[str], stuck: list[str]) -> list[str]:
    """Why a reboot is needed; empty if it is not. C(stuck) are units that nothing else starts anew. Pure."""
    reasons = []
    if installed is not None and installed != running and natural(installed) > natural(running):
        reasons.append(f"kernel {installed} is installed and {running} runs")
    if marked is not None:
        reasons.append(f"asked for by {marked or 'an update'}")
    if stuck:
        reasons.append(f"{', '.join(stuck)} uses replaced files and cannot be restarted")
    return reasons
