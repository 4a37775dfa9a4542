"""What sshd -T says, and whom it is asked about."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.security.sshd import (
    OUTSIDE,
    Connection,
    connections,
    login_facts,
    match_lines,
    may_log_in,
    server_facts,
    settings_of,
)

BASE = """port 22
port 2222
listenaddress 0.0.0.0:22
usepam yes
logingracetime 120
maxauthtries 6
permitrootlogin without-password
passwordauthentication no
kbdinteractiveauthentication no
permitemptypasswords no
pubkeyauthentication yes
x11forwarding yes
loglevel INFO
strictmodes yes
authenticationmethods any
ciphers chacha20-poly1305@openssh.com,aes128-cbc,3des-cbc
macs hmac-sha2-256,hmac-md5
kexalgorithms curve25519-sha256,diffie-hellman-group1-sha1
"""


def facts(**changed: str) -> dict[str, object]:
    text = BASE
    for keyword, value in changed.items():
        lines = [line for line in text.splitlines() if line.split()[0] != keyword]
        text = "\n".join([*lines, f"{keyword} {value}"])
    return login_facts(settings_of(text))


@pytest.mark.parametrize(
    ("changed", "password_login", "root_password_login"),
    [
        ({}, False, False),
        ({"passwordauthentication": "yes"}, True, False),
        ({"passwordauthentication": "yes", "permitrootlogin": "yes"}, True, True),
        ({"passwordauthentication": "yes", "permitrootlogin": "prohibit-password"}, True, False),
        # PAM asks for the password by way of keyboard-interactive.
        ({"kbdinteractiveauthentication": "yes", "permitrootlogin": "yes"}, True, True),
        ({"kbdinteractiveauthentication": "yes", "permitrootlogin": "yes", "usepam": "no"}, False, False),
        ({"passwordauthentication": "yes", "authenticationmethods": "publickey"}, False, False),
        ({"passwordauthentication": "yes", "authenticationmethods": "publickey,password"}, True, False),
    ],
)
def test_a_password_opens_or_not(changed: dict[str, str], password_login: bool, root_password_login: bool) -> None:
    found = facts(**changed)
    assert (found["password_login"], found["root_password_login"]) == (password_login, root_password_login)


def test_what_sshd_does_not_tell_is_unknown() -> None:
    found = login_facts(settings_of(""))
    assert (found["root_password_login"], found["password_login"], found["permit_root_login"]) == (None, None, None)
    assert server_facts({})["max_auth_tries"] is None


def test_the_servers_own_facts() -> None:
    found = server_facts(settings_of(BASE))
    assert found["ports"] == [22, 2222]
    assert found["weak_algorithms"] == ["aes128-cbc", "3des-cbc", "hmac-md5", "diffie-hellman-group1-sha1"]
    # Nothing restricts who comes in, which a search for AllowUsers shows as an empty line.
    assert found["is_restricted"] is False
    assert server_facts(settings_of(BASE + "allowgroups staff\n"))["is_restricted"] is True


@pytest.mark.parametrize(
    ("lists", "account", "groups", "allowed"),
    [
        ({}, "kim", [], True),
        ({"allowusers": "lee"}, "kim", [], False),
        ({"allowusers": "k*"}, "kim", [], True),
        ({"allowusers": "kim@10.0.0.0/8"}, "kim", [], False),
        ({"allowusers": "kim@203.0.113.0/24"}, "kim", [], True),
        ({"denyusers": "kim", "allowusers": "kim"}, "kim", [], False),
        ({"allowgroups": "staff"}, "kim", ["staff", "x"], True),
        ({"allowgroups": "staff"}, "kim", ["x"], False),
        ({"allowusers": "kim", "denygroups": "x"}, "kim", ["x"], False),
    ],
)
def test_who_is_let_in(lists: dict[str, str], account: str, groups: list[str], allowed: bool) -> None:
    assert may_log_in(account, groups, facts(**lists)) is allowed


def test_match_blocks_are_found_in_included_files() -> None:
    files = {
        "/etc/ssh/sshd_config": "Include /etc/ssh/sshd_config.d/*.conf\nMatch all\n# Match User nobody\n",
        "/etc/ssh/sshd_config.d/10.conf": 'Match Address 10.0.0.0/8 User "root"\n X11Forwarding yes\nmatch=group ops\n',
    }
    expanded = {"/etc/ssh/sshd_config.d/*.conf": ["/etc/ssh/sshd_config.d/10.conf"]}
    found, read = match_lines("/etc/ssh/sshd_config", files.get, lambda pattern: expanded.get(pattern, []))
    assert found == ["Address 10.0.0.0/8 User root", "group ops"]
    assert read == list(files)


def test_sshd_is_asked_about_those_whom_a_block_is_about() -> None:
    members = {"ops": ["lee"]}
    found = connections(
        ["Address 10.0.0.0/8 User root", "Group ops", "User dep*,!x", "Address 192.168.1.*", "User gone"],
        lambda group: members.get(group, []),
        ["kim", "lee", "deploy"],
    )
    assert [(each.user, each.address) for each in found] == [
        ("root", OUTSIDE),
        ("kim", OUTSIDE),
        ("root", "10.0.0.1"),
        ("lee", OUTSIDE),
        ("deploy", OUTSIDE),
        ("root", "192.168.1.1"),
        ("kim", "192.168.1.1"),
        ("gone", OUTSIDE),
    ]
    assert Connection("root", "10.0.0.1").argument == "user=root,host=10.0.0.1,addr=10.0.0.1"
