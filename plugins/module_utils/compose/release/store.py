# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is remembered of releases on a host: which one runs, which one ran before, and each one whole.

Below the project's state directory, for its owner only: C(release.json); C(images.yml), which pins the images by their
ids and can be added to Compose's files by hand; and C(releases/<id>.yml), each a definition with everything filled in,
environment included, so that going back is going back to exactly that.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import locked, write_file
from ansible_collections.runbook.ops.plugins.module_utils.compose.project import Project

_FILE = "release.json"
_EMPTY: dict[str, Any] = {
    "current": None,
    "previous": None,
    "rolled_back_from": None,
    "in_progress": None,
    "history": [],
}
_KEPT = 10


class Store:
    """The state directory of a project."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._directory = project.state_dir

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep a second run away; raises Refused."""
        with _explained(self._directory):
            (self._directory / "releases").mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory.chmod(0o700)
        with locked(self._directory / "lock", f"releasing {self._project.name}"):
            yield

    def load(self) -> dict[str, Any]:
        """The state; an empty one where nothing was released yet."""
        path = self._directory / _FILE
        if not path.exists():
            return dict(_EMPTY)
        try:
            return {**_EMPTY, **json.loads(path.read_text(encoding="utf-8"))}
        except (OSError, ValueError) as error:
            raise RunbookError(
                f"The record of releases in {path} cannot be read ({error}). Restore it, or move it away: without it "
                "the running containers count as the last good release."
            ) from None

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the state, atomically, with only the newest releases in it."""
        kept = list(state["history"])[-_KEPT:]
        write_file(self._directory / _FILE, json.dumps({**state, "history": kept}, indent=2).encode())
        named = {each["id"] for each in kept} | {
            state["current"],
            state["previous"],
            (state["in_progress"] or {}).get("id"),
        }
        for path in (self._directory / "releases").glob("*.yml"):
            if path.stem not in named:
                path.unlink()

    def definition(self, release: str) -> Path:
        """Where a release's own definition is."""
        return self._directory / "releases" / f"{release}.yml"

    def keep_definition(self, release: str, text: str) -> Path:
        """Keep a release's definition, with its secrets, for the owner alone."""
        path = self.definition(release)
        write_file(path, text.encode())
        return path

    def pin(self, images: Mapping[str, str]) -> None:
        """Write the file that pins the images; raises RunbookError."""
        lines = ["# Written by runbook.ops.compose_release: the images that were released, by their ids.", "services:"]
        lines += [f"  {json.dumps(name)}:\n    image: {json.dumps(images[name])}" for name in sorted(images)]
        text = "\n".join(lines if images else [*lines[:1], "services: {}"])
        write_file(self._project.pins, f"{text}\n".encode())


@contextlib.contextmanager
def _explained(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunbookError(
            f"The state directory {directory} cannot be made: {error.strerror}. Run it as root (become: true), or set "
            "state_dir to a folder of the user's own."
        ) from None


def kept_images(root: Path) -> set[str]:
    """The ids of all images that the releases below a folder of state directories may go back to.

    Raises:
        RunbookError: something there cannot be read. What is not known is not nothing.

    """
    try:
        places = sorted(root.iterdir())
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise _unknown(root, error) from None
    return {image for place in [root, *places] for image in _images_of(place / _FILE)}


def _images_of(path: Path) -> set[str]:
    """The images of one project's releases; none where there is no record."""
    try:
        history = json.loads(path.read_text(encoding="utf-8"))["history"][-_KEPT:]
        return {image for release in history for image in release["images"].values()}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _unknown(path, error) from None


def _unknown(path: Path, error: Exception) -> RunbookError:
    return RunbookError(
        f"{path} does not say which images releases may go back to: {type(error).__name__} ({error}). Nothing was "
        "removed. Run it as root (become: true); if the record is damaged, restore it or move it away."
    )
