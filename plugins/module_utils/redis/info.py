# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the reply of INFO. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def parse_info(reply: bytes) -> dict[str, str]:
    """The lines C(name:value) of an INFO reply."""
    values: dict[str, str] = {}
    for line in reply.decode("utf-8", "replace").splitlines():
        name, separator, value = line.partition(":")
        if separator and not line.startswith("#"):
            values[name] = value
    return values


def parse_pairs(text: str) -> dict[str, str]:
    """The inner form C(keys=12,expires=0), as INFO uses for databases, replicas and commands."""
    return dict(item.split("=", 1) for item in text.split(",") if "=" in item)


def integer(values: Mapping[str, str], name: str) -> int | None:
    """A whole number of the reply; None if the server does not give it."""
    try:
        return int(values[name])
    except (KeyError, ValueError):
        return None


def number(values: Mapping[str, str], name: str) -> float | None:
    """A number of the reply; None if the server does not give it, or gives NaN."""
    try:
        value = float(values[name])
    except (KeyError, ValueError):
        return None
    return value if math.isfinite(value) else None


def flag(values: Mapping[str, str], name: str) -> bool | None:
    """A switch of the reply (0 or 1); None if the server does not give it."""
    value = integer(values, name)
    return None if value is None else value != 0


def percent(part: float | None, whole: float | None) -> float | None:
    """C(part) of C(whole) in percent with two decimals; None without a whole."""
    if part is None or not whole:
        return None
    return round(100.0 * part / whole, 2)


def role_of(values: Mapping[str, str]) -> str | None:
    """C(master) or C(replica)."""
    role = values.get("role")
    return "replica" if role == "slave" else role


def version_of(values: Mapping[str, str]) -> str | None:
    """The server's own version; a fork such as Valkey also claims one of Redis, for old clients."""
    return values.get("valkey_version") or values.get("redis_version")


def databases_of(values: Mapping[str, str]) -> list[dict[str, Any]]:
    """The databases that hold keys: C([{db, keys, expires, avg_ttl_seconds}]), by number."""
    found = []
    for name, text in values.items():
        if name.startswith("db") and name[2:].isdigit():
            pairs = parse_pairs(text)
            ttl = integer(pairs, "avg_ttl")
            found.append(
                {
                    "db": int(name[2:]),
                    "keys": integer(pairs, "keys"),
                    "expires": integer(pairs, "expires"),
                    # Redis estimates it while expiring and says 0 until it has.
                    "avg_ttl_seconds": round(ttl / 1000, 3) if ttl else None,
                }
            )
    return sorted(found, key=lambda entry: entry["db"])


def loading_reason(where: str, info: dict[str, str]) -> str:
    """The sentence about a server that is reading its files, with how far it is."""
    done, eta = number(info, "loading_loaded_perc"), integer(info, "loading_eta_seconds")
    progress = [f"{done:.0f} %" if done is not None else "", f"about {eta} s left" if eta is not None else ""]
    shown = ", ".join(part for part in progress if part)
    return f"Redis at {where} is still loading its data set{f' ({shown})' if shown else ''} and answers nothing yet."
