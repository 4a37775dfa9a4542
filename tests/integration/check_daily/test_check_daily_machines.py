"""The daily check of the systems that run on machines: StockBoom on Compose, ExcelApp on a virtual machine."""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from lab.compose_plugin import compose_environment
from lab.compose_shop import PLANTED as COMPOSE_PLANTED
from lab.compose_shop import compose_shop, variables
from lab.databases import DATABASES, MONITOR, populate
from lab.hosts import Fleet
from lab.hosts.machine import Host
from lab.plays import Played, play
from lab.postgresql import PostgresServer
from lab.running import Running, running_lab
from lab.stockboom.conditions import CONDITIONS

from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import moment

pytestmark = pytest.mark.xdist_group("compose")

SEOUL = ZoneInfo("Asia/Seoul")
# A moment at which ExcelApp's rows are known (the machine's clock is the real one).
NOW = "2026-01-31T10:30:00+09:00"
# A container sees the processors, the memory and the disks of the machine below, and what else runs there.
BELOW = [
    *("host.cpu", "host.iowait", "host.steal", "host.load", "host.memory_pressure", "host.memory", "host.swap"),
    *("host.swapping", "host.disk", "host.inodes", "host.read_only", "host.stuck", "host.oom"),
]
MACHINE = {
    "check_host_rule_overrides": {rule: {"enabled": False} for rule in BELOW},
    "check_host_history_directory": "",
    # The lab's machines are logged in to as root, and the controller may have no sudo.
    "check_logs_host_become": False,
}
# The four lines of the manual, none of which has a user.
CRON = """\
0 2 * * * /opt/stockboom/scripts/backup.sh
0 3 * * 0 docker system prune -f
0 * * * * curl -f http://localhost:3001/health || systemctl restart stockboom-api
0 4 * * * psql -U postgres -d stockboom -f /opt/stockboom/scripts/cleanup.sql
"""
# Its hours are UTC's, so that the backup of 02:00 begins at 11:00 in Seoul, while the exchange is open.
HARM = (
    *("1 missing_program", "1 outside_window", "2 prune_without_filter", "3 blind_restart", "3 no_timeout"),
    *("4 outside_window", "4 psql_ignores_errors"),
)
BROKEN_UNIT = "[Service]\nType=oneshot\nExecStart=/bin/false\n"
LISTENER = "[Service]\nExecStart=/usr/bin/python3 -m http.server 9999 --bind 0.0.0.0\n"


def lab_inventory(place: Path, groups: dict[str, dict[str, Any]]) -> Path:
    """An inventory with hosts and their variables by group."""
    path = place / "inventory"
    path.mkdir(parents=True, exist_ok=True)
    children = {group: {"hosts": hosts} for group, hosts in groups.items()}
    (path / "hosts.json").write_text(json.dumps({"all": {"children": children}}), encoding="utf-8")
    return path


def folder(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


def machine(host: Host) -> dict[str, Any]:
    return {**host.variables(), "ansible_python_interpreter": "/usr/bin/python3", **MACHINE}


def fail_a_unit(host: Host, name: str) -> None:
    host.write(f"/etc/systemd/system/{name}.service", BROKEN_UNIT)
    host.shell(f"systemctl daemon-reload; systemctl start {name} || true; systemctl is-failed {name}")


def listen_undeclared(host: Host) -> None:
    host.write("/etc/systemd/system/leftover.service", LISTENER)
    host.shell("systemctl daemon-reload; systemctl start leftover; until ss -ltn | grep -q :9999; do sleep 0.1; done")


def fail_logins(host: Host, count: int) -> None:
    line = "Failed password for invalid user admin from 203.0.113.7 port 4242 ssh2"
    host.shell(f"for n in $(seq {count}); do echo '{line}'; done | logger -t sshd; journalctl --sync")


def bad(run: Played) -> Counter[tuple[str, str, str]]:
    return Counter((each["host"], each["id"], each["object"]) for each in run.bad())


def unknown(run: Played) -> list[tuple[str, str, str]]:
    return [(each["id"], each["object"], each["summary"]) for each in run.findings() if each["severity"] == "unknown"]


# ---------------------------------------------------------------- StockBoom


@pytest.fixture(scope="module")
def docker_client() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in compose_environment().items():
            if name.startswith("DOCKER_"):
                patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def stockboom(docker_client: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Host]]:
    place = tmp_path_factory.mktemp("stockboom")
    with running_lab("stockboom", "degraded", place / "lab") as lab, Fleet({"stockboom-docker": 12}) as fleet:
        yield lab, fleet.first


def stockboom_play(place: Path, running: Running, host: Host, project: dict[str, Any], *arguments: str) -> Played:
    compose = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "check_logs_host_become": False,
        **project,
    }
    dumps = old_dumps(place / "dumps", "stockboom_%Y%m%d_%H%M%S.sql.gz")
    machines = lab_inventory(
        place,
        {
            "servers": {"stockboom-docker": machine(host)},
            "compose": {"stockboom-compose": compose},
            "backups": {"stockboom-backups": {"check_backups_repository": str(dumps)}},
        },
    )
    return play(running, "check_daily", "-i", str(machines), *arguments, place=place)


