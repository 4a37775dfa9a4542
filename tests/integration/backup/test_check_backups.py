"""check_backups as a user runs it, with StoreBridge's variables where there is a bucket."""

from __future__ import annotations

import datetime as dt
import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.ports import free_port
from lab.s3 import S3Server

from ansible_collections.runbook.ops.plugins.module_utils.backup.record import Record, record_name

pytestmark = pytest.mark.xdist_group("backup")

CheckRole = Callable[..., Any]
MakeBucket = Callable[..., str]
SECRET = "planted-s3cret/K@y"
STOREBRIDGE = Path(__file__).resolve().parents[3] / "inventories" / "storebridge" / "group_vars" / "backups"
SEOUL = dt.timezone(dt.timedelta(hours=9))
# The morning round of Saturday, 31 January.
MORNING = "2026-01-31T09:00:00+09:00"


def night(day: int, hours: float = 2) -> dt.datetime:
    return dt.datetime(2026, 1, 1, tzinfo=SEOUL) + dt.timedelta(days=day - 1, hours=hours)


class Cases:
    """One repository after another, and the variables of the host that checks it."""

    def __init__(self, store: S3Server, make_bucket: MakeBucket, plain: bytes, base: Path) -> None:
        self.store = store
        self.make_bucket = make_bucket
        self.plain = plain
        self.base = base
        self.variables = yaml.safe_load((STOREBRIDGE / "check_backups.yml").read_text(encoding="utf-8"))

    def dump(self, day: int) -> bytes:
        return gzip.compress(self.plain.replace(b"customer 1\n", b"customer of day %d\n" % day), mtime=0)

    def bucket(self, contents: dict[str, tuple[bytes, dt.datetime]]) -> dict[str, Any]:
        bucket = self.make_bucket()
        client = self.store.client()
        for key, (data, written) in contents.items():
            client.put_object(Bucket=bucket, Key=key, Body=data)
            self.store.backdate(bucket, key, written)
        return self.host(f"s3://{bucket}", self.store.login())

    def nights(self, *days: int) -> dict[str, tuple[bytes, dt.datetime]]:
        return {f"storebridge-202601{day:02}.sql.gz": (self.dump(day), night(day)) for day in days}

    def proven(self, days: range, **verdicts: str) -> dict[str, Any]:
        """A bucket of nights, with records of verifications: ``proven(range(25, 32), d31="failed")``."""
        variables = self.bucket(self.nights(*days))
        bucket = variables["check_backups_repository"].removeprefix("s3://")
        client = self.store.client()
        for day, verdict in verdicts.items():
            key = f"storebridge-202601{day[1:]}.sql.gz"
            seen = client.head_object(Bucket=bucket, Key=key)
            size, etag = seen["ContentLength"], seen["ETag"].strip('"')
            record = Record(
                key, size, "ab" * 32, {"etag": etag, "bytes": size, "version_id": None}, verdict, "semantics",
                "semantics", None if verdict == "verified" else "semantics: public.orders has 0 rows",
                "2026-01-31T04:00:00Z",
            )  # fmt: skip
            client.put_object(Bucket=bucket, Key=record_name(key), Body=record.as_bytes())
        return variables

    def host(self, repository: str, login: dict[str, Any]) -> dict[str, Any]:
        return {
            "runbook_system": "storebridge",
            "runbook_timezone": "Asia/Seoul",
            "runbook_reference_time": MORNING,
            "check_backups_repository": repository,
            **{f"aws_{name}": value for name, value in login.items()},
            **self.variables,
        }


