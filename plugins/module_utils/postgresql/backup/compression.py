# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a dump is compressed: by pg_dump itself, or by the program zstd where pg_dump's frames would have no checksum."""

from __future__ import annotations

import shutil
from functools import lru_cache
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import (
    Child,
    ChildFailed,
    clean_environment,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation

AUTO, ZSTD, GZIP, NONE = "auto", "zstd", "gzip", "none"
ALGORITHMS = (ZSTD, GZIP, NONE)
_SUFFIXES = {".gz": GZIP, ".zst": ZSTD, ".zstd": ZSTD}
_HIGHEST = {GZIP: 9, ZSTD: 19, AUTO: 9, NONE: 0}
# --compress=method:level is there since this version.
_WITH_METHODS = 160000
_PROBE_SECONDS = 30.0


def by_suffix(name: str) -> Optional[str]:
    """What the ending of a name says; None when it says nothing."""
    return next((method for suffix, method in _SUFFIXES.items() if name.endswith(suffix)), None)


def highest_level(method: str) -> int:
    """The highest level that makes sense; of C(auto), one that every method knows."""
    return _HIGHEST[method]


def chosen(wanted: str, installation: Installation) -> str:
    """The method for an archive: zstd where pg_dump can, else gzip; raises Refused for one that it cannot."""
    if wanted == AUTO:
        return ZSTD if can_zstd(installation) else GZIP
    if wanted == ZSTD and not can_zstd(installation):
        raise Refused(
            f"{installation.directory}/pg_dump {installation.version} cannot compress with zstd. Nothing was touched. "
            f"Use compression {GZIP} or {AUTO}, or format plain, which is compressed by the program zstd."
        )
    return wanted


def archive_argument(method: str, level: Optional[int], installation: Installation) -> str:
    """pg_dump's option for it."""
    if method == NONE:
        return "--compress=0"
    if installation.version_num < _WITH_METHODS:
        return f"--compress={6 if level is None else level}"
    return f"--compress={method}" + ("" if level is None else f":{level}")


def program_argv(level: Optional[int]) -> list[str]:
    """The program that compresses a plain dump with zstd: unlike pg_dump it writes a checksum of the content."""
    program = shutil.which("zstd")
    if program is None:
        raise Refused("The host has no program zstd. Nothing was touched. Install zstd, or use compression gzip.")
    return [program, "--quiet", "--stdout", "--check", f"-{3 if level is None else level}"]


@lru_cache(maxsize=16)
def can_zstd(installation: Installation) -> bool:
    """Whether pg_dump was built with zstd. It says so before it tries to connect."""
    if installation.version_num < _WITH_METHODS:
        return False
    argv = [installation.program("pg_dump"), "--format=custom", f"--compress={ZSTD}", "--no-password"]
    # A socket in a directory that cannot be there.
    with Child(argv, environment=clean_environment(PGHOST="/dev/null/none", PGDATABASE="none")) as child:
        try:
            child.finish(_PROBE_SECONDS)
        except ChildFailed as error:
            return "connection to server" in error.words
        except RunbookError:
            return False
    return False
