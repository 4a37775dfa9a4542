"""From module results to changes, and from hosts to one list of them."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from ansible.errors import AnsibleFilterError
from jinja2 import StrictUndefined

from ansible_collections.runbook.ops.plugins.filter.changes import changes
from ansible_collections.runbook.ops.plugins.filter.collect_changes import collect_changes
from ansible_collections.runbook.ops.plugins.plugin_utils.changes import change, counts_by_status, sorted_changes

WHERE = {"system": "shop", "host": "pg1", "source": "runbook.ops.postgresql_vacuum", "action": "vacuum"}


def figure(name, before, after, unit="count"):
    return {"name": name, "before": before, "after": after, "unit": unit}


def act(**more):
    return {"schema": "public", "table": "jobs", "statement": "VACUUM public.jobs", **more}


def result(*actions, **more):
    return {"changed": bool(actions), "actions": list(actions), "refused": [], "before": {}, "after": {}, **more}


def refusal(name="public.jobs", reason="its lock was not free", remedy="Run the task again."):
    return {"object": name, "reason": reason, "remedy": remedy}


def brief(found):
    return [(each["status"], each["action"], each["object"], each["summary"]) for each in found]


def test_the_whole_shape():
    given = act(
        reasons=["dead rows 12000 > threshold 250", "inserted rows 5000 > threshold 1000"],
        dead_rows_before=12_000,
        dead_rows_after=0,
        total_bytes_before=90_112_000,
        total_bytes_after=81_000_000,
        duration_seconds=3.2,
        effective=True,
        without_effect=[],
        holder=None,
    )
    (found,) = changes(result(given), at="2026-01-31T02:00:00Z", **WHERE)
    assert found == {
        **WHERE,
        "object": "public.jobs",
        "status": "done",
        "summary": "VACUUM public.jobs",
        "figures": [
            figure("dead rows", 12_000, 0),
            figure("total size", 90_112_000, 81_000_000, "bytes"),
        ],
        "duration_seconds": 3.2,
        "reason": "dead rows 12000 > threshold 250; inserted rows 5000 > threshold 1000",
        "remedy": "",
        "at": "2026-01-31T02:00:00Z",
    }
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ({"schema": "public", "table": "jobs"}, "public.jobs"),
        ({"table": "jobs"}, "jobs"),
        ({"schema": "public", "table": "public.jobs"}, "public.jobs"),
        ({"schema": "public", "table": "jobs", "index": "jobs_pkey"}, "public.jobs_pkey"),
        ({"object": "public.jobs_pkey", "table": "public.jobs"}, "public.jobs_pkey"),
        ({"schema": "public", "name": "jobs_id_seq"}, "public.jobs_id_seq"),
        ({"pid": 4711}, "pid 4711"),
        ({"pid": 4711, "user": "app"}, "pid 4711 (no application name, app@shop)"),
        ({"pid": True, "database": "other"}, "other"),
        ({"schema": "archive"}, "archive"),
        ({"table": None}, "shop"),
        ({"table": 7, "index": ["x"]}, "shop"),
    ],
)
def test_the_object(entry, name):
    (found,) = changes(result(entry, database="shop"), **WHERE)
    assert found["object"] == name


@pytest.mark.parametrize(
    ("entry", "figures"),
    [
        pytest.param({}, [], id="none"),
        pytest.param({"rows_before": 3, "rows_after": 0}, [figure("rows", 3, 0)], id="0 is known"),
        pytest.param({"rows_before": 3, "rows_after": None}, [figure("rows", 3, None)], id="null stays null"),
        pytest.param({"rows_before": 3}, [figure("rows", 3, None)], id="a missing side is null, never 0"),
        pytest.param({"rows_after": 3}, [figure("rows", None, 3)], id="nobody looked before"),
        pytest.param({"rows_before": None, "rows_after": None}, [figure("rows", None, None)], id="nothing is known"),
        pytest.param({"size_bytes_before": 9, "size_bytes_after": 4}, [figure("size", 9, 4, "bytes")], id="bytes"),
        pytest.param({"size_before_bytes": 9, "size_after_bytes": 4}, [figure("size", 9, 4, "bytes")], id="unit last"),
        pytest.param({"index_bytes_before": 9}, [figure("index size", 9, None, "bytes")], id="bytes of what"),
        pytest.param({"bytes_before": 9}, [figure("bytes", 9, None, "bytes")], id="no name but the unit"),
        pytest.param({"bloat_percent_before": 70.5}, [figure("bloat", 70.5, None, "percent")], id="percent"),
        pytest.param({"age_seconds_before": 70}, [figure("age", 70, None, "seconds")], id="seconds"),
        pytest.param({"xid_age_before": 70}, [figure("xid age", 70, None)], id="a bare number is a count"),
        pytest.param(
            {"mode_before": "off", "mode_after": "on"}, [figure("mode", "off", "on", "text")], id="words that changed"
        ),
        pytest.param({"mode_before": "on", "mode_after": "on"}, [], id="words that stayed"),
        pytest.param(
            {"is_valid_before": False, "is_valid_after": True}, [figure("is valid", False, True, "text")], id="flag"
        ),
        pytest.param({"is_valid_before": True, "is_valid_after": True}, [], id="a flag that stayed"),
        pytest.param({"is_valid_before": True}, [], id="a flag alone"),
        pytest.param({"filenode_before": 7, "filenode_after": 8}, [], id="numbers that are names"),
        pytest.param({"x_before": {"a": 1}, "x_after": [1]}, [], id="no plain value"),
        pytest.param({"load_before": float("nan"), "load_after": 2.0}, [figure("load", None, 2.0)], id="not a number"),
        pytest.param(
            {"b_after": 1, "a_before": 2, "b_before": 3}, [figure("b", 3, 1), figure("a", 2, None)], id="their order"
        ),
        pytest.param(
            {"before": {"rows": 5, "size_bytes": 9}, "after": {"rows": 2}},
            [figure("rows", 5, 2), figure("size", 9, None, "bytes")],
            id="mappings",
        ),
        pytest.param(
            {"before": {"rows": 5}, "after": None}, [figure("rows", 5, None)], id="an action's null after is unknown"
        ),
    ],
)
def test_figures(entry, figures):
    (found,) = changes(result({"table": "jobs", **entry}), **WHERE)
    assert found["figures"] == figures


@pytest.mark.parametrize(
    ("given", "check_mode", "status"),
    [
        (result(act()), False, "done"),
        (result(act()), None, "done"),
        (result(act()), True, "planned"),
        # What nobody said: the figures afterwards cannot be known in check mode.
        (result(act(), after=None), None, "planned"),
        (result(act(), after=None), False, "done"),
        (result(act(effective=False)), False, "ineffective"),
        (result(act(effective=False)), True, "planned"),
        (result(act(effective=None)), False, "done"),
        (result(act(outcome="failed")), False, "failed"),
        (result(act(outcome="failed")), True, "failed"),
        (result(act(error="disk full")), False, "failed"),
        (result(act(outcome="no effect")), False, "ineffective"),
        (result(act(outcome="Denied")), False, "refused"),
        (result(act(outcome="planned")), False, "planned"),
        (result(act(outcome="terminated")), False, "done"),
    ],
)
def test_the_status(given, check_mode, status):
    (found,) = changes(given, check_mode=check_mode, **WHERE)
    assert found["status"] == status


@pytest.mark.parametrize(
    ("entry", "summary", "reason"),
    [
        (act(reason="bloat"), "VACUUM public.jobs", "bloat"),
        ({"table": "jobs", "reason": "bloat"}, "bloat", "bloat"),
        ({"table": "jobs"}, "vacuum jobs", ""),
        ({"table": "jobs", "statements": ["BEGIN", "COMMIT"]}, "BEGIN; COMMIT", ""),
        (act(error="disk full", reason="bloat"), "VACUUM public.jobs", "disk full"),
        ("VACUUM x", "VACUUM x", ""),
    ],
)
def test_summary_and_reason(entry, summary, reason):
    (found,) = changes(result(entry), **WHERE)
    assert (found["summary"], found["reason"]) == (summary, reason)


def test_an_action_names_its_own_verb_and_moment():
    (found,) = changes(result(act(action="drop_leftover", finished_at="2026-01-31T02:00:09Z")), at="earlier", **WHERE)
    assert (found["action"], found["at"]) == ("drop leftover", "2026-01-31T02:00:09Z")


def test_what_did_not_help_says_who_is_in_the_way():
    holder = {"kind": "session", "name": "pid 7 (worker on shop)", "fix": "End its transaction."}
    given = act(effective=False, reasons=["due"], without_effect=["dead rows 500 > threshold 50"], holder=holder)
    (found,) = changes(result(given), **WHERE)
    assert found["reason"] == "dead rows 500 > threshold 50; held back by session pid 7 (worker on shop)"
    assert found["remedy"] == "End its transaction."


def test_refusals_and_what_was_not_begun():
    given = result(
        act(),
        refused=[refusal("public.held"), {"object": "public.silent"}],
        remaining=[
            {"schema": "public", "table": "late", "reason": "max_seconds (60) is used up"},
            "public.later_pkey",
        ],
    )
    found = changes(given, check_mode=False, **WHERE)
    assert brief(found) == [
        ("done", "vacuum", "public.jobs", "VACUUM public.jobs"),
        ("refused", "vacuum", "public.held", "its lock was not free"),
        ("refused", "vacuum", "public.silent", "no reason given"),
        ("refused", "vacuum", "public.late", "max_seconds (60) is used up"),
        ("refused", "vacuum", "public.later_pkey", "it was not begun"),
    ]
    assert found[1]["remedy"] == "Run the task again."


def test_an_object_is_told_of_once():
    given = result(act(effective=False), refused=[refusal(), refusal("public.other")])
    found = changes(given, **WHERE)
    assert [(each["status"], each["object"], each["reason"]) for each in found] == [
        ("ineffective", "public.jobs", "its lock was not free"),
        ("refused", "public.other", "its lock was not free"),
    ]
    # What was done keeps its own entry beside a refusal of the same name.
    assert [each["status"] for each in changes(result(act(), refused=[refusal()]), **WHERE)] == ["done", "refused"]


FAILED = {"failed": True, "msg": "3 tables are due, which is more than max_tables (2). Nothing was done."}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        pytest.param({"failed": True, "msg": "no"}, [("failed", "vacuum", "", "no")], id="only a message"),
        pytest.param({"failed": True}, [("failed", "vacuum", "", "failed without a message")], id="not even that"),
        pytest.param(
            {"unreachable": True, "msg": "no route"}, [("failed", "vacuum", "", "no route")], id="unreachable"
        ),
        pytest.param(
            result(act(), act(table="b"), after=None, **FAILED),
            [("failed", "vacuum", "", FAILED["msg"])],
            id="a guard: the plan was not carried out",
        ),
        pytest.param(
            result(act(duration_seconds=1.5), act(table="b"), after=None, **FAILED),
            [("done", "vacuum", "public.jobs", "VACUUM public.jobs"), ("failed", "vacuum", "", FAILED["msg"])],
            id="one bears a trace of having been done",
        ),
        pytest.param(
            result(act(), act(table="b"), after={"public.jobs": {}}, refused=[refusal("x")], **FAILED),
            [
                ("done", "vacuum", "public.jobs", "VACUUM public.jobs"),
                ("refused", "vacuum", "x", "its lock was not free"),
                ("failed", "vacuum", "", FAILED["msg"]),
            ],
            id="measured afterwards: it was stopped on its way",
        ),
        pytest.param(
            {**result(act(effective=True), remaining=["x"], **FAILED), "database": "shop"},
            [("done", "vacuum", "public.jobs", "VACUUM public.jobs"), ("failed", "vacuum", "shop", FAILED["msg"])],
            id="the message says that there is more to do",
        ),
        pytest.param(
            result(
                act(table="b", dead_rows_before=3, dead_rows_after=0),
                refused=[refusal()],
                failed=True,
                msg="public.jobs: its lock was not free. Run the task again. (2 more in refused)",
            ),
            [
                ("done", "vacuum", "public.b", "VACUUM public.jobs"),
                ("refused", "vacuum", "public.jobs", "its lock was not free"),
            ],
            id="a refusal that fails the task is said once",
        ),
    ],
)
def test_a_task_that_failed(given, found):
    assert brief(changes(given, check_mode=False, **WHERE)) == found


@pytest.mark.parametrize(
    ("changed", "check_mode", "reason"),
    [
        (False, False, "None of the planned actions was carried out"),
        # It changed something and does not say what: that nothing was carried out would be a lie.
        (True, False, ""),
        # In check mode nothing would have been; that something is planned is what the message is about.
        (False, True, ""),
    ],
)
def test_that_a_guard_kept_everything_from_being_done_is_said_where_it_is_certain(changed, check_mode, reason):
    given = {**FAILED, "changed": changed, "actions": [act(), act(table="b")], "after": None}
    (found,) = changes(given, check_mode=check_mode, **WHERE)
    assert (found["status"], found["reason"]) == ("failed", reason)


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ({}, 0),
        (result(), 0),
        ({"skipped": True, "changed": False}, 0),
        ({"results": []}, 0),
        ({"results": [result(act()), {"skipped": True}, result(act(), act())]}, 3),
        ({"results": [{"failed": True, "msg": "no"}, result(act())], "failed": True, "msg": "One or more items"}, 2),
        ({"actions": "none", "refused": None}, 0),
        ({"actions": [1, None]}, 0),
    ],
)
def test_how_many(given, count):
    assert len(changes(given, **WHERE)) == count


@pytest.mark.parametrize(("check_mode", "status"), [(False, "done"), (True, "planned")])
def test_a_change_that_says_nothing_about_itself_is_still_told(check_mode, status):
    (found,) = changes({"changed": True, "name": "pg_hba.conf", "after": None}, check_mode=check_mode, **WHERE)
    assert brief([found]) == [(status, "vacuum", "pg_hba.conf", "vacuum pg_hba.conf")]
    assert found["figures"] == []


SESSIONS = [
    {"pid": pid, "application": "web", "user": "app", "database": "shop", "state": "idle in transaction",
     "state_age_seconds": 11520.7}
    for pid in (1, 2, 3, 4)
]  # fmt: skip


def ended(**more):
    return result(*({"action": "terminate", "pid": pid} for pid in (1, 2, 3, 4)), sessions=SESSIONS, **more)


def test_sessions_say_who_they_were_and_what_became_of_them():
    outcomes = [
        {"pid": 1, "outcome": "terminated", "detail": ""},
        {"pid": 2, "outcome": "survived", "detail": "It is still there 5 seconds later."},
        {"pid": 3, "outcome": "gone", "detail": "The session is gone."},
        {"pid": 4, "outcome": "changed", "detail": "It did something else in the meantime and was left alone."},
    ]
    refused = [refusal("pid 2 (web, app@shop)", "it is still there", "Wait, and run the task again.")]
    found = changes(ended(outcomes=outcomes, refused=refused), check_mode=False, **WHERE)
    assert [(each["status"], each["object"], each["reason"], each["remedy"]) for each in found] == [
        ("done", "pid 1 (web, app@shop)", "idle in transaction for 3h12m", ""),
        ("ineffective", "pid 2 (web, app@shop)", "it is still there", "Wait, and run the task again."),
        ("refused", "pid 4 (web, app@shop)", "It did something else in the meantime and was left alone.", ""),
    ]
    assert [each["status"] for each in changes(ended(after=None), **WHERE)] == ["planned"] * 4


def test_a_stopped_run_tells_of_the_sessions_that_it_ended():
    given = ended(after=None, outcomes=[{"pid": 1, "outcome": "terminated"}], failed=True, msg="Stopped")
    found = changes(given, check_mode=False, **WHERE)
    assert [(each["status"], each["reason"]) for each in found] == [
        ("done", "idle in transaction for 3h12m"),
        ("failed", ""),
    ]


def test_figures_that_stand_by_the_name_of_the_object():
    given = result(
        {"action": "rebuild", "object": "public.a_idx", "table": "public.a", "size_bytes": 9},
        {"action": "drop_leftover", "object": "public.b_ccnew", "table": "public.b"},
        before={"public.a_idx": {"size_bytes": 9, "is_valid": True}, "public.b_ccnew": {"size_bytes": 4}},
        after={"public.a_idx": {"size_bytes": 3, "is_valid": True}, "public.b_ccnew": None},
        rebuilt=[{"index": "public.a_idx", "size_before_bytes": 9, "size_after_bytes": 3, "seconds": 2.5}],
    )
    rebuilt, dropped = changes(given, check_mode=False, **WHERE)
    assert (rebuilt["figures"], rebuilt["duration_seconds"]) == ([figure("size", 9, 3, "bytes")], 2.5)
    assert (dropped["action"], dropped["figures"]) == ("drop leftover", [figure("size", 4, "gone", "bytes")])
    planned = changes({**given, "after": None, "rebuilt": []}, **WHERE)
    assert [each["figures"] for each in planned] == [
        [figure("size", 9, None, "bytes")],
        [figure("size", 4, None, "bytes")],
    ]


def policy(name, action="archive", **more):
    return {"policy": name, "action": action, "object": f"public.{name}", "to": f"archive.{name}",
            "cutoff": "2025-07-19", "rows": 7, "children": [], **more}  # fmt: skip


RETENTION = {
    "changed": True,
    "actions": [
        {"policy": None, "action": "create", "object": "archive.ledger"},
        policy("events"),
        policy("log", "purge", to=None),
        policy("late"),
    ],
    "before": {name: {"rows_due": 7, "child_rows_due": 0} for name in ("events", "log", "late")},
    "after": {"events": {"rows_due": 0}},
    "policies": [
        {"policy": "events", "action": "archive", "table": "public.events", "rows": 7, "seconds": 12.5},
        {"policy": "log", "action": "purge", "table": "public.log", "rows": 3, "seconds": 2.0},
        {"policy": "late", "action": "archive", "table": "public.late", "rows": 0, "seconds": 0.0},
    ],
    "refused": [],
}


def test_figures_that_stand_by_the_name_of_a_policy():
    made, events, log, late = changes(RETENTION, check_mode=False, **WHERE)
    assert brief([made, events, log, late]) == [
        ("done", "create", "archive.ledger", "create archive.ledger"),
        ("done", "archive", "public.events", "rows from before 2025-07-19, to archive.events"),
        ("done", "purge", "public.log", "rows from before 2025-07-19"),
        ("done", "archive", "public.late", "rows from before 2025-07-19, to archive.late"),
    ]
    assert events["figures"] == [figure("rows due", 7, 0), figure("child rows due", 0, None)]
    assert (events["duration_seconds"], made["figures"]) == (12.5, [])
    # One figure of two actions is that of neither.
    twice = {**RETENTION, "actions": [policy("events"), policy("events", rows=2)]}
    assert [each["figures"] for each in changes(twice, check_mode=False, **WHERE)] == [[], []]


def test_a_retention_that_was_stopped_tells_what_it_had_begun():
    found = changes({**RETENTION, "failed": True, "msg": "Stopped"}, check_mode=False, **WHERE)
    assert [(each["status"], each["object"]) for each in found] == [
        ("done", "public.events"),
        ("done", "public.log"),
        ("failed", ""),
    ]
    refused = {**RETENTION, "after": {}, "policies": [], "changed": False, "failed": True, "msg": "Too many rows"}
    assert [each["status"] for each in changes(refused, check_mode=False, **WHERE)] == ["failed"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "input: 'list' is not accepted. Accepted: the registered result of a module."),
        ((None,), "input: 'NoneType' is not accepted. Accepted: the registered result of a module."),
        (({"results": [1]},), "input: 'int' is not accepted. Accepted: the registered result of a module."),
        (
            ({}, "", "", "", "", "yes"),
            "check_mode: 'yes' is not accepted. Accepted: true, false, or nothing to let the result say it.",
        ),
    ],
)
def test_bad_input_of_changes(arguments, message):
    with pytest.raises(AnsibleFilterError) as error:
        changes(*arguments)
    assert str(error.value) == f"changes: {message}"


# --- collect
class LazyChanges(Mapping):
    """Host variables that break when one is touched that need not be."""

    def __init__(self, values):
        self._values = values

    def __getitem__(self, key):
        assert key.endswith("_changes"), f"{key} was rendered"
        assert not key.startswith(("_", "ansible_")), f"{key} was rendered"
        return self._values[key]

    def __iter__(self):
        return iter(self._values)

    def __len__(self):
        return len(self._values)


STRANGERS = {"secret": 1, "ansible_x_changes": 1, "__role_changes": 1, "check_a_findings": 1, "changes_x": 1}


def hosts(**variables):
    return {name: LazyChanges({**STRANGERS, **values}) for name, values in variables.items()}


def made(status="done", host="h1", name="public.jobs", **more):
    return change(status, "VACUUM public.jobs", host=host, object=name, **more)


def test_collecting_touches_only_changes_and_puts_first_what_needs_a_look():
    given = hosts(
        h2={"b_changes": [made("planned", "h2"), made("refused", "h2")]},
        h1={"b_changes": [made(name="2"), made("ineffective")], "a_changes": [made(name="1"), made("failed")]},
        h3={},
    )
    found = collect_changes(given, ["h2", "h1", "h3"])
    assert [(each["status"], each["host"], each["object"]) for each in found] == [
        ("failed", "h1", "public.jobs"),
        ("refused", "h2", "public.jobs"),
        ("ineffective", "h1", "public.jobs"),
        ("done", "h1", "1"),
        ("done", "h1", "2"),
        ("planned", "h2", "public.jobs"),
    ]
    assert collect_changes(list(given.values()), list(given)) == found


def test_a_change_without_a_host_is_the_host_s_that_carries_it():
    (found,) = collect_changes(hosts(h1={"a_changes": [made(host="")]}), ["h1"])
    assert found["host"] == "h1"


@pytest.mark.parametrize(
    "value", [True, 5, "yes", None, {}, [], ["a"], [{"path": "x"}], [{"status": "open", "object": "x"}]]
)
def test_a_variable_of_somebody_else_is_no_change(value):
    assert collect_changes(hosts(h1={"schema_changes": value}), ["h1", "gone"]) == []


@pytest.mark.parametrize(
    ("value", "summaries"),
    [
        (StrictUndefined(name="x"), ["a_changes is undefined"]),
        ([made(), {"status": "open"}], ["a_changes[1] is no change", "VACUUM public.jobs"]),
        ([made(), StrictUndefined(name="x")], ["a_changes[1] is no change", "VACUUM public.jobs"]),
    ],
)
def test_what_cannot_be_read_is_a_failed_change(value, summaries):
    found = collect_changes(hosts(h1={"a_changes": value}), ["h1"], system="shop")
    wanted = [
        f"what was changed is not known: {each}, a list of changes was expected" if "a_changes" in each else each
        for each in summaries
    ]
    assert [each["summary"] for each in found] == wanted
    assert (found[0]["status"], found[0]["system"], found[0]["host"], found[0]["object"]) == (
        "failed",
        "shop",
        "h1",
        "a_changes",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([{}], ["a", "b"]), "input: '1 mappings for 2 names' is not accepted"),
        (({}, "a"), "names: 'str' is not accepted"),
        (({}, ["a"], "("), "pattern: '(' is not accepted"),
    ],
)
def test_bad_arguments_of_collect_changes(arguments, message):
    with pytest.raises(AnsibleFilterError) as error:
        collect_changes(*arguments)
    assert str(error.value).startswith(f"collect_changes: {message}. Accepted: ")


def test_order_and_counts():
    mixed = [made("planned"), made("done", "h2"), made("done", "h1", "2"), made("failed"), made("done", "h1", "1")]
    ordered = sorted_changes(mixed)
    assert [(each["status"], each["host"], each["object"]) for each in ordered] == [
        ("failed", "h1", "public.jobs"),
        ("done", "h1", "2"),
        ("done", "h1", "1"),
        ("done", "h2", "public.jobs"),
        ("planned", "h1", "public.jobs"),
    ]
    assert counts_by_status(mixed) == {"failed": 1, "refused": 0, "ineffective": 0, "done": 3, "planned": 1}
