"""How much a lab holds."""

from __future__ import annotations

SIZES = {"small": 1, "medium": 2, "large": 20}


def factor_of(size: str | int) -> int:
    """How many times the least amount of rows; business figures are the same in every size."""
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        return size
    if size not in SIZES:
        raise ValueError(f"There is no size {size!r}. There are: {', '.join(SIZES)}, or a number from 1.")
    return SIZES[str(size)]
