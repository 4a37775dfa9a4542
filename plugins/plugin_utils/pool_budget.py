# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection pools of all applications together, held against what one PostgreSQL server can give.

A pool is configured per process, so its number says nothing by itself: three pods with a pool of 20 and an
overflow of 40 may open 180 connections, on a server that by default has 97 for applications.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import ceil, floor
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import percent

NO_NAME = "(no application_name)"

# Each number of a pool with its smallest value and what it is when nothing is said; None: it has to be said.
_SHARED: dict[str, tuple[int, int | None]] = {
    "instances": (0, None),
    "instances_max": (0, 0),
    "surge_instances": (0, 0),
    "processes": (1, 1),
    "pool_size": (1, None),
}
_NUMBERS = {
    "application": {**_SHARED, "max_overflow": (0, 0), "concurrency": (1, 0)},
    "pooler": {
        **_SHARED,
        "reserve_pool_size": (0, 0),
        "databases": (1, 1),
        "users": (1, 1),
        "max_db_connections": (1, 0),
    },
}
_TEXTS = {"application": ("application", "via", "seen_as"), "pooler": ("pooler", "seen_as")}


@dataclass(frozen=True)
class Pool:
    """One declared pool. C(numbers) holds None where a number is not known, and 0 where a cap is not set."""

    name: str
    kind: str
    via: str
    seen_as: tuple[str, ...]
    numbers: Mapping[str, int | None]

    @property
    def missing(self) -> list[str]:
        """The numbers without which nothing can be said."""
        return [name for name, value in self.numbers.items() if value is None]

    @property
    def processes(self) -> int:
        """Pools at the peak: every instance an autoscaler or a rolling update may have, with its processes."""
        numbers = _known(self)
        return (max(numbers["instances"], numbers["instances_max"]) + numbers["surge_instances"]) * numbers["processes"]

    def per_process(self, *, overflow: bool) -> int:
        """Connections of one process, with or without what it opens beyond its pool for a while."""
        numbers = _known(self)
        if self.kind == "pooler":
            # PgBouncer has a pool for each pair of database and user, and max_db_connections caps a database.
            pairs = numbers["users"] * (numbers["pool_size"] + (numbers["reserve_pool_size"] if overflow else 0))
            return numbers["databases"] * min(pairs, numbers["max_db_connections"] or pairs)
        most = numbers["pool_size"] + (numbers["max_overflow"] if overflow else 0)
        return min(most, numbers["concurrency"] or most)


def _known(pool: Pool) -> dict[str, int]:
    return {name: value for name, value in pool.numbers.items() if value is not None}


def pool_budget(
    pools: object,
    connections: object,
    *,
    target_percent: object = 80,
    ignore: object = (),
    cores: object = 0,
    spindles: object = 0,
) -> dict[str, Any]:
    """What the pools may open at the peak, against the usable connections of a server.

    C(pools) are the declarations, C(connections) the facts C(health.connections) of postgresql_health_info
    (C(usable), C(max), C(used), C(by_application)). What is not known is null, and so is every sum with it.
    Raises InvalidOption for declarations that cannot be meant.
    """
    declared = _parse(pools)
    facts = connections if isinstance(connections, Mapping) else {}
    usable, maximum = _fact(facts, "usable"), _fact(facts, "max")
    wanted = _whole(target_percent, "target_percent", 1)
    if wanted > 100:
        raise InvalidOption("target_percent", target_percent, "a whole number of 1 to 100")
    groups = _groups(declared, facts.get("by_application"), _names(ignore, "ignore"))
    rows = [_row(number, declared, groups) for number in range(len(declared))]
    totals = {name: _sum(row[name] for row in rows if not row["via"]) for name in ("kept", "normal", "peak")}
    target = None if usable is None else usable * wanted // 100
    undeclared = _undeclared(declared, groups, usable)
    return {
        "declared_count": len(declared),
        "list": rows,
        **totals,
        "usable": usable,
        "max": maximum,
        "used": _fact(facts, "used"),
        "normal_percent": percent(totals["normal"], usable),
        "peak_percent": percent(totals["peak"], usable),
        "headroom": None if totals["peak"] is None or usable is None else usable - totals["peak"],
        "target_percent": wanted,
        "target": target,
        "incomplete": [{"name": pool.name, "missing": pool.missing} for pool in declared if pool.missing],
        "skipped_sections": _skipped(declared),
        "undeclared": undeclared,
        "undeclared_connections": None if undeclared is None else sum(each["undeclared"] for each in undeclared),
        "is_undeclared_complete": None if undeclared is None else not facts.get("truncated", False),
        **_advice(declared, totals["peak"], target, wanted, usable, maximum),
        "formula": _formula(cores, spindles),
    }


