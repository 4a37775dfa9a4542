"""postgresql_backup_verify against real dumps in every format, real servers, a real store, and real damage."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab.faults.shop import NAME, WATERMARK, make_shop
from lab.installations import reachable
from lab.postgresql import PostgresServer, all_installations
from lab.s3 import S3Server
from lab.users import ordinary_account, scratch_directory

ModuleRunner = Callable[..., dict[str, Any]]
NOW = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
PATTERN = "shop-%Y%m%d-%H%M%S.dump"
LEVELS = ["fresh", "bytes", "decode", "restore", "semantics", "consistency"]


@dataclass(frozen=True)
class Source:
    """A shop, its server, and what is dumped of it once for all tests."""

    server: PostgresServer
    place: Path

    def environment(self) -> dict[str, str]:
        login = self.server.login(NAME)
        return {
            "PATH": os.environ["PATH"],
            "PGHOST": str(login["login_host"]),
            "PGPORT": str(login["login_port"]),
            "PGUSER": str(login["login_user"]),
            "PGPASSWORD": str(login["login_password"]),
            "TZ": "UTC",
        }

    def dump(self, target: Path, *arguments: str) -> Path:
        command = [self.server.client("pg_dump"), *arguments, "-f", target, NAME]
        subprocess.run(command, env=self.environment(), check=True, timeout=300)
        return target

    def globals(self, target: Path) -> Path:
        command = [self.server.client("pg_dumpall"), "--globals-only", "-f", target]
        subprocess.run(command, env=self.environment(), check=True, timeout=300)
        return target

    def rows(self) -> int:
        """What psql counts in all tables."""
        tables = self.server.psql(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname !~ '^(pg_|inf)'",
            db=NAME,
        ).splitlines()
        counts = " UNION ALL ".join(f"SELECT count(*) AS rows FROM ONLY {name}" for name in tables)
        return int(self.server.psql(f"SELECT sum(rows) FROM ({counts}) c", db=NAME))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    with PostgresServer() as server:
        make_shop(server, now=NOW)
        yield Source(server, tmp_path_factory.mktemp("verify"))


@pytest.fixture(scope="module")
def identity(source: Source) -> tuple[Path, str]:
    """A private key of age, and its public one."""
    path = source.place / "identity.txt"
    told = subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True, text=True).stderr
    return path, told.split("Public key: ")[1].strip()


@pytest.fixture(scope="module")
def custom(source: Source) -> Path:
    """A dump in the custom format, as pg_dump writes it."""
    return source.dump(source.place / "shop.dump", "-Fc")


@pytest.fixture(scope="module")
def ours(source: Source, run_module: ModuleRunner) -> Path:
    """A repository with one backup of ours, to be copied."""
    place = source.place / "ours"
    taken = run_module(
        "postgresql_backup",
        {
            **source.server.login(NAME),
            "repository": str(place),
            "name_pattern": PATTERN,
            "watermarks": [WATERMARK],
            "reference_time": NOW.isoformat(),
        },
    )
    assert taken.get("changed"), taken
    return place


@pytest.fixture
def repository(ours: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    place = tmp_path / "repository"
    shutil.copytree(ours, place)
    return place


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory for scratch servers, in which nothing may stay."""
    place = scratch_directory("rbl-verify-", ordinary_account())
    yield place
    left = [each.name for each in place.iterdir()]
    shutil.rmtree(place)
    assert not left


