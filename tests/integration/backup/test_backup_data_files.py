"""The playbook backup_data backs up trees of files of the servers whose inventory names one, and reports it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from lab.backup_runs import names_in
from lab.play import ansible_playbook


def backup_data(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return ansible_playbook(place, "runbook.ops.backup_data", "-i", "hosts.json", *arguments)


def test_trees_of_files(tmp_path: Path) -> None:
    (tmp_path / "tree" / "ab").mkdir(parents=True)
    (tmp_path / "tree" / "ab" / "picture").write_bytes(b"bytes")
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    named = {"backup_files_source": str(tmp_path / "tree"), "backup_files_repository": str(tmp_path / "kept")}
    hosts = {"files-1": {**local, **named}, "bare": local}
    inventory = {"all": {"vars": {"runbook_system": "shop"}, "children": {"servers": {"hosts": hosts}}}}
    (tmp_path / "hosts.json").write_text(json.dumps(inventory), encoding="utf-8")

    check = backup_data(tmp_path, "--check")
    assert check.returncode == 0, check.stdout
    assert names_in(tmp_path / "kept") == []
    real = backup_data(tmp_path, "-e", "confirm=shop")
    assert real.returncode == 0, real.stdout
    [sums] = (tmp_path / "kept").glob("shop-files-*.sums")
    assert subprocess.run(["sha256sum", "-c", sums], cwd=tmp_path / "kept" / "files", check=False).returncode == 0
    assert (tmp_path / "kept" / f"{sums.name}.manifest.json").exists()
    [found] = [
        each
        for each in json.loads((tmp_path / "runbook-report-backup" / "findings.json").read_bytes())
        if each["id"] == "backup.failed"
    ]
    assert (found["host"], found["severity"]) == ("files-1", "ok")