def _skipped(pools: Sequence[Pool]) -> list[dict[str, str]]:
    """Why the peak is not known, for whoever judges it; as the modules say what they could not measure."""
    reasons = [f"{pool.name} ({', '.join(pool.missing)})" for pool in pools if pool.missing]
    if not reasons:
        return []
    return [
        {
            "section": "peak_percent",
            "reason": f"Numbers of these pools are not declared: {', '.join(reasons)}.",
            "remedy": "Declare them in postgresql_pools.",
        }
    ]


# --- the declarations
def _parse(pools: object) -> list[Pool]:
    listed = _listed(pools)
    if listed is None:
        raise InvalidOption("pools", pools, "a list of pools, each a mapping")
    found = [_pool(each, f"pools[{position}]") for position, each in enumerate(listed)]
    names = [pool.name for pool in found]
    poolers = {pool.name for pool in found if pool.kind == "pooler"}
    for position, pool in enumerate(found):
        if pool.name in names[:position]:
            raise InvalidOption(f"pools[{position}].{pool.kind}", pool.name, "a name that no pool before it has")
        if pool.via and pool.via not in poolers:
            known = ", ".join(sorted(poolers)) or "none is declared"
            raise InvalidOption(f"pools[{position}].via", pool.via, f"the name of a declared pooler ({known})")
    return found


def _pool(each: object, where: str) -> Pool:
    kinds = [kind for kind in _NUMBERS if isinstance(each, Mapping) and kind in each]
    if not isinstance(each, Mapping) or len(kinds) != 1:
        shown = sorted(map(str, each)) if isinstance(each, Mapping) else each
        raise InvalidOption(where, shown, "a mapping with either application or pooler, the pool's name")
    [kind] = kinds
    numbers, texts = _NUMBERS[kind], _TEXTS[kind]
    for key in each:
        if key not in numbers and key not in texts:
            raise InvalidOption(where, key, f"the keys {', '.join((*texts, *numbers))}")
    name = _text(each[kind], f"{where}.{kind}")
    return Pool(
        name=name,
        kind=kind,
        via=_text(each["via"], f"{where}.via") if each.get("via") else "",
        seen_as=_names(each.get("seen_as", [name]), f"{where}.seen_as"),
        numbers={key: _number(each, key, *limits, where) for key, limits in numbers.items()},
    )


def _number(each: Mapping[str, Any], key: str, least: int, default: int | None, where: str) -> int | None:
    """What is said, what it is when nothing is said, or None: null is always a number that is not known."""
    value = each.get(key, default)
    return value if value is None or key not in each else _whole(value, f"{where}.{key}", least)


def _whole(value: object, option: str, least: int) -> int:
    # Text is what a template or a variable of the environment gives.
    text = value.strip() if isinstance(value, str) else value
    number = int(text) if isinstance(text, str) and text.isdecimal() else text
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise InvalidOption(option, value, f"a whole number of at least {least}")
    return number


