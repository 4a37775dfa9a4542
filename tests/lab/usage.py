"""What processes use: seconds of the processors, and memory, of one process with everything that it started."""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

from lab.process import descendants

_TICKS = os.sysconf("SC_CLK_TCK")
_KIB = 1024
_LOOK_SECONDS = 0.1


def processor_seconds(pid: int) -> float:
    """User and system time of a living process, of its descendants, and of those that it or they have waited for."""
    ticks = 0
    for each in _family(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            # utime, stime, cutime, cstime: fields 14 to 17 of proc(5), where the state is field 3.
            ticks += sum(map(int, fields[11:15]))
    return ticks / _TICKS


@dataclass
class MemoryWatch:
    """Peaks of memory, in bytes, while a process runs.

    C(own) is the process's alone. C(whole) is what it and its descendants had at one moment, what they share counted
    once (Pss in proc(5)).
    """

    pid: int
    own: int = 0
    whole: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> MemoryWatch:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            own = _value(Path(f"/proc/{self.pid}/status"), "VmHWM")
            whole = sum(_value(Path(f"/proc/{each}/smaps_rollup"), "Pss") for each in _family(self.pid))
            self.own, self.whole = max(self.own, own), max(self.whole, whole)


def _family(pid: int) -> list[int]:
    return [pid, *(each.pid for each in descendants(pid))]


def _value(path: Path, name: str) -> int:
    """A line such as C(VmHWM: 1234 kB), in bytes; 0 for a process that has ended."""
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * _KIB
    return 0
