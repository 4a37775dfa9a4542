"""Releases on three machines behind a balancer, under a client that asks all the time."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.hosts import Fleet
from lab.hosts.balancer import Balancer, balance
from lab.hosts.hammer import Hammer
from lab.hosts.modules import run_module as run_on
from lab.hosts.on_machines import play_on
from lab.hosts.release_app import HOME, PORT, Archive, archive, install, variables
from lab.paths import REPOSITORY
from lab.plays import Played

pytestmark = pytest.mark.xdist_group("deploy_release")

WEB = ["web1", "web2", "web3"]
FIRST, GOOD, BAD, NARROW = "20260131-2", "20260201-1", "20260202-1", "20260203-1"
MORE = {"20260101": "create_table :jobs", "20260201": "add_column :jobs, :note, :text"}
TRAFFIC = [{"haproxy": {"balancer": "lb", "backend": "web"}}]


def example(role: str) -> list[dict[str, Any]]:
    """The play in a role's README."""
    text = (REPOSITORY / "roles" / role / "README.md").read_text(encoding="utf-8")
    plays: list[dict[str, Any]] = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[-1])
    return plays


@dataclass
class Shop:
    fleet: Fleet
    balancer: Balancer
    archives: dict[str, Archive]

    def serves(self) -> list[str]:
        """What each machine's service says it is, by curl."""
        ask = ["curl", "-sS", "-m", "30", f"http://127.0.0.1:{PORT}/health"]
        return [json.loads(self.fleet[name].run(*ask))["release"] for name in WEB]

    def play(self, playbook: str, release: str, *arguments: str, place: Path, **more: Any) -> Played:
        told = {**variables(), **self.archives[release].variables(), "deploy_release_traffic_ways": TRAFFIC, **more}
        del told["deploy_release_id"]
        return play_on(
            self.fleet, f"runbook.ops.{playbook}", "-e", f"release={release}", *arguments,
            groups={"releases": WEB}, variables=told, place=place,
        )  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Three machines with a first release, deployed as the role's README shows, behind haproxy."""
    place = tmp_path_factory.mktemp("shop")
    archives = {
        FIRST: archive(place, FIRST),
        GOOD: archive(place, GOOD, migrations=MORE),
        BAD: archive(place, BAD, migrations=MORE, healthy=False),
        NARROW: archive(place, NARROW, migrations={**MORE, "20260203": "remove_column :jobs, :old"}),
    }
    with Fleet({**dict.fromkeys(WEB, 12), "lb": 12}) as fleet:
        for name in WEB:
            install(fleet[name], list(archives.values()))
            fleet[name].shell(f"useradd deploy; chown -R deploy {HOME}")
        # The first release belongs to an account that may do nothing else; the units are root's.
        told = {"deploy_release_migrates": True, "shop_sha256": archives[FIRST].sha256, "deploy_release_user": "deploy"}
        first = [{**each, "serial": 3} for each in example("deploy_release")]
        played = play_on(fleet, first, groups={"releases": WEB}, variables=told, place=place)
        assert played.returncode == 0, played.output
        made = [f"{HOME}/releases/{FIRST}/app.py", f"{HOME}/.releases.json", f"{HOME}/current"]
        assert fleet["web1"].run("stat", "-c", "%U", *made).split() == ["deploy"] * 3
        started = Shop(fleet, balance(fleet["lb"], {name: fleet[name] for name in WEB}), archives)
        assert started.serves() == [FIRST] * 3
        yield started


def summaries(played: Played, rule: str) -> list[tuple[str, str]]:
    return [
        (each["host"], each["summary"]) for each in played.findings() if each["id"] == rule and each["severity"] != "ok"
    ]


