"""Which backups are read, in which order, and what stops it; against a repository in memory."""

from __future__ import annotations

import datetime as dt
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.model import Clocks, Entry, Listing
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import NamingRule, zone
from ansible_collections.runbook.ops.plugins.module_utils.backup.streams import Meter
from ansible_collections.runbook.ops.plugins.module_utils.backup.survey import Wishes, check_inspect, survey
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

NOW = dt.datetime(2026, 1, 31, 9, tzinfo=dt.timezone.utc)
PLAIN = (Path(__file__).parent / "data" / "postgresql-15.sql").read_bytes()
# Larger than a head, so that only a wish for it has it read.
WHOLE = PLAIN[:200] + bytes(range(32, 127)) * 1000 + PLAIN[200:]
LARGE = gzip.compress(WHOLE, 0)
CUT = LARGE[:-100]
CLOCKS = Clocks(NOW, NamingRule("s-%Y%m%d.gz", zone("UTC")), dt.timedelta(hours=6), None)


class Memory:
    """A repository that remembers what was read to its end."""

    kind = "directory"
    location = "memory"

    def __init__(self, files: dict[str, bytes], forbidden: tuple[str, ...] = ()) -> None:
        self.files = files
        self.forbidden = forbidden
        self.finished: list[str] = []

    def listing(self, rule: NamingRule, max_entries: int, meter: Meter) -> Listing:
        entries = [
            Entry(name, len(data), CLOCKS.rule.period(name).start if CLOCKS.rule.period(name) else NOW, name)  # type: ignore[union-attr]
            for name, data in self.files.items()
        ]
        return Listing(entries, True, None, None, None, [])

    def open(
        self, entry: Entry, start: int = 0, length: int | None = None, member: str | None = None
    ) -> Iterator[bytes]:
        if entry.name in self.forbidden:
            raise Undecided("it may not be read")
        data = self.files[entry.name][start:]
        data = data if length is None else data[:length]
        for position in range(0, len(data), 4096):
            yield data[position : position + 4096]
        if length is None and not start:
            self.finished.append(entry.name)


def run(
    memory: Memory, inspect: str = "newest", *, budget: int = 1 << 40, top: int = 50, **wishes: Any
) -> dict[str, Any]:
    defaults = {"ignore": [], "max_entries": 1000, "workers": 4, "interval_seconds": 86400.0}
    wished = Wishes(**{**defaults, "inspect": inspect, "gap_window_seconds": 604800.0, "top": top, **wishes})
    return survey(memory, wished, CLOCKS, Meter(budget, 3600))


def days(**contents: bytes) -> dict[str, bytes]:
    """``days(d31=LARGE)``: backups of January."""
    return {f"s-202601{name[1:]}.gz": data for name, data in contents.items()}


@pytest.mark.parametrize(
    ("inspect", "finished"),
    [
        ("none", []),
        ("newest", ["31"]),
        ("2", ["31", "30"]),
        ("all", ["31", "30", "29"]),
    ],
)
def test_what_is_read(inspect: str, finished: list[str]) -> None:
    memory = Memory(days(d29=LARGE, d31=LARGE + b"", d30=LARGE))
    facts = run(memory, inspect)
    assert memory.finished == [f"s-202601{day}.gz" for day in finished]
    assert facts["inventory"]["inspected_count"] == len(finished)
    kinds = {each["kind"] for each in facts["artefacts"]}
    assert kinds == ({None} if inspect == "none" else {"plain+gzip"})


def test_newest_goes_on_to_the_first_whole_one() -> None:
    memory = Memory(days(d28=LARGE, d29=LARGE, d30=CUT, d31=CUT))
    facts = run(memory)
    assert [each["inspected"]["complete"] for each in facts["artefacts"]] == [False, False, True, None]
    assert facts["inventory"]["newest_complete"]["name"] == "s-20260129.gz"


def test_it_does_not_go_on_for_ever() -> None:
    memory = Memory({f"s-202601{day:02}.gz": CUT for day in range(1, 32)})
    facts = run(memory)
    assert facts["inventory"]["incomplete_count"] == 7
    assert facts["inventory"]["newest_complete"] is None
    assert facts["skipped_sections"] == [
        {
            "section": "newest_complete",
            "reason": "of 31 backups 7 were read, and none is whole",
            "remedy": "Raise inspect, inspect_max_bytes or timeout.",
        }
    ]


def test_small_ones_are_always_read() -> None:
    """The 20 bytes that gzip makes of nothing, in the middle of older backups."""
    facts = run(Memory(days(d29=gzip.compress(b""), d30=LARGE, d31=LARGE)))
    assert facts["inventory"]["empty_count"] == 1
    assert facts["inventory"]["incomplete"][0]["name"] == "s-20260129.gz"


def test_budget_is_spent_on_the_newest() -> None:
    facts = run(Memory(days(d30=LARGE, d31=LARGE)), "all", budget=len(LARGE) + 100)
    assert [each["inspected"]["complete"] for each in facts["artefacts"]] == [True, None]
    assert facts["artefacts"][1]["inspected"]["reason"].startswith(f"not inspected: {len(LARGE)} bytes are more than")
    assert facts["repository"]["bytes_read"] == len(LARGE) + 4096 * 16


def test_unreadable_is_unproven_not_damaged() -> None:
    facts = run(Memory(days(d31=LARGE), forbidden=("s-20260131.gz",)))
    assert facts["artefacts"][0]["inspected"] == {
        "complete": None,
        "verdict": "unproven: it may not be read",
        "reason": "it may not be read",
        "method": None,
    }
    assert [each["section"] for each in facts["skipped_sections"]] == ["newest.inspected", "newest_complete"]
    assert facts["skipped_sections"][0]["reason"] == "s-20260131.gz: it may not be read"


def test_same_bytes_under_two_names() -> None:
    facts = run(Memory(days(d29=LARGE, d30=LARGE, d31=gzip.compress(PLAIN))))
    assert [each["names"] for each in facts["inventory"]["duplicates"]] == [["s-20260129.gz", "s-20260130.gz"]]


def test_ignored_names() -> None:
    files = {**days(d31=LARGE), "k8s-backup-20260131.yaml": b"x", "notes": b"y"}
    facts = run(Memory(files), ignore=["k8s-*.yaml"])
    assert facts["repository"]["ignored_count"] == 1
    assert [each["name"] for each in facts["inventory"]["unrecognised"]] == ["notes"]


def test_top_bounds_the_list_and_not_the_count() -> None:
    facts = run(Memory(days(d29=LARGE, d30=LARGE, d31=LARGE)), top=2)
    assert (len(facts["artefacts"]), facts["inventory"]["count"], facts["truncated"]) == (2, 3, True)


@pytest.mark.parametrize("word", ["none", "NEWEST", " all ", "1", "30"])
def test_inspect_words(word: str) -> None:
    assert check_inspect(word) == word.strip().lower()


@pytest.mark.parametrize("word", ["", "0", "-1", "latest", "1.5"])
def test_inspect_words_that_are_none(word: str) -> None:
    with pytest.raises(InvalidOption) as error:
        check_inspect(word)
    assert error.value.message == (
        f"inspect: {word!r} is not accepted. "
        "Accepted: none, newest, all, or a number of backups from the newest on, such as 3."
    )
