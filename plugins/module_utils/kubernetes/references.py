# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Secrets and ConfigMaps a pod needs, and which of them are missing. Pure; names only, never a value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Optional

SECRET, CONFIG_MAP = "Secret", "ConfigMap"
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
# The names that Kubernetes gives to the same thing in three places: env, envFrom and volumes.
_KEY_REFERENCES = {"secretKeyRef": SECRET, "configMapKeyRef": CONFIG_MAP}
_WHOLE_REFERENCES = {"secretRef": SECRET, "configMapRef": CONFIG_MAP}
Keys = Mapping[str, Iterable[str]]


@dataclass(frozen=True)
class Reference:
    """One Secret or ConfigMap that a pod refers to, or one key of it."""

    kind: str
    name: str
    # None where all of it is meant.
    key: Optional[str]
    # Such as "env DATABASE_URL of container app" or "volume certs".
    where: str
    # Whether a pod starts without it.
    optional: bool = False

    @property
    def shown(self) -> str:
        """Its name in messages."""
        whole = f"{self.kind} {self.name}"
        return f"key {self.key} of {whole}" if self.key else whole

    def facts(self) -> dict[str, Any]:
        """As results have it."""
        return {"kind": self.kind, "name": self.name, "key": self.key, "where": self.where}


def pod_spec_of(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The pod's spec of a pod, a workload, a Job or a CronJob; empty where there is none."""
    spec = document.get("spec") or {}
    spec = (spec.get("jobTemplate") or {}).get("spec") or spec
    if "template" in spec:
        spec = (spec["template"] or {}).get("spec") or {}
    return spec if isinstance(spec, Mapping) else {}


def references(pod_spec: Mapping[str, Any]) -> Iterator[Reference]:
    """Every reference of a pod's spec, in its order: containers, volumes, and what images are pulled with."""
    for section in _CONTAINERS:
        for container in pod_spec.get(section) or ():
            yield from _of_container(container)
    for volume in pod_spec.get("volumes") or ():
        yield from _of_volume(volume)
    for each in pod_spec.get("imagePullSecrets") or ():
        # Without it the image is pulled by nobody in particular, which a public one allows.
        if each.get("name"):
            yield Reference(SECRET, each["name"], None, "imagePullSecrets", False)


def missing_references(
    pod_spec: Mapping[str, Any], secrets: Optional[Keys], configmaps: Optional[Keys]
) -> list[Reference]:
    """What a pod needs and does not find; C(optional) ones are not needed.

    Args:
        pod_spec: The pod's spec, see C(pod_spec_of).
        secrets: The Secrets of the namespace and the names of their keys; None when they could not be read, and
            then nothing can be said about them.
        configmaps: The same of ConfigMaps.

    """
    known = {SECRET: secrets, CONFIG_MAP: configmaps}
    found: dict[Reference, None] = {}
    for each in references(pod_spec):
        present = known[each.kind]
        if each.optional or present is None:
            continue
        if each.name not in present:
            found[Reference(each.kind, each.name, None, each.where)] = None
        elif each.key is not None and each.key not in present[each.name]:
            found[each] = None
    return list(found)


def keys_of(document: Mapping[str, Any]) -> frozenset[str]:
    """The names of the keys of a Secret or ConfigMap."""
    return frozenset(key for section in ("data", "binaryData", "stringData") for key in document.get(section) or {})


def _of_container(container: Mapping[str, Any]) -> Iterator[Reference]:
    name = f"container {container.get('name', '')}"
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        for field, kind in _KEY_REFERENCES.items():
            where = f"env {variable.get('name', '')} of {name}"
            yield from _one(kind, source.get(field), where, (source.get(field) or {}).get("key"))
    for each in container.get("envFrom") or ():
        for field, kind in _WHOLE_REFERENCES.items():
            yield from _one(kind, each.get(field), f"envFrom of {name}", None)


def _of_volume(volume: Mapping[str, Any]) -> Iterator[Reference]:
    where = f"volume {volume.get('name', '')}"
    sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
    for source in sources:
        for field, kind in (("secret", SECRET), ("configMap", CONFIG_MAP)):
            given = source.get(field)
            if not given:
                continue
            keys = [item.get("key") for item in given.get("items") or ()] or [None]
            for key in keys:
                yield from _one(kind, given, where, key)


def _one(kind: str, given: Optional[Mapping[str, Any]], where: str, key: Optional[str]) -> Iterator[Reference]:
    # A volume of a Secret calls it secretName.
    name = (given or {}).get("name") or (given or {}).get("secretName")
    if given and name:
        yield Reference(kind, str(name), key, where, bool(given.get("optional")))
