"""The environment of a container, from its values and from what it refers to."""

from __future__ import annotations

from dataclasses import dataclass

from lab.kubernetes.kinds import Object
from lab.kubernetes.store import Store

SET = "set"  # stands for every value of a Secret


class Missing(LookupError):
    """What a container refers to and is not there, in the kubelet's words."""


@dataclass(frozen=True)
class _Source:
    """A ConfigMap or a Secret of a namespace."""

    kind: str
    namespace: str
    name: str
    optional: bool

    def data(self, store: Store) -> Object:
        found = store.peek(store.key(self.kind, self.namespace, self.name))
        if found is None and not self.optional:
            raise Missing(f'{self.kind.lower()} "{self.name}" not found')
        content: Object = (found or {}).get("data") or {}
        return content if self.kind == "ConfigMap" else dict.fromkeys(content, SET)

    def value(self, store: Store, name: str) -> str | None:
        data = self.data(store)
        if name not in data and not self.optional:
            raise Missing(f"couldn't find key {name} in {self.kind} {self.namespace}/{self.name}")
        return data.get(name)


def _source(kind: str, namespace: str, reference: Object) -> _Source:
    return _Source(kind, namespace, str(reference.get("name")), bool(reference.get("optional")))


def environment_of(store: Store, pod: Object, container: Object) -> dict[str, str]:
    """Name to value; ``Missing`` where the kubelet could not create the container."""
    namespace = pod["metadata"]["namespace"]
    found: dict[str, str] = {}
    for each in container.get("envFrom") or []:
        for word, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            if word in each:
                data = _source(kind, namespace, each[word]).data(store)
                found |= {each.get("prefix", "") + name: str(value) for name, value in data.items()}
    for each in container.get("env") or []:
        value = _value(store, pod, each)
        if value is not None:
            found[each["name"]] = value
    return found


def _value(store: Store, pod: Object, variable: Object) -> str | None:
    origin = variable.get("valueFrom") or {}
    for word, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
        if word in origin:
            source = _source(kind, pod["metadata"]["namespace"], origin[word])
            return source.value(store, str(origin[word].get("key")))
    if "fieldRef" in origin:
        return _field(pod, str(origin["fieldRef"].get("fieldPath")))
    return str(variable.get("value", ""))


def _field(pod: Object, path: str) -> str:
    found: object = pod
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return "" if found is None else str(found)


def missing_volume(store: Store, pod: Object) -> str | None:
    """Why a pod's volumes cannot be mounted."""
    namespace = pod["metadata"]["namespace"]
    for volume in pod["spec"].get("volumes") or []:
        for word, kind, field in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
            reference = volume.get(word)
            if reference:
                try:
                    source = _source(kind, namespace, {**reference, "name": reference.get(field)})
                    data = source.data(store)
                except Missing as error:
                    return f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}'
                wanted = [item["key"] for item in reference.get("items") or [] if item["key"] not in data]
                if wanted and not source.optional:
                    why = f"references non-existent config key: {wanted[0]}"
                    return f'MountVolume.SetUp failed for volume "{volume["name"]}" : {why}'
    return None
