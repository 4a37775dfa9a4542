# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes per row as they were right after a rebuild, kept in a file on the host that runs the module.

No table is made in anybody's database for that. An entry belongs to a server (by its system identifier), a database,
an index and the index's definition: an index of the same name with other columns has no baseline yet.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.model import Index

_VERSION = 1
Entries = dict[str, dict[str, Any]]


class Baseline:
    """What is on record for one database, from the option C(baseline) and from the file.

    Args:
        path: The file, or None.
        given: Bytes per row by C(schema.index). What the file has from a rebuild wins: otherwise an index that cannot
            become as small as it was promised would be rebuilt by every run.

    Raises:
        InvalidOption: the file is not one of these, or cannot be written.

    """

    def __init__(self, path: Optional[str], given: Mapping[str, Any] | None = None) -> None:
        self._path = Path(path) if path else None
        self._given = _checked(given or {})
        self._place = ""
        self._entries: Entries = {}
        self._changes: Entries = {}
        if self._path is not None:
            _read(self._path)
            folder = next(each for each in self._path.resolve().parents if each.is_dir())
            if not os.access(folder, os.W_OK):
                raise InvalidOption("baseline_path", str(path), f"a file in a directory that can be written ({folder})")

    @property
    def is_kept(self) -> bool:
        """Whether there is a file that remembers."""
        return self._path is not None

    def belongs_to(self, system_identifier: str, database: str) -> None:
        """Choose the server and the database, and read what is on record for them."""
        self._place = f"{system_identifier}/{database}"
        if self._path is not None:
            self._entries = _read(self._path).get(self._place, {})

    def bytes_per_row(self, index: Index) -> tuple[float, str] | None:
        """The recorded size per row and where it comes from (C(given), C(rebuild), C(seen)); None when unknown."""
        entry = self._entry(index) or {}
        recorded: tuple[float, str] | None = None
        if entry.get("bytes_per_row"):
            recorded = (entry["bytes_per_row"], entry["source"])
        if index.label in self._given and (recorded is None or recorded[1] != "rebuild"):
            return self._given[index.label], "given"
        return recorded

    def collation_versions(self, index: Index) -> str | None:
        """The versions of the collations with which this index was last rebuilt, as far as the file knows."""
        entry = self._entry(index)
        return None if entry is None else entry.get("collation_versions")

    def see(self, index: Index) -> None:
        """Remember the best size per row that was ever seen, for indexes that were not rebuilt yet."""
        known, now = self._entry(index) or {}, index.bytes_per_row
        if known.get("source") == "rebuild" or now is None:
            return
        if not known.get("bytes_per_row") or now < known["bytes_per_row"]:
            self._changes[index.label] = {**(self._entry(index) or {}), **_entry(index, "seen")}

    def rebuilt(self, index: Index, at: str, collation_versions: str | None = None) -> None:
        """Remember the size per row right after a rebuild: that is the baseline."""
        self._changes[index.label] = {
            **_entry(index, "rebuild"),
            "recorded_at": at,
            **({"collation_versions": collation_versions} if collation_versions else {}),
        }

    def write(self) -> None:
        """Write what has changed; entries of other databases, and those written meanwhile, stay."""
        if self._path is None or not self._changes:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with _alone(self._path):
                databases = _read(self._path)
                databases.setdefault(self._place, {}).update(self._changes)
                _write(self._path, databases)
        except OSError as error:
            raise RunbookError(
                f"The sizes after the rebuild could not be recorded in {self._path}: {error.strerror}. The rebuilds "
                "themselves are done. Correct baseline_path or its permissions."
            ) from None
        self._entries.update(self._changes)
        self._changes.clear()

    def _entry(self, index: Index) -> dict[str, Any] | None:
        entry = self._changes.get(index.label) or self._entries.get(index.label)
        return entry if entry is not None and entry.get("definition") == index.definition else None


def _entry(index: Index, source: str) -> dict[str, Any]:
    return {
        "bytes_per_row": index.bytes_per_row,
        "size_bytes": index.size_bytes,
        "rows": None if index.rows is None else round(index.rows),
        "definition": index.definition,
        "source": source,
    }


def _checked(given: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for name, value in given.items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = 0.0
        if not 0 < number < float("inf"):
            raise InvalidOption(f"baseline.{name}", value, "bytes per row, a number above 0")
        found[str(name)] = number
    return found


def _read(path: Path) -> dict[str, Entries]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise InvalidOption("baseline_path", str(path), f"a file that this module wrote ({reason})") from None
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        raise InvalidOption("baseline_path", str(path), f"a file that this module wrote (version {_VERSION})")
    databases: dict[str, Entries] = document.get("databases", {})
    return databases


def _write(path: Path, databases: Mapping[str, Entries]) -> None:
    text = json.dumps({"version": _VERSION, "databases": databases}, indent=1, sort_keys=True, ensure_ascii=False)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text + "\n")
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two databases may be maintained at the same time, with one file for both."""
    with Path(f"{path}.lock").open("a", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
