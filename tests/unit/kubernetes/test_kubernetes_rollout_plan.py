"""What restarts and undoes change, what they remember, and what is tried again."""

from __future__ import annotations

import copy
import datetime as dt
import json
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.history import (
    deployed_at,
    listed,
    numbered,
    previous,
    revisions_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.merge import difference
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout import _Run
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_options import (
    check_rollout,
    rollout_argument_spec,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_plan import (
    CHANGE,
    NOTHING,
    Plan,
    Wish,
    plan_of,
    revert_of,
    soaking,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_pods import gap_warning
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.template_diff import template_diff

NOW = dt.datetime(2026, 1, 31, 9, tzinfo=dt.timezone.utc)
Document = dict[str, Any]


def template(image: str, **labels: str) -> Document:
    spec = {"containers": [{"name": "app", "image": image}]}
    return {"metadata": {"labels": {"app": "web", **labels}}, "spec": spec}


def deployment(image: str, annotations: dict[str, str] | None = None) -> Document:
    metadata = {
        "name": "web",
        "namespace": "shop",
        "uid": "u1",
        "resourceVersion": "7",
        "annotations": annotations or {},
    }
    return {"kind": "Deployment", "metadata": metadata, "spec": {"template": template(image)}, "status": {}}


def replica_set(number: int, image: str, *, owner: str = "u1", history: str = "") -> Document:
    annotations = {"deployment.kubernetes.io/revision": str(number)}
    if history:
        annotations["deployment.kubernetes.io/revision-history"] = history
    metadata = {
        "name": f"web-{image[-1]}",
        "annotations": annotations,
        "creationTimestamp": f"2026-01-0{number}T00:00:00Z",
        "ownerReferences": [{"controller": True, "uid": owner}],
    }
    return {"metadata": metadata, "spec": {"template": template(image, **{"pod-template-hash": image[-1]})}}


SETS = [
    replica_set(5, "web:e", history="2,3"),
    replica_set(1, "web:a"),
    replica_set(4, "web:d"),
    replica_set(9, "other:x", owner="u2"),
    {"metadata": {"name": "web-new", "ownerReferences": [{"controller": True, "uid": "u1"}]}, "spec": {}},
]


def test_history() -> None:
    found = revisions_of("deployment", deployment("web:e"), SETS)
    assert listed(found) == "1 (web:a), 4 (web:d), 5 (web:e, current)"
    for number, name in ((1, "web-a"), (2, "web-e"), (3, "web-e"), (5, "web-e")):
        target = numbered(found, number)
        assert target is not None
        assert target.name == name
    assert numbered(found, 7) is None
    before = previous(found, template("web:e"))
    assert before is not None
    assert before.name == "web-d"
    assert previous(found[:1], template("web:a")) is None
    # A revision that is used once more is not as old as its ReplicaSet.
    progressing = {"type": "Progressing", "lastUpdateTime": "2026-01-20T00:00:00Z"}
    again = {**deployment("web:e"), "status": {"conditions": [progressing]}}
    assert deployed_at(again, found) == "2026-01-20T00:00:00Z"
    assert deployed_at(again, ()) is None
    revision = {
        "metadata": {"name": "web-1", "ownerReferences": [{"controller": True, "uid": "u1"}]},
        "revision": 3,
        # As an older API server wrote it.
        "data": {"spec": {"template": {**template("web:e"), "$patch": "replace", "volumes": None}}},
    }
    assert [each.current for each in revisions_of("statefulset", deployment("web:e"), [revision])] == [True]


def test_a_restart_is_no_other_version() -> None:
    """Kubectl rollout undo after a restart "goes back" to the same image."""
    restarted = deployment("web:d")
    restarted["spec"]["template"]["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "now"}
    newest = replica_set(6, "web:d")
    newest["spec"]["template"]["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "now"}
    sets = [replica_set(1, "web:a"), replica_set(4, "web:d"), newest]
    found = revisions_of("deployment", restarted, sets)
    assert [each.current for each in found] == [False, False, True]
    assert deployed_at(restarted, found) == "2026-01-04T00:00:00Z"
    plan = plan_of(wish("undone", schema_compatible=True), restarted, found)
    assert plan.action["to_revision"] == 1
    with pytest.raises(RunbookError, match="has no revision before the current one"):
        plan_of(wish("undone"), restarted, found[1:])
    restarted["spec"]["revisionHistoryLimit"] = 0
    with pytest.raises(RunbookError, match=r"It keeps none, because spec\.revisionHistoryLimit is 0\."):
        plan_of(wish("undone"), restarted, found[1:])


@pytest.mark.parametrize(
    ("kind", "spec", "warned"),
    [
        ("deployment", {"replicas": 3}, None),
        ("deployment", {"strategy": {"type": "Recreate"}}, "strategy Recreate: nobody serves"),
        ("deployment", {"replicas": 0, "strategy": {"type": "Recreate"}}, None),
        ("deployment", {"replicas": 1, "strategy": {"rollingUpdate": {"maxUnavailable": 1}}}, "(maxUnavailable 1)"),
        ("deployment", {"replicas": 3, "strategy": {"rollingUpdate": {"maxUnavailable": "100%"}}}, "100%"),
        ("deployment", {"replicas": 2, "strategy": {"rollingUpdate": {"maxUnavailable": 5}}}, "(maxUnavailable 5)"),
        ("statefulset", {"replicas": 1}, "has one pod: nobody serves"),
        ("statefulset", {"replicas": 2}, None),
    ],
)
def test_strategies_that_let_nobody_serve(kind: str, spec: Document, warned: str | None) -> None:
    found = gap_warning(wish("restarted", kind=kind), {**deployment("web:e"), "spec": spec})
    assert (found is None) if warned is None else (found is not None and warned in found)


def wish(state: str, **more: Any) -> Wish:
    return Wish(**{"state": state, "kind": "deployment", "run_id": "OPS-1", "now": NOW, **more})


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386, as it is written there."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1, "b": {"c": 1, "d": 2}}, {"b": {"c": 1, "e": 3}}, {"a": None, "b": {"d": None, "e": 3}}),
        ({"a": [1, 2]}, {"a": [2]}, {"a": [2]}),
        ({"a": {"b": 1}}, {"a": "text"}, {"a": "text"}),
    ],
)
def test_differences(before: Document, after: Document, patch: Document) -> None:
    assert difference(before, after) == patch
    assert merged(before, patch) == after


def test_an_undo_is_remembered_until_something_else_is_rolled_out() -> None:
    bad = deployment("web:e", {"kubernetes.io/change-cause": "fifth", "team": "shop"})
    revisions = revisions_of("deployment", bad, SETS)
    plan = plan_of(wish("undone", schema_compatible=True), bad, revisions)
    assert (plan.step, plan.action["to_revision"]) == (CHANGE, 4)
    undone = merged(bad, plan.patch)
    assert undone["spec"]["template"] == template("web:d")
    assert set(undone["metadata"]["annotations"]) == {"team", "runbook-ops.github.io/undo"}
    # Its controller has not been there, and then it has.
    assert plan_of(wish("undone"), undone, revisions_of("deployment", undone, SETS)).step == NOTHING
    sets = [replica_set(6, "web:d", history="4"), *SETS[:2]]
    assert plan_of(wish("undone"), undone, revisions_of("deployment", undone, sets)).step == NOTHING
    assert plan_of(wish("undone", revision=4), undone, revisions_of("deployment", undone, sets)).step == NOTHING
    # The same template was rolled out once more, after another one: the one before is that one.
    later = [replica_set(8, "web:d", history="4,6"), replica_set(7, "web:f"), *SETS[:2]]
    plan = plan_of(wish("undone", schema_compatible=True), undone, revisions_of("deployment", undone, later))
    assert (plan.step, plan.action["to_revision"]) == (CHANGE, 7)
    # A restart since is nothing else; kubectl would lead back to what was left.
    restarted = merged(undone, plan_of(wish("restarted"), undone, []).patch)
    newest = replica_set(7, "web:f")
    newest["spec"]["template"] = restarted["spec"]["template"]
    found = revisions_of("deployment", restarted, [newest, *sets])
    assert [each.current for each in found] == [False, False, False, True]
    assert plan_of(wish("undone"), restarted, found).step == NOTHING
    # Taken back, with everything that belongs to it.
    back = revert_of(wish("undone"), undone, revisions_of("deployment", undone, sets))
    assert isinstance(back, Plan)
    assert merged(undone, back.patch) == bad
    assert revert_of(wish("undone"), bad, revisions) == "nothing is remembered that could be taken back"
    other = merged(undone, {"spec": {"template": template("web:g")}})
    assert revert_of(wish("undone"), other, revisions) == "it was changed by somebody else since"
    assert revert_of(wish("undone"), undone, []) == "the revision that it came from is gone"


def test_an_undo_that_soaks_is_kept_or_returned() -> None:
    bad = deployment("web:e", {"kubernetes.io/change-cause": "fifth", "team": "shop"})
    revisions = revisions_of("deployment", bad, SETS)
    undone = merged(bad, plan_of(wish("undone", schema_compatible=True, soak=True), bad, revisions).patch)
    sets = [replica_set(6, "web:d", history="4"), *SETS[:2]]
    found = revisions_of("deployment", undone, sets)
    assert (bool(soaking(undone)), soaking(bad)) == (True, {})
    back = plan_of(wish("returned"), undone, found)
    assert (back.action["action"], back.action["from_revision"], back.action["to_revision"]) == ("return", 6, 5)
    assert merged(undone, back.patch) == bad
    # One further back before that has proven itself: the way back is to what was there before both.
    further = merged(
        undone, plan_of(wish("undone", revision=2, schema_compatible=True, soak=True), undone, found).patch
    )
    assert merged(further, plan_of(wish("returned"), further, found).patch) == bad
    kept = merged(undone, plan_of(wish("kept"), undone, found).patch)
    assert (kept["spec"], soaking(kept)) == (undone["spec"], {})
    # What was kept stays, as well as what was never undone, and what was changed since.
    changed = merged(undone, {"spec": {"template": template("web:g")}})
    for each in (kept, bad, changed):
        assert [plan_of(wish(state), each, found).step for state in ("kept", "returned")] == [NOTHING, NOTHING]
    lost = plan_of(wish("returned"), undone, [])
    assert lost.refusal is not None and lost.refusal.reason == "the revision that it came from is gone"


def test_a_restart_is_remembered() -> None:
    found = deployment("web:e")
    restarted = merged(found, plan_of(wish("restarted"), found, []).patch)
    assert plan_of(wish("restarted"), restarted, []).step == NOTHING
    assert plan_of(wish("restarted", run_id="b", within_seconds=60), restarted, []).step == NOTHING
    # Two of them within one second are two.
    again = merged(restarted, plan_of(wish("restarted", run_id="b"), restarted, []).patch)
    assert again["spec"]["template"] != restarted["spec"]["template"]
    back = revert_of(wish("restarted"), again, [])
    assert isinstance(back, Plan)
    assert merged(again, back.patch)["spec"] == restarted["spec"]
    # What was rolled out since keeps the annotation, and is not what this restart did.
    deployed = merged(again, {"spec": {"template": {"spec": template("web:f")["spec"]}}})
    assert revert_of(wish("restarted"), deployed, []) == "it was changed by somebody else since"
    by_hand = copy.deepcopy(restarted)
    by_hand["metadata"]["annotations"]["runbook-ops.github.io/restart"] = "yes"
    with pytest.raises(RunbookError, match=r"restart of Deployment shop/web cannot be read"):
        plan_of(wish("restarted"), by_hand, [])


def test_templates_side_by_side() -> None:
    def filled(password: str) -> Document:
        spec = {"name": "app", "image": "web:1", "env": [{"name": "PASSWORD", "value": password}, {"name": "EMPTY"}]}
        return {"spec": {"containers": [{**spec, "args": ["--url=redis://u:s3cret@cache"]}]}}

    shown = template_diff(filled("a-b-c"), filled("d-e-f"))
    assert [side["spec"]["containers"][0]["env"][0]["value"] for side in (shown["before"], shown["after"])] == [
        "(hidden)",
        "(hidden, another value)",
    ]
    assert not {"a-b-c", "d-e-f", "s3cret"} & set(json.dumps(shown).replace("@", " ").replace(":", " ").split())
    assert template_diff(filled("a"), filled("a"))["after"] == template_diff(filled("a"), filled("a"))["before"]


class LostAnswer:
    """A cluster that makes the change, and whose answer to it is lost."""

    def __init__(self) -> None:
        self.document = deployment("web:e")
        self.patches = 0

    def within(self, _seconds: float) -> LostAnswer:
        return self

    def read(self, *_: Any) -> Document:
        return copy.deepcopy(self.document)

    def list(self, *_: Any, **__: Any) -> list[Document]:
        return []

    def patch(self, *_: Any, **__: Any) -> Document:
        body = _[3]
        assert body["metadata"].pop("resourceVersion") == "7"
        self.patches += 1
        self.document = merged(self.document, body)
        raise ClusterError("does not answer in time", "timeout")


def test_a_change_whose_answer_was_lost_is_made_once() -> None:
    cluster = LostAnswer()
    params = {name: spec.get("default") for name, spec in rollout_argument_spec().items()}
    params.update(namespace="shop", name="web", state="restarted", wait=False, wait_sleep=0.01)
    result = _Run(cluster, params, wish("restarted"), False, Progress()).run()  # type: ignore[arg-type]
    assert (result["changed"], cluster.patches) == (True, 1)
    assert result["actions"] == [{"action": "restart", "object": "Deployment shop/web"}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"state": "paused", "kind": "statefulset"},
            "kind: 'statefulset' is not accepted. Accepted: deployment, because",
        ),
        ({"state": "undone", "revision": -1}, "revision: -1 is not accepted"),
        ({"state": "restarted", "revision": 3}, "revision: 3 is not accepted. Accepted: no value with state=restarted"),
        ({"state": "restarted", "soak": True}, "soak: True is not accepted. Accepted: no value with state=restarted"),
        ({"state": "undone", "restart_id": "a"}, "restart_id: 'a' is not accepted"),
        ({"state": "restarted", "unless_restarted_within": "soon"}, "unless_restarted_within: 'soon'"),
        ({"state": "restarted", "wait_timeout": 0}, "wait_timeout: 0 is not accepted"),
    ],
)
def test_options_that_cannot_work(options: Document, message: str) -> None:
    params = {name: spec.get("default") for name, spec in rollout_argument_spec().items()}
    with pytest.raises(InvalidOption) as raised:
        check_rollout({**params, **options})
    assert message in raised.value.message


