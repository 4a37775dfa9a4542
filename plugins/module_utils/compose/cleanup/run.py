# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clearing an engine's disk: measured, planned, carried out, measured again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal, Refused, outcome
from ansible_collections.runbook.ops.plugins.module_utils.compose.cleanup.plan import (
    CACHE,
    IMAGE,
    Limits,
    cache_action,
    removable_containers,
    removable_images,
)
from ansible_collections.runbook.ops.plugins.module_utils.compose.client import Docker, docker_of
from ansible_collections.runbook.ops.plugins.module_utils.compose.options import check_timeout
from ansible_collections.runbook.ops.plugins.module_utils.compose.release.store import kept_images
from ansible_collections.runbook.ops.plugins.module_utils.compose.values import memory_bytes, size_bytes

_FIGURES = {
    "Images": "images_bytes",
    "Containers": "containers_bytes",
    "Local Volumes": "volumes_bytes",
    "Build Cache": "build_cache_bytes",
}


def clean_up(options: Mapping[str, Any], now: dt.datetime, *, check_mode: bool) -> dict[str, Any]:
    """Carry out C(docker_cleanup); raises RunbookError."""
    limits = _limits(options)
    check_timeout(options)
    docker = docker_of(options)
    docker.run("version", "--format", "{{.Server.Version}}")
    before = usage(docker)
    containers = docker.containers()
    images = docker.inspected("image", docker.run("image", "ls", "--quiet", "--no-trunc").split())
    used = [each["Image"] for each in containers]
    stopped = removable_containers(containers, limits, now)
    going = {each["id"] for each in stopped}
    # What a container that is removed here uses is free afterwards: the next run takes it, and says so.
    kept = kept_images(Path(options["state_root"]))
    actions = [*stopped, *removable_images(images, used, kept, limits, now)]
    actions += cache_action(before["build_cache_bytes"], limits)
    _check_limit(actions, options["max_images"])
    unused = _unused_volumes(docker)
    refused: list[Refusal] = []
    if not check_mode:
        refused = _apply(docker, actions, limits)
    done = [each for each in actions if each["object"] not in {refusal.object for refusal in refused}]
    after = None if check_mode else usage(docker)
    return outcome(
        changed=bool(done),
        actions=done,
        refused=refused,
        before=before,
        after=after,
        kept={"images_used": len(set(used) - going), "images_of_releases": len(kept)},
        unused_volumes=unused,
        diff={"before": "".join(f"{each['kind']} {each['object']}\n" for each in done), "after": ""},
    )


def _limits(options: Mapping[str, Any]) -> Limits:
    size = options["build_cache_limit"]
    if size and memory_bytes(size) is None:
        raise InvalidOption("build_cache_limit", size, "a size such as 5g, or nothing to leave the build cache alone")
    if options["keep_newest"] < 0:
        raise InvalidOption("keep_newest", options["keep_newest"], "0 or more")
    return Limits(
        images_seconds=_seconds(options, "images_until"),
        containers_seconds=_seconds(options, "containers_until"),
        cache_bytes=memory_bytes(size) if size else None,
        keep_images=options["keep_images"],
        only=options["only"],
        keep_newest=options["keep_newest"],
    )


def _seconds(options: Mapping[str, Any], name: str) -> int | None:
    return parse_seconds(options[name], name) if options[name] else None


def _check_limit(actions: Sequence[Mapping[str, Any]], most: int) -> None:
    count = sum(1 for each in actions if each["kind"] == IMAGE)
    if count > most:
        raise Refused(
            f"{count} images would be removed, which is more than max_images ({most}). Look at them with --check, then "
            "raise max_images or spare some with keep_images."
        )


def usage(docker: Docker) -> dict[str, int | None]:
    """The bytes of images, containers, volumes and build cache."""
    sizes = {each["Type"]: size_bytes(each["Size"]) for each in docker.records("system", "df")}
    return {name: sizes.get(kind) for kind, name in _FIGURES.items()}


def _unused_volumes(docker: Docker) -> list[str]:
    return sorted(docker.run("volume", "ls", "--quiet", "--filter", "dangling=true").split())


def _apply(docker: Docker, actions: Sequence[Mapping[str, Any]], limits: Limits) -> list[Refusal]:
    """Remove one after the other, never by force: what somebody began to use meanwhile is left alone, and said."""
    refused = []
    for each in actions:
        try:
            if each["kind"] == CACHE:
                docker.run("builder", "prune", "--force", "--keep-storage", str(limits.cache_bytes))
            elif each["kind"] == IMAGE:
                docker.run("image", "rm", *(each["names"] or [each["id"]]))
            else:
                docker.run("container", "rm", each["id"])
        except RunbookError as error:
            reason = error.message.rstrip(".")
            refused.append(Refusal(each["object"], reason, "Run it again; what is in use stays."))
    return refused