def test_a_good_release_and_a_bad_one_while_everybody_asks(shop: Shop, tmp_path: Path) -> None:
    with Hammer(shop.balancer.site) as hammer:
        good = shop.play("deploy_app", GOOD, place=tmp_path / "good")
        assert good.returncode == 0, good.output
        assert shop.serves() == [GOOD] * 3
        done = [(each["action"], each["object"]) for each in good.changes() if each["host"] == "web1"]
        assert {("unpack", GOOD), ("link", "log"), ("migrate", "20260201"), ("switch", GOOD)} <= set(done)

        bad = shop.play("deploy_app", BAD, place=tmp_path / "bad")
        assert bad.returncode != 0, "the report is written, and then the run fails"
        hammer.asked()
    assert hammer.failures == []
    assert shop.serves() == [GOOD] * 3
    (failed,) = [each for each in summaries(bad, "deploy_release.failed") if "status 500" in each[1]]
    assert failed[0] == "web1"
    assert [host for host, _summary in summaries(bad, "deploy_release.stopped")] == ["web2", "web3"]
    # The others were not touched at all, and nobody is left out of the traffic.
    assert [shop.fleet[name].status("test", "-e", f"{HOME}/releases/{BAD}") for name in WEB] == [0, 1, 1]
    assert set(shop.balancer.servers().values()) == {"UP"}
    # It is not gone back to what was rolled back.
    stock = run_on(shop.fleet["web1"], "release_info", {"path": HOME, "sizes": True})
    assert (stock["current"], stock["previous"], stock["confirmed"]) == (GOOD, FIRST, True)
    du = shop.fleet["web1"].run("du", "-s", "-B1", f"{HOME}/releases/{GOOD}")
    (size,) = [each["size_bytes"] for each in stock["releases"] if each["id"] == GOOD]
    assert 0 < size <= int(du.split()[0])


def test_a_database_that_the_release_before_does_not_fit(shop: Shop, tmp_path: Path) -> None:
    here = ("-e", "targets=web3", "-e", "report_fail_on=never")
    refused = shop.play("deploy_app", NARROW, *here, place=tmp_path / "refused")
    ((_host, told),) = [each for each in summaries(refused, "deploy_release.failed") if "20260203" in each[1]]
    assert "20260203 drops jobs.old" in told
    assert "Nothing was migrated or switched" in told
    assert shop.fleet["web3"].read(f"{HOME}/shared/migrated").split() == ["20260101", "20260201"]

    allowed = shop.play("deploy_app", NARROW, *here, place=tmp_path / "done", deploy_release_allow_destructive=True)
    assert summaries(allowed, "deploy_release.failed") == [], allowed.output
    assert shop.serves() == [GOOD, GOOD, NARROW]
    # What the manual does: the older code comes back, whatever the database looks like, and nothing complains.
    # Ours asks the database first.
    back = shop.play("rollback_app", NARROW, *here, place=tmp_path / "back")
    ((_host, told),) = summaries(back, "deploy_release.failed")
    assert f"Release {GOOD} does not work with the database as it is" in told
    assert shop.serves() == [GOOD, GOOD, NARROW]
    accepted = shop.play("rollback_app", NARROW, *here, place=tmp_path / "anyway", deploy_release_accept_schema=True)
    assert summaries(accepted, "deploy_release.failed") == [], accepted.output
    assert shop.serves() == [GOOD] * 3


