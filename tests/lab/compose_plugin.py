"""Docker Compose v2 beside an older system's Docker: the plugin of Debian 13's package, below the lab's cache.

Docker's client finds plugins in its configuration folder, so nothing is installed and nobody's own folder is touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab.debian_archive import download, run
from lab.hosts.daemon import ensure_engine
from lab.installations import exclusive
from lab.paths import BUILD

COMPOSE = BUILD / "cache" / "compose"
PACKAGE = "docker-compose"
_PLUGIN = Path("cli-plugins") / "docker-compose"


def fetch(target: Path = COMPOSE) -> Path:
    """Bring the plugin into ``target``, a configuration folder of Docker's client; raises MissingServer."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(target.parent / ".compose.lock"):
        if not (target / _PLUGIN).is_file():
            shutil.rmtree(target, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".compose-") as workshop:
                packages = download(Path(workshop) / "apt", [PACKAGE], "Docker Compose")
                root, made = Path(workshop) / "root", Path(workshop) / "made"
                for package in packages:
                    if package.name.startswith(f"{PACKAGE}_"):
                        run(["dpkg-deb", "--extract", str(package), str(root)])
                (made / _PLUGIN).parent.mkdir(parents=True)
                # A static program: it needs none of the libraries that the package names.
                shutil.move(
                    next(path for path in root.rglob("docker-compose") if path.is_file() and os.access(path, os.X_OK)),
                    made / _PLUGIN,
                )
                (made / "config.json").write_text("{}\n", encoding="utf-8")
                made.rename(target)
    return target


def compose_environment() -> dict[str, str]:
    """The environment in which C(docker compose) finds the engine and the plugin."""
    ensure_engine()
    asked = ["docker", "compose", "version"]
    if subprocess.run(asked, capture_output=True, timeout=300, check=False).returncode == 0:
        return dict(os.environ)
    return {**os.environ, "DOCKER_CONFIG": str(fetch())}