def of_the_shop(project: Any) -> dict[str, Any]:
    sources = [{"name": name, "services": [name], "project": project.name} for name in ("api", "worker")]
    return {**variables(project), "check_logs_host_sources": sources, "check_logs_host_awaited": []}


def test_stockboom(stockboom: tuple[Running, Host], tmp_path: Path) -> None:
    running, host = stockboom
    answer(host, "shop-api", 3001, "health")
    answer(host, "shop-web", 3000, "index.html")
    host.write("/srv/shop-api/api/market-data/kis/token-status", '{"valid": true}')
    with compose_shop(tmp_path / "well") as shop:
        run = stockboom_play(tmp_path / "healthy", running, host, of_the_shop(shop), "-e", "targets=machines")
        assert run.returncode == 0, run.output
        assert bad(run) == Counter()
        expected = {f"{domain}.not_configured" for domain in ("postgresql", "business", "redis", "queue", "backup")}
        assert {rule for rule, _object, _summary in unknown(run)} == expected, unknown(run)

    fail_a_unit(host, "stockboom-report")
    host.shell("rm /srv/shop-api/health")
    listen_undeclared(host)
    fail_logins(host, 12)
    host.write("/etc/cron.d/stockboom", CRON)
    host.shell("chmod 644 /etc/cron.d/stockboom")
    with compose_shop(tmp_path / "broken", degraded=True) as shop:
        run = stockboom_play(tmp_path / "degraded", running, host, of_the_shop(shop))
    assert run.returncode == 0, run.output
    assert unknown(run) == []
    found = bad(run)
    machines = Counter({key: count for key, count in found.items() if key[0].startswith("stockboom-docker")})
    # No line has a user, so cron ignores them all; besides, the unit does not exist, and the rest would do harm.
    never = {f"/etc/cron.d/stockboom:{line} missing_user" for line in (1, 2, 3, 4)}
    assert {key[2] for key in machines if key[1] == "schedule.never"} == {
        *never,
        "/etc/cron.d/stockboom:3 missing_unit",
    }
    assert {key[2] for key in machines if key[1] == "schedule.harm"} == {
        f"/etc/cron.d/stockboom:{each}" for each in HARM
    }
    assert {key[1:] for key in machines if not key[1].startswith("schedule.")} == {
        ("host.units_failed", "stockboom-report.service"),
        ("host.ports_undeclared", "tcp/9999"),
        ("logs.failed_logins_address", "logins: 203.0.113.7"),
        ("http.health", "health"),
    }
    assert {key[1] for key in found if key[0] == "stockboom-backups"} == {"backup.newest_age", "backup.unverified"}
    assert {key[1:] for key in found if key[0] == "stockboom-compose"} == set(COMPOSE_PLANTED)
    rest = Counter(key[1:] for key in found.elements() if key[0] in ("stockboom-postgres", "stockboom-redis"))
    assert rest == Counter((each["finding_id"], each["object"]) for each in CONDITIONS)
    hosts = {key[0] for key in found}
    names = ("docker", "compose", "postgres", "redis", "backups")
    assert hosts == {f"stockboom-{name}" for name in names}


# ---------------------------------------------------------------- ExcelApp


@pytest.fixture(scope="module")
def excelapp_server() -> Iterator[PostgresServer]:
    settings = {"max_connections": 300, "fsync": True, "full_page_writes": True, "synchronous_commit": True}
    with PostgresServer(settings=settings) as server:
        name = populate(server, "excelapp", moment(NOW))
        if server.installation.has_library("pg_stat_statements"):
            server.execute("CREATE EXTENSION pg_stat_statements", db=name)
        yield server


def request_line(at: datetime, level: str, said: str) -> str:
    """A line of Ruby's Logger, whose timestamps carry no zone."""
    name = {"I": "INFO", "E": "ERROR"}[level]
    return f"{level}, [{at:%Y-%m-%dT%H:%M:%S.%f} #812] {name:>5} -- : {said}\n"


def write_logs(host: Host, *, degraded: bool) -> None:
    now = datetime.now(SEOUL)
    lines = [request_line(now - timedelta(days=2), "I", "Started")]
    for number in range(100):
        at = now - timedelta(minutes=200 - number)
        # The manual's expression looks for three digits and takes 1200 ms for quick.
        took = 1200 if degraded and number % 10 == 0 else 40 + number % 7
        lines.append(request_line(at, "I", f"Completed 200 OK in {took}ms (Views: 600.1ms | ActiveRecord: 3.2ms)"))
        if degraded and number % 33 == 0:
            lines.append(request_line(at, "E", f"Net::ReadTimeout at sheet {number}"))
    host.shell("mkdir -p /home/deploy/excelapp-rails/shared/log")
    host.write("/home/deploy/excelapp-rails/shared/log/production.log", "".join(lines))
    quiet = [request_line(now - timedelta(days=2), "I", "listening"), request_line(now, "I", "calculated")]
    host.write("/home/deploy/excelapp-rails/shared/log/formula_engine.log", "".join(quiet))


