# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of a cluster's 16384 slots a command belongs to. Pure."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import Any, Optional

SLOTS = 16384

# Commands that touch no key; every server of the cluster may answer them.
KEYLESS = frozenset(
    {"ACL", "ASKING", "AUTH", "BGREWRITEAOF", "BGSAVE", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DBSIZE", "DISCARD"}
    | {"ECHO", "EXEC", "FUNCTION", "HELLO", "INFO", "LASTSAVE", "LATENCY", "LOLWUT", "MODULE", "MULTI", "PING"}
    | {"PSUBSCRIBE", "PUBLISH", "PUBSUB", "RANDOMKEY", "READONLY", "READWRITE", "ROLE", "SCAN", "SCRIPT", "SELECT"}
    | {"SENTINEL", "SLOWLOG", "SUBSCRIBE", "TIME", "UNWATCH", "WAIT"}
)
# Containers of which the first argument after the subcommand is a key.
KEYED_CONTAINERS = frozenset({"MEMORY", "OBJECT", "XGROUP", "XINFO"})
# The number of keys stands at this position, the keys after it.
COUNTED = {"EVAL": 2, "EVALSHA": 2, "EVAL_RO": 2, "EVALSHA_RO": 2, "FCALL": 2, "FCALL_RO": 2}
COUNTED_FIRST = frozenset({"BLMPOP", "BZMPOP"})
COUNTED_AFTER_TARGET = frozenset({"ZDIFFSTORE", "ZINTERSTORE", "ZUNIONSTORE"})
COUNTED_ONLY = frozenset({"LMPOP", "SINTERCARD", "ZDIFF", "ZINTER", "ZINTERCARD", "ZMPOP", "ZUNION"})
ALL_KEYS = frozenset(
    {"DEL", "EXISTS", "MGET", "PFCOUNT", "PFMERGE", "SDIFF", "SDIFFSTORE", "SINTER", "SINTERSTORE", "SUNION"}
    | {"SUNIONSTORE", "TOUCH", "UNLINK", "WATCH"}
)
TWO_KEYS = frozenset({"BLMOVE", "BRPOPLPUSH", "COPY", "LMOVE", "RENAME", "RENAMENX", "RPOPLPUSH", "SMOVE"})
EVERY_SECOND = frozenset({"MSET", "MSETNX"})


def hash_slot(key: bytes) -> int:
    """The slot of a key: CRC16 (XMODEM) of its hash tag, or of all of it (Redis Cluster specification, "Key
    distribution model" and "Hash tags"). The tag is what stands between the first brace and the next closing one,
    unless that is nothing.
    """
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return binascii.crc_hqx(key, 0) % SLOTS


def keys_of(command: Sequence[Any]) -> list[bytes]:
    """The keys of a command; empty for one that touches none.

    What is not known to differ has one key, its first argument.
    """
    name = _text(command[0]).upper()
    if len(command) < 2 or (name in KEYLESS):
        return []
    if name in KEYED_CONTAINERS:
        return [_bytes(command[2])] if len(command) > 2 else []
    if name in COUNTED:
        return _counted(command, COUNTED[name])
    if name in COUNTED_FIRST:
        return _counted(command, 2)
    if name in COUNTED_ONLY:
        return _counted(command, 1)
    if name in COUNTED_AFTER_TARGET:
        return [_bytes(command[1]), *_counted(command, 2)]
    if name in ALL_KEYS:
        return [_bytes(key) for key in command[1:]]
    if name in TWO_KEYS:
        return [_bytes(key) for key in command[1:3]]
    if name in EVERY_SECOND:
        return [_bytes(key) for key in command[1::2]]
    if name in ("XREAD", "XREADGROUP"):
        return _streams(command)
    return [_bytes(command[1])]


def slots_of(command: Sequence[Any]) -> list[int]:
    """The slots of a command's keys, each once, in ascending order."""
    return sorted({hash_slot(key) for key in keys_of(command)})


def slot_of(command: Sequence[Any]) -> Optional[int]:
    """The slot of a command's first key; None without one."""
    keys = keys_of(command)
    return hash_slot(keys[0]) if keys else None


def _counted(command: Sequence[Any], position: int) -> list[bytes]:
    if len(command) <= position:
        return []
    count = int(command[position])
    return [_bytes(key) for key in command[position + 1 : position + 1 + count]]


def _streams(command: Sequence[Any]) -> list[bytes]:
    words = [_text(word).upper() for word in command]
    if "STREAMS" not in words:
        return []
    rest = command[words.index("STREAMS") + 1 :]
    return [_bytes(key) for key in rest[: len(rest) // 2]]


def _bytes(value: Any) -> bytes:
    """An argument as it travels."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


def _text(value: Any) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
