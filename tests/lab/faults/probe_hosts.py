"""Cases 18, 19, 23, 24, 43 and 44: the host or the server that a backup is restored on lacks something, or is wrong."""

from __future__ import annotations

from lab.faults.bench import Bench, Found, refusal
from lab.faults.dumps import PLAIN, Source
from lab.faults.measure import newer_installation, programs_without_restrict
from lab.faults.probe_files import foreign
from lab.faults.rivals import run
from lab.faults.shop import NAME, make_shop
from lab.faults.small_disk import small_disk
from lab.postgresql import PostgresServer


def missing_roles(bench: Bench) -> Found:
    """A dump without globals meets a server that has no such roles."""
    path = foreign(bench, 18, ".sql", PLAIN)
    return bench.verify(path.parent, ".sql", minimum={"rows": 1000})


def missing_extension(bench: Bench) -> Found:
    """The host's newer PostgreSQL was installed without the contributed modules."""
    repository = bench.directory("19")
    with bench.replaced(lambda: make_shop(bench.server, NAME, now=bench.now, collation=False)):
        bench.back_up(repository)
    return bench.verify(repository, bin_directory=str(newer_installation().bin))


def older_server(bench: Bench) -> Found:
    """A backup of a newer major, and the host of the recovery has the old one only."""
    newer = newer_installation()
    repository = bench.directory("23")
    with PostgresServer(newer) as server:
        make_shop(server, NAME, now=bench.now, extension=False, collation=False)
        bench.back_up(repository, server=server, bin_directory=str(newer.bin))
    return bench.verify(repository, bin_directory=str(bench.server.installation.bin))


def older_psql(bench: Bench) -> Found:
    r"""The host's psql is from before \restrict; by hand it breaks off at the first line of the dump."""
    repository = bench.directory("24")
    with bench.replaced(lambda: make_shop(bench.server, NAME, now=bench.now, extension=False, collation=False)):
        name = bench.back_up(repository, ".sql", format="plain")
    old = programs_without_restrict()
    # The manual's command, which that psql does not survive.
    argv = [str(old / "psql"), "-X", "-v", "ON_ERROR_STOP=1", "-f", str(repository / name), "postgres"]
    code, _out, words = run(argv, Source(bench.server).environment())
    assert (code, "invalid command \\restrict" in words) == (3, True), words
    return bench.verify(repository, ".sql", bin_directory=str(old))


def production(bench: Bench) -> Found:
    """The server to restore into is the one that the backup is of; for a restore it is named as what it must not be."""
    with bench.broken():
        refused = bench.verify(bench.yesterday, staging=bench.server.login())
    [[identifier]] = bench.server.query("SELECT system_identifier::text FROM pg_control_system()")
    restore = bench.run(
        "postgresql_restore",
        {
            **bench.server.login(),
            "repository": str(bench.yesterday),
            "name_pattern": "shop-%Y%m%d-%H%M%S.dump",
            "database": "restored",
            "must_not_be": {"system_identifier": [identifier]},
        },
    )
    assert refusal(restore).codes == ["target_is_production"], restore
    assert not bench.server.query("SELECT 1 FROM pg_database WHERE datname LIKE 'restored%' OR datname LIKE 'runbook%'")
    return refused


def no_space(bench: Bench) -> Found:
    with small_disk(bench.place / "44", 8 * 2**20) as disk, bench.broken():
        found = bench.verify(bench.yesterday, scratch_directory=str(disk))
        assert not list(disk.iterdir())
    return found


PROBES = {
    18: missing_roles,
    19: missing_extension,
    23: older_server,
    24: older_psql,
    43: production,
    44: no_space,
}
