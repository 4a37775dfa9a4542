"""Rounds as CronJobs of Kubernetes: words as they are declared, bounds, and a set held against what is there."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.jobs import cron_jobs_facts
from ansible_collections.runbook.ops.plugins.plugin_utils.cron_job_manifest import SET_LABEL, escaped
from ansible_collections.runbook.ops.plugins.plugin_utils.cron_jobs import cron_jobs

NOW = dt.datetime(2026, 5, 20, 8, 0, tzinfo=dt.timezone.utc)
IMAGE = "registry.example.com/ops@sha256:" + "0123456789abcdef" * 4
SCRIPT = "set -o pipefail; pg_dump $DATABASE_URL | gzip > /backup/shop-$(date +%Y%m%d)-$$.sql.gz"
BACKUP: dict[str, Any] = {
    "name": "backup",
    "at": "0 2 * * *",
    "timezone": "Asia/Seoul",
    "timeout": "2h",
    "image": IMAGE,
    "command": ["sh", "-c", SCRIPT],
    "description": "Every night",
    "directory": "/backup",
    "environment": {"PRICE": "5$$", "URL": "postgres://shop:$(PGPASSWORD)@db/$(NAME)"},
    "secrets": {"PGPASSWORD": {"secret": "shop", "key": "password"}},
    "claims": {"/backup": "backups"},
    "retries": 1,
}


def made(*rounds: Mapping[str, Any], present: Any = (), windows: Any = (), twice: bool = False) -> dict[str, Any]:
    return cron_jobs(rounds, "shop", "shop-prod", present, windows, NOW, allow_duplicates=twice)


def kubelet(word: str, values: Mapping[str, str]) -> str:
    """What a container gets of a word, as k8s.io/kubernetes/third_party/forked/golang/expansion has it."""

    def replaced(match: re.Match[str]) -> str:
        name = match.group(1)
        return "$" if name is None else values.get(name, match.group(0))

    return re.sub(r"\$(?:\$|\(([^)]*)\))", replaced, word)


@pytest.mark.parametrize(
    "word",
    [
        SCRIPT,
        "$(date)",
        "$$",
        "$$$",
        "$$(date)",
        "$$$(URL)",
        "a$",
        "$HOME/$(",
        "${X}",
        "$(date +%F)$(id)",
        "5$",
        "$1$$2",
    ],
)
def test_words_arrive_as_they_are_declared(word: str) -> None:
    everything = {"date": "frozen", "id": "frozen", "URL": "frozen", "date +%F": "frozen"}
    assert kubelet(escaped(word, ()), everything) == word


def test_a_variable_of_the_round_is_put_in_by_kubernetes() -> None:
    assert escaped("--dbname=$(URL)", {"URL"}) == "--dbname=$(URL)"
    assert kubelet(escaped("$$(URL)", {"URL"}), {"URL": "x"}) == "$$(URL)"


def test_a_manifest() -> None:
    plan = made(BACKUP)
    [manifest] = plan["manifests"]
    spec = manifest["spec"]
    assert (manifest["metadata"]["name"], manifest["metadata"]["namespace"]) == ("runbook-shop-backup", "shop-prod")
    assert manifest["metadata"]["labels"][SET_LABEL] == "shop"
    assert (spec["timeZone"], spec["concurrencyPolicy"], spec["startingDeadlineSeconds"]) == (
        "Asia/Seoul",
        "Forbid",
        3600,
    )
    assert "suspend" not in spec
    job = spec["jobTemplate"]["spec"]
    assert (job["activeDeadlineSeconds"], job["backoffLimit"]) == (7200, 1)
    pod = job["template"]["spec"]
    [container] = pod["containers"]
    assert container["command"][2] == SCRIPT.replace("$(", "$$(").replace("-$$.", "-$$$$.")
    assert container["env"] == [
        {"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": {"name": "shop", "key": "password"}}},
        {"name": "PRICE", "value": "5$$$$"},
        {"name": "URL", "value": "postgres://shop:$(PGPASSWORD)@db/$$(NAME)"},
    ]
    assert (pod["volumes"][0]["persistentVolumeClaim"], container["volumeMounts"][0]["mountPath"]) == (
        {"claimName": "backups"},
        "/backup",
    )
    assert (pod["restartPolicy"], pod["automountServiceAccountToken"], container["workingDir"]) == (
        "Never",
        False,
        "/backup",
    )
    # What check_kubernetes looks at has nothing against it.
    written = {**manifest, "metadata": {**manifest["metadata"], "creationTimestamp": "2026-05-20T07:00:00Z"}}
    [facts] = cron_jobs_facts([written], [], NOW)
    assert [facts[key] for key in (
        "is_backup", "is_zone_assumed", "may_overlap", "unbounded_count", "lost_traces_count", "frozen_dates_count",
        "unwatched_pipes_count", "plain_secrets_count", "is_start_impossible",
    )] == [True, False, False, 0, 0, 0, 0, 0, False]  # fmt: skip
    assert plan["rounds"][0]["next_at"] == "2026-05-20T17:00:00Z"
    assert made({**BACKUP, "persistent": False})["manifests"][0]["spec"]["startingDeadlineSeconds"] == 200


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"image": "ops:1.0"}, "an image with its digest"),
        ({"timeout": ""}, "one that hangs keeps all others off"),
        ({"timezone": ""}, "the time zone of its hour"),
        ({"timezone": "Asia/Soul"}, "Asia/Soul"),
        ({"at": "0 2 * * 1-7"}, "Kubernetes knows no day 7"),
        ({"at": "0 2"}, "it has 2 fields"),
        ({"name": "of_the_night"}, "small letters, digits and -"),
        ({"name": "x" * 41}, "at most 52 characters"),
        ({"user": "ops"}, "the image says who runs it"),
        ({"secrets": {"PGPASSWORD": "hunter2"}}, r"secrets\.PGPASSWORD"),
        ({"start_within": "soon"}, "start_within"),
    ],
)
def test_what_cannot_be_a_cron_job(more: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message) as caught:
        made({**BACKUP, **more})
    assert "hunter2" not in caught.value.message


def test_a_set_is_held_against_what_is_there() -> None:
    [ours] = made({**BACKUP, "name": "old"})["manifests"]
    plan = made(BACKUP, present=[ours])
    assert (plan["removed"], plan["before"], plan["after"]) == (
        ["runbook-shop-old"],
        {"cron_jobs_count": 1},
        {"cron_jobs_count": 1},
    )
    assert made(present=[ours])["removed"] == ["runbook-shop-old"]

    # Another hand's, of our name, and with our command.
    name = made(BACKUP)["manifests"][0]
    foreign = {**name, "metadata": {"name": name["metadata"]["name"]}}
    refused = made(BACKUP, present=[foreign], twice=True)
    assert (refused["manifests"], [each["object"] for each in refused["refused"]]) == ([], ["runbook-shop-backup"])
    elsewhere = {**name, "metadata": {"name": "postgres-backup"}}
    assert "CronJob postgres-backup" in made(BACKUP, present=[elsewhere])["refused"][0]["reason"]
    assert made(BACKUP, present=[elsewhere], twice=True)["refused"] == []

    window = [{"match": "*backup*", "blocked_window": ["01:00-03:00"], "timezone": "Asia/Seoul"}]
    told = made(BACKUP, present=[ours], windows=window)
    assert "within the hours kept free" in told["refused"][0]["reason"]
    assert (told["removed"], told["after"]) == ([], {"cron_jobs_count": 1})
    second = {**BACKUP, "name": "backup-two", "command": ["pg_dump"]}
    assert [each["code"] for each in made(BACKUP, second)["problems"]] == ["two_backups"]
