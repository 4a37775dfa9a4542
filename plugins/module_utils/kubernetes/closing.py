# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What closes an application, by a key of a ConfigMap or by an Ingress of our own, and what opens it again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.change_mark import change_mark
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import PREFIX, memory_of, remembered

Document = dict[str, Any]
MAINTENANCE = f"{PREFIX}maintenance"
_MANAGED_BY = {"app.kubernetes.io/managed-by": "runbook.ops"}


@dataclass(frozen=True)
class Switch:
    """A key of a ConfigMap, the value that closes, and the one that opens if nothing is remembered."""

    config_map: str
    key: str
    value: str
    open_value: Optional[str]


@dataclass(frozen=True)
class Setting:
    """What a key shall hold; None removes it. C(patch) does that and remembers, or forgets, what it was."""

    before: Optional[str]
    after: Optional[str]
    patch: Document


def switch_setting(
    switch: Switch, config_map: Mapping[str, Any], shown: str, *, closes: bool
) -> Setting | Refusal | None:
    """What has to be done to the ConfigMap; None if it is as it should be.

    Raises:
        RunbookError: what it remembers cannot be read.

    """
    now = (config_map.get("data") or {}).get(switch.key)
    memory = memory_of(config_map, MAINTENANCE) or {}
    if closes:
        if now == switch.value:
            return None
        return _setting(config_map, memory, switch.key, now, switch.value, {**memory, switch.key: now})
    if switch.key in memory:
        left = {key: was for key, was in memory.items() if key != switch.key}
        return _setting(config_map, memory, switch.key, now, memory[switch.key], left)
    if now != switch.value or switch.value == switch.open_value:
        return None
    if switch.open_value is None:
        remedy = "Say what it is when the application is open (open_value)."
        return Refusal(
            shown, f"{switch.key} was set by somebody else, and what it was before is not remembered", remedy
        )
    return _setting(config_map, memory, switch.key, now, switch.open_value, memory)


def _setting(
    config_map: Mapping[str, Any],
    memory: Mapping[str, Any],
    key: str,
    before: Optional[str],
    after: Optional[str],
    remember: Mapping[str, Any],
) -> Setting:
    annotations = change_mark()
    if remember != memory:
        annotations.update(remembered(MAINTENANCE, remember or None))
    metadata = {"resourceVersion": config_map["metadata"]["resourceVersion"], "annotations": annotations}
    return Setting(before, after, {"metadata": metadata, "data": {key: after}})


@dataclass(frozen=True)
class Barrier:
    """An Ingress of our own that sends paths of hosts to a Service which answers that it is closed."""

    name: str
    hosts: Sequence[str]
    paths: Sequence[str]
    service: str
    port: int
    ingress_class: Optional[str]
    annotations: Mapping[str, str]
    overrides: bool
    # Longer paths of others that may stay open.
    open_paths: Sequence[str]

    def manifest(self, namespace: str, tls: Sequence[Mapping[str, Any]] = ()) -> Document:
        """As it is created, with the certificates of the application's own (C(tls_of))."""
        backend = {"service": {"name": self.service, "port": {"number": self.port}}}
        paths = [{"path": path, "pathType": "Prefix", "backend": backend} for path in self.paths]
        spec: Document = {
            "rules": [{**({"host": host} if host else {}), "http": {"paths": paths}} for host in self.hosts]
        }
        if self.ingress_class:
            spec["ingressClassName"] = self.ingress_class
        if tls:
            spec["tls"] = [dict(each) for each in tls]
        annotations = {**self.annotations, **remembered(MAINTENANCE, {"paths": list(self.paths)})}
        metadata = {"name": self.name, "namespace": namespace, "labels": dict(_MANAGED_BY), "annotations": annotations}
        return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec}


def barrier_of(options: Mapping[str, Any]) -> Barrier:
    """The option C(ingress), checked; raises InvalidOption."""
    if not options["hosts"]:
        raise InvalidOption("ingress.hosts", [], "at least one host, as the application's own Ingress has it")
    for path in options["paths"] or [""]:
        if not path.startswith("/") or any(character in path for character in " ;{}\"'\\\n"):
            raise InvalidOption("ingress.paths", path, "paths such as /api/v1/contents")
    if not 1 <= options["port"] <= 65535:
        raise InvalidOption("ingress.port", options["port"], "a port of the Service, from 1 to 65535")
    for name in options["annotations"]:
        if name.endswith("-snippet"):
            accepted = "annotations without configuration of the controller; a snippet can break every Ingress"
            raise InvalidOption("ingress.annotations", name, accepted)
    return Barrier(
        options["name"],
        tuple(options["hosts"]),
        tuple(options["paths"]),
        options["service"],
        options["port"],
        options["ingress_class"] or None,
        {key: str(value) for key, value in options["annotations"].items()},
        options["overrides"],
        tuple(options["open_paths"]),
    )


def is_ours(ingress: Mapping[str, Any]) -> bool:
    """Whether an Ingress was made by us."""
    return MAINTENANCE in ((ingress.get("metadata") or {}).get("annotations") or {})


def is_as_wanted(ingress: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether ours is what it should be; what the server adds does not matter."""
    there, metadata = ingress.get("spec") or {}, ingress["metadata"]
    annotations = metadata.get("annotations") or {}
    return (
        there.get("rules") == wanted["spec"]["rules"]
        and (there.get("tls") or []) == wanted["spec"].get("tls", [])
        and (
            "ingressClassName" not in wanted["spec"]
            or there.get("ingressClassName") == wanted["spec"]["ingressClassName"]
        )
        and all(annotations.get(key) == value for key, value in wanted["metadata"]["annotations"].items())
    )


def service_refusal(
    barrier: Barrier, shown: str, service: Optional[Mapping[str, Any]], slices: Iterable[Mapping[str, Any]]
) -> Optional[Refusal]:
    """Why the Service behind it cannot answer; None if it can."""
    if service is None:
        remedy = "Start one that answers 503, and name it in ingress.service."
        return Refusal(shown, f"there is no Service {barrier.service}", remedy)
    ports = [each.get("port") for each in (service.get("spec") or {}).get("ports") or ()]
    if barrier.port not in ports:
        remedy = f"Name one of its ports in ingress.port: {', '.join(map(str, ports)) or 'none'}."
        return Refusal(shown, f"Service {barrier.service} has no port {barrier.port}", remedy)
    endpoints = [each for piece in slices for each in piece.get("endpoints") or ()]
    # Ready is optional, and unknown counts as ready, as the API says.
    if not any((each.get("conditions") or {}).get("ready") is not False for each in endpoints):
        remedy = "Start its pods first. Without them users would see the controller's own error."
        return Refusal(shown, f"Service {barrier.service} has no endpoint that is ready", remedy)
    return None
