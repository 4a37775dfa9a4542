"""Custom resource definitions: what is defined is served, as long as its definition is there."""

from __future__ import annotations

from lab.kubernetes.kinds import Key, Kind, Object
from lab.kubernetes.store import Store


def follow_definitions(store: Store) -> None:
    """Serve the kinds of definitions from their creation to their deletion; the table's own kinds stay."""
    given = tuple(store.kinds)

    def written(key: Key, value: Object) -> None:
        if key.kind.name != "CustomResourceDefinition":
            return
        kinds = _defined(value)
        if store.find(key) is None:
            for kind in kinds:
                if kind not in given:
                    store.kinds.remove(kind.group, kind.plural)
            return
        known = {(each.group, each.version, each.plural) for each in store.kinds}
        store.kinds.add(each for each in kinds if (each.group, each.version, each.plural) not in known)

    store.listeners.append(written)


def _defined(definition: Object) -> list[Kind]:
    spec = definition.get("spec") or {}
    names = spec.get("names") or {}
    if not names.get("plural") or not names.get("kind"):
        return []
    return [
        Kind(
            str(spec.get("group")),
            version["name"],
            names["plural"],
            names["kind"],
            spec.get("scope") == "Namespaced",
            tuple(part for part in ("scale", "status") if part in (version.get("subresources") or {})),
            tuple(names.get("shortNames") or ()),
            True,
        )
        for version in spec.get("versions") or []
        if version.get("served")
    ]
