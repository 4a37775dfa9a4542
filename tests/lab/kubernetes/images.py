"""What a container does is told by the path of its image.

``registry.example.com/crash/api:1`` crashes, ``…/oom/…`` is killed for its memory, and so on (``Behaviour``); what
names none of them runs, is ready in a moment and answers.
"""

from __future__ import annotations

from dataclasses import dataclass

READY = 0.2  # seconds from the start to the first passed probe
SLOW = 2.0


@dataclass(frozen=True)
class Behaviour:
    """``ready_after`` None: never. ``exit_code`` None: it stays; it ends ``runs_for`` seconds after its start."""

    pulled: bool = True
    schedulable: bool = True
    ready_after: float | None = READY
    exit_code: int | None = None
    exit_reason: str = "Error"
    runs_for: float = 0.1
    status: int = 200
    failing: int = 1  # of how many answers one has this status
    answers_after: float = 0.0


_BY_PATH: dict[str, Behaviour] = {
    "/bad-image": Behaviour(pulled=False),
    "/pending": Behaviour(schedulable=False),
    "/crash": Behaviour(ready_after=None, exit_code=1),
    "/oom": Behaviour(ready_after=None, exit_code=137, exit_reason="OOMKilled"),
    "/unready": Behaviour(ready_after=None),
    "/errors-half": Behaviour(status=500, failing=2),
    "/errors": Behaviour(status=500),
    "/laggy": Behaviour(answers_after=0.5),
    "/slow": Behaviour(ready_after=SLOW),
    "/fail-job": Behaviour(ready_after=None, exit_code=1),
    "/long-job": Behaviour(runs_for=3600),
}
_RUNS = Behaviour()


def behaviour_of(image: str) -> Behaviour:
    """What a container of this image does."""
    return next((found for path, found in _BY_PATH.items() if path in image), _RUNS)
