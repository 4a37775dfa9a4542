"""Copy what users are given to DESTINATION, where ansible-test and the linters find the path they insist on.

The tests stay behind, as they do when the collection is built (galaxy.yml): ruff and mypy read them in the checkout.

Several gates of a parallel run ask for the copy at once: one makes it at a time, files that are equal stay as they
are, so the others never see half of it.
"""

import fcntl
import filecmp
import shutil
import subprocess
import sys
from pathlib import Path

source = Path(__file__).resolve().parents[1]
destination = Path(sys.argv[1]).resolve()
build = source / "build"
build.mkdir(exist_ok=True)
with (build / ".copy.lock").open("w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=source,
        check=True,
        stdout=subprocess.PIPE,
    ).stdout.decode()
    kept = ("tests/config.yml",)  # ansible-test looks there for the Pythons that modules run on.
    given = (name for name in listed.split("\0") if not name.startswith("tests/") or name in kept)
    wanted = {name for name in given if name and (source / name).is_file()}
    for name in sorted(wanted):
        target = destination / name
        if target.is_file() and filecmp.cmp(source / name, target, shallow=False):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / name, target)
    for target in destination.rglob("*"):
        name = str(target.relative_to(destination))
        # What tools write beside the files (caches, test output) is theirs, and may come and go just now.
        tools = name.startswith((".git/", ".ansible/", "tests/output/")) or "__pycache__" in target.parts
        if not tools and name not in wanted and target.is_file():
            target.unlink(missing_ok=True)
    if not (destination / ".git").exists():
        # A repository of its own: ansible-test must not climb to ours, where the copy is ignored.
        subprocess.run(["git", "init", "--quiet"], cwd=destination, check=True)
    subprocess.run(["git", "add", "--all"], cwd=destination, check=True)
