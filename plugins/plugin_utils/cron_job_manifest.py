# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A round as a CronJob of Kubernetes. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.images import digest_of
from ansible_collections.runbook.ops.plugins.module_utils.schedule.render import PREFIX
from ansible_collections.runbook.ops.plugins.module_utils.schedule.rounds import Round

SET_LABEL = "runbook-ops.github.io/schedule"
_DESCRIPTION = "runbook-ops.github.io/description"
# The controller adds eleven characters for a job's own name.
_MOST_CHARACTERS = 52
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_SECRET = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_DOLLARS = re.compile(r"\$+(?:\(([A-Za-z_][A-Za-z0-9_]*)\))?")
_START_WITHIN = "1h"
_NOT_PERSISTENT_SECONDS = 200
_RESOURCES = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}
# What a round has for Kubernetes only.
KEYS = ("image", "secrets", "environment_secret", "claims", "resources", "service_account", "start_within", "retries")


def cron_job_name(set_name: str, round_name: str) -> str:
    """The CronJob's name; raises InvalidOption."""
    name = f"{PREFIX}{set_name}-{round_name}"
    if len(name) > _MOST_CHARACTERS or not _NAME.fullmatch(name):
        raise InvalidOption(
            f"rounds ({round_name}).name", name,
            f"small letters, digits and -, with at most {_MOST_CHARACTERS} characters together with the set's name",
        )  # fmt: skip
    return name


def cron_job(set_name: str, namespace: str, each: Round, extra: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest.

    Args:
        set_name: The set, which labels it.
        namespace: Where it belongs.
        each: The round, checked.
        extra: What it has for Kubernetes only, see C(KEYS).

    Raises:
        InvalidOption: Kubernetes could not run it as it is meant.

    """
    place = f"rounds ({each.name})"
    _check(place, each, extra)
    name = cron_job_name(set_name, each.name)
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "runbook-ops", SET_LABEL: set_name}
    start_within = (
        parse_seconds(str(extra.get("start_within") or _START_WITHIN), f"{place}.start_within")
        if each.persistent
        else _NOT_PERSISTENT_SECONDS
    )
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": labels}
    if each.description:
        metadata["annotations"] = {_DESCRIPTION: each.description}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": metadata,
        "spec": {
            "schedule": each.expression.text,
            "timeZone": each.timezone,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": start_within,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {
                "metadata": {"labels": dict(labels)},
                "spec": {
                    "activeDeadlineSeconds": each.timeout_seconds,
                    "backoffLimit": int(extra.get("retries") or 0),
                    "template": {"metadata": {"labels": dict(labels)}, "spec": _pod(place, each, extra)},
                },
            },
        },
    }


def _check(place: str, each: Round, extra: Mapping[str, Any]) -> None:
    image = str(extra.get("image") or "")
    if digest_of(image) is None:
        raise InvalidOption(
            f"{place}.image", image, "an image with its digest, such as registry.example.com/ops@sha256:<64 hex digits>"
        )
    if not each.timeout_seconds:
        raise InvalidOption(
            f"{place}.timeout", "none", "how long it may take, such as 2h: one that hangs keeps all others off"
        )
    if not each.timezone:
        raise InvalidOption(f"{place}.timezone", "none", "the time zone of its hour, such as Asia/Seoul or Etc/UTC")
    if "7" in re.split(r"[,/-]", each.expression.text.split()[-1]) and not each.expression.text.startswith("@"):
        raise InvalidOption(f"{place}.at", each.expression.text, "0 or sun for Sunday; Kubernetes knows no day 7")


def _pod(place: str, each: Round, extra: Mapping[str, Any]) -> dict[str, Any]:
    environment = [{"name": key, "value": value} for key, value in each.environment]
    secrets = [_from_secret(place, name, extra["secrets"][name]) for name in sorted(extra.get("secrets") or {})]
    known = {str(entry["name"]) for entry in (*environment, *secrets)}
    for entry in environment:
        entry["value"] = escaped(entry["value"], known)
    container: dict[str, Any] = {
        "name": "round",
        "image": extra["image"],
        "command": [escaped(word, known) for word in each.command],
        # Secrets come first, so that other variables can be put together from them.
        "env": [*secrets, *environment],
        "resources": extra.get("resources") or _RESOURCES,
        "securityContext": {"allowPrivilegeEscalation": False},
    }
    whole = extra.get("environment_secret")
    if whole:
        if not isinstance(whole, str) or not _SECRET.fullmatch(whole):
            # Not shown, as below.
            raise InvalidOption(
                f"{place}.environment_secret", "something else", "the name of a Secret of the namespace"
            )
        container["envFrom"] = [{"secretRef": {"name": whole}}]
    if each.directory:
        container["workingDir"] = each.directory
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": bool(extra.get("service_account")),
        "containers": [container],
    }
    if extra.get("service_account"):
        pod["serviceAccountName"] = extra["service_account"]
    claims = sorted((extra.get("claims") or {}).items())
    if claims:
        container["volumeMounts"] = [
            {"name": f"data-{at}", "mountPath": path} for at, (path, _name) in enumerate(claims)
        ]
        pod["volumes"] = [
            {"name": f"data-{at}", "persistentVolumeClaim": {"claimName": name}}
            for at, (_path, name) in enumerate(claims)
        ]
    return pod


def _from_secret(place: str, variable: str, given: object) -> dict[str, Any]:
    if not isinstance(given, Mapping) or set(given) != {"secret", "key"}:
        # The value is not shown: it may be the secret itself.
        raise InvalidOption(
            f"{place}.secrets.{variable}", "something else", "where its value is: {secret: <name>, key: <key>}"
        )
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": given["secret"], "key": given["key"]}}}


def escaped(word: str, variables: Collection[str]) -> str:
    """A word as a container gets it unchanged.

    Kubernetes replaces C($(NAME)) in commands and variables by itself, and C($$) by C($). A C($(NAME)) of a variable
    that the round has is meant for it; anything else, such as C($(date)), is the shell's.
    """

    def replaced(match: re.Match[str]) -> str:
        text = match.group(0)
        dollars = len(text) - len(text.lstrip("$"))
        if dollars == 1 and match.group(1) in variables:
            return text
        is_read = dollars > 1 or match.group(1) is not None or word[match.end() : match.end() + 1] == "("
        return "$" * dollars + text if is_read else text

    return _DOLLARS.sub(replaced, word)
