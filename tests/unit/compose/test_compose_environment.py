"""Environment files and secrets, as data."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.compose.env_files import look_at
from ansible_collections.runbook.ops.plugins.module_utils.compose.env_text import judge, parse
from ansible_collections.runbook.ops.plugins.module_utils.compose.secrets import (
    default_reason,
    is_secret_name,
    secret_in,
    weak_reason,
)

STRONG = "Zx8-qLw2_vTn5RbYc7Km"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("A=1\n# B=2\n\nexport C=3\n", {"A": "1", "C": "3"}),
        ("A='x # y' # z\nB=\"two words\"\nC=a#b\nD=a # b\n", {"A": "x # y", "B": "two words", "C": "a#b", "D": "a"}),
        ('KEY="line one\nline two"\nB=1\n', {"KEY": "line one\nline two", "B": "1"}),
        ("\ufeffA=1\r\nB\nC: 3\nD=\n", {"A": "1", "B": "", "C": "3", "D": ""}),
        ("A=1\nA=2\n", {"A": "2"}),
        ("U=postgres://u:p@h/d?x=1\n", {"U": "postgres://u:p@h/d?x=1"}),
    ],
)
def test_files_are_read_as_compose_reads_them(text: str, values: dict[str, str]) -> None:
    assert dict(parse(text).values) == values


def test_what_is_odd_in_a_file() -> None:
    parsed = parse("A=1\n-- no\nA=2\n=x\nQ='open\n")
    assert (parsed.duplicates, parsed.malformed_lines) == (("A",), (2, 4, 5))


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        *(
            (name, True)
            for name in ("POSTGRES_PASSWORD", "JWT_SECRET", "KIS_APP_KEY", "API_KEY", "SMTP_PASS", "GITHUB_TOKEN")
        ),
        *(
            (name, False)
            for name in ("KEYBOARD", "POSTGRES_PASSWORD_FILE", "TOKEN_TTL", "SECRET_NAME", "PASSENGER_COUNT", "TZ")
        ),
    ],
)
def test_secrets_are_told_by_names(name: str, is_secret: bool) -> None:
    assert is_secret_name(name) is is_secret


@pytest.mark.parametrize(
    ("value", "default", "weak"),
    [
        ("admin", "is a default that everybody knows", "has fewer than 16 characters"),
        ("ChangeMe", "is a default that everybody knows", "has fewer than 16 characters"),
        ("your-secret-key-here", "is a placeholder of a template", None),
        ("<generate one>", "is a placeholder of a template", "has fewer than 16 characters"),
        ("short-9x", None, "has fewer than 16 characters"),
        ("aaaaaaaaaaaaaaaaaaaabbbb", None, "repeats a few characters"),
        ("aaaaaaaaaaaaaaaabcdefg", None, "has little variety"),
        (STRONG, None, None),
    ],
)
def test_secrets_that_are_none(value: str, default: str | None, weak: str | None) -> None:
    assert (default_reason(value), weak_reason(value)) == (default, weak)


def test_the_password_in_an_address_is_one() -> None:
    assert secret_in("DATABASE_URL", "postgresql://postgres:postgres@db:5432/x") == "postgres"
    assert secret_in("DATABASE_URL", "postgresql://db/x") is None
    assert default_reason("of-the-example-9", ["of-the-example-9"]) == "is the value of the example file"


def test_names_go_out_and_values_do_not() -> None:
    parsed = parse(f"POSTGRES_PASSWORD=postgres\nJWT_SECRET=\nAPI_KEY={STRONG}\nSMTP_PASS=abcdefgh\nPORT=1\n")
    found = judge(parsed, required=["PORT", "KIS_APP_KEY"])
    assert found["missing_keys"] == ["KIS_APP_KEY"] and found["empty_keys"] == ["JWT_SECRET"]
    assert [each["key"] for each in found["default_keys"]] == ["POSTGRES_PASSWORD"]
    assert [each["key"] for each in found["weak_keys"]] == ["SMTP_PASS"]
    assert STRONG not in str(found) and "abcdefgh" not in str(found)


def test_a_file_on_a_host(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(f"JWT_SECRET={STRONG}\n", encoding="utf-8")
    path.chmod(0o640)
    facts, _skipped = look_at([path, tmp_path / "none.env"], required=["JWT_SECRET"])
    assert facts[0]["mode"] == "0640" and facts[0]["is_private"] is False
    kinds = [(each["kind"], each["is_blocking"]) for file in facts for each in file["problems"]]
    assert kinds == [("mode", True), ("absent", True)]
    path.chmod(0o600)
    assert look_at([path])[0][0]["problems"] == []
    with pytest.raises(InvalidOption, match="example:"):
        look_at([path], example=tmp_path / "none")
