"""The daily check of AutoClip: its database, its queues, its cluster, and the logs of its pods."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from kubernetes import client, config
from lab.autoclip.conditions import CONDITIONS
from lab.kubernetes.systems.autoclip import SECRET_VALUES
from lab.plays import play
from lab.running import running_lab

pytestmark = pytest.mark.xdist_group("check_daily_autoclip")


def test_every_planted_condition_is_found_once_and_nothing_else(tmp_path: Path) -> None:
    with running_lab("autoclip", "degraded", tmp_path / "lab") as lab:
        run = play(lab, "check_daily", place=tmp_path)
        kubeconfig = lab.hosts["autoclip-cluster"]["kubernetes_kubeconfig"]
        custom = client.CustomObjectsApi(config.new_client_from_config(kubeconfig))
        certificates = custom.list_namespaced_custom_object("cert-manager.io", "v1", "autoclip", "certificates")
    assert run.returncode == 0, run.output
    found = Counter((finding["id"], finding["object"]) for finding in run.bad())
    assert found == Counter((each["finding_id"], each["object"]) for each in CONDITIONS)
    assert [finding["id"] for finding in run.findings() if finding["severity"] == "unknown"] == []
    # The manual's list says READY of every certificate, two of which are about to end.
    ready = [each["status"]["conditions"][0]["status"] for each in certificates["items"]]
    assert ready == ["True", "True", "True"]
    written = "".join(path.read_text(encoding="utf-8") for path in run.folder.rglob("*.*") if path.is_file())
    assert [value for value in SECRET_VALUES.values() if value in written + run.output] == []
