# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a release: a directory that is complete, or that nobody takes for one."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.children import (
    ChildFailed,
    clean_environment,
    first_words,
    run,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso_of
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, free_bytes
from ansible_collections.runbook.ops.plugins.module_utils.common.masking import mask_secrets
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.releases.model import (
    MARKER,
    Stock,
    check_commit,
    check_inside,
    check_sha256,
)
from ansible_collections.runbook.ops.plugins.module_utils.releases.source import (
    Archive,
    Repository,
    content_bytes,
    unpack,
)
from ansible_collections.runbook.ops.plugins.module_utils.releases.store import Layout, remove_release, write_json

_ROOM_BYTES = 64 * 1024 * 1024
Action = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """What a release is made of, and how."""

    source: Archive | Repository
    directories: Sequence[str]
    files: Sequence[str]
    build: Sequence[Sequence[str]]
    environment: Mapping[str, str]
    secrets: Mapping[str, str]
    required: Sequence[str]
    seconds: float

    def built_with(self) -> dict[str, Any]:
        """The environment of the build for the marker: names, and a digest that gives no value away.

        What a build bakes in (the address of an API, say) cannot be changed by a restart. The digest tells that a
        release was built with other values. Secrets are known by their names only.
        """
        text = "\0".join(f"{name}={value}" for name, value in sorted(self.environment.items()))
        return {
            "names": sorted({*self.environment, *self.secrets}),
            "sha256": hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest(),
        }


def recipe_from(params: Mapping[str, Any]) -> Recipe:
    """The recipe that the options give; raises InvalidOption."""
    environment = {name: str(value) for name, value in params["environment"].items()}
    secrets = {name: str(value) for name, value in params["secrets"].items()}
    build = [list(each) for each in params["build"]]
    for number, argv in enumerate(build):
        if not argv or not all(isinstance(word, str) and "\0" not in word for word in argv) or not argv[0]:
            raise InvalidOption(f"build[{number}]", argv, "a list of words: the program and its arguments")
        if any(value and value in word for value in secrets.values() for word in argv):
            raise InvalidOption(f"build[{number}]", "a secret", "words without secrets; everybody can read them in ps")
    missing = [name for name in params["required_environment"] if not (environment.get(name) or secrets.get(name))]
    if missing:
        raise InvalidOption(
            "required_environment",
            missing,
            "names that environment or secrets give a value; what the build needs cannot be set later",
        )
    if params["build_timeout"] <= 0:
        raise InvalidOption("build_timeout", params["build_timeout"], "a number of seconds above 0")
    return Recipe(
        source_from(params),
        [check_inside(each, "shared_directories") for each in params["shared_directories"]],
        [check_inside(each, "shared_files") for each in params["shared_files"]],
        build,
        environment,
        secrets,
        params["required_environment"],
        params["build_timeout"],
    )


def source_from(params: Mapping[str, Any]) -> Archive | Repository:
    """The archive or the commit; raises InvalidOption."""
    if params["strip_components"] < 0:
        raise InvalidOption("strip_components", params["strip_components"], "a number from 0")
    if params["archive"]:
        return Archive(Path(params["archive"]), check_sha256(params["sha256"]), params["strip_components"])
    if params["repository"]:
        return Repository(Path(params["repository"]), check_commit(params["commit"]), params["fetch"])
    raise InvalidOption("state", "prepared", "prepared with archive and sha256, or with repository and commit")


def plan_preparation(layout: Layout, stock: Stock, name: str, recipe: Recipe) -> list[Action]:
    """What has to be done for the release, in order; nothing if it is complete. Touches nothing.

    Raises:
        Refused: it cannot be made.

    """
    found = stock.get(name)
    if found is not None and found.complete:
        _check_same(name, found.source, recipe.source.describe(), found.environment, recipe.built_with())
        return []
    if found is not None and found.complete is None:
        raise Refused(f"{layout.release(name)} is there and was not made by this module. Give the release another id.")
    recipe.source.check()
    missing = [each for each in recipe.files if not (layout.shared / each).exists()]
    if missing:
        raise Refused(
            f"shared_files: {', '.join(missing)} is missing below {layout.shared}. Put it there first; a release never "
            "brings it."
        )
    _check_room(layout, recipe.source)
    actions: list[Action] = []
    if found is not None:
        actions.append({"action": "remove", "object": name, "reason": "its making ended early"})
    if isinstance(recipe.source, Repository) and not recipe.source.has_commit():
        actions.append({"action": "fetch", "object": str(recipe.source.path)})
    what = recipe.source.describe()
    actions.append({"action": "unpack", "object": name, "source": what.get("sha256") or what.get("commit")})
    actions += [{"action": "link", "object": each} for each in [*recipe.directories, *recipe.files]]
    actions += [{"action": "build", "object": " ".join(argv)} for argv in recipe.build]
    return actions


