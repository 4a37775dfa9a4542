"""Fill an object store: nightly dumps, good and bad, and product pictures."""

from __future__ import annotations

import gzip
import re
import subprocess
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from lab import process
from lab.errors import LabError, MissingServer
from lab.postgresql import PostgresServer
from lab.s3 import S3Server
from lab.sizes import factor_of
from lab.storebridge import generator
from lab.storebridge.database import DATABASE, PRODUCTS, copy_line
from lab.storebridge.generator import business_date, figures_of, seoul

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BACKUPS, IMAGES = "storebridge-backups", "storebridge-images"
BACKUP_HOUR = 2
# The job runs for a moment before the object is there.
BACKUP_SECONDS = 40
DAYS = 14
# Nights without a backup in the degraded scenario, and what the nights after them left.
GOOD_AGAIN = 8
MARKER = "-- PostgreSQL database dump complete"
PICTURES = 160


@dataclass(frozen=True)
class Backup:
    """An object of the bucket and what is wrong with it (``good``: nothing)."""

    day: date
    fault: str

    @property
    def key(self) -> str:
        return backup_name(self.day)

    @property
    def written_at(self) -> datetime:
        return seoul(self.day, BACKUP_HOUR) + timedelta(seconds=BACKUP_SECONDS)


def backup_name(day: date) -> str:
    return f"storebridge-{day:%Y%m%d}.sql.gz"


def last_night(now: datetime) -> date:
    """The date of the newest backup: tonight's, once its time has come."""
    today = business_date(now)
    return today if now >= seoul(today, BACKUP_HOUR) + timedelta(seconds=BACKUP_SECONDS) else today - timedelta(days=1)


def backups(scenario: str, now: datetime) -> list[Backup]:
    """The dumps of two weeks, newest first.

    Degraded: the newest is cut off, the one before holds nothing, the third is a complete gzip of half a dump; then
    none for some nights, so the newest that can be restored is more than a week old.
    """
    figures_of(scenario)
    newest = last_night(now)
    faults = {0: "truncated", 1: "empty", 2: "unfinished"} if scenario == "degraded" else {}
    missing = range(len(faults), GOOD_AGAIN) if scenario == "degraded" else ()
    return [
        Backup(newest - timedelta(days=back), faults.get(back, "good")) for back in range(DAYS) if back not in missing
    ]


def populate_s3(
    server: S3Server,
    scenario: str = "healthy",
    size: str | int = "small",
    seed: int = 1,
    now: datetime | None = None,
    postgresql: PostgresServer | None = None,
) -> dict[str, int]:
    """Make the buckets and fill them; how many backups and pictures there are.

    With ``postgresql``, the server that ``populate_postgresql`` has filled, and a pg_dump for it, the backups are
    its dumps; otherwise they are dumps of the same rows in the same form.
    """
    moment = now or datetime.now(timezone.utc).replace(microsecond=0)
    client = server.client()
    for bucket in (BACKUPS, IMAGES):
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": server.region})  # type: ignore[typeddict-item]
    planned = backups(scenario, moment)
    dump = (pg_dump(postgresql) if postgresql is not None else None) or written_dump(scenario, size, seed, moment)
    for backup, content in zip(planned, dumps_of(dump, planned)):
        client.put_object(Bucket=BACKUPS, Key=backup.key, Body=damaged(content, backup.fault))
        server.backdate(BACKUPS, backup.key, backup.written_at)
    manifest = f"k8s-backup-{planned[-1].day:%Y%m%d}.yaml"
    client.put_object(Bucket=BACKUPS, Key=manifest, Body=b"apiVersion: v1\nkind: List\nitems: []\n")
    server.backdate(BACKUPS, manifest, planned[-1].written_at)
    _pictures(client, seed)
    return {"backups": len(planned), "pictures": PICTURES}


def _pictures(client: S3Client, seed: int) -> None:
    def put(number: int) -> None:
        key = f"products/{generator.product_id(seed, number)}/main.jpg"
        client.put_object(
            Bucket=IMAGES, Key=key, Body=b"\xff\xd8\xff\xe0" + bytes(2_000 + number * 13), ContentType="image/jpeg"
        )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(PICTURES)))


# --- dumps


