"""Cases 1 to 9, 16, 17 and 39: what happens to files, and to those who write them."""

from __future__ import annotations

import gzip
import subprocess
import threading
import time
from pathlib import Path

from lab.faults import damage
from lab.faults.bench import PATTERN, Bench, Found, recompute
from lab.faults.dumps import CUSTOM, PLAIN, TAR
from lab.faults.shop import NAME, ROLES
from lab.faults.small_disk import fill, small_disk
from lab.process import Identity, descendants

# A name by the rule for what others wrote.
FOREIGN = "shop-20260131-020000"


def foreign(bench: Bench, number: int, suffix: str, arguments: tuple[str, ...]) -> Path:
    """A dump that pg_dump wrote, alone in a repository: no manifest, nobody's SHA-256."""
    return bench.source.dump(NAME, bench.directory(f"{number:02d}") / f"{FOREIGN}{suffix}", arguments)


def truncated_gzip(bench: Bench) -> Found:
    path = foreign(bench, 1, ".sql.gz", PLAIN)
    damage.cut(path)
    return bench.verify(path.parent, ".sql.gz")


def truncated_plain(bench: Bench) -> Found:
    path = foreign(bench, 2, ".sql", PLAIN)
    damage.cut_after(path, b"COPY public.order_lines ", 50_000)
    return bench.verify(path.parent, ".sql")


def truncated_custom(bench: Bench) -> Found:
    path = foreign(bench, 3, ".dump", CUSTOM)
    damage.cut(path)
    return bench.verify(path.parent)


def truncated_tar(bench: Bench) -> Found:
    path = foreign(bench, 4, ".tar", TAR)
    damage.cut(path)
    return bench.verify(path.parent, ".tar")


def flipped_gzip(bench: Bench) -> Found:
    path = foreign(bench, 5, ".sql.gz", PLAIN)
    damage.flip(path)
    return bench.verify(path.parent, ".sql.gz")


def flipped_uncompressed(bench: Bench) -> Found:
    with bench.added() as repository:
        name = bench.back_up(repository, compression="none")
        damage.flip_in(repository / name, b"Customer9@example.com")
        return bench.verify(repository)


def unprivileged(bench: Bench) -> Found:
    path = bench.directory("07") / f"{FOREIGN}.sql.gz"
    status = bench.source.pipeline(NAME, path, user=ROLES["reader"], password="not in any dump")
    # The shell, gzip and whoever looks at the file are content.
    assert (status, gzip.decompress(path.read_bytes()), path.stat().st_size) == (0, b"", 20)
    return bench.verify(path.parent, ".sql.gz")


def killed(bench: Bench) -> Found:
    with bench.added() as repository:
        bench.source.killed(NAME, repository / f"{time.strftime(PATTERN, time.gmtime())}.dump")
        found = bench.verify(repository)
    kill_our_own(bench)
    return found


def kill_our_own(bench: Bench) -> None:
    """postgresql_backup, whose pg_dump is killed in the middle, fails and publishes nothing."""
    with bench.added() as repository:
        before = {each.name for each in repository.iterdir()}
        with bench.server.connect(NAME, autocommit=False) as locker:
            with locker.cursor() as cursor:
                # pg_dump waits for this table after it has read the others' definitions.
                cursor.execute("LOCK TABLE archive.old_orders IN ACCESS EXCLUSIVE MODE")
            results: list[dict[str, object]] = []
            writing = threading.Thread(target=lambda: results.append(bench.try_back_up(repository)))
            writing.start()
            _pg_dump_of(bench).send(9)
            locker.rollback()
        locker.close()
        writing.join(60)
        [result] = results
        assert result.get("failed"), result
        left = {each.name for each in repository.iterdir()} - before
        assert not [name for name in left if name.endswith((".dump", ".manifest.json"))], left


