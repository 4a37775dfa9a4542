# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be cleared away on an engine. Pure. Volumes are never among it."""

from __future__ import annotations

import datetime as dt
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.compose.containers import LABEL
from ansible_collections.runbook.ops.plugins.module_utils.compose.values import moment_of

IMAGE, CONTAINER, CACHE = "image", "container", "build cache"


@dataclass(frozen=True)
class Limits:
    """What is spared. C(None) for an age means that nothing of the kind is removed."""

    images_seconds: int | None
    containers_seconds: int | None
    cache_bytes: int | None
    keep_images: Sequence[str] = ()
    only: Sequence[str] = ()
    keep_newest: int = 1


def removable_images(
    images: Sequence[Mapping[str, Any]], used: Iterable[str], kept: Iterable[str], limits: Limits, now: dt.datetime
) -> list[dict[str, Any]]:
    """The images nobody needs, the oldest first.

    Spared are those of any container, stopped ones too, those a release may go back to, the newest of each name, those
    that are named, and those that came here within the time: an image that was built long ago elsewhere and fetched
    today is young.
    """
    if limits.images_seconds is None:
        return []
    spared = {*used, *kept, *_newest(images, limits.keep_newest)}
    found = []
    for each in images:
        names = [name for name in each.get("RepoTags") or [] if name != "<none>:<none>"]
        age = _age(_here_since(each), now)
        if each["Id"] in spared or age is None or age < limits.images_seconds:
            continue
        if _matches(names, limits.keep_images) or not _may_go(names, limits):
            continue
        found.append(
            {
                "action": "remove",
                "kind": IMAGE,
                "object": names[0] if names else each["Id"][7:19],
                "id": each["Id"],
                "names": names,
                "bytes": int(each.get("Size") or 0),
                "age_seconds": age,
            }
        )
    return sorted(found, key=lambda each: (-each["age_seconds"], each["object"]))


def _matches(names: Iterable[str], patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _may_go(names: Iterable[str], limits: Limits) -> bool:
    return not limits.only or _matches(names, limits.only)


def _newest(images: Sequence[Mapping[str, Any]], count: int) -> set[str]:
    """The newest images of every repository."""
    by_name: dict[str, list[tuple[str, str]]] = {}
    for each in images:
        for name in each.get("RepoTags") or []:
            repository = name.rpartition(":")[0]
            # The names that releases get protect them as long as the history has them, not for ever.
            if repository not in ("<none>", "") and not repository.startswith("runbook/"):
                moment = _here_since(each)
                by_name.setdefault(repository, []).append((str(moment or ""), each["Id"]))
    return {image for entries in by_name.values() for _moment, image in sorted(entries, reverse=True)[:count]}


def _here_since(image: Mapping[str, Any]) -> dt.datetime | None:
    moments = [moment_of(image.get("Created")), moment_of((image.get("Metadata") or {}).get("LastTagTime"))]
    known = [each for each in moments if each is not None]
    return max(known) if known else None


def _age(moment: dt.datetime | None, now: dt.datetime) -> int | None:
    return None if moment is None else max(0, round((now - moment).total_seconds()))


def removable_containers(
    containers: Sequence[Mapping[str, Any]], limits: Limits, now: dt.datetime
) -> list[dict[str, Any]]:
    """Stopped containers that nobody will start again, the oldest first.

    A stopped service of a Compose project is one that somebody will start; what C(docker compose run) left is not.
    """
    if limits.containers_seconds is None:
        return []
    found = []
    for each in containers:
        state = each.get("State") or {}
        labels = (each.get("Config") or {}).get("Labels") or {}
        belongs = f"{LABEL}.project" in labels and labels.get(f"{LABEL}.oneoff", "").lower() != "true"
        moment = moment_of(state.get("FinishedAt")) or moment_of(each.get("Created"))
        age = _age(moment, now)
        if state.get("Status") not in ("exited", "created", "dead") or belongs or age is None:
            continue
        name = str(each.get("Name") or "").lstrip("/")
        if age >= limits.containers_seconds and _may_go([name], limits):
            found.append(
                {
                    **{"action": "remove", "kind": CONTAINER, "object": name, "id": each["Id"], "names": [name]},
                    **{"bytes": int(each.get("SizeRw") or 0), "age_seconds": age},
                }
            )
    return sorted(found, key=lambda each: (-each["age_seconds"], each["object"]))


def cache_action(size: int | None, limits: Limits) -> list[dict[str, Any]]:
    """Clear the build cache down to its limit."""
    if size is None or limits.cache_bytes is None or size <= limits.cache_bytes:
        return []
    return [
        {
            **{"action": "prune", "kind": CACHE, "object": CACHE, "id": "", "names": []},
            **{"bytes": size - limits.cache_bytes, "age_seconds": None},
        }
    ]
