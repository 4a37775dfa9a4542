# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking secrets out of data and text before they are written anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.masking import MASK, mask_secrets
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.paths import is_list

_SECRET_WORDS = frozenset(
    (
        "password",
        "passwd",
        "pwd",
        "pass",
        "passphrase",
        "passcode",
        "secret",
        "secrets",
        "token",
        "apikey",
        "requirepass",
        "masterauth",
        "pgpass",
        "credential",
        "credentials",
        "authorization",
        "cookie",
        "dsn",
        "jwt",
        "bearer",
    )
)
# Two words that only together mean a secret: a "key" alone is most often a name.
_SECRET_PAIRS = frozenset(
    (
        "api_key",
        "access_key",
        "secret_key",
        "private_key",
        "signing_key",
        "encryption_key",
        "account_key",
        "session_key",
        "master_key",
        "shared_key",
        "connection_string",
        "connection_uri",
        "database_url",
        "redis_url",
        "webhook_url",
        "slack_url",
        "set_cookie",
        "service_role",
    )
)
# Behind a secret word these still hold the secret; any other word (expires_at, name, length) says something about it.
_VALUE_WORDS = frozenset(("value", "text", "plain", "plaintext", "hash", "base64", "b64", "data", "id", "old", "new"))
_NOT_SECRET = frozenset(("token_id", "secret_id", "credential_id", "password_id", "next_token", "continuation_token"))

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORDS = re.compile(r"[^A-Za-z0-9]+")

# user:password@ in a URL. A port is not a password, so "host:8080/a@b" stays. A raw "/" in a password is
# against RFC 3986, but people write it: the mask then reaches to the last @.
_USERINFO = re.compile(r"(://[^\s:/?#@'\"<>]*:)(?!\d*[/?#])(?!\d*$)([^\s'\"<>]+)@")
_SCHEME = re.compile(
    r"\b(Bearer|Basic|Token|ApiKey)(\s+)(?=[A-Za-z0-9._~+/=-]*[0-9._~+/=-])[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE
)
_ASSIGNMENT = re.compile(
    r"(?P<head>(?<![A-Za-z0-9])(?:[A-Za-z0-9]+[_-])*"
    r"(?:[A-Za-z0-9]*(?:password|passwd)|pwd|passphrase|secret|token|api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key|authorization)"
    r"[\"']?\s*[=:]\s*)"
    # Words that answer a question are no secrets: "open without a password: no".
    r"(?!(?:yes|no|none|null|true|false|on|off|unknown|missing|required)\b)"
    r"(?P<value>\"[^\"]*\"|'[^']*'|(?!(?:Bearer|Basic)\s)[^\s,;&\"'}\])]+)",
    re.IGNORECASE,
)
_SHAPES = (
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),  # a JSON web token
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),  # an AWS access key id
    re.compile(r"\bhttps://hooks\.slack\.com/services/\S+"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
)


def looks_secret(key: object, extra: frozenset[str] = frozenset()) -> bool:
    """Whether a key names a secret: C(login_password), C(apiKey), C(AWS_SECRET_ACCESS_KEY); not C(token_expires_at)."""
    if not isinstance(key, str):
        return False
    words = [word.lower() for word in _WORDS.split(_CAMEL.sub("_", key)) if word]
    joined = "_".join(words)
    if joined in extra or key.lower() in extra:
        return True
    if not words or joined in _NOT_SECRET or "_".join(words[-2:]) in _NOT_SECRET:
        return False
    if len(words) > 1 and words[-1] in _VALUE_WORDS:
        words = words[:-1]
    # Written together: PGPASSWORD, dbpasswd.
    together = words[-1].endswith(("password", "passwd", "passphrase"))
    return together or words[-1] in _SECRET_WORDS or "_".join(words[-2:]) in _SECRET_PAIRS


def redact_text(text: str, secrets: Iterable[str] = ()) -> str:
    """Mask known secrets, passwords in URLs, bearer tokens, assignments to secret names and well-known token shapes."""
    text = mask_secrets(text, secrets)
    text = _USERINFO.sub(rf"\1{MASK}@", text)
    text = _SCHEME.sub(rf"\1\2{MASK}", text)
    text = _ASSIGNMENT.sub(rf"\g<head>{MASK}", text)
    for shape in _SHAPES:
        text = shape.sub(MASK, text)
    return text


def redact(data: Any, secrets: Iterable[str] = (), keys: Iterable[str] = ()) -> Any:
    """A copy of nested data without secrets.

    Values of keys that look like secrets are masked whole, whatever they hold; null, booleans and empty values
    stay, because they tell that a secret is missing. Text everywhere else goes through C(redact_text).
    C(keys) are further names to mask.
    """
    known = [secret for secret in secrets if secret]
    extra = frozenset(key.lower() for key in keys)
    return _redact(data, known, extra)


def _redact(data: Any, secrets: list[str], extra: frozenset[str]) -> Any:
    if isinstance(data, str):
        return redact_text(data, secrets)
    if isinstance(data, Mapping):
        # The environment of a container is a list of {name, value}.
        named = next((data[name] for name in ("name", "key", "Name", "Key") if isinstance(data.get(name), str)), None)
        hidden = {"value", "Value"} if named is not None and looks_secret(named, extra) else set()
        return {
            (redact_text(key, secrets) if isinstance(key, str) else key): (
                _mask(value) if key in hidden or looks_secret(key, extra) else _redact(value, secrets, extra)
            )
            for key, value in data.items()
        }
    if is_list(data) or isinstance(data, (set, frozenset)):
        return [_redact(each, secrets, extra) for each in data]
    return data


def _mask(value: Any) -> Any:
    if value is None or isinstance(value, bool) or (hasattr(value, "__len__") and len(value) == 0):
        return value
    return MASK