def test_killed_at_any_moment(shop: Shop, tmp_path: Path) -> None:
    web2 = shop.fleet["web2"]
    told = variables()
    options: dict[str, Any] = {
        "path": HOME, "state": "prepared", "release": BAD, "archive": shop.archives[BAD].remote,
        "sha256": shop.archives[BAD].sha256, "shared_directories": ["log"],
        "build": [["touch", "started"], ["sleep", "600"]],
    }  # fmt: skip
    # Killed while it builds: the release is not complete, is never switched to, and its build does not go on.
    payload = json.dumps({"ANSIBLE_MODULE_ARGS": options})
    web2.write("/var/lib/shop/payload.json", payload)
    library = "PYTHONPATH=/opt/runbook-lab python3 -m ansible_collections.runbook.ops.plugins.modules.release"
    web2.shell(f"{library} </var/lib/shop/payload.json >/var/lib/shop/out 2>&1 & echo $! >/var/lib/shop/pid")
    web2.shell(f"for n in $(seq 2400); do [ -e {HOME}/releases/{BAD}/started ] && exit 0; sleep 0.1; done; exit 1")
    web2.shell(
        "kill -9 $(cat /var/lib/shop/pid)\n"
        "for n in $(seq 2400); do pgrep -fx 'sleep 600' || exit 0; sleep 0.1; done; exit 1"
    )
    stock = run_on(web2, "release_info", {"path": HOME})
    assert (stock["current"], stock["unfinished"]) == (GOOD, [BAD])
    switch = run_on(web2, "release", {"path": HOME, "state": "current", "release": BAD})
    assert "its making ended early" in switch["msg"]
    again = run_on(web2, "release", {**options, "build": []})
    assert [each["action"] for each in again["actions"]] == ["remove", "unpack", "link"]
    assert run_on(web2, "release", {**options, "build": []})["changed"] is False
    # What a build baked in cannot be set later: a restart with other values would change nothing.
    other = run_on(web2, "release", {**options, "build": [], "environment": {"API": "https://new.example.com"}})
    assert "was built with other values in its environment" in other["msg"]

    # Killed between the link and the reload of the service: the link is new, and users still get the old release.
    pruned = run_on(web2, "release", {"path": HOME, "state": "pruned", "keep": 1}, check_mode=True)
    assert [each["object"] for each in pruned["actions"]] == [], "neither current, nor the one before, nor the newest"
    run_on(web2, "release", {"path": HOME, "state": "current", "release": FIRST})
    assert web2.run("readlink", f"{HOME}/current") == f"releases/{FIRST}"
    assert shop.serves()[1] == GOOD
    first = {**told, **shop.archives[FIRST].variables()}
    played = play_on(
        shop.fleet, [{"hosts": "web2", "gather_facts": False, "roles": ["runbook.ops.deploy_release"]}],
        variables=first, place=tmp_path,
    )  # fmt: skip
    assert played.returncode == 0, played.output
    assert shop.serves()[1] == FIRST


def test_nobody_is_left_out_of_the_traffic(shop: Shop, tmp_path: Path) -> None:
    """What fails on the way out, on the way back and afterwards; each line is what a deployment or a rollback left."""
    web2 = shop.fleet["web2"]
    out = "/run/shop.out"
    leaves = {"command": {"drain": ["sh", "-c", f"touch {out}; echo left >>{out}.log"], "return": ["rm", "-f", out]}}
    stuck = {"command": {"drain": ["false"], "return": ["true"]}}
    lost = {"command": {"drain": ["touch", out], "return": ["rm", "/nowhere"]}}
    good = shop.archives[GOOD].variables()
    back = {**good, "deploy_release_action": "rollback"}
    confirmed = "import json; print('confirmed_at' in json.load(open('.releases.json'))['history'][-1])"
    bad = "deploy_release_findings | rejectattr('severity', 'eq', 'ok') | map(attribute='id') | sort | join(',')"
    look = (
        f"exec >>{out}.steps; cd {HOME}; left=$(wc -l <{out}.log); [ -e {out} ] && where=out || where=in\n"
        f'echo $(basename $(readlink current)) $where $left $(python3 -c "{confirmed}") {{{{ {bad} }}}}'
    )
    nowhere = {"deploy_release_to": "nowhere", "deploy_release_accept_schema": True}
    steps: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
        (good, [leaves, stuck]), (good, [lost]), (back, [leaves]), (good, [leaves]), ({**back, **nowhere}, [leaves]),
    ]  # fmt: skip
    once = {"hosts": "web2", "gather_facts": False, "roles": ["runbook.ops.deploy_release"]}
    plays: list[dict[str, Any]] = [
        {
            **once,
            "vars": {**variables(), **told, "deploy_release_traffic_ways": ways},
            "post_tasks": [{"ansible.builtin.shell": look}],
        }
        for told, ways in steps
    ]
    # A rest of a removal that cannot be removed: it is no directory.
    plays[3]["pre_tasks"] = [{"ansible.builtin.command": f"touch {HOME}/releases/.odd.removed"}]
    played = play_on(shop.fleet, plays, place=tmp_path)
    assert played.returncode == 0, played.output
    web2.run("rm", f"{HOME}/releases/.odd.removed")
    assert web2.read(f"{out}.steps").splitlines() == [
        # One way was gone when the next one failed.
        f"{FIRST} in 1 True deploy_release.failed",
        # It was healthy and could not come back, nor could the one before it: nothing is taken for done.
        f"{FIRST} out 1 False deploy_release.failed,deploy_release.rolled_back",
        # So the rollback goes on, although its link leads back already.
        f"{FIRST} in 2 True",
        # What is served and healthy stays, whatever fails then.
        f"{GOOD} in 3 True deploy_release.not_removed",
        # Without a way back nobody leaves.
        f"{GOOD} in 3 True deploy_release.failed",
    ]


