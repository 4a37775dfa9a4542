# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker's own command line, without a shell: what it says, as data."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import (
    Child,
    ChildFailed,
    clean_environment,
    first_words,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.files import private_directory, write_file
from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text
from ansible_collections.runbook.ops.plugins.module_utils.compose.project import Project

# What leads to the engine. Nothing else of our environment is passed on: Compose would put it before the environment
# files, and the next run, from another shell, would mean something else.
_KEPT = (
    *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION"),
    "SSH_AUTH_SOCK",
)
_UNSET = re.compile(r'The \\?"([^"\\]+)\\?" variable is not set')
_MISSING = re.compile(r"[Nn]o such (?:image|object): ([^\s\"]+)")


class DockerFailed(RunbookError):
    """The client ended with a failure; C(words) is what it said, without secrets."""

    def __init__(self, message: str, *, words: str = "") -> None:
        super().__init__(message)
        self.words = words


@dataclass(frozen=True)
class Ended:
    """A command that ended."""

    code: int
    output: str
    words: str


@dataclass(frozen=True)
class Resolved:
    """A project's definition as Compose understands it, and what it warned of. It holds secrets."""

    model: Mapping[str, Any]
    unset_variables: tuple[str, ...]
    version_is_obsolete: bool


class Docker:
    """The client of one engine.

    Args:
        cli: The program.
        host: The engine's address; by default what the environment and the client's context say.
        seconds: How long one command may take.

    """

    def __init__(self, cli: str = "docker", host: Optional[str] = None, seconds: float = 60.0) -> None:
        self._cli = cli
        self._seconds = seconds
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self._environment = clean_environment(**kept, **({"DOCKER_HOST": host} if host else {}))

    def versions(self) -> tuple[str, str]:
        """The engine's version, and Compose's; raises Unavailable."""
        try:
            engine = self.run("version", "--format", "{{.Server.Version}}")
        except DockerFailed as error:
            raise Unavailable(f"The Docker engine does not answer: {error.words or error.message}") from None
        except RunbookError as error:
            raise Unavailable(error.message) from None
        try:
            compose = self.run("compose", "version", "--short")
        except RunbookError:
            raise Unavailable(
                "Docker Compose v2 is missing: docker compose does not work. Install the package docker-compose-plugin "
                "(Docker's own) or docker-compose (Debian 13)."
            ) from None
        return engine.strip(), compose.strip()

    def execute(self, *arguments: str, seconds: float | None = None, cwd: Path | None = None) -> Ended:
        """Run a command whose exit status the caller looks at.

        Raises:
            RunbookError: it cannot be started, or did not end in time.

        """
        with Child([self._cli, *arguments], environment=self._environment, cwd=cwd) as child:
            collected = bytearray()

            def collect() -> None:
                for chunk in iter(lambda: child.stdout.read1(65536), b""):
                    collected.extend(chunk)

            reader = threading.Thread(target=collect, daemon=True)
            reader.start()
            code = 0
            try:
                child.finish(seconds or self._seconds)
            except ChildFailed as failure:
                code = failure.code
            reader.join(self._seconds)
            return Ended(code, collected.decode("utf-8", "replace"), redact_text(child.words))

    def run(self, *arguments: str, seconds: float | None = None) -> str:
        """Run a command and give what it wrote; raises DockerFailed."""
        ended = self.execute(*arguments, seconds=seconds)
        if ended.code:
            words = first_words(ended.words)
            shown = " ".join(each for each in arguments[:3] if not each.startswith("{"))
            raise DockerFailed(f"docker {shown} failed with status {ended.code}: {words}", words=words)
        return ended.output

    def records(self, *arguments: str, seconds: float | None = None) -> list[dict[str, Any]]:
        """The JSON objects, one a line, that a command writes."""
        text = self.run(*arguments, "--format", "{{json .}}", seconds=seconds)
        return [json.loads(line) for line in text.splitlines() if line.strip()]

    def containers(self, *filters: str) -> list[dict[str, Any]]:
        """Everything about the containers, stopped ones too, that the filters let through."""
        chosen = [part for each in filters for part in ("--filter", each)]
        return self.inspected(
            "container", self.run("container", "ls", "--all", "--quiet", "--no-trunc", *chosen).split()
        )

    def inspected(self, kind: str, names: Iterable[str]) -> list[dict[str, Any]]:
        """Everything about things by their ids. What went away meanwhile is left out."""
        asked = list(dict.fromkeys(names))
        if not asked:
            return []
        ended = self.execute(kind, "inspect", *asked)
        if ended.code and not _MISSING.search(ended.words):
            raise DockerFailed(f"docker {kind} inspect failed: {first_words(ended.words)}", words=ended.words)
        found: list[dict[str, Any]] = json.loads(ended.output or "[]")
        return found

    def image_ids(self, references: Iterable[str]) -> dict[str, str | None]:
        """Which image each reference means on this host now; None where there is none."""
        asked = list(dict.fromkeys(references))
        if not asked:
            return {}
        ended = self.execute("image", "inspect", "--format", "{{.Id}}", *asked)
        missing = set(_MISSING.findall(ended.words))
        if ended.code and not missing:
            raise DockerFailed(f"docker image inspect failed: {first_words(ended.words)}", words=ended.words)
        here = [each for each in asked if each not in missing]
        ids = ended.output.split()
        if len(ids) != len(here):
            # The engine called a missing image by another name: one after the other, then.
            return {each: self._image_id(each) for each in asked}
        return {**dict.fromkeys(asked), **dict(zip(here, ids))}

    def _image_id(self, reference: str) -> str | None:
        ended = self.execute("image", "inspect", "--format", "{{.Id}}", reference)
        return ended.output.strip() or None

    def resolve(self, project: Project) -> Resolved:
        """The project's definition with everything filled in; raises DockerFailed with what is wrong in it."""
        ended = self.compose(project, "config", "--format", "json")
        if ended.code:
            raise DockerFailed(
                f"The definition of {project.name} is not valid: {first_words(ended.words)}", words=ended.words
            )
        return Resolved(
            model=json.loads(ended.output),
            unset_variables=tuple(sorted(set(_UNSET.findall(ended.words)))),
            version_is_obsolete="`version` is obsolete" in ended.words,
        )

    def hashes(self, project: Project, model: Mapping[str, Any]) -> dict[str, set[str]]:
        """The fingerprints that containers of a service bear when they were made from this definition.

        There are two: C(up --no-deps) takes the dependencies out of the definition first.
        """
        found = {name: {value} for name, value in self._hashes(project).items()}
        services = model.get("services") or {}
        if not any((each or {}).get("depends_on") for each in services.values()):
            return found
        alone = {name: {**each, "depends_on": {}} for name, each in services.items()}
        with private_directory("runbook-compose-") as place:
            path = place / "definition.json"
            write_file(path, json.dumps({**model, "services": alone}).encode())
            for name, value in self._hashes(project.resolved(path)).items():
                found.setdefault(name, set()).add(value)
        return found

    def _hashes(self, project: Project) -> dict[str, str]:
        ended = self.compose(project, "config", "--hash", "*")
        pairs = (line.split() for line in ended.output.splitlines())
        return {pair[0]: pair[1] for pair in pairs if len(pair) == 2} if ended.code == 0 else {}

    def compose(self, project: Project, *arguments: str, seconds: float | None = None) -> Ended:
        """Run one of Compose's commands for a project."""
        return self.execute("compose", *project.arguments(), *arguments, seconds=seconds, cwd=project.directory)


def docker_of(options: Mapping[str, Any]) -> Docker:
    """The client that the options describe."""
    return Docker(options["docker_cli"], options["docker_host"], float(options["command_timeout"]))


def last_lines(text: str, count: int) -> list[str]:
    """The last lines of a log, without what looks like a secret."""
    return [redact_text(line) for line in text.splitlines()[-count:]] if count else []


def shown_command(project: Project, arguments: Sequence[str]) -> str:
    """A command as a person would type it."""
    return " ".join(["docker", "compose", *project.arguments(), *arguments])
