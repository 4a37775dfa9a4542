"""The fault matrix: every fault is made for real, and is found, by its name and alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab.faults import damage, probe_content, probe_files, probe_guards, probe_hosts, probe_physical, probe_store
from lab.faults.bench import Bench, Found, fault_bench, recompute
from lab.faults.cases import CASES, VERIFIED, Case
from lab.faults.shop import NAME, WATERMARK

pytestmark = pytest.mark.xdist_group("faults")

PROBES: dict[int, Callable[[Bench], Found]] = {
    **probe_files.PROBES,
    **probe_content.PROBES,
    **probe_hosts.PROBES,
    **probe_store.PROBES,
    **probe_physical.PROBES,
    **probe_guards.PROBES,
}


@pytest.fixture(scope="module")
def bench(run_module: Callable[..., dict[str, Any]]) -> Iterator[Bench]:
    with fault_bench(run_module) as made:
        yield made


def test_there_are_forty_five_cases_and_a_probe_for_each() -> None:
    assert [case.number for case in CASES] == list(range(1, 46)) == sorted(PROBES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_fault_is_found_and_nothing_else(bench: Bench, case: Case) -> None:
    found = PROBES[case.number](bench)
    assert found.verdict == case.verdict, (found, found.told, found.result.get("msg"))
    expected = {case.code} if case.code else set()
    if case.verdict == VERIFIED:
        assert (found.codes, set(found.noted)) == ([], expected), found.told
    else:
        assert set(found.codes) == expected, (found, found.told)
    # A person can read it: one sentence, or one for each object that is wrong.
    assert len(found.told) <= 3


# --- the same faults where more, or less, is known


@pytest.mark.parametrize(
    ("number", "code"),
    [(1, "size_mismatch"), (5, "digest_mismatch")],
    ids=["truncated", "flipped"],
)
def test_with_a_manifest_the_bytes_alone_tell(bench: Bench, number: int, code: str) -> None:
    found = probe_files.with_manifest(bench, number)
    assert (found.verdict, found.codes) == ("failed", [code]), found.told
    [artefact] = found.result["artefacts"]
    # A size is seen without reading a byte of it.
    assert (artefact["read"]["bytes"] == 0) == (code == "size_mismatch")


@pytest.mark.parametrize("number", [25, 26, 28], ids=["sequence-behind", "orphans", "unpopulated-view"])
def test_what_is_odd_in_the_original_is_noted_by_default(bench: Bench, number: int) -> None:
    found = probe_content.mistake(number)(bench)
    [case] = [case for case in CASES if case.number == number]
    assert (found.verdict, found.codes, found.noted) == (VERIFIED, [], [case.code]), found.told


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("SELECT pg_catalog.setval('public.orders_id_seq', 2001, true)",
         "SELECT pg_catalog.setval('public.orders_id_seq', 1001, true)", "sequence_behind"),
        ("REFERENCES public.orders(id);", "REFERENCES public.orders(id) NOT VALID;", "constraint_not_validated"),
        ("CREATE TRIGGER orders_touch", "-- CREATE TRIGGER orders_touch", "structure_differs"),
        ("CREATE POLICY customers_of_the_store", "-- CREATE POLICY customers_of_the_store", "structure_differs"),
        ("REFRESH MATERIALIZED VIEW", "-- REFRESH MATERIALIZED VIEW", "matview_unpopulated"),
    ],
    ids=["sequence-behind", "not-validated", "no-trigger", "no-policy", "unpopulated-view"],
)  # fmt: skip
def test_a_copy_that_is_worse_than_its_original_is_bad(bench: Bench, old: str, new: str, code: str) -> None:
    """Somebody edited the dump, or it lost a statement; size and SHA-256 were made to fit."""
    with bench.added() as repository:
        name = bench.back_up(repository, ".sql", format="plain")
        path = repository / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
        recompute(path)
        found = bench.verify(repository, ".sql")
        # More than one constraint refers to the orders.
        assert (found.verdict, set(found.codes)) == ("failed", {code}), found.told


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".sql", {"format": "plain"}),
        (".sql.gz", {"format": "plain"}),
        (".sql.zst", {"format": "plain"}),
        (".dump", {"compression": "none"}),
        ("", {"format": "directory", "jobs": 2}),
    ],
    ids=["plain", "gzip", "zstd", "uncompressed", "directory"],
)
def test_healthy_in_every_format(bench: Bench, suffix: str, options: dict[str, Any]) -> None:
    repository = bench.directory(f"healthy{suffix.replace('.', '-')}{options.get('compression', '')}")
    bench.back_up(repository, suffix, watermarks=[WATERMARK], **options)
    found = bench.verify(
        repository, suffix, level="consistency", identity={"database": NAME}, watermarks=[WATERMARK], max_age="26h"
    )
    assert (found.verdict, found.told) == (VERIFIED, [])


def test_cold_storage_says_nothing_about_the_backup(bench: Bench) -> None:
    found = probe_store.cold(bench)
    assert (found.verdict, found.codes) == ("error", ["unreadable"]), found.told
    assert "GLACIER" in found.told[0]


def test_a_damaged_envelope_is_not_a_missing_key(bench: Bench) -> None:
    found = probe_files.damaged_envelope(bench)
    assert (found.verdict, found.codes) == ("failed", ["decode_failed"]), found.told


def test_a_scratch_server_archives_nothing(bench: Bench) -> None:
    with bench.broken() as artefact:
        assert artefact.exists()
        found = bench.verify(bench.yesterday)
    [artefact_result] = found.result["artefacts"]
    assert artefact_result["target"]["settings"]["archive_mode"] == "off"


def test_what_a_format_without_checksums_leaves_open_is_said(bench: Bench) -> None:
    """Where no SHA-256 was noted, a flipped bit in an uncompressed archive cannot be seen by anybody."""
    path = probe_files.foreign(bench, 60, ".dump", ("-Fc", "-Z0"))
    damage.flip_in(path, b"Customer9@example.com")
    found = bench.verify(path.parent, minimum={"rows": 1000}, ignore_roles=True)
    assert (found.verdict, found.told) == (VERIFIED, [])
    [artefact] = found.result["artefacts"]
    assert any("a flipped bit in its content could not be seen" in each for each in artefact["unproven"]), artefact
