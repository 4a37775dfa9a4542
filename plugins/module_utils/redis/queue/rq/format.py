# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How RQ writes queues, jobs and results into Redis. Pure.

Sources: rq 2 and 3, queue.py, registry.py, job.py, results.py, worker_registration.py. The field C(data) of a job is a
compressed pickle and is never opened: reading a pickle runs what is in it. C(description) says what the job does.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from dataclasses import dataclass
from typing import Any, Optional

# RQ_KEY_PREFIX changes it, from rq 3 on.
DEFAULT_PREFIX = b"rq"

# The sorted sets of a queue by the library's names of the states. The score is the time when an entry expires
# (failed, finished), when the worker must have answered (wip), or when the job is due (scheduled).
REGISTRIES = ("wip", "failed", "finished", "deferred", "scheduled", "canceled", "ready")

FAILED_RESULT = b"2"
NAMES_OF_RESULTS = {
    b"3": "(stopped by a person)",
    b"5": "(it gave up after the number of retries it had asked for)",
}

# An error text is kept as base64 of a compressed text. So much of the former is read, and so much of the latter is
# made at most: a few kilobytes can expand to gigabytes.
ENCODED_BYTES = 256 * 1024
TEXT_BYTES = 1024 * 1024
# The exception is at the end of a traceback.
TAIL_BYTES = 8 * 1024
TOO_LONG = "(an error text too long to read)"
NO_TEXT = "(no error text was kept)"
UNREADABLE = "(an error text that cannot be read)"

EXECUTION = re.compile(rb"\A(.+):[0-9a-f]{32}\Z", re.DOTALL)
CALL = re.compile(r"\A([A-Za-z_][\w.]*)\(")


@dataclass(frozen=True)
class RqKeys:
    """The keys of all queues under one prefix."""

    prefix: bytes = DEFAULT_PREFIX

    @property
    def queues(self) -> bytes:
        """The set of all queues, by the keys of their lists."""
        return self.prefix + b":queues"

    @property
    def suspended(self) -> bytes:
        """There while workers must not fetch anything."""
        return self.prefix + b":suspended"

    @property
    def workers(self) -> bytes:
        """The set of all workers, by their keys."""
        return self.prefix + b":workers"

    @property
    def limiters(self) -> bytes:
        """The set of the names of rate limits."""
        return self.prefix + b":rl-keys"

    def limited(self, name: bytes) -> bytes:
        """The jobs that a rate limit keeps from being queued."""
        return self.prefix + b":rl:" + name + b":rate_limited"

    def queue(self, name: bytes) -> bytes:
        """The list of ids that wait."""
        return self.prefix + b":queue:" + name

    def intermediate(self, name: bytes) -> bytes:
        """The ids that a worker has taken, until it has begun."""
        return self.queue(name) + b":intermediate"

    def registry(self, state: str, name: bytes) -> bytes:
        """The sorted set of a state."""
        return self.prefix + b":" + state.encode() + b":" + name

    def workers_of(self, name: bytes) -> bytes:
        """The workers that fetch from a queue."""
        return self.prefix + b":workers:" + name

    def job(self, identifier: bytes) -> bytes:
        """The hash of a job."""
        return self.prefix + b":job:" + identifier

    def results(self, identifier: bytes) -> bytes:
        """The stream of what executions of a job ended with."""
        return self.prefix + b":results:" + identifier

    def dependents(self, identifier: bytes) -> bytes:
        """The jobs that wait for this one."""
        return self.job(identifier) + b":dependents"

    def dependencies(self, identifier: bytes) -> bytes:
        """The jobs this one waits for; the two colons are RQ's."""
        return self.prefix + b":job::" + identifier + b":dependencies"

    def executions(self, identifier: bytes) -> bytes:
        """The executions of a job that are going on."""
        return self.prefix + b":executions:" + identifier

    def name_of(self, key: bytes) -> Optional[bytes]:
        """The queue in a member of the set of queues; None if it is none of RQ's."""
        beginning = self.prefix + b":queue:"
        return key[len(beginning) :] if key.startswith(beginning) and len(key) > len(beginning) else None

    def id_of(self, key: bytes) -> Optional[bytes]:
        """The job whose hash this is; None for the sets that hang on jobs."""
        beginning = self.prefix + b":job:"
        identifier = key[len(beginning) :]
        if not key.startswith(beginning) or not identifier or identifier.startswith(b":"):
            return None
        return None if identifier.endswith((b":dependents", b":dependencies")) else identifier


def job_of(member: bytes) -> bytes:
    """The job in an entry of C(wip): C(job:execution) from rq 2 on, C(job) before."""
    found = EXECUTION.match(member)
    return found.group(1) if found else member


def task_name(description: Optional[bytes]) -> str:
    """The function that a job calls, without its arguments; a description that an application wrote is cut short."""
    if not description:
        return "(unknown)"
    text = description.decode("utf-8", "replace")
    call = CALL.match(text)
    if call:
        return call.group(1)
    line = text.split("\n", 1)[0].strip()
    return line if len(line) <= 80 else line[:79] + "…"


def expand_tail(packed: bytes, most: int = TEXT_BYTES, tail: int = TAIL_BYTES) -> Optional[bytes]:
    """The end of a compressed text; None if the whole is longer than C(most) bytes. Raises zlib.error."""
    machine = zlib.decompressobj()
    kept, total = b"", 0
    while packed and not machine.eof:
        piece = machine.decompress(packed, 64 * 1024)
        total += len(piece)
        if total > most:
            return None
        kept = (kept + piece)[-tail:]
        packed = machine.unconsumed_tail
    # What the last step had no room for: less than a repetition.
    return (kept + machine.flush())[-tail:]


def exception_of(text: str) -> str:
    """The exception at the end of a traceback with its message; any other text as it is."""
    lines = text.rstrip().splitlines()
    last_frame = max((number for number, line in enumerate(lines) if line.startswith("  ")), default=-1)
    # A message of several lines may be indented, too: then the last line that is not.
    rest = lines[last_frame + 1 :] or [line for line in lines if not line.startswith(" ")][-1:]
    return "\n".join(rest).strip() or NO_TEXT


def encoded_text(encoded: Optional[bytes]) -> str:
    """The exception in the field C(exc_string) of a result."""
    if not encoded:
        return NO_TEXT
    if len(encoded) > ENCODED_BYTES:
        return TOO_LONG
    try:
        packed = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return UNREADABLE
    return packed_text(packed)


def packed_text(packed: bytes) -> str:
    """The exception in the field C(exc_info) of a job, which rq 1 wrote: compressed, or as it is."""
    try:
        text = expand_tail(packed)
    except zlib.error:
        text = packed[-TAIL_BYTES:]
    return TOO_LONG if text is None else exception_of(text.decode("utf-8", "replace"))


def reason_of(result: Optional[dict[bytes, Any]]) -> str:
    """Why a job failed, from the last entry of its stream of results."""
    if not result:
        return NO_TEXT
    kind = result.get(b"type")
    if kind in NAMES_OF_RESULTS and not result.get(b"exc_string"):
        return NAMES_OF_RESULTS[kind]
    return encoded_text(result.get(b"exc_string"))