@pytest.fixture
def verify(run_module: ModuleRunner, scratch: Path) -> Callable[..., dict[str, Any]]:
    """The module's result, whatever the verdict."""

    def run(place: Path | str, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        arguments = {"repository": str(place), "on_failure": "report", "scratch_directory": str(scratch), **options}
        if "name" not in arguments:
            arguments.setdefault("name_pattern", PATTERN)
        return run_module("postgresql_backup_verify", arguments, check_mode=check_mode)

    return run


def only(result: dict[str, Any]) -> dict[str, Any]:
    assert len(result.get("artefacts", [])) == 1, result
    return result["artefacts"][0]


def codes(result: dict[str, Any]) -> list[str]:
    return [each["code"] for each in result["findings"]]


def outcomes(artefact: dict[str, Any]) -> dict[str, str]:
    return {each["level"]: each["outcome"] for each in artefact["levels"]}


def artefact_in(place: Path) -> Path:
    [found] = place.glob("shop-*.dump")
    return found


def record_of(path: Path) -> dict[str, Any]:
    return json.loads(path.with_name(f"{path.name}.verified.json").read_text())


# --- what we wrote ourselves


def test_a_backup_is_proven_by_restoring_it(
    verify: Callable[..., dict[str, Any]], repository: Path, source: Source
) -> None:
    before = sorted(each.name for each in repository.iterdir())
    check = verify(repository, check_mode=True, level="consistency", max_age="1h")
    assert check["changed"]
    assert (check["verdict"], check["after"], check["artefacts"]) == (None, None, [])
    assert sorted(each.name for each in repository.iterdir()) == before

    real = verify(
        repository,
        level="consistency",
        max_age="1h",
        heapallindexed=True,
        assertions=[{"name": "orders", "sql": "SELECT count(*) FROM orders", "min": 1}],
    )
    path = artefact_in(repository)
    found = only(real)
    assert (real["verdict"], real["changed"]) == ("verified", True), real["findings"]
    assert [each["action"] for each in real["actions"]] == [each["action"] for each in check["actions"]] == ["verify"]
    assert outcomes(found) == dict.fromkeys(LEVELS, "passed")
    assert found["rows"] == source.rows()
    assert found["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found["unproven"] == []
    assert found["target"]["settings"]["archive_mode"] == "off"
    assert found["target"]["settings"]["listen_addresses"] == ""
    record = path.with_name(f"{path.name}.verified.json")
    assert oct(record.stat().st_mode & 0o777) == "0o600"
    assert (record_of(path)["verdict"], record_of(path)["level"]) == ("verified", "consistency")
    secrets = json.dumps(real) + record.read_text()
    assert source.server.password not in secrets

    again = verify(repository, level="semantics", max_age="1h")
    assert (again["verdict"], again["changed"]) == ("verified", False)
    assert [each["action"] for each in again["actions"]] == ["sample"]
    assert only(again)["is_unchanged"]
    assert only(again)["target"] is None


@pytest.mark.parametrize(
    "options",
    [
        # Those that are not encrypted belong to the fault matrix (test_healthy_in_every_format).
        pytest.param({}, id="custom-age"),
        pytest.param({"format": "plain", "compression": "gzip"}, id="plain-gzip-age"),
    ],
)
def test_an_encrypted_backup_is_proven(
    verify: Callable[..., dict[str, Any]],
    run_module: ModuleRunner,
    source: Source,
    identity: tuple[Path, str],
    tmp_path: Path,
    options: dict[str, Any],
) -> None:
    key, public = identity
    suffix = "sql.gz.age" if options.get("format") == "plain" else "dump.age"
    given = {**options, "encryption": {"method": "age", "recipients": [public]}}
    place = {"repository": str(tmp_path), "name_pattern": f"shop-%Y%m%d.{suffix}"}
    taken = run_module("postgresql_backup", {**source.server.login(NAME), **place, **given})
    assert taken.get("changed"), taken
    result = verify(
        tmp_path,
        name_pattern=place["name_pattern"],
        decryption={"identity_file": str(key)},
    )
    assert result["verdict"] == "verified", result["findings"]
    assert outcomes(only(result)) == dict.fromkeys(LEVELS[:5], "passed")
    assert only(result)["rows"] == source.rows()


# --- what others wrote


def write_custom_none(source: Source, custom: Path, target: Path) -> None:
    source.dump(target, "-Fc", "-Z0")


def write_plain(source: Source, custom: Path, target: Path) -> None:
    source.dump(target)


def write_gzip(source: Source, custom: Path, target: Path) -> None:
    source.dump(target)
    target.write_bytes(gzip.compress(target.read_bytes()))


def write_zstd(source: Source, custom: Path, target: Path) -> None:
    source.dump(target)
    packed = subprocess.run(["zstd", "-q", "-c", target], check=True, capture_output=True).stdout
    target.write_bytes(packed)


def write_custom(source: Source, custom: Path, target: Path) -> None:
    shutil.copy(custom, target)


def write_tar(source: Source, custom: Path, target: Path) -> None:
    source.dump(target, "-Ft")


def write_directory(source: Source, custom: Path, target: Path) -> None:
    source.dump(target, "-Fd")


FORMATS = {
    "plain": (write_plain, "plain"),
    "plain-gzip": (write_gzip, "plain"),
    "plain-zstd": (write_zstd, "plain"),
    "custom": (write_custom, "custom"),
    "custom-none": (write_custom_none, "custom"),
    "tar": (write_tar, "tar"),
    "directory": (write_directory, "directory"),
}


@pytest.mark.parametrize("form", FORMATS)
def test_a_foreign_dump_is_proven_as_far_as_that_is_possible(
    verify: Callable[..., dict[str, Any]], source: Source, custom: Path, tmp_path: Path, form: str
) -> None:
    write, kind = FORMATS[form]
    write(source, custom, tmp_path / "shop-20260131")
    source.globals(tmp_path / "shop-20260131.globals.sql")
    result = verify(tmp_path, name="shop-20260131", minimum={"rows": 1000, "required_tables": ["public.orders"]})
    found = only(result)
    assert result["verdict"] == "verified", result["findings"]
    assert (found["kind"], found["level"]) == (kind, "semantics")
    assert found["rows"] == source.rows()
    assert outcomes(found) == {**dict.fromkeys(LEVELS[:5], "passed"), "bytes": "skipped"}
    open_ends = " ".join(found["unproven"])
    assert "nobody noted their SHA-256" in open_ends
    assert "nobody counted what the database held" in open_ends


def test_a_foreign_dump_is_never_silently_verified(
    verify: Callable[..., dict[str, Any]], source: Source, custom: Path, tmp_path: Path
) -> None:
    shutil.copy(custom, tmp_path / "shop-20260130")
    digest = subprocess.run(["sha256sum", "shop-20260130"], cwd=tmp_path, check=True, capture_output=True).stdout
    (tmp_path / "shop-20260130.sha256").write_bytes(digest)
    alone = verify(tmp_path, name="shop-20260130")
    assert (alone["verdict"], codes(alone)) == ("failed", ["role_missing"] * len(alone["findings"]))
    assert outcomes(only(alone))["bytes"] == "passed"

    options: dict[str, Any] = {"name_pattern": "shop-%Y%m%d", "ignore_roles": True}
    nothing = verify(tmp_path, **options)
    assert (nothing["verdict"], codes(nothing)) == ("error", ["no_manifest"])
    assert only(nothing)["level"] == "restore"
    assert not (tmp_path / "shop-20260130.verified.json").read_text().count('"verdict": "verified"')

    with_minimum = verify(tmp_path, minimum={"tables": 3}, **options)
    assert with_minimum["verdict"] == "verified", with_minimum["findings"]
    too_much = verify(tmp_path, minimum={"rows": 10**9, "required_tables": ["public.nothing"]}, **options)
    assert (too_much["verdict"], codes(too_much)) == ("failed", ["below_minimum", "structure_missing"])

    # What was found then is what the next one is held against.
    verify(tmp_path, minimum={"tables": 3}, **options)
    source.dump(tmp_path / "shop-20260131", "-Fc", "--exclude-table=billing.invoices")
    less = verify(tmp_path, **options)
    assert less["verdict"] == "failed"
    assert codes(less) == ["structure_regression"], less["findings"]


def test_the_age_of_a_foreign_dump_is_that_of_its_content(
    verify: Callable[..., dict[str, Any]], source: Source, custom: Path, tmp_path: Path
) -> None:
    shutil.copy(custom, tmp_path / "latest.dump")
    later = NOW + dt.timedelta(days=10)
    os.utime(tmp_path / "latest.dump", (later.timestamp(), later.timestamp()))
    options: dict[str, Any] = {"name": "latest.dump", "level": "decode", "max_age": "26h"}
    assert verify(tmp_path, **options)["verdict"] == "verified"
    stale = verify(tmp_path, reference_time=later.isoformat(), force=True, **options)
    assert (stale["verdict"], codes(stale)) == ("failed", ["stale"])
    # It is as good a backup as before.
    assert record_of(tmp_path / "latest.dump")["verdict"] == "verified"

    # The bytes alone are not proven without a digest, but their age is.
    young = verify(tmp_path, name="latest.dump", level="fresh", max_age="26h", force=True, record=False)
    assert (young["verdict"], outcomes(only(young))) == ("verified", {"fresh": "passed"})
    no_digest = verify(tmp_path, name="latest.dump", level="bytes", max_age="26h", force=True, record=False)
    assert (no_digest["verdict"], codes(no_digest)) == ("error", ["no_digest"])

    source.dump(tmp_path / "plain.sql")
    silent = verify(tmp_path, name="plain.sql", level="decode", max_age="26h")
    assert (silent["verdict"], codes(silent)) == ("error", ["stale"])
    by_content = {"name": "plain.sql", "ignore_roles": True, "minimum": {"rows": 1}, "watermarks": [WATERMARK]}
    assert verify(tmp_path, max_age="26h", **by_content)["verdict"] == "verified"
    old = verify(tmp_path, max_age="26h", reference_time=later.isoformat(), force=True, **by_content)
    assert (old["verdict"], codes(old)) == ("failed", ["stale"])


# --- damage


@pytest.mark.parametrize(
    ("form", "level", "code"),
    [
        ("plain", "decode", "marker_missing"),
        ("plain-gzip", "decode", "decode_failed"),
        ("plain-zstd", "decode", "decode_failed"),
        ("custom", "decode", "decode_truncated"),
        ("tar", "decode", "decode_truncated"),
        ("plain", "restore", "marker_missing"),
        ("plain-gzip", "restore", "decode_failed"),
        ("custom", "restore", "decode_truncated"),
        # pg_restore by itself waits for ever.
        ("tar", "restore", "decode_truncated"),
    ],
)
def test_half_a_dump_is_told_from_a_whole_one(
    verify: Callable[..., dict[str, Any]],
    source: Source,
    custom: Path,
    tmp_path: Path,
    form: str,
    code: str,
    level: str,
) -> None:
    path = tmp_path / "shop-20260131"
    FORMATS[form][0](source, custom, path)
    os.truncate(path, path.stat().st_size // 2)
    result = verify(tmp_path, name=path.name, level=level, ignore_roles=True)
    assert (result["verdict"], codes(result)) == ("failed", [code]), result["findings"]
    assert record_of(path)["verdict"] == "failed"


def test_the_hash_wins_over_what_bad_bytes_lead_to(verify: Callable[..., dict[str, Any]], repository: Path) -> None:
    path = artefact_in(repository)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)
    result = verify(repository)
    assert (result["verdict"], codes(result)) == ("failed", ["digest_mismatch"])
    assert result["findings"][0]["found"] == hashlib.sha256(data).hexdigest()

    path.write_bytes(data[:-100])
    shorter = verify(repository)
    assert (shorter["verdict"], codes(shorter)) == ("failed", ["size_mismatch"])


def test_roles_that_are_gone_are_missed(verify: Callable[..., dict[str, Any]], repository: Path) -> None:
    # Also of a backup that is unchanged since it was proven.
    assert verify(repository, level="bytes")["verdict"] == "verified"
    path = artefact_in(repository)
    roles = path.with_name(f"{path.name}.globals.sql")
    text = roles.read_text()
    roles.unlink()
    unchanged = verify(repository, level="bytes")
    assert (unchanged["verdict"], codes(unchanged)) == ("failed", ["globals_missing"])
    assert only(unchanged)["is_unchanged"]
    gone = verify(repository)
    assert (gone["verdict"], codes(gone)) == ("failed", ["globals_missing"])
    roles.write_text(text.replace("CREATE ROLE shop_app;", "CREATE ROLE shop_xxx;"))
    other = verify(repository)
    assert (other["verdict"], codes(other)) == ("failed", ["digest_mismatch"])


def test_what_has_no_manifest_is_no_backup_of_ours(
    verify: Callable[..., dict[str, Any]], repository: Path, custom: Path
) -> None:
    later = NOW + dt.timedelta(hours=1)
    shutil.copy(custom, repository / f"{later:shop-%Y%m%d-%H%M%S.dump}")
    result = verify(repository, reference_time=later.isoformat())
    assert (result["verdict"], codes(result)) == ("failed", ["no_manifest"])
    taken_for_foreign = verify(repository, manifest="optional", level="restore", ignore_roles=True, force=True)
    assert taken_for_foreign["verdict"] == "verified", taken_for_foreign["findings"]


def test_yesterdays_backup_under_todays_name_is_noticed(
    verify: Callable[..., dict[str, Any]], repository: Path
) -> None:
    assert verify(repository)["verdict"] == "verified"
    path = artefact_in(repository)
    later = f"{NOW + dt.timedelta(days=1):shop-%Y%m%d-%H%M%S.dump}"
    for suffix in ("", ".manifest.json", ".globals.sql"):
        shutil.copy2(repository / f"{path.name}{suffix}", repository / f"{later}{suffix}")
    result = verify(repository)
    assert result["verdict"] == "failed"
    assert set(codes(result)) == {"watermark_repeats"}


def test_nothing_to_prove_is_a_failure(verify: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    empty = verify(tmp_path)
    assert (empty["verdict"], codes(empty), empty["artefacts"]) == ("failed", ["no_artefact"], [])
    named = verify(tmp_path, name="shop-20260131.dump")
    assert (named["verdict"], codes(named)) == ("failed", ["no_artefact"])
    (tmp_path / "shop-20260131.sql.gz").write_bytes(gzip.compress(b""))
    nothing = verify(tmp_path, name="shop-20260131.sql.gz")
    assert (nothing["verdict"], codes(nothing)) == ("failed", ["empty_artefact"])


def test_a_failure_fails_the_task_and_says_all(run_module: ModuleRunner, tmp_path: Path) -> None:
    (tmp_path / "shop.dump").write_bytes(b"<html>403 Forbidden</html>")
    result = run_module("postgresql_backup_verify", {"repository": str(tmp_path), "name": "shop.dump"})
    assert result["failed"]
    assert result["msg"].startswith(f"{tmp_path}/shop.dump is not verified (failed): ")
    assert result["artefacts"][0]["verdict"] == "failed"


# --- the record


def test_a_proof_is_valid_for_what_was_asked_then(verify: Callable[..., dict[str, Any]], repository: Path) -> None:
    def action(**options: Any) -> str:
        return str(verify(repository, check_mode=True, **options)["actions"][0]["action"])

    assert verify(repository, level="restore")["verdict"] == "verified"
    assert action(level="bytes") == "sample"
    assert action(level="restore", resample=0) == "look"
    assert action(level="semantics") == "verify"
    assert verify(repository, minimum={"rows": 5})["verdict"] == "verified"
    assert action(minimum={"rows": 5}) == "sample"
    assert action(minimum={"rows": 6}) == "verify"
    assert action(minimum={"rows": 5}, force=True) == "verify"
    assert action(minimum={"rows": 5}, level="consistency") == "verify"
    path = artefact_in(repository)
    os.utime(path)
    assert action(minimum={"rows": 5}) == "verify"


def test_decay_shows_when_a_part_is_read_again(verify: Callable[..., dict[str, Any]], repository: Path) -> None:
    assert verify(repository)["verdict"] == "verified"
    path = artefact_in(repository)
    was = path.stat()
    with path.open("r+b") as stream:
        stream.seek(5000)
        stream.write(b"decay")
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    unseen = verify(repository, resample=0)
    assert (unseen["verdict"], unseen["bytes_read"]) == ("verified", 0)
    seen = verify(repository)
    assert (seen["verdict"], codes(seen), seen["changed"]) == ("failed", ["digest_mismatch"], True)
    assert record_of(path)["verdict"] == "failed"
    assert verify(repository, check_mode=True)["actions"][0]["reason"] == "its record says failed"


def test_another_block_is_read_every_time(verify: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "shop-20260131.sql"
    filler = b"-- " + b"x" * 1020 + b"\n"
    with path.open("wb") as stream:
        stream.write(b"--\n-- PostgreSQL database dump\n--\n\n")
        for _number in range(140):
            stream.write(filler * 1024)
        stream.write(b"\n--\n-- PostgreSQL database dump complete\n--\n\n")
    options: dict[str, Any] = {"name": path.name, "level": "decode"}
    assert verify(tmp_path, **options)["verdict"] == "verified"
    block = 64 * 1024 * 1024
    data = path.read_bytes()
    assert record_of(path)["blocks"] == [
        hashlib.sha256(data[start : start + block]).hexdigest() for start in range(0, len(data), block)
    ]
    for number in range(3):
        again = verify(tmp_path, **options)
        assert not again["changed"]
        assert sorted(record_of(path)["sampled"]) == [str(each) for each in range(number + 1)]
    assert verify(tmp_path, resample=3, **options)["bytes_read"] == len(data)


def test_records_can_lie_elsewhere(verify: Callable[..., dict[str, Any]], repository: Path, tmp_path: Path) -> None:
    before = sorted(each.name for each in repository.iterdir())
    records = tmp_path / "records"
    result = verify(repository, record_repository=str(records))
    assert result["verdict"] == "verified"
    assert sorted(each.name for each in repository.iterdir()) == before
    path = artefact_in(repository)
    assert only(result)["record"] == str(records / f"{path.name}.verified.json")
    assert record_of(records / path.name)["verdict"] == "verified"
    assert not verify(repository, record_repository=str(records))["changed"]


# --- questions to the copy


def test_the_inventorys_own_sql_is_asked(
    verify: Callable[..., dict[str, Any]], repository: Path, source: Source
) -> None:
    count = int(source.server.psql("SELECT count(*) FROM public.orders", db=NAME))
    good = [
        {"name": "count", "sql": "SELECT count(*) FROM orders", "expect": count},
        {"name": "range", "sql": "SELECT count(*) FROM public.orders", "min": count, "max": count},
        {"name": "true", "sql": "SELECT count(*) > 0 FROM orders", "expect": True},
        {"name": "percent", "sql": "SELECT 'a%b' LIKE 'a%'", "expect": "true"},
    ]
    options: dict[str, Any] = {"level": "consistency", "amcheck": False, "assertion_timeout": 1}
    none = {"name": "none", "sql": "SELECT count(*) FROM orders", "expect": 0}
    bad = verify(repository, assertions=[*good, none], **options)
    assert bad["verdict"] == "failed"
    # Nothing is told of those that hold.
    assert [(each["code"], each["message"]) for each in bad["findings"]] == [
        ("assertion_failed", f"none: it is {count}, and must be 0")
    ]
    broken = [
        {"name": "writes", "sql": "DELETE FROM orders RETURNING 1", "min": 0},
        {"name": "sleeps", "sql": "SELECT count(*) FROM pg_sleep(30)", "min": 0},
        {"name": "rows", "sql": "SELECT id FROM orders", "min": 0},
        {"name": "typo", "sql": "SELEC 1", "min": 0},
    ]
    unclear = verify(repository, assertions=broken, **options)
    assert unclear["verdict"] == "error"
    assert [(each["code"], each["object"]) for each in unclear["findings"]] == [
        ("assertion_error", name) for name in ("writes", "sleeps", "rows", "typo")
    ]


# --- other versions


@pytest.fixture(scope="module")
def newer() -> Path:
    """The programs of a newer major than the source's, where an ordinary account may go."""
    found = next(each for each in all_installations() if each.major == 18 and each.program("pg_dump"))
    return reachable(found, ordinary_account()).bin


def test_an_older_majors_backup_is_proven_in_a_newer_server(
    verify: Callable[..., dict[str, Any]],
    run_module: ModuleRunner,
    repository: Path,
    source: Source,
    newer: Path,
    tmp_path: Path,
) -> None:
    make_shop(source.server, "portable", now=NOW, extension=False, collation=False)
    place = tmp_path / "portable"
    taken = run_module(
        "postgresql_backup", {**source.server.login("portable"), "repository": str(place), "name_pattern": PATTERN}
    )
    assert taken.get("changed"), taken
    result = verify(place, bin_directory=str(newer))
    assert result["verdict"] == "verified", result["findings"]
    assert only(result)["target"]["version"].startswith("18.")

    # What the newer server's host lacks is no fault of the backup.
    lacking = verify(repository, bin_directory=str(newer))
    assert (lacking["verdict"], codes(lacking)) == ("error", ["extension_missing"])
    assert lacking["findings"][0]["object"] == "citext"
    assert only(lacking)["level"] == "decode"


def test_a_newer_majors_dump_is_not_judged_by_an_older_server(
    verify: Callable[..., dict[str, Any]], source: Source, newer: Path, tmp_path: Path
) -> None:
    with PostgresServer(18) as server:
        make_shop(server, now=NOW, extension=False, collation=False)
        for name, form in (("shop.dump", "-Fc"), ("shop.sql", "-Fp")):
            subprocess.run(
                [newer / "pg_dump", form, "-f", tmp_path / name, NAME],
                env={**Source(server, tmp_path).environment()},
                check=True,
                timeout=300,
            )
    for name in ("shop.dump", "shop.sql"):
        result = verify(tmp_path, name=name, bin_directory=str(source.server.installation.bin))
        assert (result["verdict"], codes(result)) == ("error", ["server_too_old"]), result["findings"]
        assert "Install postgresql-18" in result["findings"][0]["message"]
        # What could be proven without a server is.
        assert only(result)["level"] == "decode"


# --- keys


def test_without_its_key_a_backup_is_not_judged(
    verify: Callable[..., dict[str, Any]], custom: Path, identity: tuple[Path, str], tmp_path: Path
) -> None:
    key, public = identity
    path = tmp_path / "shop.dump.age"
    subprocess.run(["age", "-r", public, "-o", path, custom], check=True)
    subprocess.run(["age-keygen", "-o", tmp_path / "other.txt"], check=True, capture_output=True)
    for decryption in (None, {"identity_file": str(tmp_path / "other.txt")}):
        lost = verify(tmp_path, name=path.name, decryption=decryption)
        assert (lost["verdict"], codes(lost)) == ("error", ["no_key"]), lost["findings"]
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "damaged.age").write_bytes(damaged)
    bad = verify(tmp_path, name="damaged.age", decryption={"identity_file": str(key)}, ignore_roles=True)
    assert (bad["verdict"], codes(bad)) == ("failed", ["decode_failed"]), bad["findings"]


# --- a bucket


@pytest.fixture
def bucket(store: S3Server, make_bucket: Callable[..., str], ours: Path) -> str:
    """A bucket with versions and the same backup in it."""
    name = make_bucket("Enabled")
    client = store.client()
    versions = {}
    for path in sorted(ours.iterdir(), key=lambda each: each.name.endswith(".manifest.json")):
        data = path.read_bytes()
        if path.name.endswith(".manifest.json"):
            manifest = json.loads(data)
            manifest["version_id"] = versions[manifest["name"]]
            data = json.dumps(manifest).encode()
        if not path.name.startswith("."):
            versions[path.name] = client.put_object(Bucket=name, Key=f"pg/{path.name}", Body=data)["VersionId"]
    return name


def test_a_backup_in_a_bucket_is_proven_where_it_lies(
    verify: Callable[..., dict[str, Any]], store: S3Server, bucket: str, ours: Path, source: Source
) -> None:
    place, login = f"s3://{bucket}/pg", store.login()
    result = verify(place, **login)
    assert result["verdict"] == "verified", result["findings"]
    assert only(result)["rows"] == source.rows()
    assert not verify(place, **login)["changed"]
    name = artefact_in(ours).name
    kept = json.loads(store.client().get_object(Bucket=bucket, Key=f"pg/{name}.verified.json")["Body"].read())
    assert kept["verdict"] == "verified"

    # Something else is written over it.
    client, key = store.client(), f"pg/{name}"
    original = client.head_object(Bucket=bucket, Key=key)["VersionId"]
    for body in (b"something else", bytes(artefact_in(ours).stat().st_size)):
        client.put_object(Bucket=bucket, Key=key, Body=body)
        replaced = verify(place, **login)
        assert (replaced["verdict"], codes(replaced)) == ("failed", ["digest_mismatch"])
        assert original in replaced["findings"][0]["message"]

    # It is deleted.
    client.delete_object(Bucket=bucket, Key=key)
    latest = client.list_object_versions(Bucket=bucket, Prefix=key)["Versions"][0]["VersionId"]
    for options in ({}, {"name": name}):
        deleted = verify(place, **login, **options)
        assert (deleted["verdict"], codes(deleted)) == ("failed", ["object_deleted"]), deleted
        assert deleted["findings"][0]["found"] == latest


def test_what_cannot_be_read_is_not_judged(
    verify: Callable[..., dict[str, Any]], store: S3Server, bucket: str, ours: Path
) -> None:
    client, name = store.client(), artefact_in(ours).name
    client.copy_object(
        Bucket=bucket,
        Key="pg/cold.dump",
        CopySource={"Bucket": bucket, "Key": f"pg/{name}"},
        StorageClass="GLACIER",
    )
    cold = verify(f"s3://{bucket}/pg", name="cold.dump", **store.login())
    assert (cold["verdict"], codes(cold)) == ("error", ["unreadable"])
    assert "cold storage (GLACIER)" in cold["findings"][0]["message"]
    stranger = {**store.login(), "access_key": "AKIAOTHER"}
    refused = verify(f"s3://{bucket}/pg", name=name, **stranger)
    assert (refused["verdict"], codes(refused)) == ("error", ["unreadable"])


def test_a_directory_dump_in_a_bucket_is_proven(
    verify: Callable[..., dict[str, Any]],
    store: S3Server,
    make_bucket: Callable[..., str],
    source: Source,
    tmp_path: Path,
) -> None:
    name = make_bucket()
    source.dump(tmp_path / "dump", "-Fd")
    for path in (tmp_path / "dump").iterdir():
        store.client().upload_file(str(path), name, f"shop-20260131/{path.name}")
    result = verify(
        f"s3://{name}", name_pattern="shop-%Y%m%d", ignore_roles=True, minimum={"rows": 1000}, **store.login()
    )
    assert result["verdict"] == "verified", result["findings"]
    assert only(result)["rows"] == source.rows()
    assert not verify(
        f"s3://{name}", name_pattern="shop-%Y%m%d", ignore_roles=True, minimum={"rows": 1000}, **store.login()
    )["changed"]


# --- a staging server


@pytest.fixture(scope="module")
def staging() -> Iterator[PostgresServer]:
    with PostgresServer(fresh=True) as server:
        yield server


def databases(server: PostgresServer) -> list[str]:
    return [name for (name,) in server.query("SELECT datname::text FROM pg_database ORDER BY 1")]


def login_of(server: PostgresServer) -> dict[str, Any]:
    return server.login()


def test_a_staging_server_is_used_and_left_as_it_was(
    verify: Callable[..., dict[str, Any]], repository: Path, staging: PostgresServer, source: Source
) -> None:
    # What a run that was killed has left, and what belongs to others.
    staging.execute("CREATE DATABASE runbook_verify_000000000000")
    staging.execute("CREATE DATABASE application")
    result = verify(repository, staging=login_of(staging))
    assert result["verdict"] == "verified", result["findings"]
    assert only(result)["target"]["kind"] == "staging"
    assert only(result)["rows"] == source.rows()
    assert databases(staging) == ["application", "postgres", "template0", "template1"]
    assert "owners and privileges were not looked at" in " ".join(only(result)["unproven"])
    assert staging.password not in json.dumps({key: value for key, value in result.items() if key != "invocation"})
    path = artefact_in(repository)
    os.truncate(path, path.stat().st_size - 1)
    bad = verify(repository, staging=login_of(staging), manifest="optional", force=True)
    assert bad["verdict"] == "failed"
    assert databases(staging) == ["application", "postgres", "template0", "template1"]
    staging.execute("DROP DATABASE application")


def test_the_production_is_no_staging_server(
    verify: Callable[..., dict[str, Any]], repository: Path, staging: PostgresServer, source: Source, custom: Path
) -> None:
    before = databases(source.server)
    refused = verify(repository, staging=login_of(source.server))
    assert refused["failed"]
    assert refused["code"] == "target_is_production"
    assert "it is the production or a physical copy of it. Nothing was touched." in refused["msg"]
    assert databases(source.server) == before

    # Of a foreign dump nobody knows where it is from.
    shutil.copy(custom, repository / "foreign.dump")
    unknown = verify(repository, name="foreign.dump", staging=login_of(staging))
    assert unknown["code"] == "target_is_production"
    same = verify(repository, name="foreign.dump", staging=login_of(staging), production=login_of(staging))
    assert same["code"] == "target_is_production"
    proven = verify(
        repository,
        name="foreign.dump",
        staging=login_of(staging),
        production=login_of(source.server),
        minimum={"rows": 1000},
    )
    assert proven["verdict"] == "verified", proven["findings"]
