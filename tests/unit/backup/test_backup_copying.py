"""What a manifest says of files, and what is to be done about a backup in the other repository."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.backup.copying.plan import Decision, There, decide
from ansible_collections.runbook.ops.plugins.module_utils.backup.copying.sheet import (
    Sheet,
    is_same_backup,
    manifest_for,
    read_sheet,
    says_the_same,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError

NAME, ADDRESS = "shop-20260131", "/backups/shop-20260131.manifest.json"
PART = {"bytes": 3, "sha256": "a" * 64, "version_id": "v1"}
FILE: dict[str, Any] = {
    "format": 1, "kind": "postgresql", "method": "dump", "name": NAME, "taken_at": "2026-01-31T02:00:00Z",
    "bytes": 7, "sha256": "b" * 64, "version_id": "v0", "members": {},
    "globals": {**PART, "name": f"{NAME}.globals.sql"}, "verification": None,
}  # fmt: skip
FOLDER = {
    **FILE, "version_id": None, "globals": None,
    "members": {"toc.dat": {**PART, "name": "toc.dat"}, "1.dat": {**PART, "name": "1.dat"}},
}  # fmt: skip


def sheet(found: dict[str, Any]) -> Sheet:
    return read_sheet(json.dumps(found).encode(), NAME, ADDRESS)


def test_the_pieces_of_a_backup() -> None:
    assert [(each.name, each.bytes, each.version_id) for each in sheet(FILE).pieces] == [
        (NAME, 7, "v0"), (f"{NAME}.globals.sql", 3, "v1"),
    ]  # fmt: skip
    folder = sheet({**FOLDER, "physical": {"requires": ["shop-20260130"]}})
    # What a program looks for first comes last.
    assert [each.name for each in folder.pieces] == [f"{NAME}/1.dat", f"{NAME}/toc.dat"]
    assert (folder.bytes, folder.is_directory, folder.requires) == (6, True, ("shop-20260130",))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"kind": "files", "format": 1},
         f"{ADDRESS} is a manifest of 'files' in format 1; copied are backups of postgresql, redis and kubernetes in "
         "format 1"),
        ({**FILE, "format": 2}, f"{ADDRESS} is a manifest of 'postgresql' in format 2; copied are backups of"),
        ({**FILE, "method": "pgbackrest"}, f"{ADDRESS} is about a backup in a repository of pgBackRest, which"),
        ({**FILE, "sha256": "short"}, f"{ADDRESS} is damaged: it is not a manifest as this collection writes it"),
        ({**FOLDER, "members": {"../../etc/passwd": PART}}, f"{ADDRESS} is damaged: it is not a manifest"),
        ({**FILE, "taken_at": "yesterday"}, f"{ADDRESS} is damaged: it is not a manifest as this collection writes it"),
        ({}, f"{ADDRESS} is damaged: it is not a manifest as this collection writes it"),
    ],
    ids=["files", "format", "pgbackrest", "digest", "outside", "moment", "nothing"],
)  # fmt: skip
def test_what_is_not_copied(found: dict[str, Any], message: str) -> None:
    with pytest.raises(RunbookError) as caught:
        sheet(found)
    assert caught.value.message.startswith(message)


def test_the_manifest_of_a_copy_names_the_versions_there() -> None:
    for found in (FILE, FOLDER):
        same = sheet(found)
        assert manifest_for(same, {each.name: each.version_id for each in same.pieces}) == same.raw
        copied = sheet(json.loads(manifest_for(same, {each.name: f"of {each.name}" for each in same.pieces})))
        assert [each.version_id for each in copied.pieces] == [f"of {each.name}" for each in copied.pieces]
        assert says_the_same(same, copied) and is_same_backup(same, copied)
    assert json.loads(manifest_for(sheet(FILE), {}))["version_id"] is None


def test_another_backup_is_another_and_a_proof_makes_none() -> None:
    proven = sheet({**FILE, "verification": {"verdict": "verified"}})
    assert is_same_backup(sheet(FILE), proven) and not says_the_same(sheet(FILE), proven)
    assert not is_same_backup(sheet(FILE), sheet({**FILE, "sha256": "c" * 64}))


WHOLE = {NAME: 7, f"{NAME}.globals.sql": 3}
NOWHERE: dict[str, int | None] = {NAME: None, f"{NAME}.globals.sql": None}


@pytest.mark.parametrize(
    ("there", "is_proven", "decision"),
    [
        (There(sizes=NOWHERE), False, Decision("copy", "it is not there")),
        (There(sizes=WHOLE, has_note=True), False, Decision("complete", "an earlier copy was interrupted")),
        (There(sizes=NOWHERE, has_note=True, is_alive=True), False,
         Decision("refuse", "another host is writing it there, or did so a short while ago", "Wait for its end.")),
        (There(sizes={**NOWHERE, NAME: 7}), False,
         Decision("refuse", f"{NAME} lies there without a manifest, and no note says that a copy was begun",
                  "Look whose it is, and move it away.")),
        (There(problem="it is damaged", sizes=WHOLE), False,
         Decision("refuse", "it is damaged", "Look at what lies there, and move it away.")),
        (There(sheet({**FILE, "sha256": "c" * 64}), sizes=WHOLE), False,
         Decision("refuse", "another backup of that name lies there, taken 2026-01-31T02:00:00Z",
                  "Copy each system's backups to a place of their own.")),
        (There(sheet(FILE), sizes={**WHOLE, NAME: 6}), True,
         Decision("complete", "of its 2 files there, 1 are missing or have another size")),
        (There(sheet(FILE), sizes=WHOLE, has_note=True), False,
         Decision("complete", "an earlier copy was interrupted")),
        (There(sheet({**FILE, "verification": {}}), sizes=WHOLE), False,
         Decision("update", "its manifest says more than that of the copy")),
        (There(sheet(FILE), sizes=WHOLE), True,
         Decision("prove", "the backup was proven since; its copy is read again for the same record")),
        (There(sheet(FILE), sizes=WHOLE, has_record=True), True, Decision("same", "the same lies there")),
        (There(sheet(FILE), sizes=WHOLE), False, Decision("same", "the same lies there")),
    ],
    ids=["nothing", "begun", "alive", "foreign", "damaged", "another", "lost", "unsettled", "more", "proven", "record",
         "same"],
)  # fmt: skip
def test_what_is_to_be_done(there: There, is_proven: bool, decision: Decision) -> None:
    assert decide(sheet(FILE), there, is_proven=is_proven) == decision
