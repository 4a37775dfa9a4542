"""A process that writes numbered lines to a log at a rate, and reopens the log when it gets SIGHUP.

Standard library only, one file: tests copy it onto machines and run it there as a service.

Usage: counting_writer.py LOG PID_FILE LINES_A_SECOND [deaf]

With ``deaf`` it ignores the signal. When it gets SIGTERM it ends and writes the last number to PID_FILE.end.
"""

import os
import signal
import sys
import time
from pathlib import Path

BURST_SECONDS = 0.01


def main() -> None:
    log, pid_file, rate = sys.argv[1], sys.argv[2], int(sys.argv[3])
    wishes = {"reopen": False, "end": False}
    signal.signal(signal.SIGTERM, lambda *_: wishes.update(end=True))
    signal.signal(signal.SIGHUP, signal.SIG_IGN if "deaf" in sys.argv else lambda *_: wishes.update(reopen=True))
    stream = Path(log).open("ab", buffering=0)  # noqa: SIM115 - it is replaced on a signal
    Path(pid_file).write_text(str(os.getpid()), encoding="ascii")
    number, began = 0, time.monotonic()
    while not wishes["end"]:
        if wishes["reopen"]:
            wishes["reopen"] = False
            stream.close()
            stream = Path(log).open("ab", buffering=0)  # noqa: SIM115 - it is replaced on a signal
        due = int((time.monotonic() - began) * rate)
        # After a pause of the machine no flood: the rate is what the name says.
        due = min(due, number + rate)
        while number < due and not wishes["end"] and not wishes["reopen"]:
            number += 1
            stream.write(b"2026-01-31T00:00:00Z INFO seq=%d something happened\n" % number)
        time.sleep(BURST_SECONDS)
    Path(f"{pid_file}.end").write_text(str(number), encoding="ascii")


if __name__ == "__main__":
    main()
