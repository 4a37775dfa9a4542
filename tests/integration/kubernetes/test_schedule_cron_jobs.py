"""The role schedule with CronJobs, beside the manual's heredoc that puts the day of its applying into every night."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.kubernetes import KubernetesApi
from lab.kubernetes.environment import Missing, environment_of
from lab.paths import REPOSITORY
from lab.play import ansible_playbook

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.jobs import cron_jobs_facts

pytestmark = pytest.mark.emulator_only

MANUAL = """cat <<EOF
apiVersion: batch/v1
kind: CronJob
metadata:
  name: postgres-backup
  namespace: shop
spec:
  schedule: "0 2 * * *"
  jobTemplate:
    spec:
      template:
        spec:
          containers:
          - name: backup
            image: postgres:15-alpine
            command: ["/bin/sh", "-c", "pg_dump storebridge | gzip > /backup/storebridge-$(date +%Y%m%d).sql.gz"]
          restartPolicy: OnFailure
EOF
"""
LIST = {"api_version": "batch/v1", "kind": "CronJob", "namespace": "shop"}
NAMES = ["runbook-shop-postgres-backup", "runbook-shop-stock-report"]
TURNS = ("planned", "made", "again", "shorter", "refused", "broken", "gone")


def documented() -> dict[str, Any]:
    text = (REPOSITORY / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    [block] = [each for each in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "schedule_rounds" in each]
    found: dict[str, Any] = yaml.safe_load(block)
    return found


def turn(name: str, *, is_checked: bool = False, **more: Any) -> list[dict[str, Any]]:
    """The role once, and what it leaves behind."""
    left = "{{ {'changes': schedule_changes, 'findings': schedule_findings, 'facts': schedule_facts} }}"
    include: dict[str, Any] = {"name": "runbook.ops.schedule"}
    if is_checked:
        include["apply"] = {"check_mode": True}
    return [
        {"name": f"Turn {name}", "ansible.builtin.include_role": include, "vars": more},
        {"name": f"Keep {name}", "ansible.builtin.set_fact": {f"left_{name}": left}},
    ]


def tasks(fewer: list[dict[str, Any]], outcome: Path) -> list[dict[str, Any]]:
    left = {each: f"{{{{ left_{each} }}}}" for each in TURNS}
    left |= {"nothing": "{{ nothing.resources }}", "now": "{{ now.resources }}"}
    parked = {**LIST, "state": "patched", "name": NAMES[0], "definition": {"spec": {"suspend": True}}}
    return [
        *turn("planned", is_checked=True),
        {"name": "Nothing yet", "kubernetes.core.k8s_info": LIST, "register": "nothing"},
        *turn("made"),
        {"name": "Park one", "kubernetes.core.k8s": parked},
        *turn("again"),
        *turn("shorter", schedule_rounds=fewer),
        *turn("refused", schedule_rounds=[{**fewer[0], "at": "0 2 * * *"}]),
        *turn("broken", schedule_kubernetes_login={"kubeconfig": "/nowhere/kubeconfig"}),
        {"name": "What it is now", "kubernetes.core.k8s_info": LIST, "register": "now"},
        *turn("gone", schedule_state="absent"),
        {
            "name": "Hand over",
            "ansible.builtin.copy": {"dest": str(outcome), "mode": "0600", "content": "{{ left | to_json }}"},
            "vars": {"left": left},
        },
    ]


def test_rounds_become_cron_jobs(tmp_path: Path) -> None:
    given = documented()
    first, *others = given["schedule_rounds"]
    # All keys of this one become variables.
    rounds = [{**first, "environment_secret": "night-env"}, *others]
    with KubernetesApi(token="schedule") as api:
        kubeconfig = str(api.kubeconfig(tmp_path / "kubeconfig"))
        variables = {
            **given,
            "schedule_rounds": rounds,
            "ansible_python_interpreter": sys.executable,
            "kubernetes_kubeconfig": kubeconfig,
            "kubernetes_namespace": "shop",
        }
        # The shell that applies it makes the date.
        made = subprocess.run(["bash", "-c", MANUAL], capture_output=True, text=True, timeout=300, check=True)
        api.create(yaml.safe_load(made.stdout))
        play = {
            "name": "As documented",
            "hosts": "localhost",
            "gather_facts": False,
            "vars": variables,
            "tasks": tasks(rounds[:1], tmp_path / "left.json"),
        }
        (tmp_path / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
        environment = {"K8S_AUTH_KUBECONFIG": kubeconfig}
        run = ansible_playbook(
            tmp_path, "-i", "localhost,", "-c", "local", "play.yml", environment=environment, timeout=600
        )
        assert run.returncode == 0, run.stdout
        left = json.loads((tmp_path / "left.json").read_text(encoding="utf-8"))
        assert [each["metadata"]["name"] for each in api.list("cronjobs", "shop")] == ["postgres-backup"]
        [ours] = [each for each in left["now"] if each["metadata"]["name"] == NAMES[0]]
        [container] = ours["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        pod, whole = {"metadata": {"namespace": "shop"}}, {"envFrom": container["envFrom"]}
        # A Secret that is not there keeps the round from starting; one that is gives it all its keys.
        with pytest.raises(Missing, match="night-env"):
            environment_of(api.store, pod, whole)
        secret = {"metadata": {"name": "night-env", "namespace": "shop"}, "data": {"PGPASSWORD": "eA==", "KEY": "eA=="}}
        api.create({"apiVersion": "v1", "kind": "Secret", **secret})
        assert set(environment_of(api.store, pod, whole)) == {"PGPASSWORD", "KEY"}

    def objects(name: str) -> list[str]:
        return [each["object"] for each in left[name]["changes"] if each["status"] in ("planned", "done")]

    # Check mode plans the same, and changes nothing.
    assert objects("planned") == objects("made") == NAMES, left["planned"]
    assert [each["metadata"]["name"] for each in left["nothing"]] == ["postgres-backup"]
    assert (objects("again"), objects("refused")) == ([], [])
    assert (objects("shorter"), objects("gone")) == (NAMES[1:], NAMES[:1])
    bad = {
        name: [each["id"] for each in left[name]["findings"] if each["severity"] not in ("ok", "skipped")]
        for name in TURNS
    }
    expected = {"refused": ["schedule.refused", "schedule.doubtful"], "broken": ["schedule.failed"]}
    assert {name: found for name, found in bad.items() if found} == expected
    assert "within the hours kept free" in left["refused"]["facts"]["refused"][0]["reason"]

    # The manual's is of today for ever; ours is made every night. What was parked in between has stayed so.
    facts = {each["cron_job"]: each for each in cron_jobs_facts(left["now"], [], dt.datetime.now(dt.timezone.utc))}
    assert sorted(facts) == ["postgres-backup", NAMES[0]]
    words = container["command"]
    assert words[2].endswith("/backup/shop-$$(date +%Y%m%d).dump shop")
    assert (facts["postgres-backup"]["frozen_dates_count"], facts[NAMES[0]]["frozen_dates_count"]) == (1, 0)
    assert facts[NAMES[0]]["is_suspended"] is True
    assert [facts[NAMES[0]][key] for key in ("unbounded", "overlap", "lost_traces", "unwatched_pipes")] == [""] * 4


# Status, what is said of it, and of which rounds. Each ansible-core says in its own words that a time is over.
FAILURES: dict[str, tuple[int | str, str, str]] = {
    "forbidden": (403, "cannot patch", "*"),
    "conflict": (409, "the object has been modified", "*"),
    "busy": (429, "too many requests", "*"),
    # The second one only: the first must not be made without it.
    "broken": (500, "an error on the server", NAMES[1]),
    "silent": ("hang", r"imed out after 10 |time frame \(10\)", "*"),
}


def test_a_cluster_in_trouble_gets_no_round_and_says_why(tmp_path: Path) -> None:
    given = documented()
    with KubernetesApi(token="schedule") as api:
        steps = []
        for name, (status, _said, which) in FAILURES.items():
            api.fail("PATCH", f"*/namespaces/shop-{name}/cronjobs/{which}", status, None)
            api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"shop-{name}"}})
            more: dict[str, Any] = {"schedule_kubernetes_namespace": f"shop-{name}"}
            if name != "broken":
                more["schedule_rounds"] = given["schedule_rounds"][:1]
            if name == "silent":
                more["schedule_kubernetes_deadline"] = 10
            steps += turn(name, **more)
        left = {each: f"{{{{ left_{each} }}}}" for each in FAILURES}
        handed = {"dest": str(tmp_path / "left.json"), "mode": "0600", "content": "{{ left | to_json }}"}
        steps.append({"name": "Hand over", "ansible.builtin.copy": handed, "vars": {"left": left}})
        kubeconfig = str(api.kubeconfig(tmp_path / "kubeconfig"))
        variables = {**given, "ansible_python_interpreter": sys.executable, "kubernetes_kubeconfig": kubeconfig}
        play = {"name": "In trouble", "hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": steps}
        (tmp_path / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
        run = ansible_playbook(tmp_path, "-i", "localhost,", "-c", "local", "play.yml", timeout=900)
        assert run.returncode == 0, run.stdout
        api.heal()
        assert {name: api.list("cronjobs", f"shop-{name}") for name in FAILURES} == {name: [] for name in FAILURES}
    outcome = json.loads((tmp_path / "left.json").read_text(encoding="utf-8"))
    for name, (_status, said, _which) in FAILURES.items():
        [bad] = [each for each in outcome[name]["findings"] if each["severity"] not in ("ok", "skipped")]
        assert (bad["id"], bool(re.search(said, bad["summary"]))) == ("schedule.failed", True), (name, bad["summary"])
        # The sentence, and not the whole answer.
        assert '"kind"' not in bad["summary"], (name, bad["summary"])
        assert [each["status"] for each in outcome[name]["changes"]] == ["failed"], (name, outcome[name]["changes"])
