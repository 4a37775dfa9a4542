"""One container's life as the kubelet sees it, from the pull of its image to its back-off."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lab.kubernetes.images import behaviour_of
from lab.kubernetes.kinds import Object
from lab.kubernetes.store import now

RECHECK = 0.4  # seconds until the kubelet tries again what did not work
LONGEST_BACKOFF = 5.0
_SAID = ("10s", "20s", "40s", "1m20s", "2m40s", "5m0s")


def _delay(times: int) -> float:
    """Longer from time to time."""
    return float(min(RECHECK * 2**times, LONGEST_BACKOFF))


Say = Callable[[str, str], None]  # records a warning: reason, message


@dataclass(eq=False)
class Container:
    """What the kubelet knows of one container; ``step`` brings it further."""

    name: str
    image: str
    identity: str  # the pod's, as in ``api-x_shop(uid)``
    policy: str = "Always"
    completes: bool = False  # ends well when it has run for a while, as a job's
    initial: bool = False
    state: Object = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last: Object = field(default_factory=dict)
    restarts: int = 0
    ready: bool = False
    probes: int = 0
    runs: int = 0
    due: float = 0.0  # when the next step happens, on the monotonic clock

    @property
    def over(self) -> bool:
        return "terminated" in self.state

    @property
    def succeeded(self) -> bool:
        return bool(self.over and self.state["terminated"]["exitCode"] == 0)

    def step(self, missing: Callable[[], str | None], say: Say) -> float | None:
        """Do what is due; the seconds until something else is, or None when nothing more happens by itself."""
        while not self.over and (left := self.due - time.monotonic()) <= 0:
            wait = self._advance(missing, say)
            if wait is None:
                return None
            self.due = time.monotonic() + wait
        return None if self.over else max(left, 0.0)

    def _advance(self, missing: Callable[[], str | None], say: Say) -> float | None:
        if "waiting" in self.state:
            return self._start(missing, say)
        behaviour = behaviour_of(self.image)
        if behaviour.exit_code is not None:
            return self._end(behaviour.exit_code, behaviour.exit_reason, say)
        if self.completes:
            return self._end(0, "Completed", say)
        if behaviour.ready_after is not None:
            self.ready = True
            return None
        self.probes += 1
        say("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503")
        return _delay(self.probes)

    def _start(self, missing: Callable[[], str | None], say: Say) -> float:
        behaviour = behaviour_of(self.image)
        if not behaviour.pulled:
            return self._pull_fails(say)
        problem = missing()
        if problem:
            if self.state["waiting"].get("message") != problem:
                say("Failed", f"Error: {problem}")
            self.state = {"waiting": {"reason": "CreateContainerConfigError", "message": problem}}
            return RECHECK
        if self.runs:
            self.restarts += 1
        self.runs += 1
        self.state = {"running": {"startedAt": now()}}
        if behaviour.exit_code is not None or self.completes:
            return max(behaviour.runs_for, behaviour.ready_after or 0 if self.completes else 0)
        return behaviour.ready_after or RECHECK

    def _pull_fails(self, say: Say) -> float:
        error = (
            f'failed to pull and unpack image "{self.image}": failed to resolve reference "{self.image}": '
            f"{self.image}: not found"
        )
        if self.state["waiting"]["reason"] == "ErrImagePull":
            message = f'Back-off pulling image "{self.image}"'
            say("BackOff", message)
            self.state = {"waiting": {"reason": "ImagePullBackOff", "message": f"{message}: ErrImagePull: {error}"}}
            return LONGEST_BACKOFF
        if self.state["waiting"]["reason"] != "ImagePullBackOff":
            say("Failed", f'Failed to pull image "{self.image}": {error}')
            say("Failed", "Error: ErrImagePull")
            self.state = {"waiting": {"reason": "ErrImagePull", "message": error}}
            return RECHECK / 2
        say("BackOff", f'Back-off pulling image "{self.image}"')
        return LONGEST_BACKOFF

    def _end(self, code: int, reason: str, say: Say) -> float | None:
        began = self.state["running"]["startedAt"]
        ended = {"exitCode": code, "reason": reason, "startedAt": began, "finishedAt": now()}
        ended["containerID"] = f"containerd://{self.identity}/{self.name}/{self.runs}"
        self.ready = False
        if self.policy == "Never" or (code == 0 and (self.policy == "OnFailure" or self.initial or self.completes)):
            self.state = {"terminated": ended}
            return None
        self.last = {"terminated": ended}
        if self.restarts == 0:  # the first time it is started again at once
            self.state = {"waiting": {"reason": "ContainerCreating"}}
            return 0.0
        delay = _SAID[min(self.restarts, len(_SAID)) - 1]
        message = f"back-off {delay} restarting failed container={self.name} pod={self.identity}"
        self.state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
        say("BackOff", f"Back-off restarting failed container {self.name} in pod {self.identity}")
        return _delay(self.restarts)

    def status(self) -> Object:
        """As it stands in ``containerStatuses``."""
        running = "running" in self.state
        return {
            "name": self.name,
            "image": self.image,
            "imageID": f"lab://{self.image}" if self.runs else "",
            **({"containerID": f"containerd://{self.identity}/{self.name}/{self.runs}"} if self.runs else {}),
            "ready": self.succeeded if self.initial else self.ready,
            "started": running,
            "restartCount": self.restarts,
            "state": dict(self.state),
            "lastState": dict(self.last),
        }
