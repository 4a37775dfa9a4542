"""What postgresql_retention refuses, each beside what the manual's own statement does to a copy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from lab.errors import LabError
from lab.postgresql import PostgresServer

Result = dict[str, Any]
RunModule = Callable[..., Result]

NOW = "2026-06-01T00:00:00Z"
SCHEMA = """
    CREATE TABLE public.jobs (id bigint PRIMARY KEY, status text, completed_at timestamptz, note text);
    CREATE INDEX ON public.jobs (completed_at, id);
    CREATE TABLE public.jobs_archive (LIKE public.jobs INCLUDING INDEXES);
    INSERT INTO public.jobs SELECT g, 'COMPLETED', timestamptz '2026-01-01 00:00+00' + g * interval '1 hour', 'n' || g
    FROM generate_series(1, 1000) g;
    ANALYZE;
"""
# SB-18, as it is written in the manual; the copy's clock is the test's.
MANUAL = """
    WITH archived AS (
        DELETE FROM public.jobs
         WHERE status = 'COMPLETED' AND completed_at < timestamptz '2026-06-01' - interval '90 days'
        RETURNING *)
    INSERT INTO public.jobs_archive SELECT * FROM archived
"""


@dataclass
class Database:
    server: PostgresServer
    name: str
    run_module: RunModule

    def run(self, *policies: Result, login: Result | None = None, check_mode: bool = False, **options: Any) -> Result:
        arguments = {
            **(login or self.server.login(self.name)),
            "policies": list(policies),
            "reference_time": NOW,
            **options,
        }
        return self.run_module("postgresql_retention", arguments, check_mode=check_mode)

    def psql(self, statement: str) -> str:
        return self.server.psql(statement, db=self.name)

    def execute(self, statement: str) -> None:
        self.server.execute(statement, db=self.name)

    def refusal(self, *policies: Result, **options: Any) -> tuple[str, str, str]:
        """The only refusal, the same in check mode and for real; nothing was changed."""
        before = self.psql("SELECT count(*), sum(hashtext(j::text)) FROM public.jobs j")
        told = [self.run(*policies, on_refusal="report", check_mode=check, **options) for check in (True, False)]
        assert not told[0].get("failed"), told[0]
        assert told[0]["refused"] == told[1]["refused"]
        assert [each["changed"] for each in told] == [False, False]
        assert self.psql("SELECT count(*), sum(hashtext(j::text)) FROM public.jobs j") == before
        failed = self.run(*policies, **options)
        assert failed["failed"]
        [refused] = told[1]["refused"]
        assert refused["reason"] in failed["msg"]
        return refused["object"], refused["reason"], refused["remedy"]


@pytest.fixture
def database(postgresql_server: PostgresServer, postgresql_database: str, run_module: RunModule) -> Database:
    postgresql_server.execute(SCHEMA, db=postgresql_database)
    return Database(postgresql_server, postgresql_database, run_module)


def jobs(**more: Any) -> Result:
    return {
        "name": "jobs",
        "table": "public.jobs",
        "column": "completed_at",
        "keep": "90 days",
        "where": [{"column": "status", "value": "COMPLETED"}],
        "action": "archive",
        "archive_table": "public.jobs_archive",
        **more,
    }


def purge(**more: Any) -> Result:
    return jobs(action="purge", archive_table=None, **more)


# --- drifted archive tables
DRIFT = [
    (
        "ALTER TABLE public.jobs ADD COLUMN tries int",
        "it has no column tries, which public.jobs has",
        "ALTER TABLE public.jobs_archive ADD COLUMN tries integer;",
    ),
    (
        "ALTER TABLE public.jobs ALTER COLUMN note TYPE varchar(50)",
        "its column note is of type text, that of public.jobs of type character varying(50)",
        "ALTER TABLE public.jobs_archive ALTER COLUMN note TYPE character varying(50);",
    ),
    (
        "ALTER TABLE public.jobs_archive ALTER COLUMN note SET NOT NULL",
        "its column note is NOT NULL, that of public.jobs is not",
        "ALTER TABLE public.jobs_archive ALTER COLUMN note DROP NOT NULL;",
    ),
    (
        "ALTER TABLE public.jobs_archive ADD COLUMN reason text NOT NULL",
        "its column reason is NOT NULL without default, and public.jobs has no such column",
        "ALTER TABLE public.jobs_archive ALTER COLUMN reason DROP NOT NULL;",
    ),
    (
        "ALTER TABLE public.jobs_archive DROP COLUMN note; "
        "ALTER TABLE public.jobs_archive ADD COLUMN note text GENERATED ALWAYS AS (status) STORED",
        "its column note is generated, and that of public.jobs is not: the value would be lost",
        "ALTER TABLE public.jobs_archive ALTER COLUMN note DROP EXPRESSION;",
    ),
    (
        "ALTER TABLE public.jobs_archive SET UNLOGGED",
        "it is unlogged: a crash of the server would empty it",
        "ALTER TABLE public.jobs_archive SET LOGGED;",
    ),
]


@pytest.mark.parametrize(("change", "reason", "remedy"), DRIFT, ids=[each[0][:60] for each in DRIFT])
def test_drifted_archive_is_refused_with_its_cure(database: Database, change: str, reason: str, remedy: str) -> None:
    database.execute(change)
    assert database.refusal(jobs()) == ("jobs: public.jobs_archive", reason, remedy)
    database.execute(remedy)
    done = database.run(jobs())
    assert done["changed"], done
    assert done["policies"][0]["proof"][0]["proven"]


def test_manual_archiving_shifts_columns(database: Database) -> None:
    """The same columns in another order: the manual's SELECT * puts each into the other, ours goes by name."""
    database.execute("ALTER TABLE public.jobs_archive DROP COLUMN status;"
                     "ALTER TABLE public.jobs_archive DROP COLUMN note;"
                     "ALTER TABLE public.jobs_archive ADD COLUMN note text;"
                     "ALTER TABLE public.jobs_archive ADD COLUMN status text;"
                     "ALTER TABLE public.jobs DROP COLUMN status; ALTER TABLE public.jobs ADD COLUMN status text;"
                     "UPDATE public.jobs SET status = 'COMPLETED'")  # fmt: skip
    database.execute("ALTER TABLE public.jobs_archive DROP COLUMN note; ALTER TABLE public.jobs_archive ADD note text")
    database.execute("CREATE TABLE public.copy AS SELECT * FROM public.jobs")
    copy = MANUAL.replace("FROM public.jobs\n", "FROM public.copy\n")
    database.execute(copy)
    assert database.psql("SELECT status ~ '^n' AND note = 'COMPLETED' FROM public.jobs_archive LIMIT 1") == "t"
    database.execute("TRUNCATE public.jobs_archive")
    done = database.run(jobs())
    assert done["policies"][0]["proof"][0]["proven"]
    assert database.psql("SELECT bool_and(note ~ '^n' AND status = 'COMPLETED') FROM public.jobs_archive") == "t"


