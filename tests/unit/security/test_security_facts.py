"""Accounts, keys, sockets, services, updates, secrets: texts as machines write them."""

from __future__ import annotations

import base64
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.security import logins
from ansible_collections.runbook.ops.plugins.module_utils.security.accounts import accounts_of, groups_of, keys_of
from ansible_collections.runbook.ops.plugins.module_utils.security.evidence.collect import suspects
from ansible_collections.runbook.ops.plugins.module_utils.security.evidence.records import records_of
from ansible_collections.runbook.ops.plugins.module_utils.security.hba import open_lines
from ansible_collections.runbook.ops.plugins.module_utils.security.logins import written_since
from ansible_collections.runbook.ops.plugins.module_utils.security.readable import secrets_in
from ansible_collections.runbook.ops.plugins.module_utils.security.services import (
    SERVICES,
    check_logins,
    service_of,
    verdict_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.security.sockets import sockets_of

PASSWD = """root:x:0:0:root:/home/r:/bin/bash
daemon:x:1:1::/usr/sbin:/usr/sbin/nologin
toor:x:0:0::/home/toor:
kim:x:1000:1000::/home/kim:/bin/bash
old::1001:1001::/home/old:/bin/sh
broken line
"""
SHADOW = """root:$y$j9T$abc:20000:0:99999:7:::
daemon:*:20000:0:99999:7:::
toor:!:20000:0:99999:7:::
kim::20010:0:90:7::20020:
"""


@pytest.mark.parametrize(
    ("secret", "state"),
    [("", "empty"), ("!", "locked"), ("*", "locked"), ("!$6$x$y", "locked"), ("$1$x$y", "weak_hash"),
     ("abJnggxhB/yWI", "weak_hash"), ("$6$x$y", "set"), ("$y$j9T$x$y", "set")],
)  # fmt: skip
def test_passwords(secret: str, state: str) -> None:
    (account,) = accounts_of("kim:x:1000:1000::/:/bin/sh\n", f"kim:{secret}:1:0:9:7:::\n")
    assert account.password_state == state


def test_accounts() -> None:
    found = {each.name: each for each in accounts_of(PASSWD, SHADOW)}
    assert list(found) == ["root", "daemon", "toor", "kim", "old"]
    assert found["toor"].has_login_shell  # no shell is /bin/sh
    assert not found["daemon"].has_login_shell
    assert found["old"].password_state == "empty"  # in passwd itself
    assert found["kim"].facts(20025, 1000) == {
        "name": "kim",
        "uid": 1000,
        "shell": "/bin/bash",
        "is_system": False,
        "has_login_shell": True,
        "password_state": "empty",
        "password_age_days": 15,
        "password_expires_days": 75,
        "is_expired": True,
    }
    assert groups_of("staff:x:50:kim\nkim:x:1000:\n", found.values()) == {"staff": ["kim"], "kim": ["kim"]}


def test_without_shadow_passwords_are_unknown_and_not_fine() -> None:
    facts = accounts_of(PASSWD, None)[0].facts(1, 1000)
    assert (facts["password_state"], facts["is_expired"]) == (None, None)


def blob(*fields: bytes) -> str:
    return base64.b64encode(b"".join(struct.pack(">I", len(each)) + each for each in fields)).decode()


def test_keys() -> None:
    short = blob(b"ssh-rsa", b"\1\0\1", b"\0" + b"\xff" * 128)
    good = blob(b"ssh-rsa", b"\1\0\1", b"\0" + b"\xff" * 384)
    text = f'# no\nssh-rsa {short} x\nfrom="10.0.0.1",command="a b" ssh-rsa {good}\nssh-dss {short}\nssh-rsa ???\n'
    found = keys_of(text)
    assert [(each["bits"], each["is_weak"], each["has_options"]) for each in found] == [
        (1024, True, False),
        (3072, False, True),
        (None, True, False),
    ]
    assert all(each["fingerprint"].startswith("SHA256:") for each in found)


def test_sockets_as_the_kernel_writes_them() -> None:
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    line = "   0: {} {} {} 00000000:00000000 00:00000000 00000000   105        0 {} 1 0 100 0 0 10 0\n"
    text = head + line.format("00000000:18EB", "00000000:0000", "0A", 11)
    text += line.format("0100007F:0050", "0200000A:C350", "01", 12) + line.format("0100007F:0050", "0:0", "06", 13)
    found = sockets_of(text, "tcp")
    assert [(each.address, each.port, each.state, each.is_public) for each in found] == [
        ("0.0.0.0", 6379, "listening", True),
        ("127.0.0.1", 80, "established", False),
    ]
    assert found[1].peer == "10.0.0.2"
    six = head + line.format("0000000000000000FFFF00000100007F:0016", "0" * 32 + ":0000", "0A", 14)
    assert sockets_of(six, "tcp6")[0].address == "127.0.0.1"
    assert service_of(found[0]) is SERVICES[0]


@pytest.mark.parametrize(
    ("service", "answer", "opened"),
    [
        ("redis", b"+PONG\r\n", True),
        ("redis", b"-NOAUTH Authentication required.\r\n", False),
        ("redis", b"-DENIED Redis is running in protected mode", False),
        ("redis", b"-LOADING", None),
        ("memcached", b"VERSION 1.6.18\r\n", True),
        ("docker", b'HTTP/1.0 200 OK\r\n\r\n{"ApiVersion":"1.41"}', True),
        ("docker", b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.", False),
        ("elasticsearch", b"HTTP/1.0 401 Unauthorized\r\n", False),
    ],
)
def test_answers_of_services(service: str, answer: bytes, opened: bool | None) -> None:
    (chosen,) = [each for each in SERVICES if each.name == service]
    assert verdict_of(chosen, answer) is opened


@pytest.mark.parametrize(
    "url", ["http://192.0.2.9/", "http://example.com/", "https://127.0.0.1/", "redis://x@127.0.0.1"]
)
def test_default_passwords_are_tried_nowhere_else(url: str) -> None:
    with pytest.raises(InvalidOption, match="default_logins"):
        check_logins([{"name": "x", "url": url, "user": "admin", "password": "admin"}])
    check_logins([{"name": "x", "url": "http://127.0.0.1:3000/", "user": "admin", "password": "admin"}])


def test_lines_of_pg_hba() -> None:
    text = (
        "local all postgres peer\nlocal all all trust # easy\nhost all all 127.0.0.1/32 trust\n"
        "host all all 10.0.0.0 255.0.0.0 trust\nhostssl shop app 0.0.0.0/0 scram-sha-256\nhost all all all password\n"
    )
    assert [(each["line"], each["method"], each["is_network"]) for each in open_lines(text, "x")] == [
        (2, "trust", False),
        (3, "trust", False),
        (4, "trust", True),
        (6, "password", True),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"DB_PASSWORD=hunter22", "DB_PASSWORD"),
        (b"export API_KEY='abcd1234'", "API_KEY"),
        (b'  "client_secret": "s3cr3t-value",', "client_secret"),
        (b"postgres://app:hunter22@db/shop", "password in a URL"),
        (b"DATABASE_URL=postgres://app:hunter22@db/shop", "password in a URL"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----", "private key"),
        (b"# DB_PASSWORD=hunter22", None),
        (b"DB_PASSWORD=${DB_PASSWORD}", None),
        (b"password: {{ vault_password }}", None),
        (b"password_file: /etc/secrets/db", None),
        (b"DB_PASSWORD=", None),
        (b"passwd:         files systemd", None),
        (b"url = postgres://app:${PASSWORD}@db/shop", None),
    ],
)
def test_secrets_are_named_and_not_shown(line: bytes, expected: str | None) -> None:
    found = list(secrets_in(b"first\n" + line + b"\n"))
    assert [(number, name) for number, name, _ in found] == ([(2, expected)] if expected else [])
    assert b"hunter22" not in repr(found).encode()


def test_records_of_logins() -> None:
    def record(kind: int, user: bytes, host: bytes, *address: int) -> bytes:
        padded = (*address, 0, 0, 0, 0)[:4]
        return struct.pack(
            "<h2xi32s4s32s256shhiii4I20x", kind, 77, b"pts/0", b"0", user, host, 0, 0, 0, 1700000000, 0, *padded
        )

    data = record(7, b"kim", b"192.0.2.7") + record(0, b"", b"") + record(8, b"", b"", 0x0100007F) + b"cut"
    assert len(data) == 3 * 384 + 3
    found: list[dict[str, Any]] = [each.facts() for each in records_of(data)]
    assert [(each["kind"], each["user"], each["from"]) for each in found] == [
        ("session", "kim", "192.0.2.7"),
        ("ended", "", "127.0.0.1"),
    ]
    assert found[0]["at"] == "2023-11-14T22:13:20Z"


def test_nobody_who_came_in_is_not_the_same_as_nobody_known() -> None:
    login = {"kind": "session", "user": "kim", "from": "192.0.2.7", "at": "2026-01-31T00:15:00Z"}
    failed = [{"address": "192.0.2.7", "count": 30}]
    (found,) = suspects([login], failed, is_known=False) or []
    assert (found["user"], found["failed_count"]) == ("kim", 30)
    assert suspects([login], [], is_known=True) == []
    # Debian 13 writes no wtmp; and failures in a log that cannot be read are not none.
    assert suspects([], failed, is_known=False) is None


def test_a_log_that_a_logger_left_behind_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left, written = tmp_path / "auth.log", tmp_path / "secure"
    monkeypatch.setattr(logins, "_LOGS", (str(left), str(written), str(tmp_path / "none")))
    for path, moment in ((left, 1000), (written, 3000)):
        path.touch()
        os.utime(path, (moment, moment))
    assert written_since(2000) == [str(written)]
    assert written_since(4000) == []