def _pg_dump_of(bench: Bench) -> Identity:
    """The pg_dump that waits for the lock."""
    deadline = time.monotonic() + 240
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'LOCK TABLE%'"
    while time.monotonic() < deadline:
        if bench.server.query(waiting):
            for each in descendants(threading.get_native_id()):
                words = Path(f"/proc/{each.pid}/cmdline").read_bytes().split(b"\0")
                if Path(words[0].decode()).name == "pg_dump":
                    return each
        time.sleep(0.02)
    raise AssertionError("pg_dump did not come to the lock.")


def full_disk(bench: Bench) -> Found:
    """The last backup was small, so there seems to be room; then the disk is full in the middle of the dump."""
    with small_disk(bench.place / "09", 4_000_000) as disk:
        with bench.replaced(lambda: bench.server.execute(f"CREATE DATABASE {NAME} TEMPLATE template0")):
            bench.back_up(disk)
        fill(disk, 120_000)
        before = {each.name for each in disk.iterdir()}
        _next_second()
        result = bench.try_back_up(disk)
        left = {each.name for each in disk.iterdir()} - before
        assert not [name for name in left if name.endswith((".dump", ".manifest.json"))], left
        assert "No space left on device" in str(result.get("msg")), result
        code = result.get("code")
        return Found("failed" if result.get("failed") else "verified", [code] if code else [], result)


def _next_second() -> None:
    """A name has seconds, and is never taken twice."""
    now = time.time()
    while int(time.time()) == int(now):
        time.sleep(0.02)


def changed_value(bench: Bench) -> Found:
    with bench.added() as repository:
        name = bench.back_up(repository, compression="none")
        damage.change_value(repository / name, b"Customer7@example.com", b"Customer7@example.org")
        recompute(repository / name)
        return bench.verify(repository)


def without_globals(bench: Bench) -> Found:
    with bench.broken() as artefact:
        artefact.with_name(artefact.name + ".globals.sql").unlink()
        return bench.verify(bench.yesterday)


def damaged_envelope(bench: Bench) -> Found:
    """A foreign encrypted dump, so that nobody noted its SHA-256, with a flipped bit; the key is the right one."""
    keys = bench.directory("envelope-keys")
    subprocess.run(["age-keygen", "-o", keys / "key"], check=True, capture_output=True)
    path = foreign(bench, 39, ".dump", CUSTOM)
    sealed = path.with_suffix(".dump.age")
    subprocess.run(["age", "--encrypt", "-i", keys / "key", "-o", sealed, path], check=True)
    path.unlink()
    damage.flip(sealed, 0.7)
    return bench.verify(sealed.parent, ".dump.age", decryption={"identity_file": str(keys / "key")})


def wrong_key(bench: Bench) -> Found:
    """Written for one key, and the host of the recovery has another."""
    keys = bench.directory("39-keys")
    public = {}
    for name in ("writer", "recovery"):
        subprocess.run(["age-keygen", "-o", keys / name], check=True, capture_output=True)
        done = subprocess.run(["age-keygen", "-y", keys / name], check=True, capture_output=True, text=True)
        public[name] = done.stdout.strip()
    repository = bench.directory("39-encrypted")
    bench.back_up(repository, ".dump.age", encryption={"method": "age", "recipients": [public["writer"]]})
    right = bench.verify(repository, ".dump.age", decryption={"identity_file": str(keys / "writer")})
    assert (right.verdict, right.codes) == ("verified", []), right.told
    return bench.verify(repository, ".dump.age", decryption={"identity_file": str(keys / "recovery")})


def with_manifest(bench: Bench, number: int) -> Found:
    """Cases 1, 3, 5 where there is a manifest: nothing needs to be decoded to see it."""
    with bench.broken() as artefact:
        damage.flip(artefact) if number == 5 else damage.cut(artefact)
        return bench.verify(bench.yesterday, level="bytes")


PROBES = {
    1: truncated_gzip,
    2: truncated_plain,
    3: truncated_custom,
    4: truncated_tar,
    5: flipped_gzip,
    6: flipped_uncompressed,
    7: unprivileged,
    8: killed,
    9: full_disk,
    16: changed_value,
    17: without_globals,
    39: wrong_key,
}