def test_manual_archiving_breaks_on_a_new_column(database: Database) -> None:
    database.execute("ALTER TABLE public.jobs ADD COLUMN tries int")
    with pytest.raises(LabError, match="INSERT has more expressions than target columns"):
        database.psql(MANUAL)


def test_columns_that_only_the_archive_has_are_no_drift(database: Database) -> None:
    database.execute("ALTER TABLE public.jobs_archive ADD COLUMN archived_at timestamptz DEFAULT now()")
    assert database.run(jobs())["policies"][0]["proof"][0]["proven"]


# --- foreign keys
def test_rows_that_others_refer_to(database: Database) -> None:
    database.execute(
        "CREATE TABLE public.job_items (id bigint PRIMARY KEY, job_id bigint REFERENCES public.jobs);"
        "INSERT INTO public.job_items VALUES (1, 7)"
    )
    with pytest.raises(LabError, match="violates foreign key constraint"):
        database.psql(MANUAL)
    reason = (
        "rows of public.job_items refer to due rows (foreign key job_items_job_id_fkey), which keeps them from being "
        "deleted"
    )
    remedy = "Declare public.job_items in children, with what happens to its rows."
    assert database.refusal(jobs()) == ("jobs: public.jobs", reason, remedy)
    assert database.refusal(purge()) == ("jobs: public.jobs", reason, remedy)
    # What nothing due is referred to by may go.
    database.execute("UPDATE public.job_items SET job_id = 1000 + 0")
    database.execute("INSERT INTO public.jobs VALUES (5000, 'RUNNING', NULL, '')")
    database.execute("UPDATE public.job_items SET job_id = 5000")
    assert database.run(jobs())["changed"]


@pytest.mark.parametrize(
    ("on_delete", "does"),
    [
        ("CASCADE", "deletes its rows together with ours (ON DELETE CASCADE), unarchived"),
        ("SET NULL", "empties its reference to ours (ON DELETE SET NULL)"),
    ],
)
def test_rows_that_would_be_lost_or_changed_in_silence(database: Database, on_delete: str, does: str) -> None:
    database.execute(
        "CREATE TABLE public.job_items (id bigint PRIMARY KEY, "
        f"job_id bigint REFERENCES public.jobs ON DELETE {on_delete})"
    )
    reason = f"foreign key job_items_job_id_fkey of public.job_items {does}, and it is not declared"
    assert database.refusal(purge())[1] == reason


