"""What looks like a secret or a person is taken out of text that others wrote."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("login of kim.cs+1@example.co.kr failed", "login of <hidden> failed"),
        ("Authorization: Bearer abc.def-ghi123", "Authorization: <hidden> <hidden>"),
        ("sent bearer 0123456789abcdef to x", "sent bearer <hidden> to x"),
        ("password=hunter2 next", "password=<hidden> next"),
        ('{"db_password": "s3 cret", "n": 1}', '{"db_password": <hidden>, "n": 1}'),
        ("api-key: 'abc' ok", "api-key: <hidden> ok"),
        ("?token=abc&page=2", "?token=<hidden>&page=2"),
        ("postgresql://u:p%40ss@db:5432/x down", "postgresql://<hidden>@db:5432/x down"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln end", "jwt <hidden> end"),
        ("key AKIAIOSFODNN7EXAMPLE", "key <hidden>"),
        ("xoxb-123456789012-abc", "<hidden>"),
        ("ghp_" + "a" * 36, "<hidden>"),
        ("sk_live_" + "a1" * 10, "<hidden>"),
        ("call 010-1234-5678 or +82 10-1234-5678", "call <hidden> or +82 10-1234-5678"),
        ("resident 900101-1234567", "resident <hidden>"),
        ("card 4111-1111-1111-1111", "card <hidden>"),
        ("Set-Cookie: sid=abc; Path=/", "Set-Cookie: <hidden>; Path=/"),
        # Command lines.
        ("mysqldump -u backup -pS3cret99 shop", "mysqldump -u backup -p<hidden> shop"),
        ("mysql -uroot -p'S3 cret' -P3306 shop", "mysql -uroot -p<hidden> -P3306 shop"),
        ("mariadb-dump -pS3cret99 shop | gzip", "mariadb-dump -p<hidden> shop | gzip"),
        ("redis-cli -h cache -a S3cret99 ping", "redis-cli -h cache -a <hidden> ping"),
        ("REDISCLI_AUTH=S3cret99 redis-cli ping", "REDISCLI_AUTH=<hidden> redis-cli ping"),
        ("sshpass -p S3cret99 ssh -p 22 db", "sshpass -p <hidden> ssh -p 22 db"),
        ("app --password S3cret99 --port 80", "app --password <hidden> --port 80"),
        ("app --password 'S3 cret' --port 80", "app --password <hidden> --port 80"),
        ("redis-server --requirepass S3cret99", "redis-server --requirepass <hidden>"),
        ("app --db-pass=S3cret99 run", "app --db-pass=<hidden> run"),
        ("java --redis.password S3cret99", "java --redis.password <hidden>"),
        ("curl -u a:S3cret99 http://x/", "curl -u a:<hidden> http://x/"),
        ("curl -sua:S3cret99 http://x/", "curl -sua:<hidden> http://x/"),
        ('curl --user "a:S3 cret" http://x/', 'curl --user "a:<hidden>" http://x/'),
    ],
)
def test_taken_out(text: str, redacted: str) -> None:
    assert redact_text(text) == redacted
    assert redact_text(redacted) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "tokens: 512 used",
        "no token here",
        "Rate limit exceeded for naver: 429",
        "2025-10-16T09:00:01Z item 12345678 done",
        "http://api.example.com:8080/v1?page=2",
        "keyword=fish",
        "mysqldump -h db -P3306 -p shop",
        "mysql shop | ssh -p22 host",
        "psql --no-password shop",
        "app --password --verbose",
        "docker login --password-stdin registry",
        "curl -u kim http://x:80/",
        "worker@3 lost",
        "\uc7ac\uace0 12-34 \ubd80\uc871",
    ],
)
def test_left_alone(text: str) -> None:
    assert redact_text(text) == text


def test_twice_is_once() -> None:
    once = redact_text("password=hunter2 Bearer abcdefghi kim@example.com")
    assert redact_text(once) == once
