# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A releases directory on the disk: read it, make a release, switch the link, remove what is old."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, sync_directory
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.releases.model import (
    HISTORY,
    MARKER,
    PREPARING,
    REMOVED,
    Release,
    Stock,
    happened,
)


@dataclass(frozen=True)
class Layout:
    """Where everything is: C(releases) and C(shared) are directories below the root, C(current) is a link there."""

    root: Path
    current_name: str = "current"
    releases_name: str = "releases"
    shared_name: str = "shared"

    @property
    def current(self) -> Path:
        """The link that is served."""
        return self.root / self.current_name

    @property
    def releases(self) -> Path:
        """The directory with a directory for each release."""
        return self.root / self.releases_name

    @property
    def shared(self) -> Path:
        """What outlives releases."""
        return self.root / self.shared_name

    def release(self, name: str) -> Path:
        """The directory of a release."""
        return self.releases / name

    def note(self, name: str) -> Path:
        """The note that a release is being made."""
        return self.releases / f".{name}{PREPARING}"


def layout_of(params: Mapping[str, Any]) -> Layout:
    """The layout that a module's options name; raises InvalidOption."""
    if not Path(params["path"]).is_absolute() or params["path"].rstrip("/") == "":
        raise InvalidOption(
            "path", params["path"], "the absolute path of an application's directory, such as /srv/shop"
        )
    for option in ("current_name", "releases_name", "shared_name"):
        name = params[option]
        if "/" in name or name in ("", ".", ".."):
            raise InvalidOption(option, name, "a name without slashes")
    return Layout(Path(params["path"]), params["current_name"], params["releases_name"], params["shared_name"])


def survey(layout: Layout, *, sizes: bool = False) -> Stock:
    """What is there; nothing at all where there is no such directory yet."""
    names, leftovers = [], []
    with explained("read", layout.releases):
        if layout.releases.is_dir():
            for entry in os.scandir(layout.releases):
                if entry.name.startswith("."):
                    if entry.name.endswith(REMOVED):
                        leftovers.append(entry.name)
                elif entry.is_dir(follow_symlinks=False):
                    names.append(entry.name)
    releases = sorted((_release(layout, name, sizes) for name in names), key=lambda each: (each.made_at, each.id))
    current = current_release(layout)
    return Stock(releases, current, happened(read_json(layout.root / HISTORY).get("history", []), current), leftovers)


def current_release(layout: Layout) -> Optional[str]:
    """The release that the link leads to; None where there is no link.

    Raises:
        Refused: what has the link's name is none, or leads out of the releases directory.

    """
    link = layout.current
    if not os.path.lexists(link):
        return None
    if not link.is_symlink():
        raise Refused(
            f"{link} is no symbolic link, so it cannot be switched in one step. Move what is in it to "
            f"{layout.release('first')}, put a link in its place, and run this again."
        )
    target = Path(os.path.normpath(layout.root / link.readlink()))
    if target.parent != Path(os.path.normpath(layout.releases)):
        raise Refused(f"{link} leads to {target}, which is not below {layout.releases}. Correct path or releases_name.")
    return target.name


def _release(layout: Layout, name: str, sizes: bool) -> Release:
    path = layout.release(name)
    marker = read_json(path / MARKER)
    # A note without the marker is of a run that ended early. With it, the run ended between the two.
    complete = True if marker else (False if layout.note(name).exists() else None)
    made = marker.get("made_at")
    return Release(
        name,
        complete,
        float(made) if isinstance(made, (int, float)) else path.stat().st_mtime,
        marker.get("source", {}),
        marker.get("environment", {}),
        size_of(path) if sizes else None,
    )


def size_of(path: Path) -> int:
    """The bytes that a directory takes on the disk; a file with several names counts once, links are not followed."""
    total, seen = 0, set()
    for folder, _folders, files in os.walk(path):
        for name in files:
            try:
                status = (Path(folder) / name).lstat()
            except OSError:
                continue
            if status.st_nlink > 1:
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
            total += status.st_blocks * 512
    return total


def read_json(path: Path) -> dict[str, Any]:
    """A file of ours; nothing where it is not there, and never a guess where it cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RunbookError(f"Cannot read {path}: {error}. Correct or remove it, and run this again.") from None
    return found if isinstance(found, dict) else {}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a file of ours, atomically. It holds no secret, and everybody who may read the release may read it."""
    partial = path.with_name(f".{path.name}.partial")
    with explained("write", path):
        with partial.open("w", encoding="utf-8") as stream:
            json.dump(content, stream, indent=1, sort_keys=True)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
        sync_directory(path.parent)


def point(layout: Layout, name: str) -> None:
    """Let the link lead to a release: in one step, so that whoever follows it finds the one or the other."""
    fresh = layout.root / f".{layout.current_name}.new"
    with explained("switch", layout.current):
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(Path(layout.releases_name) / name)
        fresh.replace(layout.current)
        sync_directory(layout.root)


def remove_release(layout: Layout, name: str) -> None:
    """Remove a release. It loses its name first: what is half removed is never taken for a release."""
    path = layout.release(name)
    aside = layout.releases / f".{name}{REMOVED}"
    with explained("remove", path):
        if aside.exists():
            shutil.rmtree(aside)
        path.replace(aside)
        layout.note(name).unlink(missing_ok=True)
        shutil.rmtree(aside)


def remove_leftover(layout: Layout, name: str) -> None:
    """Remove the rest of a release whose removal ended early."""
    path = layout.releases / name
    with explained("remove", path):
        shutil.rmtree(path)
