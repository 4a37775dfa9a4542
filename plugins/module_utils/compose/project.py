# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Compose project, named completely: Compose's own guesses depend on the directory it is called from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

PINS = "images.yml"


@dataclass(frozen=True)
class Project:
    """Name, folder, files and environment files of a project.

    C(files) are merged in their order. C(state_dir) is where releases are recorded.
    """

    name: str
    directory: Path
    files: tuple[Path, ...]
    env_files: tuple[Path, ...]
    profiles: tuple[str, ...]
    state_dir: Path

    @property
    def pins(self) -> Path:
        """The file that names the released images by their ids."""
        return self.state_dir / PINS

    def with_pins(self) -> Project:
        """The project as it was released; itself where nothing was."""
        return replace(self, files=(*self.files, self.pins)) if self.pins.is_file() else self

    def arguments(self) -> list[str]:
        """What goes between C(docker compose) and the command."""
        return [
            *("--project-name", self.name, "--project-directory", str(self.directory)),
            *(part for path in self.files for part in ("--file", str(path))),
            *(part for path in self.env_files for part in ("--env-file", str(path))),
            *(part for profile in self.profiles for part in ("--profile", profile)),
        ]

    def resolved(self, path: Path) -> Project:
        """The same project from one file that holds everything already."""
        return replace(self, files=(path,), env_files=(), profiles=())