def test_grandchildren_are_looked_at_too(database: Database) -> None:
    database.execute(
        """
        CREATE TABLE public.job_items (id bigint PRIMARY KEY, job_id bigint REFERENCES public.jobs);
        CREATE TABLE public.item_files (id bigint PRIMARY KEY,
                                        item_id bigint REFERENCES public.job_items ON DELETE CASCADE);
        """
    )
    children = [{"table": "public.job_items"}]
    told = database.refusal(purge(children=children))
    assert told[0] == "jobs: public.job_items"
    assert told[1].startswith("foreign key item_files_item_id_fkey of public.item_files deletes its rows")


def test_child_without_foreign_key(database: Database) -> None:
    database.execute("CREATE TABLE public.files (id int PRIMARY KEY, job int)")
    database.execute("INSERT INTO public.files SELECT g, g FROM generate_series(1, 10) g")
    child = {"table": "public.files"}
    told = database.refusal(purge(children=[child]))
    assert told[1] == "no foreign key of it refers to public.jobs"
    done = database.run(purge(children=[{**child, "references": {"job": "id"}}]))
    assert done["policies"][0]["child_rows"] == {"public.files": 10}
    assert database.psql("SELECT count(*) FROM public.files") == "0"


# --- what else stands in the way
def test_regulated_records_are_not_purged(database: Database) -> None:
    told = database.refusal(purge(require_archive=True))
    assert (
        told[1] == "require_archive is set, and the policy deletes rows for good (action purge, or drop after detach)"
    )
    database.execute("CREATE TABLE public.job_items (id bigint PRIMARY KEY, job_id bigint REFERENCES public.jobs)")
    children = [{"table": "public.job_items", "action": "purge"}]
    assert database.refusal(jobs(require_archive=True, children=children))[1].startswith("require_archive is set")


def test_triggers(database: Database) -> None:
    database.execute(
        """
        CREATE FUNCTION public.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER keep BEFORE DELETE ON public.jobs FOR EACH ROW EXECUTE FUNCTION public.keep();
        """
    )
    assert database.refusal(purge())[1] == "it has a trigger on DELETE (keep), which would run for every row"
    # Allowed, and it keeps the rows: that is noticed, not reported as done.
    failed = database.run(purge(allow_triggers=True), vacuum=False)
    assert not failed.get("failed"), failed
    assert failed["policies"][0]["rows"] == 0
    assert failed["policies"][0]["remaining"] > 0


def test_trigger_of_the_archive_that_drops_rows(database: Database) -> None:
    database.execute(
        """
        CREATE FUNCTION public.odd_only() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN IF NEW.id % 2 = 0 THEN RETURN NULL; END IF; RETURN NEW; END';
        CREATE TRIGGER odd_only BEFORE INSERT ON public.jobs_archive FOR EACH ROW EXECUTE FUNCTION public.odd_only();
        """
    )
    assert database.refusal(jobs())[1].startswith("it has a trigger on INSERT (odd_only)")
    before = database.psql("SELECT count(*) FROM public.jobs")
    failed = database.run(jobs(allow_triggers=True))
    assert failed["failed"]
    assert "rows were deleted from public.jobs and" in failed["msg"]
    assert database.psql("SELECT count(*) FROM public.jobs") == before
    assert database.psql("SELECT count(*) FROM public.jobs_archive") == "0"


def test_keys_the_archive_holds_already(database: Database) -> None:
    """Half of a manual archiving: inserted, and not deleted."""
    database.execute("INSERT INTO public.jobs_archive SELECT * FROM public.jobs WHERE id <= 3")
    told = database.refusal(jobs())
    assert told[1] == "3 due rows have a key (id) that public.jobs_archive holds already"


def test_view_no_key_no_column(database: Database) -> None:
    database.execute(
        "CREATE VIEW public.done AS SELECT * FROM public.jobs; CREATE TABLE public.bare AS TABLE public.jobs"
    )
    assert database.refusal(purge(table="public.done"))[1] == "it is a view, which has no rows of its own to delete"
    assert database.refusal(purge(table="public.bare"))[1].startswith("it has no primary key")
    assert database.refusal(purge(table="public.Jobs"))[1] == "there is no such table; there is public.jobs"
    assert database.refusal(purge(column="done_at"))[1] == "it has no column done_at"
    assert database.refusal(purge(column="note"))[1] == "column note is of type text, which is no moment"


