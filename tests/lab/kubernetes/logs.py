"""Containers' logs as tests give them, read with the parameters of ``/log``."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from lab.kubernetes.errors import bad_request
from lab.kubernetes.kinds import Object
from lab.kubernetes.request import Request


@dataclass(frozen=True)
class Line:
    """One line of a container's output, without its end."""

    moment: datetime
    text: str


class Logs:
    """Lines by (namespace, pod, container, previous)."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str, str, bool], list[Line]] = defaultdict(list)

    def add(self, place: tuple[str, str, str, bool], text: str, moment: datetime) -> None:
        self._lines[place].extend(Line(moment, line) for line in text.splitlines())

    def read(self, pod: Object, request: Request) -> str:
        """What the server would send for this pod and these parameters."""
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        container = container_of(pod, request.query.get("container", ""))
        previous = request.flag("previous")
        place = (namespace, name, container, previous)
        if previous and place not in self._lines:
            raise bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
        if not previous and place not in self._lines and (waiting := _waiting(pod, container)):
            raise bad_request(f'container "{container}" in pod "{name}" is waiting to start: {waiting}')
        lines = self._lines.get(place, [])
        since = _since(request)
        if since is not None:
            lines = [line for line in lines if line.moment >= since]
        tail = request.number("tailLines")
        if tail is not None:
            lines = lines[max(0, len(lines) - tail) :]
        stamped = request.flag("timestamps")
        text = "".join(f"{_stamp(line.moment)} {line.text}\n" if stamped else f"{line.text}\n" for line in lines)
        limit = request.number("limitBytes")
        return text if limit is None else text.encode()[:limit].decode(errors="ignore")


def _stamp(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


def _since(request: Request) -> datetime | None:
    seconds, text = request.number("sinceSeconds"), request.query.get("sinceTime")
    if seconds is not None:
        return datetime.now(timezone.utc) - timedelta(seconds=seconds)
    if text:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text).replace("Z", "+00:00"))
    return None


def container_of(pod: Object, wanted: str) -> str:
    """The container a request means, the pod's only one without a word."""
    spec = pod["spec"]
    name = pod["metadata"]["name"]
    initial = [each["name"] for each in spec.get("initContainers") or []]
    names = [each["name"] for each in spec.get("containers") or []]
    if wanted:
        if wanted not in names + initial:
            raise bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(names) == 1 and not initial:
        return str(names[0])
    chosen = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    if chosen in names:
        return str(chosen)
    also = f" or one of the init containers: [{' '.join(initial)}]" if initial else ""
    raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]{also}")


def _waiting(pod: Object, container: str) -> str | None:
    """Why a container has no log yet; one that has run before has one."""
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        if status["name"] == container and not status.get("restartCount"):
            waiting = (status.get("state") or {}).get("waiting")
            return waiting and str(waiting.get("reason", "ContainerCreating"))
    return None
