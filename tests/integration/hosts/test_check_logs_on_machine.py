"""A machine with real sshd, rsyslog, journald and logrotate: the README's play, beside what the manuals type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.hosts.fleet import Fleet
from lab.hosts.machine import Host
from lab.hosts.machines import FleetOf
from lab.hosts.on_machines import play_on
from lab.paths import REPOSITORY

pytestmark = pytest.mark.xdist_group("check_logs_on_machine")

SECRETS = ("t0ken-of-a-user", "kim@example.com", "hunter2")
# Four logins at a time with a wrong password, three tries each, before, between and after two rotations.
PLANTING = r"""
printf '#!/bin/sh\necho wrong\n' >/srv/wrong; chmod 0700 /srv/wrong
export SSH_ASKPASS=/srv/wrong SSH_ASKPASS_REQUIRE=force
failed() { grep -c 'Failed password' /var/log/auth.log || true; }
knock() {
    for user in root root eve mallory; do
        ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o PubkeyAuthentication=no \
            -o NumberOfPasswordPrompts=3 "$user@127.0.0.1" true >/dev/null 2>&1 </dev/null &
    done
    wait
    end=$(($(date +%s) + 240))
    while [ "$(failed)" -lt 12 ] && [ "$(date +%s)" -lt "$end" ]; do sleep 0.2; done
    [ "$(failed)" -eq 12 ]
}
rm -f /var/log/auth.log*; touch /var/log/auth.log; chown root:adm /var/log/auth.log; systemctl kill -s HUP rsyslog
logger -p auth.info -t planting begin
knock; logrotate -f /etc/logrotate.d/rsyslog
knock; logrotate -f /etc/logrotate.d/rsyslog
knock
ls /var/log/auth.log.1 /var/log/auth.log.2.gz >/dev/null

mkdir -p /srv/app/shared/log
at() { date -u -d "$1 seconds ago" +%Y-%m-%dT%H:%M:%S.000000; }
{
    for each in 1 2 3 4 5 6 7 8 9; do
        echo "I, [$(at 900) #7]  INFO -- : Completed 200 OK in 12ms (Views: 600ms | ActiveRecord: 1.0ms)"
    done
    echo "I, [$(at 800) #7]  INFO -- : Parameters: {\"error\"=>\"none\"}"
    echo "I, [$(at 700) #7]  INFO -- : Completed 200 OK in 2300ms (Views: 4.0ms | ActiveRecord: 1.0ms)"
    echo "W, [$(at 600) #7]  WARN -- : Rate limit exceeded for kim@example.com"
    echo "F, [$(at 500) #7] FATAL -- : NoDoor for kim@example.com token=t0ken-of-a-user"
    echo "  password=hunter2 app/doors.rb:7"
} >/srv/app/shared/log/production.log
"""


@pytest.fixture(scope="module")
def fleet(fleet_of: FleetOf) -> Fleet:
    machines = fleet_of({"web1": 12})
    machines["web1"].shell(PLANTING)
    return machines


def example() -> dict[str, Any]:
    readme = (REPOSITORY / "roles" / "check_logs" / "README.md").read_text(encoding="utf-8")
    (play,) = yaml.safe_load(readme.rsplit("```yaml\n", 1)[1].split("```", 1)[0])
    return dict(play)


def test_the_readmes_play_on_a_machine(fleet: Fleet, tmp_path: Path) -> None:
    content = "{{ {'findings': check_logs_findings, 'facts': check_logs_facts} | to_json }}"
    hand_over = {
        "ansible.builtin.copy": {"dest": str(tmp_path / "outcome.json"), "content": content},
        "delegate_to": "localhost",
        "become": False,
    }
    report = {"hosts": "localhost", "connection": "local", "gather_facts": False, "roles": ["runbook.ops.report"]}
    plays = [{**example(), "post_tasks": [hand_over]}, {**report, "vars": {"report_fail_on": "never"}}]
    played = play_on(fleet, plays, "-vv", groups={"servers": ["web1"]}, place=tmp_path)
    assert played.returncode == 0, played.output
    outcome = json.loads((tmp_path / "outcome.json").read_text(encoding="utf-8"))
    found = {(each["id"], each["object"]): (each["severity"], each["value"]) for each in outcome["findings"]}
    assert found["logs.readable", ""][0] == "ok"
    assert found["logs.silent", ""][0] == "ok"
    # Only the first generation begins with the planting, and nobody knows what was before it.
    assert found["logs.window", "rails"] == ("unknown", None)
    assert found["logs.slow", "rails: rails"] == ("warning", 2300.0)
    assert found["logs.failed_logins_address", "auth: 127.0.0.1"] == ("warning", 36)
    assert found["logs.failed_logins_address", "system: 127.0.0.1"] == ("warning", 36)
    facts = outcome["facts"]["host"]
    counts = {(each["source"], each["name"]): each["count"] for each in facts["classes"]}
    assert (counts["rails", "errors"], counts["rails", "rate_limited"]) == (1, 1)
    check_against_other_tools(fleet["web1"], facts)
    check_secrets(played.output, tmp_path)


def check_against_other_tools(host: Host, facts: dict[str, Any]) -> None:
    logins = {each["source"]: each for each in facts["logins"]}
    assert logins["auth"]["invalid_users_count"] == logins["system"]["invalid_users_count"] == 18
    assert {each["user"]: each["count"] for each in logins["auth"]["by_user"]} == {"root": 18, "eve": 9, "mallory": 9}
    assert host.shell("zcat -f /var/log/auth.log* | grep -c 'Failed password'") == "36"
    assert host.shell("journalctl -t sshd -o cat | grep -c '^Failed password'") == "36"
    # The manual's command sees one generation of three, and where only the journal is, nothing but its failure.
    assert host.shell("grep 'Failed password' /var/log/auth.log | tail -20 | wc -l") == "12"
    assert host.status("grep", "Failed password", "/var/log/none.log") == 2
    # Its slow requests: nine that were quick, and not the one that was slow.
    slow = host.shell("grep 'Completed.*[5-9][0-9][0-9]ms' /srv/app/shared/log/production.log | grep -o 'in [0-9]*ms'")
    assert set(slow.splitlines()) == {"in 12ms"}
    # Its errors: a parameter, and not what is fatal.
    errors = host.shell("grep -i error /srv/app/shared/log/production.log | tail -20")
    assert "none" in errors
    assert "FATAL" not in errors


def check_secrets(output: str, place: Path) -> None:
    """Neither in what is printed, nor in what is kept, nor in the pages that are passed on."""
    texts = {"output": output}
    for path in [place / "outcome.json", *(place / "report").rglob("*")]:
        if path.is_file():
            texts[path.name] = path.read_text(encoding="utf-8")
    assert {"outcome.json", "findings.json"} <= set(texts)
    assert "NoDoor" in texts["outcome.json"]
    for name, text in texts.items():
        assert not [secret for secret in SECRETS if secret in text], name
