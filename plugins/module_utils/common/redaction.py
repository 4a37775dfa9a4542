# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking what looks like a secret or a person out of text that others wrote (log lines, error bodies).

C(masking) hides secrets we know. This guesses, by shape: rather a word too many than a token in a report.
"""

from __future__ import annotations

import re

HIDDEN = "<hidden>"

_TELLING_NAME = (
    r"[\w.-]*(?:passw(?:or)?d|passwd|pwd|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credential|cookie|"
    r"session[-_]?id|signature|authorization|rediscli_auth)"
)
_QUOTED = r"\"[^\"]*\"|'[^']*'"
_WORD = rf"(?:{_QUOTED}|\S+)"
# From a program to one of its options, in the same command.
_TO = r"\b[^|;&\n]{0,2000}?\s"
_CURL = rf"\b((?:curl|wget){_TO}(?:-[a-z]*u\s*|--(?:proxy-)?user[ =])"
# Options of command lines. Most lines of a log have none, and are not searched for them.
_OPTION = re.compile(r"(?<!\S)--?[a-z]", re.IGNORECASE)
_OPTIONS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        # --password X, --db-pass=X, --redis.password X. With --no-password comes none.
        (
            r"(?<!\S)(--?(?!-?no-)[\w.-]*(?:passw(?:or)?d|passwd|pwd|pass|passphrase|masterauth|secret|token|"
            rf"api[-_]?key|access[-_]?key)(?:\s+|=))(?![-<|&;>]){_WORD}",
            rf"\1{HIDDEN}",
        ),
        # Short ones, in which the case counts: -P is a port. A word of its own is to mysql the name of a database.
        (rf"\b((?:mysql\w*|mariadb[\w-]*){_TO}(?-i:-p))(?![\s<]){_WORD}", rf"\1{HIDDEN}"),
        (rf"\b(sshpass\s+(?-i:-p)\s*)(?!<){_WORD}", rf"\1{HIDDEN}"),
        (rf"\b(redis-cli{_TO}(?-i:-a)\s+)(?!<){_WORD}", rf"\1{HIDDEN}"),
        (rf"{_CURL}([\"'])[^:\"']*:)(?!<)(?:(?!\2).)*", rf"\1{HIDDEN}"),
        (rf"{_CURL}[^\s:\"'<]+:)(?!<)\S+", rf"\1{HIDDEN}"),
    )
)
# Order matters: a whole URL login before the e-mail address that it resembles.
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        # scheme://user:password@host: the host is worth keeping.
        (r"\b([a-z][a-z0-9+.-]*://)[^\s/@'\"]+@", rf"\1{HIDDEN}@"),
        (r"\b(bearer|basic|digest|negotiate)\s+[a-z0-9._~+/=-]{6,}", rf"\1 {HIDDEN}"),
        # JSON web tokens: three base64url parts, the first of which begins with {" encoded.
        (r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*", HIDDEN),
        # Keys with a published prefix: AWS, Slack, GitHub, Stripe and their kind, Google.
        (r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", HIDDEN),
        (r"\bxox[abeoprs]-[\w-]{10,}", HIDDEN),
        (r"\bgh[opsur]_\w{20,}|\bgithub_pat_\w{20,}", HIDDEN),
        (r"\b[rsp]k_(?:live|test)_\w{10,}|\bAIza[\w-]{30,}", HIDDEN),
        (
            rf"((?<![\w.-]){_TELLING_NAME}[\"']?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|(?!{HIDDEN})[^\s,;&\"'}}]+)",
            rf"\1{HIDDEN}",
        ),
        (r"[\w.+%-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+", HIDDEN),
        # Korean resident numbers, payment cards, telephone numbers with separators.
        (r"\b\d{6}-[1-8]\d{6}\b", HIDDEN),
        (r"\b(?:\d{4}[ -]){3}\d{4}\b", HIDDEN),
        (r"(?<![\d.])(?:\+\d{1,3}[ -]?)?\(?0\d{1,2}\)?-\d{3,4}-\d{4}(?!\d)", HIDDEN),
    )
)


def redact_text(text: str) -> str:
    """The text with tokens, passwords, logins in URLs, e-mail addresses and personal numbers replaced."""
    if _OPTION.search(text):
        for pattern, replacement in _OPTIONS:
            text = pattern.sub(replacement, text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
