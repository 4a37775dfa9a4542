"""A Compose project on the lab's engine, from images of one static busybox: seconds to make, nothing to fetch."""

from __future__ import annotations

import io
import json
import secrets
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from lab.compose_plugin import compose_environment
from lab.errors import LabError, MissingServer
from lab.hosts.daemon import docker

BUSYBOX = Path("/bin/busybox")
APPLETS = ("sh", "httpd", "sleep", "wget", "cat", "env", "echo", "touch")
PORT = 8080

# What a service runs that answers over HTTP, and how it is asked whether it is well.
SERVES = ["httpd", "-f", "-p", str(PORT), "-h", "/www"]
IS_WELL = {
    "test": ["CMD", "wget", "-q", "-O", "-", f"http://127.0.0.1:{PORT}/health"],
    "interval": "1s",
    "timeout": "3s",
    "retries": 2,
}


@dataclass
class ComposeProject:
    """A project with a name, a folder and images of its own. Leaving the block removes all of them.

    Args:
        directory: The project's folder.
        services: What the Compose file says, by service. C(image) is put in by C(image_name).

    """

    directory: Path
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    name: str = field(default_factory=lambda: f"lab-{secrets.token_hex(4)}")
    extra: dict[str, Any] = field(default_factory=dict)
    _images: list[str] = field(default_factory=list, init=False)

    @cached_property
    def environment(self) -> dict[str, str]:
        """The environment in which C(docker compose) works."""
        return compose_environment()

    @property
    def file(self) -> Path:
        return self.directory / "docker-compose.yml"

    @property
    def state_dir(self) -> Path:
        return self.directory / "state"

    def __enter__(self) -> ComposeProject:
        self.directory.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def image(self, service: str, tag: str, files: Mapping[str, str]) -> str:
        """Make an image with these files, under a name of this project's own: its name."""
        name = f"{self.name}/{service}:{tag}"
        made = subprocess.run(
            ["docker", "import", "-", name], input=_root(files), env=self.environment, capture_output=True, check=False,
            timeout=300,
        )  # fmt: skip
        if made.returncode:
            raise LabError(f"docker import: {made.stderr.decode().strip()}")
        self._images.append(name)
        return name

    def id_of(self, image: str) -> str:
        """The id that a name means now."""
        return docker("image", "inspect", "--format", "{{.Id}}", image)

    def write(self) -> None:
        """Write the Compose file. Containers end at once: nothing here needs time for it."""
        services = {name: {"stop_signal": "SIGKILL", **each} for name, each in self.services.items()}
        self.file.write_text(json.dumps({**self.extra, "services": services}, indent=1), encoding="utf-8")

    def compose(self, *arguments: str, check: bool = True, env: Mapping[str, str] | None = None) -> str:
        """Run C(docker compose) for the project, as its docs say, from its folder."""
        ended = subprocess.run(
            ["docker", "compose", "--project-name", self.name, "--project-directory", str(self.directory),
             "--file", str(self.file), *arguments],
            env={**self.environment, **(env or {})}, cwd=self.directory, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        if check and ended.returncode:
            raise LabError(f"docker compose {' '.join(arguments[:2])}: {ended.stderr.strip()[-2000:]}")
        return ended.stdout

    def inspect(self, service: str) -> dict[str, Any]:
        """Everything about the first container of a service, as Docker tells it."""
        label = f"label=com.docker.compose.project={self.name}"
        which = f"label=com.docker.compose.service={service}"
        ids = docker("ps", "--all", "--quiet", "--filter", label, "--filter", which).split()
        found: list[dict[str, Any]] = json.loads(docker("inspect", ids[0])) if ids else [{}]
        return found[0]

    def options(self, **more: Any) -> dict[str, Any]:
        """What a module is told of the project."""
        return {
            "project_name": self.name,
            "project_src": str(self.directory),
            "files": [self.file.name],
            "state_dir": str(self.state_dir),
            **more,
        }

    def variables(self, **more: Any) -> dict[str, Any]:
        """What an inventory says of it."""
        return {
            "compose_project_name": self.name,
            "compose_project_src": str(self.directory),
            "compose_files": [self.file.name],
            "compose_state_dir": str(self.state_dir),
            **more,
        }

    def remove(self) -> None:
        """Take everything away; harmless when it is gone already."""
        label = f"label=com.docker.compose.project={self.name}"
        if ids := docker("ps", "--all", "--quiet", "--filter", label, check=False).split():
            docker("rm", "--force", "--volumes", *ids, check=False)
        for kind in ("network", "volume"):
            if ids := docker(kind, "ls", "--quiet", "--filter", label, check=False).split():
                docker(kind, "rm", *ids, check=False)
        pattern = f"runbook/{self.name}-*"
        kept = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", pattern, check=False).split()
        own = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{self.name}/*", check=False).split()
        if names := [*kept, *own]:
            docker("image", "rm", *names, check=False)


def _root(files: Mapping[str, str]) -> bytes:
    """The archive of a root file system: busybox, its names, and files."""
    if not BUSYBOX.exists():
        raise MissingServer("There is no /bin/busybox. Install the package busybox-static.")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(BUSYBOX.resolve(), "bin/busybox")
        for name in APPLETS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for place in ("tmp", "www", "data"):
            folder = tarfile.TarInfo(place)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(folder)
        for path, text in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(text.encode()), 0o755
            tar.addfile(entry, io.BytesIO(text.encode()))
    return archive.getvalue()
