"""Dumps of every kind are loaded whole, or it is said what is missing; beside it what the usual commands say."""

from __future__ import annotations

import gzip
import os
import resource
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab.backup_database import DATABASE, build_backup_database
from lab.installations import client_program
from lab.installations import installations as lab_installations
from lab.postgresql import PostgresServer

from ansible_collections.runbook.ops.plugins.module_utils.backup.content import Content
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.archives import as_sql
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.load import load, load_globals
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.model import Loaded
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.script import Copy, Script
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.server import ScratchServer
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation, installations

# What a splitter may stumble over: bodies and rows that look like a dump's own lines.
ODD = r"""
CREATE FUNCTION public.odd() RETURNS text LANGUAGE plpgsql AS $fn$
BEGIN
--
-- Name: fake; Type: TABLE; Schema: public; Owner: nobody
--
    EXECUTE $q$ COPY public.nowhere FROM stdin; $q$;
    RETURN '$_$;' || $$ \. $$;
END $fn$;
CREATE FUNCTION public.atomic(a int) RETURNS int LANGUAGE sql
BEGIN ATOMIC
    SELECT CASE WHEN a > 1 THEN 1 ELSE 2 END AS "end";
    SELECT a;
END;
CREATE TABLE public.odd_rows (id int PRIMARY KEY, "the text; --" text);
INSERT INTO public.odd_rows VALUES
    (1, E'\\.'), (2, E'a\n\\.\nb'), (3, E'--\n-- PostgreSQL database dump complete\n--\n'), (4, 'COPY x FROM stdin;'),
    (5, E'--\n-- Name: odd_rows; Type: TABLE; Schema: public; Owner: -\n--\n'), (6, NULL), (7, ''), (8, E'\t\r\n\b'),
    (9, repeat('long ', 600000)), (10, '\N'), (11, E'\\connect template1'), (12, 'ü가𝄞');
CREATE VIEW public.odd_view AS SELECT id, count(*) FROM public.odd_rows GROUP BY id;
CREATE RULE odd_rule AS ON INSERT TO public.odd_view DO INSTEAD
    (INSERT INTO public.odd_rows VALUES (new.id, ';'); DELETE FROM public.odd_rows WHERE id < 0);
COMMENT ON FUNCTION public.odd() IS E'--\n-- Name: fake; Type: TABLE; Schema: public; Owner: nobody\n--\n$x$';
CREATE TABLE public.child (id int PRIMARY KEY, parent int REFERENCES public.odd_rows);
CREATE TABLE public.numbered (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, long text);
INSERT INTO public.numbered (long) SELECT repeat(md5(n::text), 200) FROM generate_series(1, 20) AS n;
CREATE TABLE public.heir () INHERITS (public.numbered);
CREATE UNLOGGED TABLE public.scratched (id int PRIMARY KEY, long text);
INSERT INTO public.child SELECT n, 1 + n % 12 FROM generate_series(1, 1000) AS n;
CLUSTER public.child USING child_pkey;
COMMENT ON CONSTRAINT child_pkey ON public.child IS 'the key';
"""


@dataclass(frozen=True)
class Source:
    """A database to dump."""

    server: PostgresServer

    @property
    def environment(self) -> dict[str, str]:
        """With which client programs log in."""
        where = {"PGHOST": self.server.host, "PGPORT": str(self.server.port)}
        return {**os.environ, **where, "PGUSER": "postgres", "PGPASSWORD": self.server.password}

    def run(self, name: str, *arguments: object, database: str | None = DATABASE) -> bytes:
        """What a client program writes."""
        command = [str(self.server.client(name)), *map(str, arguments), *([database] if database else [])]
        return subprocess.run(command, env=self.environment, stdout=subprocess.PIPE, check=True).stdout

    def globals(self) -> bytes:
        """The server's roles."""
        return self.run("pg_dumpall", "--globals-only", database=None)


def source_on(server: PostgresServer) -> Source:
    build_backup_database(server)
    server.execute("CREATE ROLE clerk")
    server.execute("GRANT SELECT ON public.products TO clerk", db=DATABASE)
    server.execute("ALTER TABLE public.tenants OWNER TO clerk", db=DATABASE)
    server.psql(ODD, db=DATABASE)
    return Source(server)


