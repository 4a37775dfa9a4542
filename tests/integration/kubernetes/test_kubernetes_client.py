"""What big clusters do to every request: too much to do for now, and listings that outlast what they began with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.kubernetes import KubernetesApi

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster, connect
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError

pytestmark = pytest.mark.xdist_group("kubernetes")

PATH = "/api/v1/namespaces/shop/configmaps"


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    with KubernetesApi(controllers=()) as api:
        for name in "abcde":
            metadata = {"name": name, "namespace": "shop"}
            api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"n": "1"}})
        yield api


def cluster_of(api: KubernetesApi, tmp_path: Path, **options: Any) -> Cluster:
    return connect({"kubeconfig": str(api.kubeconfig(tmp_path / "kubeconfig")), **options})


def test_a_server_with_too_much_to_do_is_asked_again_when_it_says(api: KubernetesApi, tmp_path: Path) -> None:
    """As kubectl does, which is why nobody knows that it happens all the time; changes are made once."""
    cluster = cluster_of(api, tmp_path, read_timeout=240)
    api.fail("GET", f"{PATH}/a", 429, 2, retry_after=1)
    assert cluster.read("configmap", "shop", "a")["data"] == {"n": "1"}
    api.fail("PATCH", f"{PATH}/a", 429, 1, retry_after=1)
    assert cluster.patch("configmap", "shop", "a", {"data": {"n": "2"}})["data"] == {"n": "2"}
    asked = [(each.method, each.path) for each in api.requests]
    assert asked == [("GET", f"{PATH}/a")] * 3 + [("PATCH", f"{PATH}/a")] * 2
    # Not longer than one answer may take, and not at all where nobody says when.
    for retry_after in (300, None):
        api.requests.clear()
        api.fail("GET", f"{PATH}/a", 429, None, retry_after=retry_after)
        with pytest.raises(ClusterError, match="HTTP status 429"):
            cluster.read("configmap", "shop", "a")
        assert len(api.requests) == 1
        api.heal()


def test_a_listing_that_takes_too_long_is_begun_again(api: KubernetesApi, tmp_path: Path) -> None:
    cluster = cluster_of(api, tmp_path)

    def listed(times: int | None) -> list[str]:
        found, names = cluster.list("configmap", "shop", page_size=2), []
        for each in found:
            names.append(each["metadata"]["name"])
            if len(names) == 2:
                # The token of the first page is of a state that is forgotten by now.
                api.fail("GET", PATH, 410, times)
        return names

    assert listed(1) == ["a", "b", "c", "d", "e"]
    api.heal()
    with pytest.raises(ClusterError, match="took too long and is out of date"):
        listed(None)
