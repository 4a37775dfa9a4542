"""Samples as exporters write them for Prometheus: its text format 0.0.4 for a page, OpenMetrics for a past."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

Sample = tuple[str, dict[str, str], float]
Families = Iterable[tuple[str, list[Sample]]]
Types = Mapping[str, tuple[str, str]]


def page(families: Families, types: Types) -> str:
    """An exporter's page; ``types`` are kind and help of each family."""
    lines = []
    for family, members in families:
        kind, words = types[family]
        # This format names a counter as its sample is named; OpenMetrics leaves the ending out.
        name = f"{family}_total" if kind == "counter" else family
        lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
        lines += [_line(*sample) for sample in members]
    return "\n".join(lines) + "\n"


def past(
    families_at: Callable[[float], Families], types: Types, moments: Iterable[float], labels: Mapping[str, str]
) -> str:
    """The same at several moments, in OpenMetrics; ``labels`` are the target's."""
    families: dict[str, dict[str, list[str]]] = {}
    for at in moments:
        for family, members in families_at(at):
            for name, own, value in members:
                key = f"{name}{sorted(own.items())}"
                line = f"{_line(name, {**own, **labels}, value)} {at:.0f}"
                families.setdefault(family, {}).setdefault(key, []).append(line)
    lines: list[str] = []
    for family, series in families.items():
        lines.append(f"# TYPE {family} {types[family][0]}")
        for each in series.values():
            lines += each
    return "\n".join([*lines, "# EOF"]) + "\n"


def counted(value: float) -> float:
    """A counter without steps: whole numbers would make a share of a few seconds jump."""
    return round(value, 3)


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    inside = ",".join(f'{key}="{text}"' for key, text in labels.items())
    return f"{name}{{{inside}}} {_number(value)}" if inside else f"{name} {_number(value)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