@pytest.fixture(scope="module")
def source() -> Iterator[Source]:
    with PostgresServer(15) as server:
        yield source_on(server)


@pytest.fixture(scope="module")
def plain(source: Source) -> bytes:
    return source.run("pg_dump")


@pytest.fixture(scope="module")
def scratch(source: Source) -> Iterator[ScratchServer]:
    with ScratchServer(programs(15), progress=Progress()) as server:
        load_globals(server.options, source.globals(), progress=Progress())
        yield server


@pytest.fixture
def target(scratch: ScratchServer) -> Iterator[dict[str, Any]]:
    """Login options of a new database."""
    yield from new_database(scratch)


def new_database(server: ScratchServer, more: str = "ENCODING 'UTF8'") -> Iterator[dict[str, Any]]:
    with server.connect() as session:
        session.query(f"CREATE DATABASE loaded TEMPLATE template0 {more}")
    yield {**server.options, "login_db": "loaded"}
    with server.connect() as session:
        session.query("DROP DATABASE IF EXISTS loaded WITH (FORCE)")


def programs(major: int, name: str = "initdb") -> Installation:
    return installations(str(lab_installations()[major].bin), name)[0]


def chunks(data: bytes, size: int = 1 << 16) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def loaded(target: dict[str, Any], data: bytes, kind: str = "plain", **more: Any) -> Loaded:
    options = {"installation": programs(15), "jobs": 2, "progress": Progress(), "throwaway": True, **more}
    return load(target, chunks(data), kind, **options)


def environment_of(target: dict[str, Any]) -> dict[str, str]:
    return {
        **os.environ,
        "PGHOST": target["login_unix_socket"],
        "PGUSER": target["login_user"],
        "PGDATABASE": target["login_db"],
    }


def psql(
    target: dict[str, Any], *arguments: str, stdin: bytes = b"", program: str = "psql"
) -> subprocess.CompletedProcess[bytes]:
    command = [str(client_program(program, lab_installations()[15])), *arguments]
    return subprocess.run(command, env=environment_of(target), input=stdin, capture_output=True, check=False)


