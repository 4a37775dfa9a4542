"""StockBoom's Compose project in small: five services, healthy or with planted faults.

    with compose_shop(directory, degraded=True) as shop:
        variables(shop)       # for a host of the group compose
        shop.environment      # for ansible-playbook, so that docker compose is found

C(PLANTED) says which findings of check_compose the faults give, and nothing else above ok is found.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.compose_project import IS_WELL, PORT, SERVES, ComposeProject
from lab.hosts.daemon import docker
from lab.process import eventually

ENV_FILE = ".env.production"
REQUIRED_KEYS = ["JWT_SECRET", "POSTGRES_PASSWORD"]
SECRETS = {"JWT_SECRET": "Zx8-qLw2_vTn5RbYc7Km", "POSTGRES_PASSWORD": "h4Jd_9sPqXe2-WvBn6Tg"}
# Rule and object of every finding above ok.
PLANTED = (
    ("compose.healthy", "api"),
    ("compose.up", "worker"),
    ("compose.restart_loop", "worker"),
    ("compose.image_drift", "web"),
    ("compose.log_limit", "web"),
    ("compose.exposed_database", "postgres:5432"),
    ("compose.secret", "api.POSTGRES_PASSWORD"),
    ("compose.environment", f"{ENV_FILE}:POSTGRES_PASSWORD"),
)
_KEEPS = {"postgres": "5432", "redis": "6379"}
_SMALL = {"deploy": {"resources": {"limits": {"memory": "64m"}}}, "restart": "unless-stopped"}
_LIMITED = {"logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}}


@contextlib.contextmanager
def compose_shop(directory: Path, *, degraded: bool = False, name: str | None = None) -> Iterator[ComposeProject]:
    """The running project; it and its images are removed at the end."""
    given: dict[str, Any] = {"name": name} if name else {}
    with ComposeProject(directory, extra={"volumes": {"postgres_data": {}, "redis_data": {}}}, **given) as project:
        fill(project, degraded=degraded)
        yield project


def fill(project: ComposeProject, *, degraded: bool) -> None:
    """Make images, files and containers, and wait until everything is as it should be, or as it should not."""
    well = {"/www/health": "ok\n", "/www/version": "1\n"}
    for service in ("api", "worker", "web", "postgres", "redis"):
        files = {} if degraded and service == "api" else well
        tag = "14" if service == "postgres" else "7" if service == "redis" else "1"
        project.services[service] = {
            **_SMALL,
            **_LIMITED,
            "image": project.image(service, tag, {**files, "/www/name": service}),
            "command": SERVES,
            "healthcheck": IS_WELL,
        }
    for service in _KEEPS:
        project.services[service]["volumes"] = [f"{service}_data:/data"]
    project.services["api"]["environment"] = {key: f"${{{key}}}" for key in SECRETS}
    secrets = {**SECRETS, **({"POSTGRES_PASSWORD": "postgres"} if degraded else {})}
    path = project.directory / ENV_FILE
    path.write_text("".join(f"{key}={value}\n" for key, value in secrets.items()), encoding="utf-8")
    path.chmod(0o600)
    if degraded:
        del project.services["web"]["logging"]
        project.services["postgres"]["ports"] = ["5432"]
        project.services["worker"].update(command=["sh", "-c", "exit 3"])
    project.write()
    project.compose("--env-file", str(path), "up", "--detach", *([] if degraded else ["--wait"]))
    if degraded:
        _let_go_wrong(project)


def _let_go_wrong(project: ComposeProject) -> None:
    others = ("web", "postgres", "redis")
    eventually(lambda: all(_health(project, each) == "healthy" for each in others), "the others are well")
    eventually(lambda: _health(project, "api") == "unhealthy", "api is unhealthy")
    eventually(lambda: project.inspect("worker").get("RestartCount", 0) >= 3, "worker is restarted again and again")
    # The name means another image by now, as after a pull that nobody followed with a release.
    other = project.image("web", "new", {"/www/health": "ok\n", "/www/name": "web", "/www/version": "2\n"})
    docker("tag", other, project.services["web"]["image"])


def _health(project: ComposeProject, service: str) -> str:
    state: dict[str, Any] = project.inspect(service).get("State", {})
    return str((state.get("Health") or {}).get("Status", ""))


def port_of(project: ComposeProject, service: str, port: int = PORT) -> int:
    """Where a port of a service is published."""
    return int(project.compose("port", service, str(port)).strip().rpartition(":")[2])


def variables(project: ComposeProject) -> dict[str, Any]:
    """What an inventory says of the shop."""
    return project.variables(compose_env_files=[ENV_FILE], compose_required_keys=REQUIRED_KEYS)