def test_index_is_wanted_for_a_large_table(database: Database) -> None:
    database.execute(
        "CREATE TABLE public.large (id bigint PRIMARY KEY, at timestamptz, pad text);"
        "INSERT INTO public.large SELECT g, timestamptz '2020-01-01' + g * interval '1 min', repeat('x', 1000) "
        "FROM generate_series(1, 20000) g"
    )
    told = database.refusal(purge(table="public.large", column="at", where=[]))
    assert told[1].startswith("no index begins with at, and the table has ")
    assert told[2] == "CREATE INDEX CONCURRENTLY ON public.large (at, id); Or set allow_sequential."
    done = database.run(purge(table="public.large", column="at", where=[], allow_sequential=True))
    assert done["policies"][0]["rows"] == 20000


def test_more_rows_than_allowed_refuse_the_whole_run(database: Database) -> None:
    failed = database.run(purge(max_rows=10), jobs(name="others"))
    assert failed["failed"]
    assert failed["msg"].startswith("Policy jobs has 1000 due rows of public.jobs at least, and max_rows allows 10.")
    assert failed["actions"]
    assert database.psql("SELECT count(*) FROM public.jobs") == "1000"
    assert database.psql("SELECT count(*) FROM pg_namespace WHERE nspname = 'runbook_ops'") == "0"


def test_condition_that_cannot_be_compared(database: Database) -> None:
    told = database.refusal(purge(where=[{"column": "id", "value": "x'; DROP TABLE public.jobs; --"}]))
    assert told[1].startswith("the due rows cannot be counted: invalid input syntax for type bigint")


@pytest.fixture
def clerk(database: Database) -> Iterator[Result]:
    """A login with nothing but CONNECT."""
    name = f"clerk_{os.urandom(4).hex()}"
    database.server.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'only me @:/%'")
    yield database.server.login(database.name, user=name, password="only me @:/%")
    database.server.execute(f"DROP OWNED BY {name}", db=database.name)
    database.server.execute(f"DROP ROLE {name}")


def test_missing_privileges_are_named_and_enough(database: Database, clerk: Result) -> None:
    failed = database.run(jobs(), login=clerk)
    assert failed["failed"]
    user = clerk["login_user"]
    statements = [
        f"GRANT SELECT, DELETE ON public.jobs TO {user};",
        f"GRANT SELECT, INSERT ON public.jobs_archive TO {user};",
        f"CREATE SCHEMA runbook_ops AUTHORIZATION {user};",
    ]
    assert failed["msg"] == (
        f"{user} lacks privileges for the policies; nothing was done. Run as owner: {' '.join(statements)}"
    )
    database.execute(" ".join(statements))
    done = database.run(jobs(), login=clerk)
    assert done["policies"][0]["proof"][0]["proven"], done
    # It may not vacuum; that is said, and no failure.
    assert [each["done"] for each in done["vacuumed"]] == [False]
    assert done["unreadable_limits"] == ["max_archive_backlog"]


def test_row_level_security_is_not_passed_over(database: Database, clerk: Result) -> None:
    user = clerk["login_user"]
    database.execute(
        f"""
        GRANT SELECT, DELETE ON public.jobs TO {user};
        GRANT CREATE ON DATABASE {database.name} TO {user};
        ALTER TABLE public.jobs ENABLE ROW LEVEL SECURITY;
        CREATE POLICY mine ON public.jobs TO {user} USING (id % 2 = 0);
        """
    )
    told = database.refusal(purge(), login=clerk)
    assert told[1].startswith(f"row level security may hide rows from {user}")
    assert told[2] == f"Log in as postgres, or ALTER ROLE {user} BYPASSRLS;"


def test_window_and_standby_of_options(database: Database) -> None:
    failed = database.run(purge(), window=["Mon 03:00-04:00"])
    assert failed["msg"] == (
        "Retention was not enforced: it is Mon 00:00 in UTC, outside the window (Mon 03:00-04:00). "
        "Run it within the window."
    )
    failed = database.run(purge(keep="6m"))
    assert failed["msg"].startswith("policies[jobs].keep: '6m' is not accepted.")


def test_example_of_a_module_without_driver() -> None:
    """Nothing of the module needs psycopg2 to be imported: connecting says that it is missing."""
    code = (
        "import sys; sys.modules['psycopg2'] = None; "
        "import ansible_collections.runbook.ops.plugins.modules.postgresql_retention"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env={
        **os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert completed.returncode == 0, completed.stderr