def answer(target: dict[str, Any], query: str) -> str:
    done = psql(target, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", query)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def lines(dump: bytes) -> list[bytes]:
    """The lines of a dump in an order of their own: sessions that work at once leave rows in any order."""
    return sorted(
        line for line in dump.split(b"\n") if not line.startswith((b"\\restrict", b"\\unrestrict", b"-- Dumped"))
    )


def dumped(target: dict[str, Any], major: int = 15) -> list[bytes]:
    command = [str(client_program("pg_dump", lab_installations()[major]))]
    return lines(subprocess.run(command, env=environment_of(target), stdout=subprocess.PIPE, check=True).stdout)


# --- whole dumps
FORMATS = {
    "plain": ("plain", ()),
    "inserts": ("plain", ("--inserts", "--rows-per-insert=7")),
    "create and clean": ("plain", ("--create", "--clean")),
    "clean": ("plain", ("--clean", "--if-exists")),
    "custom": ("custom", ("-Fc",)),
    "custom uncompressed": ("custom", ("-Fc", "-Z0")),
    "tar": ("tar", ("-Ft",)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_loaded_whole(source: Source, plain: bytes, target: dict[str, Any], name: str) -> None:
    kind, arguments = FORMATS[name]
    tables: list[str] = []
    done = loaded(target, source.run("pg_dump", *arguments), kind, on_table_loaded=tables.append)
    assert done.problems == []
    assert done.is_complete
    assert (done.source_version or "").startswith("15.")
    assert dumped(target) == lines(plain)
    # Tables were filled without WAL; what they are is what the original is, down to their TOAST and sequences.
    persistence = (
        "SELECT string_agg(CASE WHEN c.relname ~ '^pg_toast' THEN 'toast of ' || r.relname ELSE c.relname END, ' ' "
        "ORDER BY r.relname, c.relname) FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid "
        "LEFT JOIN pg_class r ON r.reltoastrelid IN (c.oid, i.indrelid) WHERE c.relpersistence = 'u'"
    )
    assert answer(target, persistence) == source.server.psql(persistence, db=DATABASE)
    assert len(set(tables)) == len(tables) >= 16
    if "--inserts" not in arguments:
        assert set(done.tables) == set(tables)
        assert done.tables["public.odd_rows"] == int(answer(target, "SELECT count(*) FROM public.odd_rows")) == 12
        assert done.tables['"Billing Office"."Invoices"'] == 1000


def test_a_directory_is_loaded_whole(source: Source, plain: bytes, target: dict[str, Any], tmp_path: Path) -> None:
    source.run("pg_dump", "-Fd", "-f", tmp_path / "dump")
    done = loaded(target, b"", "directory", directory=tmp_path / "dump")
    assert (done.problems, done.is_complete) == ([], True)
    assert dumped(target) == lines(plain)


def test_all_databases_in_one_file(source: Source, plain: bytes) -> None:
    everything = source.run("pg_dumpall", database=None)
    with ScratchServer(programs(15), progress=Progress()) as server:
        for target in new_database(server):
            done = loaded(target, everything)
            assert done.problems == []
            assert dumped(target) == lines(plain)
            assert answer(target, "SELECT count(*) FROM pg_roles WHERE rolname = 'clerk'") == "1"
            assert "the part of the dump with database postgres was left out" in done.notes
        for target in new_database(server):
            with pytest.raises(Undecided, match="has no part for database other") as caught:
                loaded(target, everything, database="other")
            assert caught.value.details["code"] == "several_databases"


def test_globals_then_a_dump_in_one_file(source: Source, plain: bytes) -> None:
    roles = source.globals()
    with ScratchServer(programs(15), progress=Progress()) as server:
        for target in new_database(server):
            assert loaded(target, roles + plain).problems == []
            assert dumped(target) == lines(plain)
        assert load_globals(server.options, roles, progress=Progress()).problems == []


def test_lines_that_end_as_in_windows(source: Source, plain: bytes, target: dict[str, Any]) -> None:
    done = loaded(target, plain.replace(b"\n", b"\r\n"))
    assert done.problems == []
    counted = "SELECT count(*) FROM public.job_items"
    assert answer(target, counted) == source.server.psql(counted, db=DATABASE) == str(done.tables["public.job_items"])
    assert answer(target, 'SELECT length("the text; --") FROM public.odd_rows WHERE id = 9') == "3000000"


def test_a_dump_in_another_encoding(source: Source, target: dict[str, Any]) -> None:
    dump = source.run("pg_dump", "-E", "UHC", "-t", "public.odd_rows", "--exclude-table-data=*")
    assert b"client_encoding = 'UHC'" in dump
    assert loaded(target, dump).problems == []


@pytest.mark.parametrize("major", [14, 17, 18])
def test_other_majors(major: int) -> None:
    with PostgresServer(major) as server, ScratchServer(programs(major), progress=Progress()) as scratch:
        server.execute(f"CREATE DATABASE {DATABASE}")
        server.psql(ODD, db=DATABASE)
        source = Source(server)
        plain = source.run("pg_dump")
        newest = installations(str(client_program("pg_restore", lab_installations()[18]).parent), "pg_restore")[0]
        for kind, data in (("plain", plain), ("custom", source.run("pg_dump", "-Fc"))):
            for target in new_database(scratch):
                # The programs that read archives are those that wrote them.
                done = loaded(target, data, kind, installation=newest)
                assert done.problems == []
                assert dumped(target, major) == lines(plain)
        if major == 14:
            # pg_dump 18 sets what a server of its own knows.
            assert done.notes == ["the setting transaction_timeout was left out: the server does not know it"]
        events = [read(plain, size) for size in (1 << 20, 4093)]
        assert events[0] == events[1]


def read(data: bytes, size: int) -> list[tuple[bytes, str, bytes]]:
    found = []
    for event in Script(chunks(data, size)).events():
        rows = b"".join(event.rows) if isinstance(event, Copy) else b""
        found.append((event.text, str(getattr(event, "entry", "")), rows))
    return found


# --- what the usual commands do not say
def test_a_cut_off_dump_is_no_success(plain: bytes, target: dict[str, Any]) -> None:
    place = plain.index(b"COPY public.job_items")
    cut = plain[: plain.index(b"\n", place + 2000) + 1]
    usual = psql(target, "-Xq", "-v", "ON_ERROR_STOP=1", "-1", stdin=cut)
    assert (usual.returncode, usual.stderr) == (0, b"")
    rows = int(answer(target, "SELECT count(*) FROM public.job_items"))
    assert 0 < rows < plain.count(b"\n")
    assert answer(target, "SELECT count(*) FROM pg_constraint WHERE contype = 'f'") == "0"
    answer(target, 'DROP SCHEMA public, "Billing Office" CASCADE; CREATE SCHEMA public')
    answer(target, "SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
    with pytest.raises(
        Damaged, match=r"TABLE DATA public.job_items: the dump is cut off in the middle of its rows"
    ) as caught:
        loaded(target, cut)
    assert caught.value.details == {"code": "marker_missing", "object": "TABLE DATA public.job_items"}
    assert answer(target, "SELECT count(*) FROM public.job_items") == "0"


def test_a_dump_that_ends_between_two_statements(plain: bytes, target: dict[str, Any]) -> None:
    cut = plain[: plain.index(b"--\n-- PostgreSQL database dump complete")]
    done = loaded(target, cut, on_error="collect")
    assert [(each.code, each.object, each.message) for each in done.problems] == [
        ("marker_missing", "", "the dump has no end mark (database dump complete): it is cut off")
    ]
    assert not done.is_complete


def test_a_second_load_does_not_double_rows(source: Source, target: dict[str, Any]) -> None:
    dump = source.run("pg_dump", "-t", "public.audit_logs")
    loaded(target, dump)
    answer(target, "ALTER TABLE public.audit_logs DROP CONSTRAINT audit_logs_pkey")
    before = int(answer(target, "SELECT count(*) FROM public.audit_logs"))
    with pytest.raises(Undecided, match="database loaded is not empty: it has 2 tables") as caught:
        loaded(target, dump)
    assert caught.value.details["code"] == "not_empty"
    assert answer(target, "SELECT count(*) FROM public.audit_logs") == str(before)
    usual = psql(target, "-Xq", stdin=dump)
    assert usual.returncode == 0
    assert b"already exists" in usual.stderr
    assert answer(target, "SELECT count(*) FROM public.audit_logs") == str(2 * before)


def test_a_flipped_bit_in_a_compressed_dump(plain: bytes, target: dict[str, Any], tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(plain))
    packed[len(packed) // 2] ^= 0x10
    (tmp_path / "broken.sql.gz").write_bytes(packed)
    usual = subprocess.run(
        ["sh", "-c", f"gunzip -c {tmp_path}/broken.sql.gz | psql -Xq -v ON_ERROR_STOP=0"],
        env=environment_of(target),
        capture_output=True,
        check=False,
    )
    assert usual.returncode == 0
    answer(target, 'DROP SCHEMA public CASCADE; DROP SCHEMA IF EXISTS "Billing Office" CASCADE; CREATE SCHEMA public')
    answer(target, "SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
    content = Content(chunks(bytes(packed)))
    with pytest.raises(Damaged):
        load(target, content.chunks(), "plain", installation=programs(15), jobs=2, progress=Progress(), throwaway=True)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_cut_off_archive_whose_list_is_fine(
    source: Source, target: dict[str, Any], tmp_path: Path, share: float
) -> None:
    archive = source.run("pg_dump", "-Fc")
    cut = archive[: int(len(archive) * share)]
    (tmp_path / "cut.dump").write_bytes(cut)
    assert psql(target, "--list", str(tmp_path / "cut.dump"), program="pg_restore").returncode == 0
    with pytest.raises((Damaged, Undecided)) as caught:
        loaded(target, cut, "custom")
    assert caught.value.details["code"] in ("decode_truncated", "decode_failed")
    assert isinstance(caught.value, Damaged)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_cut_off_tar_never_hangs(source: Source, share: float) -> None:
    archive = source.run("pg_dump", "-Ft")
    with pytest.raises(Damaged) as caught:
        for _chunk in as_sql(chunks(archive[: int(len(archive) * share)]), "tar", programs(15)):
            pass
    assert caught.value.details["code"] in ("decode_truncated", "decode_failed")


# --- what is missing, and whose fault it is
def test_roles_that_are_missing_are_named_once(plain: bytes) -> None:
    with ScratchServer(programs(15), progress=Progress()) as server:
        for target in new_database(server):
            done = loaded(target, plain, on_error="collect")
            assert {each.code for each in done.problems} == {"role_missing"}
            assert [(each.object, each.message) for each in done.problems][1] == (
                "TABLE public.tenants",
                'role "clerk" does not exist (2 times)',
            )
            assert answer(target, "SELECT count(*) FROM public.tenants") == "50"
        for target in new_database(server):
            with pytest.raises(
                Undecided, match=r'TABLE public.MixedCase: role "storebridge_app" does not exist'
            ) as caught:
                loaded(target, plain)
            assert caught.value.details == {"code": "role_missing", "object": "TABLE public.MixedCase"}


PROBLEMS = {
    "extension": (
        "CREATE EXTENSION postgis WITH SCHEMA public;",
        ("extension_missing", 'extension "postgis" is not available', False),
    ),
    "syntax": ("CREATE TABLE public.t (a int,,);", ("syntax", 'syntax error at or near ","', True)),
    "command": ("\\i other.sql", ("syntax", "\\i other.sql is a command of psql that no dump of pg_dump has", True)),
    "row": (
        "CREATE TABLE public.t (a int); COPY public.t (a) FROM stdin;\n1\nx\n\\.",
        ("rejected", 'invalid input syntax for type integer: "x" (COPY t, line 2, column a)', True),
    ),
    "bytes": (
        "CREATE TABLE public.t (a text); COPY public.t (a) FROM stdin;\n\\xff\n\\.",
        ("encoding_mismatch", 'invalid byte sequence for encoding "UTF8": 0xff (COPY t, line 1)', True),
    ),
    "twice": (
        "CREATE TABLE public.t (a int); CREATE TABLE public.t (a int);",
        ("exists", 'relation "t" already exists', False),
    ),
    "newer server": (
        "-- Dumped from database version 18.1\nCREATE TABLE public.t (a int);",
        ("server_too_old", "the dump is of PostgreSQL 18.1 and the server is PostgreSQL 15, which is older", False),
    ),
    "nothing": ("-- nothing", ("empty_artefact", "there is not one statement in the dump", True)),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_problems_are_told_apart(target: dict[str, Any], name: str) -> None:
    text, (code, message, is_of_the_artefact) = PROBLEMS[name]
    dump = f"--\n-- PostgreSQL database dump\n--\n{text}\n--\n-- PostgreSQL database dump complete\n--\n".encode()
    done = loaded(target, dump, on_error="collect")
    assert [(each.code, each.message, each.is_of_the_artefact) for each in done.problems] == [
        (code, message, is_of_the_artefact)
    ]


def test_text_that_the_database_has_no_letters_for(source: Source, scratch: ScratchServer) -> None:
    for target in new_database(scratch, "ENCODING 'LATIN1' LOCALE 'C'"):
        done = loaded(target, source.run("pg_dump", "-t", "public.odd_rows"), on_error="collect")
        assert [each.code for each in done.problems] == ["encoding_mismatch"]
        assert done.problems[0].object == "TABLE DATA public.odd_rows"
        assert "12" not in answer(target, "SELECT count(*) FROM public.odd_rows")


def test_a_login_that_may_not_make_tables(plain: bytes, target: dict[str, Any]) -> None:
    answer(target, "CREATE ROLE guest LOGIN")
    done = loaded({**target, "login_user": "guest"}, plain, on_error="collect")
    assert done.problems[0].code == "permission"
    assert not done.problems[0].is_of_the_artefact
    answer(target, "DROP OWNED BY guest; DROP ROLE guest")


def test_an_archive_of_a_newer_pg_dump(source: Source, target: dict[str, Any]) -> None:
    command = [str(client_program("pg_dump", lab_installations()[18])), "-Fc", DATABASE]
    archive = subprocess.run(command, env=source.environment, stdout=subprocess.PIPE, check=True).stdout
    with pytest.raises(Undecided, match="unsupported version") as caught:
        loaded(target, archive, "custom")
    assert caught.value.details["code"] == "client_too_old"


def test_the_server_goes_away(plain: bytes) -> None:
    with ScratchServer(programs(15), progress=Progress()) as server:
        for target in new_database(server):

            def broken_off() -> Iterator[bytes]:
                yield from chunks(plain[: len(plain) // 2])
                server.place.remove()
                yield plain[len(plain) // 2 :]

            with pytest.raises(Undecided) as caught:
                load(
                    target,
                    broken_off(),
                    "plain",
                    installation=programs(15),
                    jobs=2,
                    progress=Progress(),
                    on_error="collect",
                )
            assert caught.value.details["code"] == "lost"
            break


def test_a_full_disk_is_no_fault_of_the_dump() -> None:
    place = Path("/tmp") / f"rbs-full-{os.getpid()}"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300m,mode=0777", "tmpfs", str(place)], check=True)
    try:
        server = ScratchServer(programs(15), place=place, progress=Progress())
        with pytest.raises(Undecided, match=r"there is no space left in|No space left") as caught:  # noqa: SIM117
            with server:
                target = {**server.options, "login_db": "postgres"}
                load(target, rows_for_megabytes(400), "plain", installation=programs(15), jobs=2, progress=Progress())
        assert caught.value.details["code"] == "no_space"
    finally:
        subprocess.run(["umount", str(place)], check=True)
        place.rmdir()


def rows_for_megabytes(megabytes: int) -> Iterator[bytes]:
    yield b"-- PostgreSQL database dump\nCREATE TABLE public.big (a int, b text);\nCOPY public.big (a, b) FROM stdin;\n"
    piece = b"".join(b"%d\t%s\n" % (n, b"x" * 90) for n in range(10000))
    for _million in range(megabytes):
        yield piece
    yield b"\\.\n-- PostgreSQL database dump complete\n"


def test_memory_does_not_grow_with_the_dump(target: dict[str, Any]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = load(target, rows_for_megabytes(150), "plain", installation=programs(15), jobs=2, progress=Progress())
    assert done.tables == {"public.big": 1_500_000}
    assert answer(target, "SELECT count(*) FROM public.big") == "1500000"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 60_000, f"{grown} kB more for {done.bytes} bytes"


def test_stopping_breaks_off_and_leaves_no_session(target: dict[str, Any]) -> None:
    progress = Progress()

    def stopped_on_the_way() -> Iterator[bytes]:
        for number, chunk in enumerate(rows_for_megabytes(50)):
            if number == 20:
                progress._signalled = "Stopped by signal SIGTERM"
            yield chunk

    with pytest.raises(Stopped):
        load(target, stopped_on_the_way(), "plain", installation=programs(15), jobs=2, progress=progress)
    assert answer(target, "SELECT count(*) FROM public.big") == "0"
    assert answer(target, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'runbook.ops load'") == "0"


def test_the_key_of_a_large_table_is_what_it_was(target: dict[str, Any], scratch: ScratchServer) -> None:
    with scratch.connect() as session:
        session.query("CREATE DATABASE large TEMPLATE template0 ENCODING 'UTF8'")
    original = {**target, "login_db": "large"}
    answer(
        original,
        "CREATE TABLE public.large (id int NOT NULL, b text, c int); "
        "INSERT INTO public.large SELECT n, repeat('x', 100), n % 7 FROM generate_series(1, 100000) AS n; "
        "ALTER TABLE public.large ADD PRIMARY KEY (id); ALTER TABLE public.large ADD UNIQUE (id, c); "
        "CREATE INDEX ON public.large (c); COMMENT ON CONSTRAINT large_pkey ON public.large IS 'the key'; "
        "CREATE TABLE public.small (id int REFERENCES public.large); INSERT INTO public.small VALUES (1)",
    )
    command = [str(client_program("pg_dump", lab_installations()[15]))]
    dump = subprocess.run(command, env=environment_of(original), stdout=subprocess.PIPE, check=True).stdout
    with scratch.connect() as session:
        session.query("DROP DATABASE large")
    assert loaded(target, dump).problems == []
    assert dumped(target) == lines(dump)
    keys = (
        "SELECT string_agg(concat_ws(' ', indexrelid::regclass, indisprimary, indisunique, indimmediate), ', ' "
        "ORDER BY indexrelid::regclass::text) FROM pg_index WHERE indrelid = 'public.large'::regclass"
    )
    assert answer(target, keys) == "large_c_idx f f t, large_id_c_key f t t, large_pkey t t t"
