"""No secret gets through, and nothing else is lost."""

from __future__ import annotations

import json

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.runbook.ops.plugins.filter.redact import redact

M = "********"


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "PASSWORD",
        "login_password",
        "redis-password",
        "database.password",
        "loginPassword",
        "PGPASSWORD_",
        "api_key",
        "apiKey",
        "API-KEY",
        "aws_secret_access_key",
        "AWS_SECRET_ACCESS_KEY",
        "secret",
        "client_secret",
        "token",
        "http_bearer_token",
        "Authorization",
        "Cookie",
        "Set-Cookie",
        "private_key",
        "passphrase",
        "credentials",
        "password_hash",
        "secret_value",
        "connection_string",
        "DATABASE_URL",
        "session_token",
        "dsn",
        "password_old",
    ],
)
def test_secret_keys(key):
    assert redact({key: "hunter2-planted"}) == {key: M}
    assert redact({"a": [{key: {"deep": "hunter2-planted"}}]}) == {"a": [{key: M}]}
    assert redact({key: 12345678}) == {key: M}


@pytest.mark.parametrize(
    "key",
    [
        "password_encryption",
        "token_expires_at",
        "secret_name",
        "tokens_total",
        "keys_seen",
        "key",
        "keys",
        "compass",
        "passed",
        "author",
        "bypass",
        "secretary",
        "primary_key",
        "key_count",
        "token_age_seconds",
        "monkey",
        "passwords_checked",
        "next_token",
        "cookies_count",
        "access_keys_total",
    ],
)
def test_keys_that_only_sound_like_secrets(key):
    assert redact({key: "scram-sha-256"}) == {key: "scram-sha-256"}


@pytest.mark.parametrize("value", [None, True, False, "", [], {}])
def test_a_missing_secret_stays_visible(value):
    assert redact({"password": value}) == {"password": value}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://user:pw@h/db", f"postgresql://user:{M}@h/db"),
        ("redis://:pw@h:6379/0", f"redis://:{M}@h:6379/0"),
        ("amqp://u:p@ss@h", f"amqp://u:{M}@h"),
        ("postgresql://u:p/w:x@h/db", f"postgresql://u:{M}@h/db"),
        ("postgresql://u:p%40%2Fx@h/db failed", f"postgresql://u:{M}@h/db failed"),
        ("https://host:8080/path?mail=a@b", "https://host:8080/path?mail=a@b"),
        ("https://user@host/x", "https://user@host/x"),
        ("http://h:80 and b@c", "http://h:80 and b@c"),
        ("Authorization: Bearer abcdef0123456789", f"Authorization: Bearer {M}"),
        ("bearer abc.def-ghi_123", f"bearer {M}"),
        ("Basic dXNlcjpwYXNzd29yZDE=", f"Basic {M}"),
        ("the basic configuration of", "the basic configuration of"),
        ("token bucket algorithms", "token bucket algorithms"),
        ("host=h password=pw123 dbname=x", f"host=h password={M} dbname=x"),
        ("password='a b c' user=u", f"password={M} user=u"),
        ('{"api_key": "abc", "n": 1}', f'{{"api_key": {M}, "n": 1}}'),
        ("PGPASSWORD=pw psql", f"PGPASSWORD={M} psql"),
        ("AWS_SECRET_ACCESS_KEY: abc/def+g", f"AWS_SECRET_ACCESS_KEY: {M}"),
        ("https://h/x?token=abc&y=1", f"https://h/x?token={M}&y=1"),
        ("open without a password: no (bind *)", "open without a password: no (bind *)"),
        ("password: none, token: true", "password: none, token: true"),
        ("password: november", f"password: {M}"),
        ("passwords are stored hashed", "passwords are stored hashed"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc_def-g", M),
        ("key AKIAABCDEFGHIJKLMNOP used", f"key {M} used"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nrest", f"{M}\nrest"),
        ("-----BEGIN PRIVATE KEY-----\ncut", M),
        ("등록 실패", "등록 실패"),
        ("", ""),
    ],
)
def test_text(text, expected):
    assert redact(text) == expected


@pytest.mark.parametrize("secret", ["p@ss:/%", "비밀번호", "a b", "x"])
def test_known_secrets_in_every_spelling(secret):
    from urllib.parse import quote, quote_plus

    data = {
        "log": f"failed with {secret}!",
        "url": f"/q?x={quote(secret, safe='')}",
        "list": [quote_plus(secret)],
        secret: 1,
    }
    shown = json.dumps(redact(data, secrets=[secret, None, ""]), ensure_ascii=False)
    if secret != "x":
        assert secret not in shown
        assert quote(secret, safe="") not in shown
    assert M in shown


def test_environments_of_containers():
    data = [
        {"name": "DB_PASSWORD", "value": "pw"},
        {"name": "LOG_LEVEL", "value": "debug"},
        {"Key": "api_key", "Value": "v"},
    ]
    assert redact(data) == [
        {"name": "DB_PASSWORD", "value": M},
        {"name": "LOG_LEVEL", "value": "debug"},
        {"Key": "api_key", "Value": M},
    ]


def test_more_keys_and_other_types():
    data = {"iban": "DE1", "n": 1.5, "t": (1, "password=x"), "s": {"a"}, 5: "five"}
    assert redact(data, keys=["IBAN"]) == {"iban": M, "n": 1.5, "t": [1, f"password={M}"], "s": ["a"], 5: "five"}


def test_the_input_is_not_changed_and_twice_is_as_good_as_once():
    data = {"a": {"password": "x", "url": "redis://:pw@h"}}
    once = redact(data)
    assert data == {"a": {"password": "x", "url": "redis://:pw@h"}}
    assert redact(once) == once


def test_bad_arguments_do_not_repeat_the_secret():
    with pytest.raises(AnsibleFilterError) as error:
        redact("x", secrets={"planted": 1})
    assert str(error.value) == "redact: secrets: 'dict' is not accepted. Accepted: a list of texts."
