"""Where things are in the checkout."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE_PARENT = REPOSITORY / "tests"
INVENTORIES = REPOSITORY / "inventories"
BUILD = REPOSITORY / "build"
LABS = BUILD / "lab"
FETCHED = BUILD / "cache" / "postgresql"
REDIS = BUILD / "cache" / "redis"
CACHE = BUILD / "cache" / "lab"


def shown(path: Path) -> str:
    """A path as a person would type it: relative where it is below the current directory."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