def test_the_shop_is_closed_and_opened(shop: Shop, tmp_path: Path) -> None:
    """As the README of maintenance_mode shows; names that are let through go on."""
    lb = shop.fleet["lb"]

    def asked(name: str) -> str:
        silent = ["curl", "-s", "-m", "30", "-o", "/dev/null", "-w", "%{http_code}"]
        return lb.run(*silent, f"http://{name}/")

    lb.shell("echo 127.0.0.1 shop.example.com inside.example.com >>/etc/hosts")
    lb.run("redis-server", "--requirepass", "hush-4711", "--daemonize", "yes")
    (play,) = example("maintenance_mode")
    play["roles"][0]["vars"]["maintenance_mode_drivers"].append({"redis": {"key": "closed", "password": "hush-4711"}})
    closed = play_on(shop.fleet, [play], "-vvv", groups={"balancer": ["lb"]}, place=tmp_path)
    assert closed.returncode == 0, closed.output
    assert lb.run("env", "REDISCLI_AUTH=hush-4711", "redis-cli", "get", "closed") == "1"
    assert "hush-4711" not in closed.output
    assert (asked("shop.example.com"), asked("inside.example.com")) == ("503", "200")
    assert shop.balancer.ask("show map /etc/haproxy/maintenance.map").split()[1:] == ["shop.example.com", "1"]
    lb.shell("systemctl reload haproxy.service")
    assert asked("shop.example.com") == "503", "also after a reload"

    again = play_on(shop.fleet, [play], groups={"balancer": ["lb"]}, place=tmp_path)
    assert again.changed_hosts() == set(), again.output
    opened = play_on(
        shop.fleet, [play], "-e", "maintenance_mode_state=off", groups={"balancer": ["lb"]}, place=tmp_path
    )
    assert opened.returncode == 0, opened.output
    assert asked("shop.example.com") == "200"
    assert lb.status("test", "-e", "/etc/haproxy/closed.flag") == 1


RECORDER = """#!/bin/sh
# Stands for a platform's program: keeps what it was called with, and the names in its environment.
printf '%s\\t%s\\n' "$*" "$(env | cut -d= -f1 | sort | tr '\\n' ' ')" >>"$(dirname "$0")/calls"
tr '\\0' ' ' </proc/$$/cmdline >>"$(dirname "$0")/cmdlines"
case "$*" in
*"migration list"*) cat "$(dirname "$0")/applied" ;;
*"db push --linked --yes"*) echo ' 20260102 | 20260102 | x' >>"$(dirname "$0")/applied" ;;
outdated*) echo 'left-pad 1.0.0 1.3.0'; exit 1 ;;
inspect*) printf '    id\\t\\tdpl_1\\n    url\\t\\thttp://192.0.2.7\\n\\n  Aliases\\n    http://192.0.2.8\\n' >&2 ;;
deploy*) echo "https://staged-$VERCEL_TOKEN.example.com"; echo "URL_HERE" ;;
esac
"""


