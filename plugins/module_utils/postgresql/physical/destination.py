# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore to a moment is asked, checked: the moment, the new directories, whom they are for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.archive import LATEST
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.placing import Leftover, leftovers
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.recover import Moment
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.account import (
    Account,
    can_enter,
    choose_account,
)


@dataclass(frozen=True)
class Destination:
    """Where the cluster comes to life; C(leftovers) of killed runs are to be removed there first."""

    data: Path
    tablespaces: Mapping[str, Path]
    account: Account
    leftovers: Sequence[Leftover] = ()


def moment_from(params: Mapping[str, Any]) -> Moment:
    """The options about the moment; raises InvalidOption for one without timezone, too."""
    text = (params.get("target_time") or "").strip()
    if not text:
        raise InvalidOption("target_time", text, "a moment with timezone, such as 2026-01-31T09:00:00+09:00, or latest")
    timeline = str(params.get("target_timeline") or LATEST).strip()
    if timeline != LATEST and not (timeline.isdigit() and int(timeline) > 0):
        raise InvalidOption("target_timeline", timeline, "latest, or the number of a timeline, such as 2")
    if text == LATEST:
        return Moment(None, bool(params.get("target_inclusive", True)), timeline)
    return Moment(parse_moment(text, "target_time"), bool(params.get("target_inclusive", True)), timeline)


def destination_from(params: Mapping[str, Any], tablespaces: Sequence[Mapping[str, Any]]) -> Destination:
    """The new directories, by tablespace number; raises InvalidOption or Refused before anything is written."""
    given = params.get("data_directory")
    if not given or not Path(given).is_absolute():
        raise InvalidOption("data_directory", given or "", "an absolute path that does not exist yet, or is empty")
    account = choose_account(params.get("data_owner") if os.geteuid() == 0 else None)
    data = Path(given)
    places = _mapped(params, tablespaces)
    everything = [data, *places.values()]
    for place in everything:
        for other in everything:
            if place is not other and (place == other or other in place.parents):
                raise InvalidOption("tablespaces", str(place), "directories that do not lie in each other")
    left = leftovers(data.parent, account)
    doomed = {place for each in left for place in each.tablespaces}
    _check_new(data, "data_directory", account)
    for place in places.values():
        if place not in doomed:
            _check_new(place, "tablespaces", account)
    return Destination(data, places, account, left)


def _mapped(params: Mapping[str, Any], tablespaces: Sequence[Mapping[str, Any]]) -> dict[str, Path]:
    """The new directory of every tablespace, by its number."""
    given = {str(Path(old)): Path(str(new)) for old, new in (params.get("tablespaces") or {}).items()}
    known = {str(each["location"]): each for each in tablespaces}
    for old in given:
        if old not in known:
            raise InvalidOption(
                "tablespaces", old, f"locations of the backup's tablespaces: {', '.join(known) or 'it has none'}"
            )
    places: dict[str, Path] = {}
    for location, each in known.items():
        place = given.get(location)
        if place is None or not place.is_absolute():
            raise InvalidOption(
                "tablespaces",
                {old: str(new) for old, new in given.items()},
                f"a new absolute directory for every tablespace; {each['name']} at {location} has none",
            )
        places[each["oid"]] = place
    return places


def is_marked(data: Path, marker: str) -> Optional[str]:
    """The text of a marker file in a data directory; None without one."""
    try:
        return (data / marker).read_text(encoding="utf-8")
    except OSError:
        return None


def _check_new(place: Path, option: str, account: Account) -> None:
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise InvalidOption(option, str(place), "a directory that does not exist yet, or is empty")
    if place.is_dir() and any(place.iterdir()):
        what = "a database cluster" if (place / "PG_VERSION").exists() else "files"
        raise Refused(
            f"{place} holds {what}. Nothing was touched: a restore never writes into what is there. Name a new "
            "directory "
            f"in {option}, and switch over to it when it was looked at."
        )
    if not place.parent.is_dir():
        raise InvalidOption(option, str(place), f"a directory in one that exists; {place.parent} does not")
    if not can_enter(place.parent, account):
        raise Refused(
            f"The account {account.name}, which the server is to run as, cannot enter {place.parent}. Nothing was "
            "touched. "
            "Correct the modes of the directories above (chmod o+x), or name another place."
        )
