"""Migrations: what they take away, what is pending, and whether code and database go together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.migrations.compare import applied_versions
from ansible_collections.runbook.ops.plugins.module_utils.migrations.measure import measure_migrations
from ansible_collections.runbook.ops.plugins.module_utils.migrations.rails import rails_hazards
from ansible_collections.runbook.ops.plugins.module_utils.migrations.sql import sql_hazards

SQL = [
    ("CREATE TABLE jobs (id int NOT NULL)", []),
    ("ALTER TABLE jobs ADD COLUMN note text", []),
    ("ALTER TABLE jobs ADD COLUMN note text NOT NULL DEFAULT ''", []),
    ("ALTER TABLE jobs ADD note text NOT NULL", [("not_null", "jobs.note")]),
    ("alter table if exists only public.jobs add column if not exists n int not null", [("not_null", "public.jobs.n")]),
    ("ALTER TABLE jobs ADD n bigint GENERATED ALWAYS AS IDENTITY NOT NULL", []),
    ("ALTER TABLE jobs ADD CONSTRAINT n CHECK (a IS NOT NULL)", []),
    ("ALTER TABLE jobs DROP CONSTRAINT old, DROP COLUMN a, ADD b numeric(10, 2) NOT NULL",
     [("drop", "jobs.a"), ("not_null", "jobs.b")]),
    ('ALTER TABLE "Job" DROP "userId"', [("drop", "Job.userId")]),
    ("ALTER TABLE jobs ALTER a DROP NOT NULL, ALTER b DROP DEFAULT", []),
    ("ALTER TABLE jobs ALTER COLUMN a SET NOT NULL", [("not_null", "jobs.a")]),
    ("ALTER TABLE jobs ALTER COLUMN a SET DATA TYPE bigint", [("type", "jobs.a")]),
    ("ALTER TABLE jobs RENAME a TO b", [("rename", "jobs.a")]),
    ("ALTER TABLE jobs RENAME TO tasks", [("rename", "jobs")]),
    ("ALTER TABLE jobs RENAME CONSTRAINT a TO b", []),
    ("ALTER TYPE colour RENAME VALUE 'a' TO 'b'", [("rename", "colour")]),
    ("DROP TABLE IF EXISTS jobs CASCADE", [("drop", "jobs")]),
    ("DROP INDEX jobs_a", []),
    ("DROP POLICY p ON jobs", []),
    ("TRUNCATE jobs", [("truncate", "jobs")]),
    ("DELETE FROM jobs WHERE a = 1", []),
    ("DELETE FROM jobs", [("truncate", "jobs")]),
    ("DO $$ BEGIN EXECUTE 'DROP TABLE jobs'; END $$", [("opaque", "DO")]),
    ("-- DROP TABLE jobs;\n/* DROP TABLE jobs; */ SELECT 'DROP TABLE jobs; '", []),
    ("CREATE FUNCTION f() RETURNS void AS $f$ DROP TABLE jobs; $f$ LANGUAGE sql", []),
    ("INSERT INTO t VALUES ('it''s; DROP TABLE x')", []),
]  # fmt: skip

RAILS = [
    ("add_column :jobs, :note, :text", []),
    ("add_column :jobs, :note, :text, null: false, default: ''", []),
    ("add_column :jobs, :note, :text, null: false", [("not_null", "jobs.note")]),
    ("add_reference :jobs, :owner,\n      null: false, foreign_key: true", [("not_null", "jobs.owner")]),
    ("add_index :jobs, :note", []),
    ("remove_index :jobs, :note", []),
    ("remove_column :jobs, :note", [("drop", "jobs.note")]),
    ("safety_assured { remove_column :jobs, :note }", [("drop", "jobs.note")]),
    ("# remove_column :jobs, :note", []),
    ("drop_table(:jobs)", [("drop", "jobs")]),
    ("rename_column :jobs, :a, :b", [("rename", "jobs.a")]),
    ("rename_table :jobs, :tasks", [("rename", "jobs")]),
    ("change_column :jobs, :a, :bigint", [("type", "jobs.a")]),
    ("change_column_null :jobs, :a, false", [("not_null", "jobs.a")]),
    ("change_column_null :jobs, :a, true", []),
    ("change_column_default :jobs, :a, from: nil, to: 1", []),
    ("create_table :jobs do |t|\n      t.string :name, null: false\n      t.remove :x\n    end", []),
    ("create_table :jobs, force: true do |t|\n    end", [("drop", "jobs")]),
    ("change_table :jobs do |t|\n      t.remove :a\n      t.rename :b, :c\n      t.string :d, null: false\n    end\n"
     "    remove_column :tasks, :e",
     [("drop", "jobs.a"), ("rename", "jobs.b"), ("not_null", "jobs.d"), ("drop", "tasks.e")]),
    ('execute "DROP TABLE jobs"', [("drop", "jobs")]),
    ("execute <<~SQL\n      UPDATE jobs SET a = 1;\n      ALTER TABLE jobs DROP a;\n    SQL", [("drop", "jobs.a")]),
    ("execute File.read('x.sql')", [("opaque", "execute")]),
    ("Job.delete_all", [("truncate", "Job")]),
    ("Job.where(a: 1).delete_all", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), SQL, ids=[each[0][:40] for each in SQL])
def test_hazards_of_sql(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(each.kind, each.target) for each in sql_hazards(text)] == expected


@pytest.mark.parametrize(("text", "expected"), RAILS, ids=[each[0][:40] for each in RAILS])
def test_hazards_of_rails(text: str, expected: list[tuple[str, str]]) -> None:
    change = f"class M < ActiveRecord::Migration[8.0]\n  def change\n    {text}\n  end\nend\n"
    assert [(each.kind, each.target) for each in rails_hazards(change)] == expected
    # What is undone is no hazard of doing it.
    both = f"class M < Migration\n  def up\n    add_index :a, :b\n  end\n\n  def down\n    {text}\n  end\nend\n"
    assert rails_hazards(both) == []


def test_lines_are_those_of_the_file() -> None:
    assert [each.line for each in sql_hazards("-- one\nSELECT 1;\n\n-- four\nDROP TABLE a;DROP TABLE b;\n")] == [5, 5]
    assert [
        each.line
        for each in rails_hazards(
            "class M\n  def up\n    execute <<~SQL\n      SELECT 1;\n      DROP TABLE a;\n    SQL\n  end\nend"
        )
    ] == [5]


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("rails", "20260101\n20260102\n", ["20260101", "20260102"]),
        ("rails", "database: a\n\n Status  Migration ID  Name\n-----\n   up  20260101  Init\n  down  20260102  X\n",
         ["20260101"]),
        ("supabase", " Local | Remote | Time\n -----|-----|-----\n 20260101 | 20260101 | 2026\n 20260102 |    | 2026\n",
         ["20260101"]),
        ("supabase", "  20260101000000 │ 20260101000000 │ 2026\n           │ 20260102000000 │ x\n",
         ["20260101000000", "20260102000000"]),
        ("prisma", "20260101090000_init\n", ["20260101090000_init"]),
        ("rails", "", []),
    ],
)  # fmt: skip
def test_answers_of_commands(kind: str, text: str, expected: list[str]) -> None:
    assert applied_versions(text, kind) == expected


@pytest.mark.parametrize("text", ["psql: error: connection refused", "20260101\n(1 row)"])
def test_an_answer_that_is_none(text: str) -> None:
    with pytest.raises(InvalidOption, match="lines with one version each"):
        applied_versions(text, "rails")


def facts(directory: Path, kind: str = "rails", **options: Any) -> dict[str, Any]:
    basis = {"later_path": None, "applied": None, "applied_output": None, "command": None, "chdir": None}
    more = {"environment": {}, "secrets": {}, "timeout": 60}
    return measure_migrations({**basis, **more, "kind": kind, "path": str(directory), **options})


def rails(directory: Path, **files: str) -> Path:
    directory.mkdir()
    for name, line in files.items():
        (directory / f"{name[1:]}_x.rb").write_text(
            f"class X\n  def change\n    {line}\n  end\nend\n", encoding="utf-8"
        )
    return directory


def test_the_two_questions(tmp_path: Path) -> None:
    old = rails(tmp_path / "old", _1="create_table :a")
    new = rails(tmp_path / "new", _1="create_table :a", _2="add_column :a, :b, :text", _3="remove_column :a, :c")
    forward = facts(new, applied=["1"])
    assert [each["version"] for each in forward["pending"]] == ["2", "3"]
    assert (forward["destructive_count"], forward["pending_compatible"], forward["schema_compatible"]) == (
        1,
        False,
        True,
    )
    assert forward["pending_reasons"] == ["3 drops a.c"]
    back = facts(old, applied=["1", "2"], later_path=str(new))
    assert (back["schema_compatible"], back["pending_count"]) == (True, 0)
    back = facts(old, applied=["1", "2", "3"], later_path=str(new))
    assert (back["schema_compatible"], back["schema_reasons"]) == (False, ["3 drops a.c"])
    # Nobody tells what 3 did.
    back = facts(old, applied=["1", "3"])
    assert back["schema_compatible"] is None
    assert back["schema_reasons"] == ["what 3 did is not known, because its file cannot be read here"]
    assert facts(new, applied=["2", "3"])["out_of_order"] == ["1"]


def test_prisma_and_supabase(tmp_path: Path) -> None:
    prisma, supabase = tmp_path / "20260102000000_price", tmp_path / "20260103000000_names.sql"
    prisma.mkdir()
    (prisma / "migration.sql").write_text('ALTER TABLE "a" DROP "b";', encoding="utf-8")
    supabase.write_text("DO $$ BEGIN END $$;", encoding="utf-8")
    assert facts(tmp_path, "prisma", applied=[])["pending_compatible"] is False
    found = facts(tmp_path, "supabase", applied=[])
    assert (found["pending_count"], found["unreadable_count"], found["pending_compatible"]) == (1, 1, None)


def test_what_cannot_be_known_is_not_nothing(tmp_path: Path) -> None:
    found = facts(tmp_path / "none", applied=[])
    assert (found["available"], found["pending_count"], found["schema_compatible"]) == (False, None, None)
    found = facts(
        tmp_path, command=["sh", "-c", "echo no $PGPASSWORD >&2; exit 2"], secrets={"PGPASSWORD": "hush-hush"}
    )
    assert found["reason"] == "sh -c echo no $PGPASSWORD >&2; exit 2 failed with status 2: no ********"
    with pytest.raises(InvalidOption, match="SELECT version FROM schema_migrations"):
        facts(tmp_path)