@pytest.fixture
def platform(tmp_path: Path) -> Path:
    program = tmp_path / "platform"
    program.write_text(RECORDER, encoding="utf-8")
    program.chmod(0o755)
    (tmp_path / "applied").write_text(" 20260101 | 20260101 | x\n", encoding="utf-8")
    return program


def calls(program: Path) -> list[str]:
    text = (program.parent / "calls").read_text(encoding="utf-8")
    return [line.split("\t")[0] for line in text.splitlines()]


def hosted(shop: Shop, program: Path, platform: str, *arguments: str, **more: Any) -> Played:
    """The role for a hosted platform, on this machine; the pages are those behind the balancer."""
    told: dict[str, Any] = {
        "ansible_connection": "local", "ansible_python_interpreter": sys.executable,
        "deploy_release_platform": platform, "deploy_release_path": str(program.parent),
        f"deploy_release_{platform}": [str(program)], "deploy_release_id": "new",
        "deploy_release_probes": [{"name": "page", "path": "/"}],
        "deploy_release_secrets": {"VERCEL_TOKEN": "tok-4711-secret"},
        "deploy_release_production_url": shop.balancer.site, "deploy_release_health_attempts": 2, **more,
    }  # fmt: skip
    play = {"hosts": "localhost", "gather_facts": False, "vars": told, "roles": ["runbook.ops.deploy_release"]}
    reporting = {"role": "runbook.ops.report", "vars": {"report_hosts": ["localhost"]}}
    report = {"hosts": "localhost", "gather_facts": False, "roles": [reporting]}
    return play_on(shop.fleet, [play, report], "-e", "report_fail_on=never", *arguments, place=program.parent)


def test_vercel_is_promoted_and_not_built_again(shop: Shop, platform: Path) -> None:
    site = shop.balancer.site.rstrip("/")
    platform.write_text(RECORDER.replace("URL_HERE", site), encoding="utf-8")
    played = hosted(shop, platform, "vercel", deploy_release_url_pattern="http://[0-9.]+")
    assert summaries(played, "deploy_release.failed") == [], played.output
    steps = ["deploy --prod --skip-domain --yes", f"inspect {site}/", f"promote {site} --yes"]
    assert calls(platform) == steps
    assert "VERCEL_TOKEN" in (platform.parent / "calls").read_text(encoding="utf-8")
    assert "tok-4711" not in (platform.parent / "cmdlines").read_text(encoding="utf-8") + played.output
    # A rollback alone would leave later deployments unassigned.
    back = hosted(shop, platform, "vercel", "-e", "to=https://old.example.com", deploy_release_action="rollback")
    assert summaries(back, "deploy_release.failed") == [], back.output
    assert calls(platform)[3:] == ["rollback https://old.example.com --yes", "promote https://old.example.com --yes"]
    # What is staged and not healthy is never shown to anybody.
    bad = hosted(
        shop, platform, "vercel", deploy_release_url_pattern="http://[0-9.]+",
        deploy_release_probes=[{"name": "page", "path": "/", "expected_status": [204]}],
    )  # fmt: skip
    assert summaries(bad, "deploy_release.failed"), bad.output
    assert calls(platform)[5:] == ["deploy --prod --skip-domain --yes"]
    # What fails where users are goes back to what they had, by its address: without one the program goes nowhere.
    gate = ["sh", "-c", f"! tail -n 1 {platform.parent}/calls | grep ^promote"]
    failing: dict[str, Any] = {"deploy_release_url_pattern": "http://[0-9.]+", "deploy_release_health_command": gate}
    failed = hosted(shop, platform, "vercel", **failing)
    assert summaries(failed, "deploy_release.failed"), failed.output
    assert calls(platform)[6:] == [*steps, "rollback http://192.0.2.7 --yes"]
    assert [each["summary"][:7] for each in failed.findings() if each["id"] == "deploy_release.rolled_back"] == [
        "1 of 1 "
    ]
    # Nobody knows what they had: nothing is done, and nothing is claimed.
    unknown = RECORDER.replace("URL_HERE", site).replace("    url", "    uri")
    platform.write_text(unknown, encoding="utf-8")
    kept = hosted(shop, platform, "vercel", **failing)
    assert calls(platform)[10:] == steps
    ((_host, said),) = summaries(kept, "deploy_release.not_rolled_back")
    assert "it was not rolled back" in said
    assert [each["summary"][:4] for each in kept.findings() if each["id"] == "deploy_release.rolled_back"] != ["1 of"]


