"""Print the directory that holds a link for every CPython 3.9 to 3.13 of this machine that really runs.

Version managers put shims on the PATH that answer with an error for versions which are not activated; the links lead
to the interpreters behind them.
"""

import os
import subprocess
import sys
from pathlib import Path

MINORS = range(9, 14)


def runs(candidate: Path, minor: int) -> bool:
    """Whether CANDIDATE is a working CPython 3.MINOR."""
    try:
        completed = subprocess.run(
            [str(candidate), "-c", "import sys; print(sys.version_info[1])"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=20,
            check=False,
        )
    except OSError:
        return False
    return completed.returncode == 0 and completed.stdout.strip() == str(minor)


folders = [Path(entry) for entry in os.environ.get("PATH", os.defpath).split(os.pathsep) if entry]
pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
links = Path(__file__).resolve().parents[1] / "build" / "interpreters"
links.mkdir(parents=True, exist_ok=True)
for minor in MINORS:
    name = f"python3.{minor}"
    managed = sorted(pyenv.glob(f"3.{minor}.*/bin/{name}"), reverse=True)
    for candidate in [*(folder / name for folder in folders if folder != links), *managed]:
        if candidate.is_file() and runs(candidate, minor):
            link = links / name
            target = candidate if ".venv" not in candidate.parts else candidate.resolve()
            if not (link.is_symlink() and link.readlink() == target):
                # Whole or not at all: several test workers ask at once.
                partial = links / f".{name}.{os.getpid()}"
                partial.symlink_to(target)
                partial.replace(link)
            break
sys.stdout.write(f"{links}\n")
