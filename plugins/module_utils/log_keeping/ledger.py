# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was exported from this host: by the content of the files, because rotation changes their names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, write_file
from ansible_collections.runbook.ops.plugins.module_utils.rotation.logs import LogFile

_NAME = "exported.json"
_VERSION = 1


@dataclass(frozen=True)
class Record:
    """One export that was read back from the store. C(content_sha256) is that of the uncompressed log."""

    content_sha256: str
    class_name: str
    bucket: str
    key: str
    sha256: str
    size_bytes: int
    is_redacted: bool
    exported_at: str

    @property
    def address(self) -> str:
        """Where it lies."""
        return f"s3://{self.bucket}/{self.key}"


class Ledger:
    """The records, and the digests of files that have not changed since. Written after every file."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _NAME
        self._records: dict[str, Record] = {}
        self._digests: dict[str, str] = {}
        self._read()

    def of(self, content_sha256: str, class_name: str) -> Optional[Record]:
        """The record of a content in a class."""
        return self._records.get(f"{class_name}/{content_sha256}")

    def digest(self, log: LogFile) -> Optional[str]:
        """The digest of a file that is still the one that was read."""
        return self._digests.get(_identity(log))

    def remember(self, log: LogFile, content_sha256: str) -> None:
        """Keep a digest. It is written with the next record."""
        self._digests[_identity(log)] = content_sha256

    def add(self, record: Record) -> None:
        """Keep a record, on the disk before anything else is done."""
        self._records[f"{record.class_name}/{record.content_sha256}"] = record
        self.save()

    def save(self) -> None:
        """Write everything, atomically."""
        document = {
            "version": _VERSION,
            "records": [asdict(each) for each in self._records.values()],
            "digests": self._digests,
        }
        with explained("create", self._path.parent):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(self._path, json.dumps(document, indent=1, sort_keys=True).encode())

    def _read(self) -> None:
        if not self._path.exists():
            return
        try:
            document: Mapping[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
            for each in document["records"] if document["version"] == _VERSION else [{}]:
                record = Record(**each)
                self._records[f"{record.class_name}/{record.content_sha256}"] = record
            self._digests = dict(document["digests"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunbookError(
                f"{self._path} cannot be read: {error}. It says what was exported. Move it away: then every file is "
                "compared with the object store again."
            ) from None


def _identity(log: LogFile) -> str:
    return f"{log.device}:{log.inode}:{log.size_bytes}:{log.modified_seconds!r}"