@pytest.fixture(scope="module")
def cases(
    store: S3Server, make_bucket: MakeBucket, artefacts: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> Cases:
    return Cases(store, make_bucket, artefacts["plain"], tmp_path_factory.mktemp("repositories"))


def hosts_of(cases: Cases, dumps: Any) -> dict[str, dict[str, Any]]:
    week = cases.nights(*range(25, 32))
    newest = "storebridge-20260131.sql.gz"
    whole = week[newest][0]
    small = gzip.compress(cases.plain[:3000] + b"\n--\n-- PostgreSQL database dump complete\n--\n")
    directory = cases.base / "directory"
    for day in (30, 31):
        target = directory / f"shop-202601{day}"
        shutil.copytree(dumps.directory / "directory", target)
        os.utime(target, (night(day).timestamp(), night(day).timestamp()))
    return {
        "healthy": cases.bucket({**week, "k8s-backup-20260131.yaml": (b"kind: List", night(31, 3))}),
        "first_night": cases.bucket(cases.nights(31)),
        "empty": cases.bucket({**week, newest: (gzip.compress(b"", mtime=0), night(31))}),
        "cut": cases.bucket({**week, newest: (whole[: len(whole) // 2], night(31))}),
        "two_bad_nights": cases.bucket(
            {
                **cases.nights(25, 26, 27, 28),
                "storebridge-20260129.sql.gz": (gzip.compress(b"", mtime=0), night(29)),
                "storebridge-20260130.sql.gz": (gzip.compress(cases.plain[:-200]), night(30)),
                newest: (whole[:-20], night(31)),
            }
        ),
        "late": cases.bucket(cases.nights(26, 27, 28, 29, 30)),
        "stale": cases.bucket(cases.nights(21, 22, 23)),
        "gap": cases.bucket(cases.nights(25, 26, 27, 29, 31)),
        "shrunk": cases.bucket({**week, newest: (small, night(31))}),
        "frozen": cases.bucket({"storebridge-20251015.sql.gz": (whole, night(31))}),
        "repeated": cases.bucket({**week, newest: (week["storebridge-20260130.sql.gz"][0], night(31))}),
        "pointer": cases.bucket({**week, "latest.sql.gz": (week["storebridge-20260125.sql.gz"][0], night(25))}),
        "misnamed": cases.bucket({"storebridge_2026-01-31.sql.gz": (whole, night(31))}),
        "drifted": cases.bucket({**week, "StoreBridge-20260131.sql.gz": (whole, night(31, 4))}),
        "nothing": cases.bucket({}),
        "verified": {**cases.proven(range(25, 32), d31="verified"), "check_backups_require_verification": True},
        "unverified": {**cases.bucket(week), "check_backups_require_verification": True},
        "refuted": cases.proven(range(25, 32), d30="verified", d31="failed"),
        "only_refuted": cases.proven(range(25, 32), d31="failed"),
        "verified_long_ago": {
            **cases.proven(range(10, 32), d10="verified"),
            "check_backups_rule_overrides": {"backup.verified_age": {"warning": "> 8 d", "critical": "> 15 d"}},
        },
        "too_large": {**cases.bucket(week), "check_backups_inspect_max_bytes": 1000},
        "down": cases.host("s3://b", {**cases.store.login(), "endpoint_url": f"http://127.0.0.1:{free_port()}"}),
        "wrong_keys": cases.host("s3://b", {**cases.store.login(), "access_key": "AKIAWRONG", "secret_key": SECRET}),
        "no_bucket": cases.host("s3://not-there", cases.store.login()),
        "directory": {
            **cases.host(str(directory), {}),
            "check_backups_name_pattern": "shop-%Y%m%d",
            # The dumps are of today, their names of January.
            "check_backups_rule_overrides": {"backup.diverging": {"enabled": False}},
        },
        "no_directory": {**cases.host(str(cases.base / "nowhere"), {})},
    }


@pytest.fixture(scope="module")
def run(check_role: CheckRole, cases: Cases, dumps: Any) -> Any:
    """One run, as talkative as can be, over a host for every case."""
    return check_role(hosts_of(cases, dumps), "-vvvv")


NEWEST = "storebridge-20260131.sql.gz"
GATES = [("critical", "backup.available", ""), ("unknown", "backup.not_judged", "")]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("healthy", []),
        ("first_night", []),
        ("empty", [("critical", "backup.newest_complete", ""), ("warning", "backup.newest_complete_age", "")]),
        ("cut", [("critical", "backup.newest_complete", ""), ("warning", "backup.newest_complete_age", "")]),
        ("two_bad_nights", [
            ("critical", "backup.newest_complete", ""),
            ("critical", "backup.newest_complete_age", ""),
            ("warning", "backup.empty", "storebridge-20260129.sql.gz"),
            ("warning", "backup.incomplete", "storebridge-20260130.sql.gz"),
        ]),
        ("late", [("warning", "backup.newest_age", "")]),
        ("stale", [("critical", "backup.newest_age", "")]),
        ("gap", [("warning", "backup.gaps", "")]),
        ("shrunk", [("critical", "backup.size_change", "")]),
        # Its age counts from the name: that is all anybody can restore by.
        ("frozen", [
            ("critical", "backup.newest_age", ""),
            ("warning", "backup.diverging", "storebridge-20251015.sql.gz"),
        ]),
        ("repeated", [("warning", "backup.duplicates", "storebridge-20260130.sql.gz = storebridge-20260131.sql.gz")]),
        ("pointer", [("warning", "backup.stale_pointer", "latest.sql.gz")]),
        ("misnamed", [("critical", "backup.count", ""), ("unknown", "backup.not_judged", "")]),
        ("drifted", [("warning", "backup.unrecognised", "")]),
        ("nothing", [("critical", "backup.count", ""), ("unknown", "backup.not_judged", "")]),
        ("verified", []),
        ("unverified", [("critical", "backup.unverified", "")]),
        ("refuted", [("critical", "backup.verification_failed", "")]),
        ("only_refuted", [("critical", "backup.verification_failed", "")]),
        ("verified_long_ago", [("critical", "backup.verified_age", "")]),
        ("too_large", [("unknown", "backup.newest_complete", "")]),
        ("down", GATES),
        ("wrong_keys", GATES),
        ("no_bucket", GATES),
        ("directory", []),
        ("no_directory", GATES),
    ],
)  # fmt: skip
def test_findings(run: Any, host: str, expected: list[tuple[str, str, str]]) -> None:
    assert sorted(run.outcomes[host].not_ok()) == sorted(expected)


@pytest.mark.parametrize(
    ("host", "rule", "summary"),
    [
        ("healthy", "backup.newest_age", f"the newest backup, {NEWEST}, is 7h old (by modified)"),
        ("healthy", "backup.newest_complete",
         f"the newest backup, {NEWEST}, is whole: gzip decoded, end marker found"),
        ("healthy", "backup.gaps", "0 backups are missing between others: none"),
        ("healthy", "backup.unrecognised",
         "0 entries newer than the newest backup do not follow storebridge-%Y%m%d.sql.gz: none"),
        ("empty", "backup.newest_complete",
         f"the newest backup, {NEWEST}, is not whole: it holds no data: "
         "the program that should have written it produced nothing (a failed pg_dump in a pipe?)"),
        ("cut", "backup.newest_complete",
         f"the newest backup, {NEWEST}, is not whole: the gzip data is cut off: it ends before its end mark"),
        ("cut", "backup.newest_complete_age",
         "the newest whole backup, storebridge-20260130.sql.gz, is 1d7h old"),
        ("two_bad_nights", "backup.incomplete",
         'storebridge-20260130.sql.gz is not whole: it ends without "PostgreSQL database dump complete": '
         "the dump was cut off"),
        ("gap", "backup.gaps", "2 backups are missing between others: 2026-01-28, 2026-01-30"),
        ("frozen", "backup.newest_age",
         "the newest backup, storebridge-20251015.sql.gz, is 107d9h old (by name)"),
        ("pointer", "backup.stale_pointer",
         f"latest.sql.gz is stale: it is storebridge-20260125.sql.gz, and the newest backup is {NEWEST}"),
        ("verified", "backup.verified_age", f"the newest backup that is proven to be good, {NEWEST}, is 7h old"),
        ("verified", "backup.unverified", "1 of 7 backups are proven to be good"),
        ("refuted", "backup.verification_failed",
         f"1 backups since the newest one that is proven to be good are proven to be bad: {NEWEST}"),
        ("drifted", "backup.unrecognised",
         "1 entries newer than the newest backup do not follow storebridge-%Y%m%d.sql.gz: StoreBridge-20260131.sql.gz"),
    ],
)  # fmt: skip
def test_summaries(run: Any, host: str, rule: str, summary: str) -> None:
    assert run.outcomes[host].summary(rule) == summary


def test_unknown_says_why(run: Any) -> None:
    summary = run.outcomes["too_large"].summary("backup.newest_complete")
    assert summary.startswith(f"not measured: {NEWEST}: not inspected: ")
    assert summary.endswith("Raise inspect, inspect_max_bytes or timeout.")


def test_shrunk_says_by_how_much(run: Any) -> None:
    summary = run.outcomes["shrunk"].summary("backup.size_change")
    assert summary.startswith(f"the newest backup, {NEWEST}, is ")
    assert "% against the median of " in summary


def test_every_rule_was_judged(run: Any) -> None:
    defaults = Path(__file__).resolve().parents[3] / "roles" / "check_backups" / "defaults" / "main.yml"
    rules = [rule["id"] for rule in yaml.safe_load(defaults.read_text(encoding="utf-8"))["check_backups_rules"]]
    assert [each["id"] for each in run.outcomes["verified"].findings] == rules
    # That nobody verified anything is a finding only where it is asked for.
    assert [each["id"] for each in run.outcomes["healthy"].findings] == [
        each for each in rules if each != "backup.unverified"
    ]


def test_no_secret_in_the_output(run: Any, store: S3Server) -> None:
    assert "does not know the access key" in run.output
    for secret in (SECRET, store.secret_key):
        assert secret not in run.output
        assert secret not in str(run.outcomes)


def test_check_mode_and_bad_variables(check_role: CheckRole, cases: Cases) -> None:
    good = cases.bucket(cases.nights(30, 31))
    run = check_role({"good": good, "bad": {**good, "check_backups_repository": "backups"}}, "--check", expect=2)
    assert run.outcomes["good"].not_ok() == []
    assert "check_backups_repository is backups. It must be an absolute directory" in run.output
