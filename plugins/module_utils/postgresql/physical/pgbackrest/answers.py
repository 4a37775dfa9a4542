# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pgBackRest says about a stanza (C(info)), a backup (C(backup.manifest)) and a repository (C(verify)). Pure."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.wal import parse_lsn

_BACKUP = re.compile(r"backup: (\S+), status: ([a-z ]+), total files checked: (\d+), total valid files: (\d+)")
_ARCHIVE = re.compile(r"archiveId: (\S+), total WAL checked: (\d+), total valid WAL: (\d+)")
_COUNTS = re.compile(r"(missing|checksum invalid|size invalid|other): (\d+)")
_STATUS = re.compile(r"^\s*status: (\S+)")
_TARGET = re.compile(r"pg_tblspc/(\d+)=(\{.*\})$")


@dataclass(frozen=True)
class RestBackup:
    """A backup of a stanza; sizes in bytes. C(has_error): pages failed their checksum while it was taken."""

    label: str
    type: str
    started_at: dt.datetime
    stopped_at: dt.datetime
    start_lsn: int
    stop_lsn: int
    wal_first: str
    wal_last: str
    cluster_bytes: int
    repository_bytes: int
    references: tuple[str, ...]
    has_error: bool
    database_id: int
    repo: int

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        return {
            "label": self.label,
            "type": self.type,
            "started_at": _iso(self.started_at),
            "taken_at": _iso(self.stopped_at),
            "cluster_bytes": self.cluster_bytes,
            "bytes": self.repository_bytes,
            "wal_first": self.wal_first,
            "wal_last": self.wal_last,
            "references": list(self.references),
            "has_error": self.has_error,
            "repo": self.repo,
        }


@dataclass(frozen=True)
class Stanza:
    """What C(info) says. C(archives) has the archive's name of each database (such as C(15-1)) by its number."""

    name: str
    code: int
    message: str
    backups: tuple[RestBackup, ...]
    archives: Mapping[tuple[int, int], str]
    versions: Mapping[tuple[int, int], int]
    identifiers: Mapping[tuple[int, int], str]

    def newest(self) -> RestBackup | None:
        """The one that was complete last."""
        return max(self.backups, key=lambda each: each.stopped_at, default=None)


def parse_info(text: str, name: str) -> Stanza:
    """The answer of C(info --output=json) about one stanza.

    Raises:
        Undecided: it is none, or the stanza is not in it.

    """
    try:
        found = next((each for each in json.loads(text) if each["name"] == name), None)
        if found is None:
            raise Undecided(f"pgBackRest does not know a stanza {name}")
        keys = {(each["id"], each["repo-key"]): each for each in found["db"]}
        return Stanza(
            name=name,
            code=int(found["status"]["code"]),
            message=str(found["status"]["message"]),
            backups=tuple(_backup(each) for each in found["backup"]),
            archives={(each["database"]["id"], each["database"]["repo-key"]): each["id"] for each in found["archive"]},
            # "9.6" and "15": the major version, as the server counts itself.
            versions={key: int(str(each["version"]).split(".", maxsplit=1)[0]) * 10000 for key, each in keys.items()},
            identifiers={key: str(each["system-id"]) for key, each in keys.items()},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Undecided(f"pgBackRest's info cannot be understood ({type(error).__name__}: {error})") from None


def _backup(found: Mapping[str, Any]) -> RestBackup:
    info = found["info"]
    repository = info["repository"]
    return RestBackup(
        label=found["label"],
        type=found["type"],
        started_at=_moment(found["timestamp"]["start"]),
        stopped_at=_moment(found["timestamp"]["stop"]),
        start_lsn=parse_lsn(found["lsn"]["start"]),
        stop_lsn=parse_lsn(found["lsn"]["stop"]),
        wal_first=found["archive"]["start"],
        wal_last=found["archive"]["stop"],
        cluster_bytes=int(info["size"]),
        # With block incremental only what is new has a size.
        repository_bytes=int(repository.get("size") or repository.get("delta") or 0),
        references=tuple(found.get("reference") or ()),
        has_error=bool(found.get("error")),
        database_id=int(found["database"]["id"]),
        repo=int(found["database"]["repo-key"]),
    )


def parse_tablespaces(manifest: str) -> list[dict[str, str]]:
    """The tablespaces that a C(backup.manifest) lists."""
    found = []
    for line in manifest.splitlines():
        if match := _TARGET.match(line):
            about = json.loads(match[2])
            found.append({"oid": match[1], "name": about.get("tablespace-name", match[1]), "location": about["path"]})
    return found


@dataclass(frozen=True)
class Judged:
    """What C(verify) says of one backup, or of one archive: how many files it looked at, how many are good."""

    name: str
    is_archive: bool
    status: str
    checked: int
    valid: int
    counts: Mapping[str, int]

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.status in ("valid", "") and self.checked == self.valid and not any(self.counts.values())

    @property
    def problem(self) -> str:
        """What is wrong, for people."""
        told = [f"{count} {kind}" for kind, count in self.counts.items() if count]
        return f"{self.checked - self.valid} of {self.checked} files are bad" + (
            f" ({', '.join(told)})" if told else ""
        )


def parse_verify(text: str) -> tuple[Optional[str], list[Judged]]:
    """The status that C(verify --output=text --verbose) states, and what it says of archives and backups.

    Its exit status says nothing: it is 0 for damaged repositories, too (pgbackrest#2502).
    """
    status: Optional[str] = None
    found: list[Judged] = []
    for line in text.splitlines():
        if archive := _ARCHIVE.search(line):
            found.append(Judged(archive[1], True, "", int(archive[2]), int(archive[3]), {}))
        elif backup := _BACKUP.search(line):
            found.append(Judged(backup[1], False, backup[2].strip(), int(backup[3]), int(backup[4]), {}))
        elif counts := _COUNTS.findall(line):
            if found:
                last = found[-1]
                known = {kind: int(count) for kind, count in counts}
                found[-1] = Judged(last.name, last.is_archive, last.status, last.checked, last.valid, known)
        elif stated := _STATUS.match(line):
            status = stated[1]
    return status, found


def choose(stanza: Stanza, label: Optional[str], until: Optional[dt.datetime]) -> RestBackup | None:
    """The named backup, or the newest that was complete by a moment; None if there is none."""
    fitting: Sequence[RestBackup] = [
        each
        for each in stanza.backups
        if (label is None or each.label == label) and (until is None or each.stopped_at <= until)
    ]
    return max(fitting, key=lambda each: each.stopped_at, default=None)


def _moment(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.timezone.utc)


def _iso(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
