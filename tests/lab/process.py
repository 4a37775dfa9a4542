"""Start processes, know them again, and stop exactly those."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.users import Account

PR_SET_PDEATHSIG = 1
# What a daemon must not inherit: a lab started from a test or a shell must not take over its settings.
FOREIGN_VARIABLES = ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSERVICE", "PGDATA", "REDISCLI_AUTH")


@dataclass(frozen=True)
class Identity:
    """A process: its number, and its start in clock ticks since boot, because numbers are used again."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Identity:
        fields = _stat(pid)
        if fields is None:
            raise ProcessLookupError(pid)
        return cls(pid, int(fields[19]), boot_id())

    def alive(self) -> bool:
        """Whether this very process runs; one that has ended but was not collected yet does not."""
        fields = _stat(self.pid)
        return (
            fields is not None and fields[0] not in "ZX" and int(fields[19]) == self.started and self.boot == boot_id()
        )

    def send(self, number: int) -> bool:
        """Send a signal to this very process; False when it is gone."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        except OSError:  # a kernel or sandbox without pidfd: the gap between check and kill is accepted
            if not self.alive():
                return False
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            return True
        try:
            # The handle pins the number, so the check below speaks of the process that gets the signal.
            if not self.alive():
                return False
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on (proc(5): field 3), or None without such a process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text[text.rindex(")") + 2 :].split()


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def descendants(pid: int) -> list[Identity]:
    """Every process below ``pid``, at this moment."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[Identity] = []
    pending = list(children.get(pid, ()))
    while pending:
        current = pending.pop()
        with contextlib.suppress(ProcessLookupError):
            found.append(Identity.of(current))
        pending.extend(children.get(current, ()))
    return found


def with_variable(name: str, value: str) -> list[Identity]:
    """Every process whose environment holds ``name=value``; what we may not read is not ours."""
    wanted = f"{name}={value}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(Identity.of(int(entry.name)))
        except OSError:
            continue
    return found


def program(pid: int) -> str:
    """What a process is called: its program, or the module that Python runs."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return f"process {pid}"
    return words[2] if words[1:2] == ["-m"] and len(words) > 2 else Path(words[0]).name


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in FOREIGN_VARIABLES}
    return {**kept, **(extra or {})}


def spawn(
    argv: Sequence[str | Path],
    *,
    log: Path,
    account: Account | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    dies_with_parent: bool = True,
    death_signal: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, so that Ctrl-C reaches us and not it, its output appended to ``log``.

    With ``dies_with_parent`` the kernel sends ``death_signal`` when the thread that called this ends: call it
    from the main thread then. It is set after the change of account, which would clear it (prctl(2)).
    """
    command = [str(part) for part in argv]
    prepare: Callable[[], None] | None = None
    if dies_with_parent:
        setpriv = shutil.which("setpriv")
        if setpriv:
            command = [setpriv, "--pdeathsig", death_signal.name.removeprefix("SIG"), "--", *command]
        else:
            prepare = _death_signal_setter(death_signal)
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd or "/",
            env=clean_environment(env),
            start_new_session=True,
            preexec_fn=prepare,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            umask=0o077,
        )


def _death_signal_setter(number: signal.Signals) -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True)

    def set_it() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)

    return set_it


def run_as(
    account: Account | None, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end as ``account``; the caller looks at the return code."""
    return subprocess.run(
        [str(part) for part in argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
        cwd="/",
        env=clean_environment(env),
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


Ladder = Sequence[tuple[signal.Signals, float]]
POLITE: Ladder = ((signal.SIGTERM, 8.0), (signal.SIGKILL, 5.0))


def stop(identity: Identity, ladder: Ladder = POLITE, child: subprocess.Popen[bytes] | None = None) -> bool:
    """Send each signal of the ladder and wait that many seconds, until the process and what it started is gone."""
    family = [identity, *descendants(identity.pid)] if identity.alive() else [identity]
    for number, patience in ladder:
        identity.send(number)
        if number == signal.SIGKILL:
            for member in family[1:]:
                member.send(number)
        if wait_until(lambda: _all_gone(family, child), patience):
            return True
    return _all_gone(family, child)


def _all_gone(family: Sequence[Identity], child: subprocess.Popen[bytes] | None) -> bool:
    if child is not None:
        child.poll()  # collects it, so that it does not stay behind as a zombie
    return not any(member.alive() for member in family)


def wait_until(condition: Callable[[], bool], seconds: float, pause: float = 0.02) -> bool:
    """Whether ``condition`` came true within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def eventually(holds: Callable[[], bool], what: str, seconds: float = 240.0) -> None:
    """Wait until something holds, for as long as a machine with much other work may need."""
    assert wait_until(holds, seconds, pause=0.2), f"not in time: {what}"


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, for a message."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(the log is empty)"
