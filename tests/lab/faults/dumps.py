"""Dumps as people take them: with pg_dump alone, with a pipe, with nobody looking at what comes of it."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.installations import Installation, client_program
from lab.postgresql import PostgresServer
from lab.process import clean_environment

PLAIN, CUSTOM, UNCOMPRESSED, TAR = ("-Fp",), ("-Fc", "-Z1"), ("-Fc", "-Z0"), ("-Ft",)


@dataclass(frozen=True)
class Source:
    """A server whose databases are dumped; ``tools`` are another installation's programs than the server's own."""

    server: PostgresServer
    tools: Installation | None = None

    def program(self, name: str) -> str:
        return str(client_program(name, self.tools or self.server.installation))

    def environment(self, user: str | None = None, password: str | None = None) -> dict[str, str]:
        login = self.server.login(user=user, password=password)
        return clean_environment(
            {
                "PGHOST": str(login["login_host"]),
                "PGPORT": str(login["login_port"]),
                "PGUSER": str(login["login_user"]),
                "PGPASSWORD": str(login["login_password"]),
            }
        )

    def dump(self, database: str, target: Path, arguments: Sequence[str] = CUSTOM) -> Path:
        """``pg_dump -f target database``; a name that ends with .gz is compressed."""
        is_zipped = target.suffix == ".gz"
        written = target.with_suffix("") if is_zipped else target
        done = subprocess.run(
            [self.program("pg_dump"), *arguments, "-f", str(written), database],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if done.returncode:
            raise LabError(f"pg_dump of {database} failed: {done.stderr.strip()}")
        if is_zipped:
            target.write_bytes(gzip.compress(written.read_bytes(), compresslevel=1, mtime=0))
            written.unlink()
        return target

    def pipeline(self, database: str, target: Path, *, user: str, password: str) -> int:
        """``pg_dump database | gzip >target`` without pipefail, as a cron job has it: the shell's exit status."""
        command = f"'{self.program('pg_dump')}' '{database}' 2>/dev/null | gzip >'{target}'"
        return subprocess.run(
            ["sh", "-c", command], env=self.environment(user, password), check=False, timeout=300
        ).returncode

    def killed(self, database: str, target: Path, after_bytes: int = 100_000) -> None:
        """``pg_dump >target``, killed when so many bytes have come."""
        with subprocess.Popen(
            [self.program("pg_dump"), *UNCOMPRESSED, database], env=self.environment(), stdout=subprocess.PIPE
        ) as running:
            if running.stdout is None:
                raise LabError("pg_dump has no output.")
            target.write_bytes(running.stdout.read(after_bytes))
            os.kill(running.pid, signal.SIGKILL)

    def globals(self, target: Path) -> Path:
        """``pg_dumpall --globals-only``."""
        done = subprocess.run(
            [self.program("pg_dumpall"), "--globals-only", "-f", str(target)],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if done.returncode:
            raise LabError(f"pg_dumpall failed: {done.stderr.strip()}")
        return target