def pg_dump(server: PostgresServer) -> str | None:
    """What pg_dump says of the database, as the nightly job calls it; None where there is no such program."""
    try:
        program = server.client("pg_dump")
    except MissingServer:
        return None
    completed = subprocess.run(
        [program, "-h", server.host, "-p", str(server.port), "-U", server.superuser, "-d", DATABASE],
        env=process.clean_environment({"PGPASSWORD": server.password}),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if completed.returncode:
        raise LabError(f"pg_dump ended with code {completed.returncode}: {completed.stderr.strip()}")
    return completed.stdout


def written_dump(scenario: str, size: str | int, seed: int, now: datetime) -> str:
    """A plain dump of the business tables in pg_dump's own form, where there is no pg_dump."""
    products = PRODUCTS * factor_of(size)
    identifiers = [generator.product_id(seed, number) for number in range(products)]
    jobs = generator.jobs(scenario, seed, now)
    tables: dict[str, tuple[Sequence[str], list[Sequence[Any]]]] = {
        "jobs": (
            (
                "id uuid",
                "type text",
                "status text",
                "created_at timestamp with time zone",
                "completed_at timestamp with time zone",
            ),
            [(row.id, row.type, row.status, row.created_at, row.completed_at) for row in jobs],
        ),
        "product_registrations": (
            ("id bigint", "product_id uuid", "state text", "error_code text", "created_at timestamp with time zone"),
            [
                (number, identifiers[row.product], row.state, row.error_code, row.created_at)
                for number, row in enumerate(generator.registrations(scenario, seed, now, products), start=1)
            ],
        ),
        "products": (
            ("id uuid", "domeggook_item_id text"),
            [(identifier, f"DG{100_000 + number}") for number, identifier in enumerate(identifiers)],
        ),
    }
    parts = [
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict lab\n\n"
        "-- Dumped from database version 15.18\n-- Dumped by pg_dump version 15.18\n\n"
        "SET statement_timeout = 0;\nSET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n"
        "SELECT pg_catalog.set_config('search_path', '', false);\n\n"
    ]
    for table, (columns, _ignored) in tables.items():
        parts.append(
            _comment(table, "TABLE") + f"CREATE TABLE public.{table} (\n    " + ",\n    ".join(columns) + "\n);\n\n\n"
        )
    for table, (columns, rows) in tables.items():
        names = ", ".join(column.split(" ")[0] for column in columns)
        body = "".join(copy_line(row) for row in rows)
        parts.append(_comment(table, "TABLE DATA") + f"COPY public.{table} ({names}) FROM stdin;\n{body}\\.\n\n\n")
    parts.append(f"--\n{MARKER}\n--\n\n\\unrestrict lab\n\n")
    return "".join(parts)


def _comment(table: str, kind: str) -> str:
    return f"--\n-- Name: {table}; Type: {kind}; Schema: public; Owner: storebridge_app\n--\n\n"


_COPY = re.compile(
    r"^COPY public\.product_registrations \(([^)]*)\) FROM stdin;\n(.*?)^\\\.\n", re.MULTILINE | re.DOTALL
)


def dumps_of(dump: str, planned: Sequence[Backup]) -> list[bytes]:
    """The gzipped dump of each night: the registrations that came later are not in it yet.

    What comes before them is compressed once, and that compressor is copied for every night.
    """
    found = _COPY.search(dump)
    if found is None:
        raise LabError("The dump holds no registrations.")
    column = [name.strip() for name in found[1].split(",")].index("created_at")
    rows = [(_moment(line.split("\t")[column]), line) for line in found[2].splitlines(keepends=True)]
    common = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    head = common.compress(dump[: found.start(2)].encode())
    tail = dump[found.end(2) :]
    contents = []
    for backup in planned:
        compressor = common.copy()
        body = "".join(line for moment, line in rows if moment < backup.written_at)
        contents.append(head + compressor.compress((body + tail).encode()) + compressor.flush())
    return contents


def _moment(text: str) -> datetime:
    # pg_dump writes the offset's minutes only where there are some.
    short = re.sub(r"([+-]\d\d)$", r"\1:00", text.strip())
    return datetime.fromisoformat(re.sub(r"\.\d+", "", short))


def damaged(content: bytes, fault: str) -> bytes:
    """A backup as a fault leaves it."""
    if fault == "good":
        return content
    if fault == "truncated":
        return content[: len(content) // 2]
    if fault == "empty":
        # What gzip makes of nothing: the dump failed, and the pipe said nothing.
        return gzip.compress(b"", mtime=0)
    if fault == "unfinished":
        # The dump broke off and gzip closed its file properly.
        whole = gzip.decompress(content)
        return gzip.compress(whole[: len(whole) * 2 // 3], compresslevel=6, mtime=0)
    raise ValueError(f"There is no fault {fault!r}.")
