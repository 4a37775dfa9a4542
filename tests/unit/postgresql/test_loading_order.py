"""What runs after the data: in stages, several tasks at once where none gets in another's way."""

from __future__ import annotations

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.order import (
    Later,
    Stage,
    Task,
    next_task,
    stages,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.script import Statement
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.toc import Entry

LARGE = 1 << 30


def later(kind: str, name: str, text: str) -> Later:
    return Later(Statement(text.encode(), Entry(kind, name, "public", "shop")), {})


def shape(found: list[Stage]) -> list[tuple[str, list[list[str]]]]:
    return [
        (
            "one by one" if stage.is_serial else "at once",
            [[text.decode() for text in task.statements] for task in stage.tasks],
        )
        for stage in found
    ]


KEY = "ALTER TABLE ONLY public.{0} ADD CONSTRAINT {0}_pkey PRIMARY KEY (id);"
REFERENCE = "ALTER TABLE ONLY public.{0} ADD CONSTRAINT {0}_{1} FOREIGN KEY (x) REFERENCES public.{1}(id);"


def test_kinds_follow_each_other() -> None:
    statements = [
        later("CONSTRAINT", "a a_pkey", KEY.format("a")),
        later("COMMENT", "CONSTRAINT a_pkey ON a", "COMMENT ON CONSTRAINT a_pkey ON public.a IS 'x';"),
        later("CONSTRAINT", "b b_pkey", KEY.format("b")),
        later("INDEX", "a_x", "CREATE INDEX a_x ON public.a USING btree (x);"),
        later("INDEX", "a_x", "ALTER TABLE public.a CLUSTER ON a_x;"),
        later("TRIGGER", "a t", "CREATE TRIGGER t AFTER INSERT ON public.a EXECUTE FUNCTION public.f();"),
        later("TRIGGER", "b t", "CREATE TRIGGER t AFTER INSERT ON public.b EXECUTE FUNCTION public.f();"),
        later("FK CONSTRAINT", "a a_b", REFERENCE.format("a", "b")),
        later("ACL", "TABLE a", "GRANT SELECT ON TABLE public.a TO clerk;"),
    ]
    assert shape(stages(statements, {}, frozenset())) == [
        (
            "at once",
            [
                [KEY.format("a"), "COMMENT ON CONSTRAINT a_pkey ON public.a IS 'x';"],
                [KEY.format("b")],
                ["CREATE INDEX a_x ON public.a USING btree (x);", "ALTER TABLE public.a CLUSTER ON a_x;"],
            ],
        ),
        (
            "one by one",
            [
                ["CREATE TRIGGER t AFTER INSERT ON public.a EXECUTE FUNCTION public.f();"],
                ["CREATE TRIGGER t AFTER INSERT ON public.b EXECUTE FUNCTION public.f();"],
            ],
        ),
        ("at once", [[REFERENCE.format("a", "b")]]),
        ("one by one", [["GRANT SELECT ON TABLE public.a TO clerk;"]]),
    ]


def test_keys_of_large_tables_are_made_beside_other_indexes() -> None:
    statements = [
        later("CONSTRAINT", "a a_pkey", KEY.format("a")),
        later("COMMENT", "CONSTRAINT a_pkey ON a", "COMMENT ON CONSTRAINT a_pkey ON public.a IS 'x';"),
        later("CONSTRAINT", "m m_pkey", KEY.format("m")),
        later("INDEX", "a_x", "CREATE INDEX a_x ON public.a USING btree (x);"),
        later("FK CONSTRAINT", "b b_a", REFERENCE.format("b", "a")),
    ]
    found = stages(statements, {"public.a": LARGE, "public.m": LARGE}, frozenset({"public.m"}))
    assert shape(found) == [
        (
            "at once",
            [
                ["CREATE UNIQUE INDEX a_pkey ON public.a USING btree (id);"],
                [KEY.format("m")],
                ["CREATE INDEX a_x ON public.a USING btree (x);"],
            ],
        ),
        (
            "one by one",
            [
                [
                    "ALTER TABLE ONLY public.a ADD CONSTRAINT a_pkey PRIMARY KEY USING INDEX a_pkey;",
                    "COMMENT ON CONSTRAINT a_pkey ON public.a IS 'x';",
                ]
            ],
        ),
        ("at once", [[REFERENCE.format("b", "a")]]),
    ]


def task(name: str, tables: str, *, is_alone: bool, weight: int = 0) -> Task:
    return Task(name, [], {}, tables.split(), is_alone, weight)


def test_the_heaviest_that_gets_in_nobodys_way_is_next() -> None:
    light, heavy = task("light", "a", is_alone=False, weight=1), task("heavy", "b", is_alone=False, weight=9)
    assert next_task([light, heavy], []) is heavy
    assert next_task([light, task("alone", "b", is_alone=True, weight=10)], [heavy]) is light
    # Two indexes of one table at once, but nothing beside what locks it.
    assert next_task([task("second", "b", is_alone=False)], [heavy]) is not None
    assert next_task([task("second", "b", is_alone=False)], [task("key", "b", is_alone=True)]) is None
    # Foreign keys lock both ends.
    assert next_task([task("fk", "a b", is_alone=True)], [task("fk", "b c", is_alone=True)]) is None
    assert next_task([task("fk", "a b", is_alone=True)], [task("fk", "c d", is_alone=True)]) is not None
    # What is not understood runs alone.
    assert next_task([task("?", "", is_alone=True)], [heavy]) is None
    assert next_task([], []) is None
