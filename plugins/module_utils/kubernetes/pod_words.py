# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What containers' states mean, as sentences: exit codes, signals, probes, what is missing. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text

_LONGEST = 300
# The numbers of Linux; those of the controller's own system may be others.
_SIGNALS = {
    1: "SIGHUP",
    2: "SIGINT",
    3: "SIGQUIT",
    4: "SIGILL",
    6: "SIGABRT",
    7: "SIGBUS",
    8: "SIGFPE",
    9: "SIGKILL",
    11: "SIGSEGV",
    13: "SIGPIPE",
    15: "SIGTERM",
}
_CODES = {
    126: "the command cannot be executed",
    127: "the command is not there",
    128: "the container could not be started",
}
_MISSING_KEY = re.compile(r"couldn't find key (\S+) in (Secret|ConfigMap) (?:\S+/)?(\S+)")
_MISSING_OBJECT = re.compile(r"(secret|configmap) \"([^\"]+)\" not found")
_KINDS = {"secret": "Secret", "configmap": "ConfigMap"}


@dataclass(frozen=True)
class Ending:
    """How a container's run ended."""

    reason: Optional[str]
    exit_code: Optional[int]
    signal: Optional[str]
    finished_at: Optional[str]
    message: Optional[str] = None

    @classmethod
    def of(cls, terminated: Optional[Mapping[str, Any]]) -> Optional[Ending]:
        """From C(state.terminated) or C(lastState.terminated); None where there is none."""
        if not terminated:
            return None
        code = terminated.get("exitCode")
        number = int(terminated.get("signal") or 0) or (int(code) - 128 if code is not None and code > 128 else 0)
        return cls(
            reason=terminated.get("reason") or None,
            exit_code=None if code is None else int(code),
            signal=_SIGNALS.get(number, f"signal {number}") if 0 < number < 65 else None,
            finished_at=terminated.get("finishedAt"),
            message=terminated.get("message"),
        )

    @property
    def words(self) -> str:
        """As the end of a sentence that begins with the container."""
        if self.exit_code is None:
            return "ended"
        code = f"exit code {self.exit_code}"
        if self.reason == "OOMKilled":
            return f"was ended for want of memory ({code})"
        if self.exit_code == 0:
            return f"ended by itself ({code})"
        known = _CODES.get(self.exit_code)
        more = known or self.signal
        shown = f"{code}, {more}" if more else code
        text = shortened(self.message) if self.reason in ("ContainerCannotRun", "StartError") else ""
        return f"ended with {shown}{': ' + text if text else ''}"


def describe_waiting(reason: str, image: str, message: Optional[str]) -> str:
    """Why a container waits: the image, or what is missing by name; never what it contains."""
    text = shortened(message)
    if reason in ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"):
        return f"the image {image} cannot be pulled{': ' + text if text else ''}"
    key = _MISSING_KEY.search(message or "")
    if key:
        name, kind, holder = key.groups()
        return f"the key {name} is missing in {kind} {holder}"
    thing = _MISSING_OBJECT.search(message or "")
    if thing:
        return f"{_KINDS[thing.group(1)]} {thing.group(2)} is missing"
    return text or f"it waits ({reason})"


def missing_reference(message: Optional[str]) -> Optional[tuple[str, str]]:
    """Kind and name of the Secret or ConfigMap that a message points at; None where it points at none."""
    key = _MISSING_KEY.search(message or "")
    if key:
        return key.group(2), key.group(3)
    thing = _MISSING_OBJECT.search(message or "")
    return (_KINDS[thing.group(1)], thing.group(2)) if thing else None


def describe_probe(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    """Which probe keeps a container from being ready."""
    startup, readiness = spec.get("startupProbe"), spec.get("readinessProbe")
    if startup and not status.get("started"):
        return f"has not started: its startup probe ({_probe(startup)}) has not succeeded"
    if readiness:
        return f"is not ready: its readiness probe ({_probe(readiness)}) fails"
    return "is not ready"


def _probe(probe: Mapping[str, Any]) -> str:
    if probe.get("httpGet"):
        get = probe["httpGet"]
        return f"GET {get.get('path') or '/'} on port {get.get('port')}"
    if probe.get("tcpSocket"):
        return f"TCP on port {probe['tcpSocket'].get('port')}"
    if probe.get("grpc"):
        return f"gRPC on port {probe['grpc'].get('port')}"
    # Arguments may carry a password; the program's name does not.
    command = (probe.get("exec") or {}).get("command") or ["?"]
    return f"the command {command[0]}"


def shortened(message: Any) -> str:
    """A message as one line of bearable length, without what looks like a secret."""
    text = redact_text(" ".join(str(message or "").split())).rstrip(".")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def duration(seconds: float) -> str:
    """Such as C(3 h): the largest unit that fits, for sentences."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"
