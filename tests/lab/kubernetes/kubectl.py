"""kubectl, as the other tool that looks at what ours have done: the machine's own, or Debian 13's package.

Nothing is installed: the package is unpacked below ``build/cache``. Where there is neither, callers use the library's
typed client, and say so in the name of their test.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lab.debian_archive import download, run
from lab.installations import exclusive
from lab.paths import BUILD

KUBECTL = BUILD / "cache" / "kubectl"
PACKAGE = "kubectl"


def find() -> Path | None:
    """The program, on the search path or fetched before; None where there is none. Nothing is downloaded."""
    found = shutil.which("kubectl")
    if found:
        return Path(found)
    fetched = KUBECTL / "kubectl"
    return fetched if fetched.is_file() else None


def fetch(target: Path = KUBECTL) -> Path:
    """The program, downloaded at the first time; raises MissingServer."""
    found = find()
    if found is not None:
        return found
    target.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(target.parent / ".kubectl.lock"):
        if not (target / "kubectl").is_file():
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".kubectl-") as workshop:
                root, made = Path(workshop) / "root", Path(workshop) / "made"
                for package in download(Path(workshop) / "apt", [PACKAGE], "kubectl"):
                    if package.name.startswith(f"{PACKAGE}_"):
                        run(["dpkg-deb", "--extract", str(package), str(root)])
                made.mkdir()
                shutil.move(root / "usr" / "bin" / "kubectl", made / "kubectl")
                run([str(made / "kubectl"), "version", "--client"])
                shutil.rmtree(target, ignore_errors=True)
                made.rename(target)
    return target / "kubectl"


def kubectl(kubeconfig: Path, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run it against a cluster, fetched if there is none; the caller looks at the return code."""
    program = fetch()
    command: Sequence[str] = [str(program), "--kubeconfig", str(kubeconfig), *arguments]
    # It keeps what it discovers below HOME by address, and addresses are used again here.
    with tempfile.TemporaryDirectory(prefix="kubectl-") as home:
        environment = {**os.environ, "HOME": home, "LC_ALL": "C"}
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
