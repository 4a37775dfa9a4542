"""A Prometheus server of our own, from the system's package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from lab import process
from lab.errors import LabError, MissingServer
from lab.server import Server

HOW_TO_INSTALL = "Install the package 'prometheus' (Debian, Ubuntu), or start the lab with '--without prometheus'."
Targets = Mapping[str, Sequence[str]] | Sequence[str]


def prometheus_binary() -> Path | None:
    """The server program, if there is one."""
    found = shutil.which("prometheus", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/bin", "/usr/local/bin"]))
    return Path(found) if found else None


class PrometheusServer(Server):
    """Scrapes ``scrape_targets``: addresses ("127.0.0.1:9000"), or jobs with their addresses.

    ``rules`` is the content of a rule file (text, or data to be written as YAML). ``backfill`` is OpenMetrics
    text with timestamps that becomes its history before the first start.
    """

    label: ClassVar[str] = "Prometheus"

    def __init__(
        self,
        scrape_targets: Targets = (),
        rules: str | Mapping[str, Any] | None = None,
        base: Path | None = None,
        *,
        scrape_interval: str = "1s",
        backfill: str | None = None,
        detached: bool = False,
        on_spawn: Callable[[Server], None] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        binary = prometheus_binary()
        if binary is None:
            raise MissingServer(f"No Prometheus server was found. {HOW_TO_INSTALL}")
        self.binary = binary
        super().__init__(base, detached=detached, on_spawn=on_spawn, environment=environment)
        self.scrape_targets: dict[str, list[str]] = (
            {job: list(targets) for job, targets in scrape_targets.items()}
            if isinstance(scrape_targets, Mapping)
            else {"lab": list(scrape_targets)}
        )
        self.rules = rules
        self.scrape_interval = scrape_interval
        self.backfill = backfill

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def _prepare(self) -> None:
        import yaml

        configuration: dict[str, Any] = {
            "global": {
                "scrape_interval": self.scrape_interval,
                "evaluation_interval": self.scrape_interval,
                "scrape_timeout": self.scrape_interval,
            },
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": targets}]}
                for job, targets in self.scrape_targets.items()
                if targets
            ],
        }
        if self.rules is not None:
            text = self.rules if isinstance(self.rules, str) else yaml.safe_dump(dict(self.rules), sort_keys=False)
            (self.base / "rules.yml").write_text(text, encoding="utf-8")
            configuration["rule_files"] = ["rules.yml"]
        (self.base / "prometheus.yml").write_text(yaml.safe_dump(configuration, sort_keys=False), encoding="utf-8")
        if self.backfill and not (self.base / "data").exists():
            self._fill()

    def _fill(self) -> None:
        promtool = self.binary.with_name("promtool")
        source = self.base / "history.txt"
        source.write_text(self.backfill or "", encoding="utf-8")
        create: list[str | Path] = [promtool, "tsdb", "create-blocks-from", "openmetrics"]
        # Without this (hidden) flag the history is read once more for every two hours of it.
        whole = "--max-block-duration=720h"
        # It would make its own room in the system's temporary directory, which not everybody may write to.
        room = {"TMPDIR": str(self.base)}
        completed = process.run_as(None, [*create, whole, source, self.base / "data"], env=room)
        if "unknown long flag" in completed.stderr:
            completed = process.run_as(None, [*create, source, self.base / "data"], env=room)
        if completed.returncode:
            raise LabError(f"promtool did not accept the history: {completed.stderr.strip()}")

    def _spawn(self) -> subprocess.Popen[bytes]:
        return process.spawn(
            [
                self.binary,
                f"--config.file={self.base / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.base / 'data'}",
                f"--web.listen-address={self.host}:{self.port}",
                "--web.enable-lifecycle",
                "--storage.tsdb.retention.time=30d",
                "--log.level=warn",
            ],
            log=self.log,
            cwd=self.base,
            env=self.environment,
            dies_with_parent=not self.detached,
        )

    def _is_ready(self) -> bool:
        try:
            # The answer carries the path of our own configuration, so no other server is taken for ours.
            flags = self.get("/api/v1/status/flags")["data"]
            if flags["config.file"] != str(self.base / "prometheus.yml"):
                return False
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2):
                return True
        except (OSError, ValueError, KeyError):
            return False

    def get(self, path: str, **arguments: str) -> Any:
        """The JSON answer of its API."""
        query = f"?{urllib.parse.urlencode(arguments)}" if arguments else ""
        with urllib.request.urlopen(f"{self.url}{path}{query}", timeout=10) as answer:
            return json.load(answer)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        result: list[dict[str, Any]] = self.get("/api/v1/query", query=expression)["data"]["result"]
        return result

    def wait_for_samples(self, expression: str = "up", seconds: float = 60.0) -> bool:
        """Wait until a query has a result."""
        return process.wait_until(lambda: bool(self.query(expression)), seconds, 0.1)

    def wait_for_scrapes(self, seconds: float = 60.0) -> bool:
        """Wait until every target was scraped, successfully or not: five seconds at least, its discovery's pace."""

        def all_scraped() -> bool:
            targets = self.get("/api/v1/targets")["data"]["activeTargets"]
            wanted = sum(len(addresses) for addresses in self.scrape_targets.values())
            return len(targets) == wanted and all(each["health"] != "unknown" for each in targets)

        return process.wait_until(all_scraped, seconds, 0.1)