def _check_same(name: str, found: Any, wanted: Any, built: Any, with_now: Any) -> None:
    if found != wanted:
        was, now = (each.get("sha256") or each.get("commit") or "something else" for each in (found, wanted))
        raise Refused(f"Release {name} is there and was made of {was}, not of {now}. Give the new one another id.")
    if built.get("sha256") != with_now["sha256"]:
        raise Refused(
            f"Release {name} was built with other values in its environment. A build keeps what it was built with, so "
            "a restart would not change it. Give the release another id, and it is built anew."
        )


def _check_room(layout: Layout, source: Archive | Repository) -> None:
    if isinstance(source, Archive):
        needed, free = content_bytes(source) + _ROOM_BYTES, free_bytes(layout.releases)
        if needed > free:
            raise Refused(
                f"The release needs {needed // 2**20} MiB below {layout.releases}, and {free // 2**20} MiB are free. "
                "Remove old releases (state=pruned) or enlarge the disk."
            )


def prepare(layout: Layout, name: str, recipe: Recipe, actions: Sequence[Action]) -> None:
    """Carry the plan out. Whatever ends it, the release that is served stays as it is."""
    kinds = {each["action"] for each in actions}
    target = layout.release(name)
    with explained("make", layout.releases):
        layout.releases.mkdir(parents=True, exist_ok=True)
        layout.shared.mkdir(exist_ok=True)
    if "remove" in kinds:
        remove_release(layout, name)
    write_json(
        layout.note(name), {"release": name, "began_at": iso_of(time.time()), "source": recipe.source.describe()}
    )
    if "fetch" in kinds and isinstance(recipe.source, Repository):
        recipe.source.bring(recipe.seconds)
    with explained("make", target):
        target.mkdir()
    unpack(recipe.source, target)
    for each in recipe.directories:
        with explained("make", layout.shared / each):
            (layout.shared / each).mkdir(parents=True, exist_ok=True)
    for each in [*recipe.directories, *recipe.files]:
        _link(layout, target, each)
    for argv in recipe.build:
        _build(target, argv, recipe)
    now = time.time()
    marker = {
        "release": name,
        "made_at": now,
        "source": recipe.source.describe(),
        "environment": recipe.built_with(),
        "build": [list(argv) for argv in recipe.build],
    }
    # The files of the release are on the disk before anything says that it is complete.
    os.sync()
    write_json(target / MARKER, marker)
    with explained("remove", layout.note(name)):
        layout.note(name).unlink()


def _link(layout: Layout, target: Path, shared: str) -> None:
    """Put a link to what is shared where the release expects it; what the release brought in its place gives way."""
    place = target / shared
    with explained("link", place):
        place.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(place):
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            else:
                place.unlink()
        place.symlink_to(os.path.relpath(layout.shared / shared, place.parent))


def _build(target: Path, argv: Sequence[str], recipe: Recipe) -> None:
    environment = {**clean_environment(), **recipe.environment, **recipe.secrets}
    shown = " ".join(argv)
    try:
        run(argv, environment=environment, seconds=recipe.seconds, cwd=target)
    except ChildFailed as error:
        said = mask_secrets(first_words(error.words[-4000:], 5), recipe.secrets.values())
        raise RunbookError(f"build: {shown} failed with status {error.code}: {said or 'it said nothing'}") from None
    except RunbookError as error:
        raise RunbookError(f"build: {shown}: {mask_secrets(error.message, recipe.secrets.values())}") from None
