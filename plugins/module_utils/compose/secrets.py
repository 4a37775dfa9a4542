# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that are none: what an installation comes with, what a template says, what is too short. Pure.

Values come in and never go out: what is said of them is a reason.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable

SECRET_NAME = re.compile(
    r"(?:^|_)(?:pass|passwd|password|pwd|secret|secrets|token|salt|credentials?|passphrase|(?:api|app|access|private|"
    r"secret|encryption|signing|jwt|master|auth)_?key)(?:_|$)|password|passwd|secret",
    re.IGNORECASE,
)
# These name something about a secret, or a place where one is.
_NOT_SECRET = re.compile(
    r"_(?:file|path|ttl|expires?(?:_in)?|expiry|expiration|timeout|length|algorithm|url|uri|id|name)$", re.IGNORECASE
)
# What products come with, and what people type first.
DEFAULTS = frozenset(
    (
        *("admin", "admin123", "administrator", "password", "password1", "password123", "passwd", "pass", "secret"),
        *("postgres", "mysql", "redis", "mongo", "root", "toor", "guest", "user", "test", "test123", "testing", "demo"),
        *("example", "default", "changeme", "change_me", "change-me", "changeit", "change_this", "please-change-me"),
        *("letmein", "welcome", "qwerty", "abc123", "123456", "12345678", "123456789", "1234567890", "minioadmin"),
        *("grafana", "prom-operator", "rabbitmq", "elastic", "supersecret", "mysecret", "mysecretpassword", "s3cret"),
        *("none", "null", "todo", "tbd", "xxx", "xxxx", "xxxxx", "dev", "development", "local"),
    )
)
_TEMPLATE = re.compile(
    r"^(?:<.*>|\$\{.*\}|\{\{.*\}\}|\[.*\])$|change.?(?:me|this|it)|replace.?(?:me|this|with)|your[-_ ].+|insert.+here|"
    r"placeholder|dummy",
    re.IGNORECASE,
)
_LEAST_BITS = 50.0
_URL_PASSWORD = re.compile(r"^[a-z][a-z0-9+.-]*://[^/\s:@]*:([^@/\s]*)@", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name holds a secret."""
    return bool(SECRET_NAME.search(name)) and not _NOT_SECRET.search(name)


def default_reason(value: str, template: Iterable[str] = ()) -> str | None:
    """Why a secret is known to everybody; None if it is not."""
    if value.strip().lower() in DEFAULTS:
        return "is a default that everybody knows"
    if value in frozenset(template):
        return "is the value of the example file"
    if _TEMPLATE.search(value):
        return "is a placeholder of a template"
    return None


def weak_reason(value: str, least: int = 16) -> str | None:
    """Why a secret can be guessed; None if it cannot. The value's length is not told."""
    if len(value) < least:
        return f"has fewer than {least} characters"
    if len(set(value)) < 6:
        return "repeats a few characters"
    if bits(value) < _LEAST_BITS:
        return "has little variety"
    return None


def bits(value: str) -> float:
    """Shannon's entropy of the characters times their number: an upper bound of what guessing takes."""
    counts = Counter(value)
    total = len(value)
    return -sum(n * math.log2(n / total) for n in counts.values()) if total else 0.0


def secret_in(name: str, value: str) -> str | None:
    """The secret that a variable holds, also as the password in an address; None where there is none."""
    found = _URL_PASSWORD.match(value)
    if found:
        return found.group(1)
    return value if is_secret_name(name) else None