def _text(value: object, option: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidOption(option, value, "a name")
    return value.strip()


def _names(value: object, option: str) -> tuple[str, ...]:
    """Names as the server shows them, with the wildcards of a shell; the empty one is a session without a name."""
    listed = _listed(value)
    if listed is None or not all(isinstance(each, str) for each in listed):
        raise InvalidOption(option, value, "a list of names, with * and ? as wildcards")
    return tuple(listed)


def _listed(value: object) -> Sequence[Any] | None:
    return value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else None


def _fact(facts: Mapping[str, Any], name: str) -> int | None:
    value = facts.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


# --- what the server sees of them
@dataclass(frozen=True)
class _Group:
    """Pools that the server cannot tell apart, because they share a name or a pooler, and their connections."""

    pools: frozenset[int]
    names: tuple[str, ...]
    connections: int


def _groups(pools: Sequence[Pool], by_application: object, ignored: Sequence[str]) -> list[_Group] | None:
    """Declared pools with what is measured of them, and each undeclared name as a group without pools."""
    seen = _listed(by_application)
    if seen is None:
        return None
    poolers = {pool.name: number for number, pool in enumerate(pools)}
    groups = [
        _Group(frozenset((number, poolers[pool.via]) if pool.via else (number,)), (), 0)
        for number, pool in enumerate(pools)
    ]
    for each in seen:
        name, count = str(each.get("name") or ""), int(each.get("count") or 0)
        owners = frozenset(number for number, pool in enumerate(pools) if _matches(name, pool.seen_as))
        if owners or not _matches(name, ignored):
            groups.append(_Group(owners, (name or NO_NAME,), count))
    return _merged(groups)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _merged(groups: Iterable[_Group]) -> list[_Group]:
    merged: list[_Group] = []
    for group in groups:
        touching = [each for each in merged if each.pools & group.pools]
        merged = [each for each in merged if each not in touching]
        together = [*touching, group]
        merged.append(
            _Group(
                frozenset().union(*(each.pools for each in together)),
                tuple(name for each in together for name in each.names),
                sum(each.connections for each in together),
            )
        )
    return merged


def _row(number: int, pools: Sequence[Pool], groups: Sequence[_Group] | None) -> dict[str, Any]:
    pool = pools[number]
    group = next((each for each in groups or () if number in each.pools), None)
    clients = [each for each in pools if each.via == pool.name]
    row = {
        "name": pool.name,
        "kind": pool.kind,
        "via": pool.via or None,
        "instances": pool.numbers["instances"],
        **dict.fromkeys(("processes_at_peak", "per_process", "per_instance", "kept", "normal")),
        "peak": _peak(pool),
        "clients_peak": _sum(_peak(each) for each in clients) if clients else None,
        # Sessions of pools that share a name, or a pooler, cannot be told apart.
        "measured": group.connections if group is not None and len(group.pools) == 1 else None,
        "missing": pool.missing,
    }
    if not pool.missing:
        numbers = _known(pool)
        processes, most = numbers["instances"] * numbers["processes"], pool.per_process(overflow=True)
        row |= {
            "processes_at_peak": pool.processes,
            "per_process": most,
            "per_instance": numbers["processes"] * most,
            "kept": processes * pool.per_process(overflow=False),
            "normal": processes * most,
        }
    return row


def _peak(pool: Pool) -> int | None:
    return None if pool.missing else pool.processes * pool.per_process(overflow=True)


def _sum(values: Iterable[int | None]) -> int | None:
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _undeclared(
    pools: Sequence[Pool], groups: Sequence[_Group] | None, usable: int | None
) -> list[dict[str, Any]] | None:
    """Connections that no declaration accounts for: unknown names, and more than a declared pool can have."""
    if groups is None:
        return None
    found = []
    for group in groups:
        direct = [pools[number] for number in sorted(group.pools) if not pools[number].via]
        declared = _sum(_peak(pool) for pool in direct)
        if declared is None or group.connections <= declared:
            continue
        over = group.connections - declared
        found.append(
            {
                "application": ", ".join(pool.name for pool in direct) or ", ".join(group.names),
                "connections": group.connections,
                "declared": declared,
                "undeclared": over,
                "usable_percent": percent(over, usable),
            }
        )
    return sorted(found, key=lambda each: (-int(str(each["undeclared"])), str(each["application"])))


# --- advice
def _advice(
    pools: Sequence[Pool], peak: int | None, target: int | None, wanted: int, usable: int | None, maximum: int | None
) -> dict[str, Any]:
    """Pool sizes that fit C(target) connections, and the server that would fit the pools as they are."""
    nothing: dict[str, Any] = {"advice": [], "advice_text": "", "fitting_max_connections": None}
    if peak is None or target is None or usable is None:
        return nothing
    if peak <= target:
        return {**nothing, "advice_text": f"That fits within {wanted} %"}
    kept_apart = 0 if maximum is None else maximum - usable
    needed = ceil(peak * 100 / wanted) + kept_apart
    nothing["fitting_max_connections"] = None if maximum is None else needed
    counted = [pool for pool in pools if not pool.via and pool.processes]
    least = sum(pool.processes for pool in counted)
    if least > target:
        text = (
            f"No pool size fits {target} connections ({wanted} % of {usable}): there are {least} processes, and each "
            "needs one. Put a pooler before the server, or run fewer processes"
        )
        return {**nothing, "advice_text": text}
    sizes = [
        {
            "name": pool.name,
            "processes_at_peak": pool.processes,
            "per_process": pool.per_process(overflow=True),
            "fitting_per_process": size,
        }
        for pool, size in zip(counted, _fitting(counted, target), strict=True)
    ]
    changed = [each for each in sizes if each["per_process"] != each["fitting_per_process"]]
    listed = ", ".join(
        f"{each['name']} {each['fitting_per_process']} instead of {each['per_process']}" for each in changed
    )
    return {**nothing, "advice": sizes, "advice_text": f"These connections a process fit {wanted} %: {listed}"}


def _fitting(pools: Sequence[Pool], target: int) -> list[int]:
    """The largest equal cut of all pools that fits; a process keeps at least one connection."""
    sizes = [(pool.processes, pool.per_process(overflow=True)) for pool in pools]

    def cut(share: float) -> list[int]:
        return [max(1, floor(size * share)) for _processes, size in sizes]

    low, high = 0.0, 1.0
    for _ignored in range(50):
        middle = (low + high) / 2
        fits = sum(processes * size for (processes, _size), size in zip(sizes, cut(middle), strict=True)) <= target
        low, high = (middle, high) if fits else (low, middle)
    return cut(low)


def _formula(cores: object, spindles: object) -> dict[str, int] | None:
    """How many connections can work at once: cores * 2 + spindles, after HikariCP's "About Pool Sizing".

    It is about the server, so it bounds the sum of all pools rather than the pool of one process.
    """
    processors, disks = _whole(cores, "cores", 0), _whole(spindles, "spindles", 0)
    if not processors:
        return None
    return {"cores": processors, "spindles": disks, "working_connections": 2 * processors + disks}