def certificate(host: Host, days: int) -> None:
    live = "/etc/letsencrypt/live/excelapp"
    host.shell(
        f"mkdir -p {live}; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days {days} "
        f"-subj /CN=excelapp.example -keyout {live}/privkey.pem -out {live}/fullchain.pem 2>/dev/null"
    )


def answer(host: Host, unit: str, port: int, path: str) -> None:
    """A service that answers on the machine itself, and nowhere else."""
    server = f"/usr/bin/python3 -m http.server {port} --bind 127.0.0.1 --directory /srv/{unit}"
    host.write(f"/etc/systemd/system/{unit}.service", f"[Service]\nExecStart={server}\n")
    host.shell(f"mkdir -p $(dirname /srv/{unit}/{path}); echo well >/srv/{unit}/{path}")
    host.shell(f"systemctl daemon-reload; systemctl start {unit}")
    host.shell(f"until ss -ltn | grep -q :{port}; do sleep 0.1; done")


def old_dumps(place: Path, names: str) -> Path:
    """Two nights' dumps, and then none."""
    place.mkdir(parents=True)
    for days in (3, 4):
        taken = datetime.now(SEOUL) - timedelta(days=days)
        path = place / taken.strftime(names)
        rows = "".join(f"INSERT INTO users VALUES ({days}, {number});\n" for number in range(500))
        dump = f"--\n-- PostgreSQL database dump\n--\n{rows}\n--\n-- PostgreSQL database dump complete\n--\n"
        path.write_bytes(gzip.compress(dump.encode()))
        os.utime(path, (taken.timestamp(), taken.timestamp()))
    return place


def test_excelapp(excelapp_server: PostgresServer, tmp_path: Path) -> None:
    login = excelapp_server.login(DATABASES["excelapp"].name, MONITOR, excelapp_server.password)
    database = {
        **{f"postgresql_{name}": value for name, value in login.items()},
        "ansible_python_interpreter": sys.executable,
        "postgresql_ssl_mode": "disable",
        "postgresql_ca_cert": "",
        "runbook_reference_time": NOW,
    }
    with Fleet({"excelapp-vm": 12}) as fleet:
        host = fleet.first
        answer(host, "excelapp-rails", 3000, "up")
        answer(host, "formula-engine", 3002, "health")
        write_logs(host, degraded=False)
        certificate(host, 60)
        dumps = old_dumps(tmp_path / "dumps", "excelapp_rails_production_%Y%m%d_%H%M%S.sql.gz")
        lab_inventory(
            tmp_path / "lab",
            {
                "postgresql": {"excelapp-postgres": database},
                "servers": {"excelapp-vm": machine(host)},
                "backups": {"excelapp-backups": {"check_backups_repository": str(dumps)}},
            },
        )
        lab = Running(tmp_path / "lab", "degraded", {}, "excelapp")
        run = play(lab, "check_daily", "-e", "targets=machines", place=folder(tmp_path / "healthy"))
        assert run.returncode == 0, run.output
        assert bad(run) == Counter()
        assert {rule.split(".")[1] for rule, _object, _summary in unknown(run)} == {"not_configured"}, unknown(run)

        host.shell("systemctl stop excelapp-rails")
        listen_undeclared(host)
        fail_logins(host, 12)
        certificate(host, 3)
        write_logs(host, degraded=True)
        run = play(lab, "check_daily", place=folder(tmp_path / "degraded"))
    assert run.returncode == 0, run.output
    assert unknown(run) == []
    assert bad(run) == Counter(
        [
            *[
                ("excelapp-vm", rule, name)
                for rule, name in (
                    ("host.units_expected", "excelapp-rails.service"),
                    ("host.ports_undeclared", "tcp/9999"),
                    ("host.certificates", "/etc/letsencrypt/live/excelapp/fullchain.pem"),
                    ("logs.entries", "rails: errors"),
                    ("logs.slow", "rails: rails"),
                    ("logs.failed_logins_address", "logins: 203.0.113.7"),
                    # The FormulaEngine answers, so not everything is down.
                    ("http.status", "up"),
                )
            ],
            ("excelapp-backups", "backup.newest_age", ""),
            ("excelapp-backups", "backup.unverified", ""),
            ("excelapp-postgres", "queue.unconsumed", ""),
            ("excelapp-postgres", "queue.oldest", "excelapp_production_default"),
            ("excelapp-postgres", "queue.oldest", "excelapp_production_mailers"),
            ("excelapp-postgres", "queue.failed", "excelapp_production_default"),
        ]
    )
