"""A machine with planted weaknesses: the manual's searches print nothing beside an audit that names them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.hosts import ssh
from lab.hosts.fleet import Fleet
from lab.hosts.machine import Host
from lab.hosts.modules import LIBRARY, run_module
from lab.hosts.on_machines import play_on
from lab.paths import REPOSITORY
from lab.process import eventually

pytestmark = pytest.mark.xdist_group("security_audit")

SECRET = "correct-horse-battery"
PLANT = f"""
for name in kim deploy admin; do useradd --create-home --shell /bin/bash $name; done
useradd --create-home --shell /bin/sh guest; passwd --delete guest >/dev/null
usermod --append --groups sudo admin
printf 'root:{SECRET}\\nkim:{SECRET}\\n' | chpasswd
# In an included file, for some addresses only.
printf 'Match Address 10.0.0.0/8,172.16.0.0/12,192.168.0.0/16 User root\\n  PermitRootLogin yes\\n' \\
    >/etc/ssh/sshd_config.d/90-office.conf
systemctl reload ssh
printf 'User_Alias OPS = deploy\\nOPS ALL=(ALL) NOPASSWD: ALL\\nkim ALL=(root) /usr/bin/less\\n' >/etc/sudoers.d/90-ops
chmod 0440 /etc/sudoers.d/90-ops
mkdir -p /srv/app; echo 'DB_PASSWORD={SECRET}' >/srv/app/.env; chmod 0644 /srv/app/.env
echo 'DB_PASSWORD={SECRET}' >/srv/app/closed.env; chmod 0600 /srv/app/closed.env
echo '* * * * * root true' >/etc/cron.d/open; chmod 0666 /etc/cron.d/open
redis-server --bind 0.0.0.0 --protected-mode no --port 6379 --daemonize yes >/dev/null
redis-server --bind 0.0.0.0 --port 6380 --daemonize yes >/dev/null
redis-server --bind 127.0.0.1 --port 6381 --requirepass admin1 --daemonize yes >/dev/null
for port in 6379 6380 6381; do until redis-cli -p $port -a x ping 2>&1 | grep -qE 'PONG|AUTH'; do sleep 0.1; done; done
mkdir -p /etc/postgresql/15/main
printf 'local all all peer\\nhost all all 0.0.0.0/0 trust\\n' >/etc/postgresql/15/main/pg_hba.conf
"""


class Door:
    """Ways into the machine, from here."""

    def __init__(self, host: Host, place: Path) -> None:
        self.host = host
        self.askpass = place / "askpass"

    def password(self, user: str, password: str) -> bool:
        """Whether sshd lets a user in with a password."""
        self.askpass.write_text(f"#!/bin/sh\necho '{password}'\n", encoding="utf-8")
        self.askpass.chmod(0o700)
        options = ["PubkeyAuthentication=no", "PreferredAuthentications=password", "NumberOfPasswordPrompts=1"]
        return self._enters(user, options, {"SSH_ASKPASS": str(self.askpass), "SSH_ASKPASS_REQUIRE": "force"})

    def key(self, user: str) -> bool:
        """Whether the lab's key opens an account."""
        return self._enters(user, [f"IdentityFile={ssh.key()}", "BatchMode=yes"], {})

    def _enters(self, user: str, options: list[str], environment: dict[str, str]) -> bool:
        common = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ControlMaster=no"]
        given = [word for option in (*common, *options) for word in ("-o", option)]
        ended = subprocess.run(
            ["ssh", "-tt", *given, f"{user}@{self.host.address}", "true"],
            env={**os.environ, "DISPLAY": ":0", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=300,
            check=False,
        )
        return ended.returncode == 0


@dataclass(frozen=True)
class Planted:
    """The machine, and what an audit found before any test touched it."""

    fleet: Fleet
    door: Door
    audited: dict[str, Any]


def failed(host: Host) -> str:
    return host.shell("grep -c 'Failed password' /var/log/auth.log || true")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    options = {
        "secret_roots": ["/srv"],
        "default_logins": [
            {"name": "cache", "url": "redis://127.0.0.1:6381", "password": "admin1"},
            {"name": "cache2", "url": "redis://127.0.0.1:6381", "password": "admin2"},
        ],
    }
    with Fleet({"web1": 12}) as fleet:
        host = fleet.first
        host.shell(PLANT)
        door = Door(host, tmp_path_factory.mktemp("door"))
        for user, password in (("kim", "wrong1"), ("kim", "wrong2"), ("oracle", "wrong3")):
            assert not door.password(user, password)
        # The log is rotated in between, as it is at midnight.
        eventually(lambda: failed(host) == "3", "three failures are logged")
        host.shell("mv /var/log/auth.log /var/log/auth.log.1; systemctl kill --signal=HUP rsyslog")
        # rsyslog opens a file when there is something to write to it.
        reopen = "logger --priority auth.info rotated; test -e /var/log/auth.log"
        eventually(lambda: host.status("sh", "-c", reopen) == 0, "the log was opened again")
        assert not door.password("kim", "wrong4")
        eventually(lambda: failed(host) == "1", "the fourth failure is logged")
        yield Planted(fleet, door, run_module(host, "security_audit_info", options))


@pytest.fixture
def fleet(planted: Planted) -> Fleet:
    return planted.fleet


@pytest.fixture
def host(planted: Planted) -> Host:
    return planted.fleet.first


@pytest.fixture
def door(planted: Planted) -> Door:
    return planted.door


@pytest.fixture
def audited(planted: Planted) -> dict[str, Any]:
    return planted.audited


def test_what_sshd_does_is_told_and_not_what_one_file_says(host: Host, door: Door, audited: dict[str, Any]) -> None:
    manual = "grep -E '^(AllowUsers|AllowGroups|PermitRootLogin)' /etc/ssh/sshd_config || true"
    assert host.shell(manual) == ""
    found = audited["security"]["ssh"]
    # Nothing printed means that everybody may come in.
    assert found["is_restricted"] is False
    assert found["may_log_in"] == ["root", "kim", "deploy", "admin", "guest"]
    told = {(each["user"], each["address"]): each["root_password_login"] for each in found["connections"]}
    assert told[("root", "203.0.113.77")] is False
    assert told[("root", "10.0.0.1")] is True
    # And so it is: root comes in from this network.
    assert door.password("root", SECRET)


def test_rules_of_sudo_are_found_in_drop_ins_behind_aliases(host: Host, audited: dict[str, Any]) -> None:
    manual = host.shell("grep -v '^#' /etc/sudoers | grep -v '^$'")
    assert "NOPASSWD" not in manual
    assert "deploy" not in manual
    found = audited["security"]["sudo"]
    rules = {tuple(each["who"]): each for each in found["rules"]}
    assert rules[("deploy",)]["nopasswd"] is True
    assert rules[("deploy",)]["path"] == "/etc/sudoers.d/90-ops"
    assert rules[("kim",)]["shell_commands"] == ["/usr/bin/less"]
    assert found["everything_users"] == ["root", "admin", "deploy"]
    assert found["is_valid"] is True
    assert host.shell("su deploy -c 'sudo -n id -u'") == "0"


def test_failed_logins_are_counted_over_rotation(host: Host, audited: dict[str, Any]) -> None:
    # A search of the newest file sees what came after midnight, and no user that there is not.
    assert "oracle" not in host.shell("grep 'Failed password' /var/log/auth.log | tail -20")
    found = audited["security"]["logins"]
    assert (found["count"], found["invalid_users_count"], found["addresses_count"]) == (4, 1, 1)
    assert {each["user"]: each["count"] for each in found["by_user"]} == {"kim": 3, "oracle": 1}


def test_services_accounts_files_and_secrets(host: Host, audited: dict[str, Any]) -> None:
    found = audited["security"]
    services = {each["port"]: (each["is_public"], each["is_open"]) for each in found["listening"]["services"]}
    # The second is closed to others though loopback is let in, where redis-cli says PONG to both.
    assert host.shell("redis-cli -p 6380 ping") == "PONG"
    assert services == {6379: (True, True), 6380: (True, False), 6381: (False, False)}
    assert [each["is_accepted"] for each in found["listening"]["default_logins"]] == [True, False]
    assert [(each["line"], each["is_network"]) for each in found["listening"]["pg_hba"]] == [(2, True)]
    assert found["accounts"]["empty_passwords"] == ["guest"]
    assert [(each["path"], each["name"]) for each in found["secrets"]["found"]] == [("/srv/app/.env", "DB_PASSWORD")]
    assert [each["path"] for each in found["files"]["writable_cron"]] == ["/etc/cron.d/open"]
    # Without lists of packages nothing is known, which is not that nothing is pending.
    assert found["updates"]["security_count"] is None
    assert "updates" in [each["section"] for each in audited["skipped_sections"]]
    # Nothing secret is shown.
    told = json.dumps(audited)
    assert SECRET not in told
    assert "$y$" not in told
    assert "admin1" not in told


def test_an_address_of_another_machine_is_not_probed(host: Host) -> None:
    options = {"default_logins": [{"name": "x", "url": "http://192.0.2.1/", "user": "admin", "password": "admin"}]}
    refused = run_module(host, "security_audit_info", options)
    assert refused["failed"]
    assert "passwords are tried nowhere else" in refused["msg"]


def test_the_role_in_its_readme(fleet: Fleet, tmp_path: Path) -> None:
    text = (REPOSITORY / "roles" / "security_audit" / "README.md").read_text(encoding="utf-8")
    example = yaml.safe_load(text.split("## Example")[1].split("```yaml\n")[1].split("```")[0])
    outcome = tmp_path / "outcome.json"
    copy = {"ansible.builtin.copy": {"dest": str(outcome), "content": "{{ security_audit_findings | to_json }}"}}
    example[0]["post_tasks"] = [{**copy, "delegate_to": "localhost", "connection": "local"}]
    played = play_on(fleet, example, "-e", "ansible_become=false", groups={"servers": ["web1"]})
    assert played.returncode == 0, played.output
    found = {(each["id"], each["object"]): each["severity"] for each in json.loads(outcome.read_text(encoding="utf-8"))}
    assert {key: severity for key, severity in found.items() if severity == "critical"} == {
        ("security.ssh_root_password", "root from 10.0.0.1"): "critical",
        ("security.account_empty_password", "guest"): "critical",
        ("security.service_open", "redis 0.0.0.0:6379"): "critical",
        ("security.pg_hba_trust", "/etc/postgresql/15/main/pg_hba.conf:2"): "critical",
        ("security.secret", "/srv/app/.env:1"): "critical",
        ("security.cron_writable", "/etc/cron.d/open"): "critical",
    }
    assert found["security.sudo_nopasswd", "/etc/sudoers.d/90-ops:2"] == "warning"
    assert found["security.sudo_shell", "/etc/sudoers.d/90-ops:3"] == "warning"
    assert found["security.ssh_unrestricted", ""] == "warning"
    # What could not be seen is unknown: no npm, no lists of packages, no Grafana.
    for rule in (
        ("dependencies.vulnerable", "web"),
        ("security.updates", ""),
        ("security.default_password", "grafana"),
    ):
        assert found[rule] == "unknown", rule
    assert ("security.ssh_password", "kim from 203.0.113.77") not in found
    assert SECRET not in played.output


def test_an_account_is_locked_in_every_way_and_given_back_as_it_was(host: Host, door: Door) -> None:
    host.shell(
        "mkdir -p ~kim/.ssh; cp ~root/.ssh/authorized_keys ~kim/.ssh/; chown -R kim: ~kim/.ssh; chmod 0700 ~kim/.ssh;"
        "su kim -c 'nohup sleep 10000 >/dev/null 2>&1 &'"
    )
    shadow = "grep '^kim:' /etc/shadow"
    before = host.shell(shadow)
    # The usual command locks the password, and a key still opens the account.
    host.run("passwd", "--lock", "kim")
    assert door.key("kim")
    host.run("passwd", "--unlock", "kim")
    lock = {"user": "kim", "end_sessions": True}
    planned = run_module(host, "account_lock", lock, check_mode=True)
    assert planned["changed"] is True
    assert host.shell(shadow) == before
    assert door.key("kim")
    eventually(lambda: host.shell("pgrep -u kim | wc -l") == "1", "the login of the look has ended")
    done = run_module(host, "account_lock", lock)
    assert [each["action"] for each in done["actions"]] == ["expire", "lock_password", "move_keys", "end_sessions"]
    assert done["actions"] == planned["actions"]
    assert host.shell("pgrep -u kim || true") == ""
    assert not door.key("kim")
    assert not door.password("kim", SECRET)
    assert run_module(host, "account_lock", lock)["changed"] is False
    record = host.shell(f"stat -c %a {done['record']}; cat {done['record']}")
    assert record.startswith("600")
    assert "$" not in record
    back = run_module(host, "account_lock", {"user": "kim", "state": "unlocked"})
    assert [each["action"] for each in back["actions"]] == ["return_keys", "unlock_password", "restore_expiry"]
    assert host.shell(shadow) == before
    assert door.key("kim")
    assert door.password("kim", SECRET)
    assert run_module(host, "account_lock", {"user": "kim", "state": "unlocked"})["changed"] is False
    # Who puts a link to root's keys in the way does not have them moved.
    host.shell("mv ~kim/.ssh ~kim/own; ln -s ~root/.ssh ~kim/.ssh")
    linked = run_module(host, "account_lock", {"user": "kim"})
    assert [each["target"] for each in linked["actions"]] == ["1", "", "/home/kim/.ssh"]
    assert door.key("root")
    assert host.shell("test $(readlink ~kim/.ssh.runbook-locked) = ~root/.ssh && echo same") == "same"
    given = run_module(host, "account_lock", {"user": "kim", "state": "unlocked"})
    assert given["after"] == linked["before"]
    host.shell("rm ~kim/.ssh; mv ~kim/own ~kim/.ssh")


@pytest.mark.parametrize(
    ("user", "reason"), [("root", "it is root"), ("daemons", "an account of /etc/passwd"), ("admin", "came in by it")]
)
def test_who_is_never_locked(host: Host, user: str, reason: str) -> None:
    program = "ansible_collections.runbook.ops.plugins.modules.account_lock"
    ended = host.process(
        *("env", f"PYTHONPATH={LIBRARY}", "PYTHONDONTWRITEBYTECODE=1", "SUDO_USER=admin", "python3", "-m", program),
        text_in=json.dumps({"ANSIBLE_MODULE_ARGS": {"user": user}}),
    )
    refused = json.loads(ended.stdout)
    assert refused["failed"], refused
    assert reason in refused["msg"]


def test_addresses_are_shut_out_and_let_in_again(host: Host, door: Door) -> None:
    gateway = host.shell("ip route | awk '/^default/ {print $3}'")

    def reaches() -> bool:
        probe = ["bash", "-c", f"exec 3<>/dev/tcp/{host.address}/22"]
        return subprocess.run(["timeout", "3", *probe], capture_output=True, check=False).returncode == 0

    assert reaches()
    names = run_module(host, "address_block", {"addresses": ["api.partner.example"]})
    assert "names are no rule for packets" in names["msg"]
    bits = run_module(host, "address_block", {"addresses": ["198.51.100.7/24"]})
    assert "host bits" in bits["msg"]
    wanted = [gateway, "198.51.100.0/24", "203.0.113.9", "2001:db8::/48", host.address]
    refused = run_module(host, "address_block", {"addresses": wanted, "on_refusal": "report"}, check_mode=True)
    assert {each["object"]: each["reason"] for each in refused["refused"]} == {
        gateway: "it is a private network",
        host.address: "it is an address of this machine",
    }
    assert "runbook_block" not in host.run("nft", "list", "tables")
    # Through sshd the same address is where the task comes from, and is refused whatever is asked for.
    program = "python3 -m ansible_collections.runbook.ops.plugins.modules.address_block"
    args = {"ANSIBLE_MODULE_ARGS": {"addresses": [gateway], "allow_private": True}}
    host.write("/var/tmp/args.json", json.dumps(args))
    through = host.ssh(f"env PYTHONPATH={LIBRARY} PYTHONDONTWRITEBYTECODE=1 {program} </var/tmp/args.json")
    assert "this task comes from it" in json.loads(through.stdout)["msg"]
    block = {"addresses": wanted[:-1], "allow_private": True, "timeout": "2h"}
    planned = run_module(host, "address_block", block, check_mode=True)
    done = run_module(host, "address_block", block)
    assert done["actions"] == planned["actions"]
    assert done["after"] == {"blocked_count": 4}
    assert not reaches()
    listed = host.run("nft", "list", "set", "inet", "runbook_block", "blocked4")
    assert "198.51.100.0/24 timeout 2h" in listed
    assert run_module(host, "address_block", block)["changed"] is False
    # Less than half of it is left: it is shut out anew, and then left alone.
    longer = {**block, "addresses": ["203.0.113.9", "2001:db8::/48"], "timeout": "8h"}
    renewed = run_module(host, "address_block", longer)
    assert [(each["action"], each["name"]) for each in renewed["actions"]] == [
        ("block", "203.0.113.9"),
        ("block", "2001:db8::/48"),
    ]
    assert "203.0.113.9 timeout 8h" in host.run("nft", "list", "set", "inet", "runbook_block", "blocked4")
    assert "2001:db8::/48 timeout 8h" in host.run("nft", "list", "set", "inet", "runbook_block", "blocked6")
    assert run_module(host, "address_block", longer)["changed"] is False
    for_ever = run_module(host, "address_block", {**longer, "timeout": ""})
    assert sorted((each["address"], each["left_seconds"]) for each in for_ever["blocked"])[-1] == ("203.0.113.9", None)
    wider = run_module(host, "address_block", {"addresses": ["198.51.0.0/16"]})
    assert [(each["action"], each["name"]) for each in wider["actions"]] == [
        ("unblock", "198.51.100.0/24"),
        ("block", "198.51.0.0/16"),
    ]
    part = run_module(host, "address_block", {"addresses": ["198.51.100.0/24"], "state": "absent"})
    assert "as part of 198.51.0.0/16" in part["msg"]
    everything = {"addresses": [*wanted[:-1], "198.51.0.0/16"], "state": "absent", "on_refusal": "report"}
    assert run_module(host, "address_block", everything)["after"] == {"blocked_count": 0}
    assert "runbook_block" not in host.run("nft", "list", "tables")
    assert reaches()
    assert run_module(host, "address_block", everything)["changed"] is False


def test_an_incident_keeps_its_evidence_and_shuts_out_whom_it_names(
    fleet: Fleet, host: Host, door: Door, tmp_path: Path
) -> None:
    host.shell(
        "cp /bin/sleep /tmp/miner; nohup /tmp/miner 10001 >/dev/null 2>&1 &\n"
        "cp /bin/sleep /var/tmp/gone; nohup /var/tmp/gone 10002 >/dev/null 2>&1 &\n"
        "until pgrep gone >/dev/null; do sleep 0.1; done; rm /var/tmp/gone\n"
        f"nohup sh -c 'sleep 10003; : --password={SECRET}' >/dev/null 2>&1 &"
    )
    # Somebody guesses, and is right at last.
    assert not door.password("admin", "wrong")
    assert door.password("kim", SECRET)
    gateway = host.shell("ip route | awk '/^default/ {print $3}'")
    options = {
        "security": {"accounts": ["deploy"], "addresses": ["198.51.100.9"], "detected_at": "2026-01-31T09:00:00Z"}
    }
    arguments = [
        *("-e", "incident=security", "-e", "ansible_become=false", "-e", "report_fail_on=never"),
        *("-e", json.dumps({"incident_response_remedy_options": options})),
        *("-e", "runbook_system=shop", "-e", f"incident_response_directory={tmp_path / 'kept'}"),
    ]
    groups = {"servers": ["web1"]}
    shadow = host.shell("grep '^deploy:' /etc/shadow")
    asked = [*arguments, "-e", "incident_response_apply=true"]
    refused = play_on(fleet, "runbook.ops.respond_incident", *asked, groups=groups)
    assert refused.returncode != 0
    assert "confirm=shop" in refused.output
    assert host.shell("grep '^deploy:' /etc/shadow") == shadow
    applied = play_on(fleet, "runbook.ops.respond_incident", *asked, "-e", "confirm=shop", groups=groups)
    assert applied.returncode == 0, applied.output
    (folder,) = (tmp_path / "kept").iterdir()
    kept = json.loads((folder / "evidence-web1.json").read_text(encoding="utf-8"))
    told = json.loads((folder / "timeline-web1.json").read_text(encoding="utf-8"))
    # What was kept is how it was before.
    accounts = {each["name"]: each["is_expired"] for each in kept["security"]["accounts"]["accounts"]}
    assert accounts["deploy"] is False
    assert kept["open_addresses"] == ["198.51.100.9"]
    assert kept["evidence"]["failed_logins"]["count"] >= 1
    assert SECRET not in json.dumps(kept)
    assert "--password=********" in json.dumps(kept)
    found = {(each["id"], each["object"]): each["severity"] for each in told["found"]}
    left = {(each["id"], each["object"]): each["severity"] for each in told["left"]}
    assert found["incident.isolation", "account deploy"] == "critical"
    assert found["incident.isolation", "address 198.51.100.9"] == "critical"
    assert found["incident.clock", "isolation"] == "warning"
    assert found["incident.suspect_login", f"kim from {gateway}"] == "warning"
    programs = {each["summary"].split(" ", 2)[2].split(" ")[0] for each in told["found"]
                if each["id"] == "incident.temporary_program" and each["severity"] == "critical"}  # fmt: skip
    assert programs == {"/tmp/miner", "/var/tmp/gone"}
    assert any(
        each["id"] == "incident.deleted_program" and "/var/tmp/gone" in each["summary"] for each in told["found"]
    )
    assert left["incident.isolation", ""] == "ok"
    assert ("incident.clock", "isolation") not in left
    assert left["incident.clock", "recovery"] == "warning"
    changes = {(each["action"], each["object"]): each["status"] for each in told["changes"]}
    assert changes[("block", "198.51.100.9")] == "done"
    assert changes[("expire", "deploy")] == "done"
    # And with other tools.
    assert host.shell("chage --list deploy | grep 'Account expires'").endswith("Jan 02, 1970")
    assert "198.51.100.9" in host.run("nft", "list", "ruleset")
    assert "isolation within" in (folder / "timeline-web1.md").read_text(encoding="utf-8")
    for module, undo in (
        ("account_lock", {"user": "deploy", "state": "unlocked"}),
        ("address_block", {"addresses": ["198.51.100.9"], "state": "absent"}),
    ):
        assert run_module(host, module, undo)["changed"] is True
    assert host.shell("grep '^deploy:' /etc/shadow") == shadow
    host.shell("pkill -f '1000[123]'; rm -f /tmp/miner", check=False)
