"""Failed logins are counted by attempt, from the programs that log them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.logs.security import FailedLogins, Names, OomKills, Sudo

AT = b"Jan 31 09:00:01 web1 "


def logins(*lines: bytes) -> dict[str, Any]:
    found = FailedLogins()
    for line in lines:
        found.see(AT + line)
    return found.facts(10)


@pytest.mark.parametrize(
    ("lines", "addresses", "users", "invalid"),
    [
        ([b"sshd[1]: Failed password for root from 192.0.2.1 port 2 ssh2"], {"192.0.2.1": 1}, {"root": 1}, 0),
        (
            [b"sshd-session[1]: Failed password for root from 2001:db8::1 port 2 ssh2"],
            {"2001:db8::1": 1},
            {"root": 1},
            0,
        ),
        (
            [
                b"sshd[1]: Invalid user eve from 192.0.2.1 port 2",
                b"sshd[1]: Failed password for invalid user eve from 192.0.2.1 port 2 ssh2",
                b"sshd[1]: Connection closed by invalid user eve 192.0.2.1 port 2 [preauth]",
            ],
            {"192.0.2.1": 1},
            {"eve": 1},
            1,
        ),
        # Where passwords are not accepted, nothing fails one.
        (
            [
                b"sshd[1]: Invalid user eve from 192.0.2.1 port 2",
                b"sshd[1]: Connection closed by invalid user eve 192.0.2.1 port 2 [preauth]",
                b"sshd[2]: Connection closed by authenticating user root 192.0.2.1 port 3 [preauth]",
            ],
            {"192.0.2.1": 2},
            {"eve": 1, "root": 1},
            1,
        ),
        (
            [b"sshd[1]: message repeated 3 times: [ Failed password for root from 192.0.2.1 port 2 ssh2]"],
            {"192.0.2.1": 3},
            {"root": 3},
            0,
        ),
        # A name made to accuse somebody else.
        (
            [b"sshd[1]: Failed password for invalid user a from 198.51.100.1 port 1 from 192.0.2.1 port 2 ssh2"],
            {"192.0.2.1": 1},
            {"a from 198.51.100.1 port 1": 1},
            1,
        ),
        ([b"app[1]: Failed password for root from 192.0.2.1 port 2 ssh2"], {}, {}, 0),
        (
            [b"dovecot[5]: pam_unix(dovecot:auth): authentication failure; uid=0 rhost=192.0.2.1  user=bob"],
            {"192.0.2.1": 1},
            {"bob": 1},
            0,
        ),
        # sshd itself tells about this attempt.
        ([b"sshd[5]: pam_unix(sshd:auth): authentication failure; uid=0 rhost=192.0.2.1  user=bob"], {}, {}, 0),
        ([b"sshd[1]: Accepted publickey for root from 192.0.2.1 port 2 ssh2"], {}, {}, 0),
    ],
)
def test_failed_logins(lines: list[bytes], addresses: dict[str, int], users: dict[str, int], invalid: int) -> None:
    facts = logins(*lines)
    assert {each["address"]: each["count"] for each in facts["by_address"]} == addresses
    assert {each["user"]: each["count"] for each in facts["by_user"]} == users
    assert facts["count"] == sum(addresses.values())
    assert facts["invalid_users_count"] == invalid


def test_sudo() -> None:
    sudo = Sudo()
    for line in (
        b"sudo:   deploy : TTY=pts/0 ; PWD=/srv ; USER=root ; COMMAND=/usr/bin/psql --password=hidden",
        b"sudo[9]: eve : user NOT in sudoers ; TTY=pts/0 ; PWD=/srv ; USER=root ; COMMAND=/bin/sh",
        b"sudo: bob : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
        b"sudo: pam_unix(sudo:session): session opened for user root",
    ):
        sudo.see(AT + line)
    assert sudo.facts(5) == {
        "count": 3,
        "refused_count": 2,
        "by_user": [{"user": "deploy", "count": 1}],
        "refused_by_user": [{"user": "eve", "count": 1}, {"user": "bob", "count": 1}],
        "commands": [{"command": "/bin/sh", "count": 2}, {"command": "/usr/bin/psql", "count": 1}],
        "truncated": False,
    }


def test_kills() -> None:
    kills = OomKills()
    assert kills.see(b"kernel: [1.2] Out of memory: Killed process 77 (ruby) total-vm:1kB")
    assert kills.see(b"kernel: Memory cgroup out of memory: Killed process 78 (node worker) total-vm:1kB")
    assert not kills.see(b"app: Out of memory: nothing killed")
    assert kills.facts(1) == {"count": 2, "by_process": [{"process": "ruby", "count": 1}], "truncated": True}


def test_names_without_end() -> None:
    names = Names()
    for number in range(10_005):
        names.add(str(number))
    assert (names.total, names.unnamed, len(names.counts), names.truncated(20_000)) == (10_005, 5, 10_000, True)
