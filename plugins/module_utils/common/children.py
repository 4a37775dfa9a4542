# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that work on streams: started without a shell, watched, ended with us, their last words kept.

A shell's pipeline forgets the failures of all but its last member. Here every program is a C(Child) whose exit status
is asked for, and what one gives to the next passes through this process.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError

CHUNK_BYTES = 1024 * 1024
_WORDS_BYTES = 64 * 1024
_STOP_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class ChildFailed(RunbookError):
    """A program ended with a failure; C(words) are its last ones on standard error, C(code) its exit status.

    A negative C(code) is the number of the signal that ended it.
    """

    def __init__(self, message: str, *, code: int, words: str) -> None:
        super().__init__(message)
        self.code = code
        self.words = words


class Child:
    """A program that reads a stream, writes one, or both. It ends with the block, and with this process.

    Start it from the main thread: the system ends a child when the *thread* that started it ends.

    Args:
        argv: Program and arguments; no secret may be among them.
        environment: Its whole environment. Nothing of ours is passed on; see C(clean_environment).
        stdin: An open file, C(subprocess.PIPE), or nothing.
        cwd: Its directory.
        stdout: C(subprocess.PIPE) in order to read what it writes, or an open file.
        account: User and group to run it as; for root only.
        pass_fds: Open descriptors that it may use, such as one that a passphrase is read from.
        merged: Whether what it says on standard error comes with its output, in order. Then it leaves no C(words).

    Raises:
        RunbookError: it cannot be started.

    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        stdin: Any = subprocess.DEVNULL,
        stdout: Any = subprocess.PIPE,
        cwd: Path | str | None = None,
        account: tuple[int, int] | None = None,
        pass_fds: Sequence[int] = (),
        merged: bool = False,
    ) -> None:
        self.name = Path(argv[0]).name
        self._words = bytearray()
        self._feed_error: Optional[BaseException] = None
        self._feeder: Optional[threading.Thread] = None
        identity: dict[str, Any] = {}
        if account is not None and os.geteuid() == 0:
            identity = {"user": account[0], "group": account[1], "extra_groups": []}
        try:
            self._process = subprocess.Popen(
                list(argv),
                env=dict(clean_environment() if environment is None else environment),
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.STDOUT if merged else subprocess.PIPE,
                cwd=cwd,
                pass_fds=tuple(pass_fds),
                start_new_session=True,
                preexec_fn=end_with_parent(),  # noqa: PLW1509 - it makes one system call and touches no lock
                **identity,
            )
        except OSError as error:
            raise RunbookError(f"{argv[0]} cannot be started: {error.strerror or error}.") from None
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    @property
    def stdout(self) -> Any:
        """What it writes, when that is a pipe."""
        return self._process.stdout

    @property
    def stdin(self) -> Any:
        """What it reads, when that is a pipe."""
        return self._process.stdin

    @property
    def words(self) -> str:
        """The last of what it said on standard error."""
        return self._words.decode("utf-8", "replace").strip()

    def feed(self, chunks: Iterable[bytes]) -> None:
        """Write chunks to its standard input from a thread of its own, and close it at the end.

        What the chunks' source raises ends the program at once, which might wait for ever for what does not come, and
        is raised again by C(finish): the program's own failure is only a consequence then.
        """

        def write() -> None:
            try:
                for chunk in chunks:
                    self._process.stdin.write(chunk)  # type: ignore[union-attr]
            except BrokenPipeError:
                pass  # It ended early; its exit status says why.
            except BaseException as error:
                self._feed_error = error
                self._process.terminate()
            finally:
                with contextlib.suppress(OSError, ValueError):
                    self._process.stdin.close()  # type: ignore[union-attr]

        self._feeder = threading.Thread(target=write, daemon=True)
        self._feeder.start()

    def chunks(self, size: int = CHUNK_BYTES) -> Iterator[bytes]:
        """What it writes, to the end, and then C(finish): a failure is raised, not forgotten."""
        stream = self._process.stdout
        assert_pipe(stream)
        while chunk := stream.read1(size):  # type: ignore[union-attr]
            yield chunk
        self.finish()

    def finish(self, seconds: float | None = None) -> None:
        """Wait for its end.

        Raises:
            ChildFailed: it ended with a failure.
            RunbookError: it has not ended after so many seconds; it is stopped.

        """
        if self._feeder is not None:
            self._feeder.join(seconds)
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise RunbookError(f"{self.name} did not end within {seconds:g} s and was stopped.") from None
        self._listener.join(_STOP_SECONDS)
        if self._feed_error is not None:
            raise self._feed_error
        if code != 0:
            how = f"was ended by signal {signal.Signals(-code).name}" if code < 0 else f"failed with status {code}"
            said = first_words(self.words)
            raise ChildFailed(f"{self.name} {how}{': ' + said if said else ''}", code=code, words=self.words)

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """End it, and everything it started, unless it has ended."""
        if self._process.poll() is None:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(OSError):
                    os.killpg(self._process.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_STOP_SECONDS)
                    break
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError, ValueError):
                if stream is not None:
                    stream.close()
        self._listener.join(_STOP_SECONDS)
        with contextlib.suppress(OSError, ValueError):
            if self._process.stderr is not None:
                self._process.stderr.close()

    def _listen(self) -> None:
        stream: Any = self._process.stderr
        if stream is None:
            return
        with contextlib.suppress(OSError, ValueError):
            while piece := stream.read1(8192):
                self._words += piece
                del self._words[:-_WORDS_BYTES]


def clean_environment(**more: str) -> dict[str, str]:
    """An environment with nothing in it but where programs lie, plain messages, and what is given.

    What stands in a process's environment can be read by others: no secret may be among it.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    return {"PATH": os.defpath, **kept, "LC_ALL": "C", "TZ": "UTC", **more}


def run(
    argv: Sequence[str], *, environment: Mapping[str, str] | None = None, seconds: float = 60.0, **more: Any
) -> str:
    """Run a program that ends soon, and give what it wrote; raises ChildFailed or RunbookError."""
    with Child(argv, environment=environment, **more) as child:
        collected = bytearray()

        def collect() -> None:
            for chunk in iter(lambda: child.stdout.read1(65536), b""):
                collected.extend(chunk)

        reader = threading.Thread(target=collect, daemon=True)
        reader.start()
        child.finish(seconds)
        reader.join(seconds)
        return collected.decode("utf-8", "replace")


def first_words(text: str, lines: int = 3) -> str:
    """The first lines of what a program said, as one clause."""
    told = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return "; ".join(dict.fromkeys(told[:lines])).rstrip(".")


def assert_pipe(stream: Any) -> None:
    """Refuse to read from a program whose output goes elsewhere."""
    if stream is None:
        raise RunbookError("The output of this program does not come here.")


def end_with_parent(number: int = signal.SIGKILL) -> Callable[[], None]:
    """What a child calls first (C(preexec_fn)), so that it gets a signal when the thread that started it ends.

    A killed run leaves nothing behind.
    """

    def ask() -> None:
        with contextlib.suppress(OSError, AttributeError):
            _LIBC.prctl(_PR_SET_PDEATHSIG, number)

    return ask
