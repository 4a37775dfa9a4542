"""Dependencies audited by npm itself: what it ends with says nothing, what it reports does."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

ADVISORY = {
    "id": 1065,
    "url": "https://github.com/advisories/GHSA-jf85-cpcp-j695",
    "title": "Prototype Pollution in lodash",
    "severity": "critical",
    "vulnerable_versions": "<4.17.12",
    "cwe": ["CWE-1321"],
    "cvss": {"score": 9.1, "vectorString": None},
}
VERSIONS = ("4.17.11", "4.17.21")


class Registry(BaseHTTPRequestHandler):
    """What npm asks a registry for in an audit, and nothing else."""

    advisories: ClassVar[dict[str, Any]] = {}

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(self.advisories if self.path.endswith("/advisories/bulk") else None)

    def do_GET(self) -> None:
        versions = {each: {"name": "lodash", "version": each, "dist": {"tarball": "x"}} for each in VERSIONS}
        packument = {"name": "lodash", "dist-tags": {"latest": VERSIONS[-1]}, "versions": versions}
        self._answer(packument if self.path.startswith("/lodash") else None)

    def _answer(self, content: Any) -> None:
        body = json.dumps(content if content is not None else {"error": "not found"}).encode()
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Nothing: the test looks at what the audit says."""


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Registry]]:
    handler = type("Handler", (Registry,), {"advisories": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_address[1]}/")
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
        monkeypatch.setenv("npm_config_fetch_retries", "0")
        yield handler
        server.shutdown()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    place = tmp_path / "web"
    place.mkdir()
    wanted = {"lodash": VERSIONS[0]}
    (place / "package.json").write_text(json.dumps({"name": "web", "version": "1.0.0", "dependencies": wanted}))
    packages = {
        "": {"name": "web", "version": "1.0.0", "dependencies": wanted},
        "node_modules/lodash": {"version": VERSIONS[0]},
    }
    lock = {"name": "web", "version": "1.0.0", "lockfileVersion": 3, "requires": True, "packages": packages}
    (place / "package-lock.json").write_text(json.dumps(lock))
    return place


def manual(project: Path) -> int:
    """The manual's line, which is looked at by its exit status."""
    return subprocess.run(["npm", "audit"], cwd=project, env=os.environ, capture_output=True, check=False).returncode


def test_the_same_exit_status_means_vulnerable_and_unknown(
    registry: type[Registry], project: Path, run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = {"projects": [{"name": "web", "path": str(project)}]}
    lock = (project / "package-lock.json").read_bytes()
    registry.advisories = {"lodash": [ADVISORY]}
    assert manual(project) == 1
    (found,) = run_module("dependency_audit_info", args)["projects"]
    assert (found["is_known"], found["count"], found["severe_count"], found["exit_status"]) == (True, 1, 1, 1)
    (vulnerability,) = found["vulnerabilities"]
    assert (vulnerability["package"], vulnerability["id"]) == ("lodash", "GHSA-jf85-cpcp-j695")
    assert vulnerability["severity"] == "critical"
    registry.advisories = {}
    (none,) = run_module("dependency_audit_info", args)["projects"]
    assert (none["is_known"], none["count"], none["exit_status"]) == (True, 0, 0)
    # The same exit status without a registry.
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    assert manual(project) == 1
    down = run_module("dependency_audit_info", args)
    assert down["available"] is False
    (unknown,) = down["projects"]
    assert (unknown["is_known"], unknown["count"], unknown["exit_status"]) == (False, None, 1)
    assert [each["section"] for each in down["skipped_sections"]] == ["web"]
    assert (project / "package-lock.json").read_bytes() == lock


def test_what_cannot_be_audited_is_unknown(run_module: Any, tmp_path: Path) -> None:
    (tmp_path / "gems").mkdir()
    (tmp_path / "gems" / "Gemfile.lock").write_text("GEM\n", encoding="utf-8")
    (tmp_path / "none").mkdir()
    # The manual's scan of images is no command of Docker's any more.
    scan = subprocess.run(["docker", "scan", "excelapp-rails:latest"], capture_output=True, text=True, check=False)
    assert scan.returncode != 0
    assert "unknown command" in scan.stderr or "is not a docker command" in scan.stderr
    projects = [
        {"name": "gems", "path": str(tmp_path / "gems")},
        {"name": "none", "path": str(tmp_path / "none")},
        {"name": "image", "ecosystem": "image", "image": "excelapp-rails:latest"},
    ]
    found = run_module("dependency_audit_info", {"projects": projects})
    assert found["available"] is False
    assert [(each["ecosystem"], each["is_known"], each["count"]) for each in found["projects"]] == [
        ("bundle", False, None),
        (None, False, None),
        ("image", False, None),
    ]
    reasons = {each["section"]: each["reason"] for each in found["skipped_sections"]}
    assert reasons["none"] == "there is no lock file"
    refused = run_module("dependency_audit_info", {"projects": [{"name": "x", "ecosystem": "image"}]})
    assert "an image with the ecosystem image" in refused["msg"]
