# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A project's definition, as C(docker compose config) gives it, as facts and as what is wrong in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.compose.secrets import default_reason, secret_in, weak_reason
from ansible_collections.runbook.ops.plugins.module_utils.compose.values import memory_bytes

# Their images' names, without owner and tag. Their data outlives them, and restarting them stops everything else.
_STATEFUL = re.compile(
    r"(?:^|[-_])(?:postgres(?:ql)?|postgis|pgvector|timescaledb|mysql|mariadb|percona|mongo(?:db)?|redis|valkey|keydb|"
    r"rabbitmq|kafka|zookeeper|etcd|elasticsearch|opensearch|cassandra|minio|influxdb|clickhouse|couchdb|neo4j|"
    r"memcached)(?:$|[-_])"
)
_EVERYWHERE = ("", "0.0.0.0", "::", "[::]")  # noqa: S104 - they are looked for, not bound
_NOT_DATABASES = re.compile(r"exporter|proxy|commander|insight|board|ui$")


@dataclass(frozen=True)
class Declared:
    """A service as it is declared. C(environment) holds secrets."""

    name: str
    image: str
    builds: bool = False
    replicas: int = 1
    has_healthcheck: bool = False
    memory_limit_bytes: Optional[int] = None
    log_driver: Optional[str] = None
    log_options: Mapping[str, str] = field(default_factory=dict)
    restart: str = ""
    ports: Sequence[Mapping[str, Any]] = ()
    volumes: Sequence[str] = ()
    environment: Mapping[str, Optional[str]] = field(default_factory=dict)
    command: Sequence[str] = ()
    is_stateful: bool = False
    # Others wait for its end, such as that of a migration: it is done when it has ended well.
    runs_once: bool = False


def services_of(model: Mapping[str, Any], stateful: Iterable[str] | None = None) -> dict[str, Declared]:
    """The services of a resolved definition, by name.

    Args:
        model: What C(docker compose config --format json) gave.
        stateful: The services that keep data; None to tell them by their images.

    """
    chosen = None if stateful is None else frozenset(stateful)
    services = model.get("services") or {}
    once = frozenset(name for raw in services.values() for name in _awaited(raw or {}))
    return {name: _declared(model, name, raw or {}, chosen, once) for name, raw in services.items()}


def _awaited(raw: Mapping[str, Any]) -> Iterator[str]:
    """The services whose end a service waits for."""
    needed = raw.get("depends_on") or {}
    for name in needed if isinstance(needed, Mapping) else ():
        if (needed[name] or {}).get("condition") == "service_completed_successfully":
            yield name


def _declared(
    model: Mapping[str, Any], name: str, raw: Mapping[str, Any], stateful: frozenset[str] | None, once: frozenset[str]
) -> Declared:
    deploy = raw.get("deploy") or {}
    limits = (deploy.get("resources") or {}).get("limits") or {}
    logging = raw.get("logging") or {}
    builds = bool(raw.get("build"))
    image = str(raw.get("image") or (f"{model.get('name', '')}-{name}" if builds else ""))
    check = raw.get("healthcheck") or {}
    return Declared(
        name=name,
        image=image,
        builds=builds,
        replicas=int(deploy.get("replicas", raw.get("scale", 1))),
        has_healthcheck=bool(check) and not check.get("disable") and (check.get("test") or ["NONE"])[0] != "NONE",
        memory_limit_bytes=memory_bytes(limits.get("memory") or raw.get("mem_limit")),
        log_driver=logging.get("driver"),
        log_options=logging.get("options") or {},
        restart=str(raw.get("restart") or (deploy.get("restart_policy") or {}).get("condition") or ""),
        ports=tuple(raw.get("ports") or ()),
        volumes=tuple(
            each["source"] for each in raw.get("volumes") or () if each.get("type") == "volume" and each.get("source")
        ),
        environment={key: _plain(value) for key, value in (raw.get("environment") or {}).items()},
        command=tuple(_plain(each) or "" for each in raw.get("command") or ()),
        is_stateful=is_database(image) if stateful is None else name in stateful,
        runs_once=name in once,
    )


def _plain(value: Any) -> str | None:
    """A value as the container gets it: Compose writes a dollar sign twice."""
    return None if value is None else str(value).replace("$$", "$")


def is_database(image: str) -> bool:
    """Whether an image by its name is one of a server that keeps data."""
    name = re.split(r"[:@]", image.rpartition("/")[2])[0]
    return bool(_STATEFUL.search(name)) and not _NOT_DATABASES.search(name)


def is_pinned(image: str) -> bool:
    """Whether a reference says which version it means: a digest, an id, or a tag other than C(latest)."""
    if image.startswith("sha256:") or "@sha256:" in image:
        return True
    tag = image.rpartition("/")[2].partition(":")[2]
    return tag not in ("", "latest")


def lint(services: Mapping[str, Declared], *, version_is_obsolete: bool = False) -> list[dict[str, Any]]:
    """What is wrong in a definition: C(kind), C(service), C(object), C(message)."""
    found: list[dict[str, Any]] = []
    if version_is_obsolete:
        found.append(_entry("obsolete_version", "", "version", "the attribute version means nothing any more"))
    for each in services.values():
        found += _lint_service(each)
    return found


def _lint_service(service: Declared) -> list[dict[str, Any]]:
    name = service.name
    found = []
    if not service.builds and not is_pinned(service.image):
        text = f"the image {service.image} has no version: it means another one after every pull"
        found.append(_entry("unpinned_image", name, name, text))
    if not service.has_healthcheck and not service.runs_once:
        found.append(_entry("no_healthcheck", name, name, "nothing can tell whether it works: it has no health check"))
    if service.memory_limit_bytes is None:
        found.append(_entry("no_memory_limit", name, name, "it may take all of the machine's memory"))
    if service.restart in ("", "no", "none") and not service.runs_once:
        found.append(_entry("no_restart_policy", name, name, "it stays down after a crash or a reboot"))
    if service.log_driver in (None, "json-file") and "max-size" not in service.log_options:
        found.append(_entry("no_log_limit", name, name, "its log grows without end unless the daemon limits it"))
    return found + _exposed(service)


def _exposed(service: Declared) -> list[dict[str, Any]]:
    found = []
    for port in service.ports if service.is_stateful else ():
        if str(port.get("host_ip") or "") in _EVERYWHERE:
            where = f"{port.get('published') or 'a random port'} on every address"
            text = f"port {port.get('target')} is published as {where}, which a host's firewall does not see"
            if "redis" in service.image and not any(
                "requirepass" in each or "aclfile" in each for each in service.command
            ):
                text += ", and it asks for no password"
            found.append(_entry("exposed_database", service.name, f"{service.name}:{port.get('target')}", text))
    return found


def secrets_of(services: Mapping[str, Declared], least: int = 16) -> list[dict[str, Any]]:
    """Secrets in the environment that are none, by name; C(is_known) are those that everybody knows, or empty ones."""
    found = []
    for service in services.values():
        for key, value in service.environment.items():
            secret = None if value is None else secret_in(key, value)
            if secret is None:
                continue
            known = "is empty" if secret == "" else default_reason(secret)
            reason = known or weak_reason(secret, least)
            if reason:
                entry = {"service": service.name, "object": f"{service.name}.{key}", "key": key}
                found.append({**entry, "message": f"{key} {reason}", "is_known": known is not None})
    return found


def _entry(kind: str, service: str, name: str, message: str) -> dict[str, Any]:
    return {"kind": kind, "service": service, "object": name, "message": message, "is_wrong": True}