def test_supabase_goes_forward_and_never_down(shop: Shop, platform: Path) -> None:
    migrations = platform.parent / "supabase" / "migrations"
    migrations.mkdir(parents=True)
    (migrations / "20260101_a.sql").write_text("CREATE TABLE a (b int)", encoding="utf-8")
    (migrations / "20260102_b.sql").write_text("ALTER TABLE a ADD c int", encoding="utf-8")
    played = hosted(shop, platform, "supabase")
    assert summaries(played, "deploy_release.failed") == [], played.output
    assert calls(platform) == [
        "migration list --linked", "db push --linked --dry-run", "db push --linked --yes", "migration list --linked",
    ]  # fmt: skip
    # The pages, which were released after the database, go back before it refuses.
    told = {
        "ansible_connection": "local", "ansible_python_interpreter": sys.executable,
        "deploy_release_path": str(platform.parent), "deploy_release_probes": [{"name": "page", "path": "/"}],
        "deploy_release_supabase": [str(platform)], "deploy_release_vercel": [str(platform)],
        "deploy_release_production_url": shop.balancer.site,
    }  # fmt: skip
    hosts = {name: {"deploy_release_platform": name} for name in ("supabase", "vercel")}
    inventory = platform.parent / "hosted.json"
    inventory.write_text(json.dumps({"hosted": {"hosts": hosts, "vars": told}}), encoding="utf-8")
    back = play_on(
        *(shop.fleet, "runbook.ops.rollback_app", "-i", str(inventory), "-e", "report_fail_on=never"),
        *("-e", "to=https://old.example.com", "-e", "release=new"), place=platform.parent,
    )  # fmt: skip
    ((host, said),) = summaries(back, "deploy_release.failed")
    assert (host, "resets the database" in said) == ("supabase", True)
    assert "rollback https://old.example.com --yes" in calls(platform)
    assert not [each for each in calls(platform) if "down" in each or "reset" in each]


def test_an_exit_status_is_an_answer_and_a_secret_no_argument(run_module: Any, platform: Path) -> None:
    command = {"argv": [str(platform), "outdated"], "reads": True}
    # As the manual takes it: outdated packages are a failed command.
    assert "failed with status 1" in run_module("private_command", command)["msg"]
    found = run_module("private_command", {**command, "codes": {"0": "current", "1": "outdated"}})
    assert (found["outcome"], found["changed"], found["exit_status"]) == ("outdated", False, 1)
    assert "rc" not in found, "which Ansible takes for a failure"
    told = run_module("private_command", {"argv": ["echo", "--token=s3cret-4711"], "secrets": {"T": "s3cret-4711"}})
    assert "words without secrets" in told["msg"]
    assert "s3cret" not in json.dumps(told)
    said = run_module(
        "private_command", {"argv": ["sh", "-c", "echo $T; cat"], "secrets": {"T": "s3cret-4711"}, "stdin": "pa55word"}
    )
    assert (said["stdout"], said["environment_names"]) == ("********\n********", ["T"])
    assert "pa55word" not in json.dumps(said)