class Busy(LostAnswer):
    """A cluster whose controller writes a status, or somebody else a template, before each patch arrives."""

    def __init__(self, image: str | None) -> None:
        super().__init__()
        self.image = image

    def patch(self, *_: Any, **__: Any) -> Document:
        self.patches += 1
        if self.patches < 5:
            self.document["metadata"]["resourceVersion"] = str(100 + self.patches)
            self.document["status"] = {"replicas": self.patches}
            if self.image:
                self.document["spec"]["template"] = template(f"{self.image}{self.patches}")
            raise ClusterError("it was changed by somebody else meanwhile.", "conflict")
        assert _[3]["metadata"]["resourceVersion"] == "104"
        return self.document


@pytest.mark.parametrize(("image", "patches"), [(None, 5), ("web:", 3)], ids=["status", "template"])
def test_a_status_that_changes_all_the_time_is_no_conflict(image: str | None, patches: int) -> None:
    cluster = Busy(image)
    params = {name: spec.get("default") for name, spec in rollout_argument_spec().items()}
    params.update(namespace="shop", name="web", state="restarted", wait=False, wait_sleep=0.01)
    run = _Run(cluster, params, wish("restarted"), False, Progress())  # type: ignore[arg-type]
    if image:
        with pytest.raises(RunbookError, match="changed by somebody else"):
            run.run()
    else:
        assert run.run()["changed"] is True
    assert cluster.patches == patches
