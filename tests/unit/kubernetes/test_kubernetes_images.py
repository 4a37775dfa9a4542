"""Which images are accepted, what is decided about a workload, and what is remembered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.images import (
    CHANGE_CAUSE,
    MEMORY,
    Memory,
    as_stored,
    check_image,
    decide,
    memory_of,
    patch_of,
    running_of,
    tag_of,
)

ONE, TWO, SIX = (f"registry.example.com:5000/shop/web@sha256:{digit * 64}" for digit in "126")


def workload(image: str = ONE, memory: Memory | None = None, **more: Any) -> dict[str, Any]:
    containers = [{"name": "proxy", "image": "envoy:1"}, {"name": "web", "image": image}]
    annotations = {"kept": "yes", **({MEMORY: memory.text()} if memory else {})}
    metadata = {"name": "web", "namespace": "shop", "resourceVersion": "41", "annotations": annotations}
    return {"metadata": metadata, "spec": {"template": {"spec": {"containers": containers}}, **more}}


@pytest.mark.parametrize(
    ("image", "allow_tags", "says"),
    [
        (ONE, False, ""),
        ("nginx@sha256:" + "a" * 64, False, ""),
        ("shop/web:1.2@sha256:" + "a" * 64, False, ""),
        ("shop/web:v1.2.3", True, ""),
        ("shop/web:v1.2.3", False, "the tag v1.2.3 can be given to another image at any time"),
        ("shop/web:latest", True, "the tag latest is another image with every build"),
        ("localhost:5000/web", True, "without a tag it is latest, which is another image"),
        ("shop/web@sha256:abc", True, "an image with its digest"),
        ("shop/web:a b", True, "an image with its digest"),
        ("", True, "an image with its digest"),
    ],
)
def test_images(image: str, allow_tags: bool, says: str) -> None:
    if not says:
        return check_image("image", image, allow_tags=allow_tags)
    with pytest.raises(InvalidOption) as raised:
        check_image("image", image, allow_tags=allow_tags)
    assert raised.value.message.startswith(f"image: {image!r} is not accepted.") and says in raised.value.message
    return None


def test_a_port_is_no_tag() -> None:
    assert (tag_of("localhost:5000/web"), tag_of("localhost:5000/web:1"), tag_of(ONE)) == (None, "1", None)


@pytest.mark.parametrize(
    ("image", "memory", "wanted", "verdict", "after", "safe"),
    [
        (ONE, None, ("present", TWO), "change", TWO, ONE),
        (TWO, None, ("present", TWO), "nothing", TWO, None),
        # A run that was killed while it waited: what it began is waited for, and taken back to what was before.
        (TWO, Memory({"web": ONE}, {"web": TWO}, "rolling"), ("present", TWO), "wait", TWO, ONE),
        (TWO, Memory({"web": ONE}, {"web": TWO}, "done"), ("present", TWO), "nothing", TWO, None),
        # What never was proven is no place to go back to.
        (TWO, Memory({"web": ONE}, {"web": TWO}, "rolling"), ("present", SIX), "change", SIX, ONE),
        (TWO, Memory({"web": ONE}, {"web": TWO}, "done"), ("present", SIX), "change", SIX, TWO),
        # Somebody else has set the image since.
        (SIX, Memory({"web": ONE}, {"web": TWO}, "rolling"), ("present", SIX), "nothing", SIX, None),
        (TWO, Memory({"web": ONE}, {"web": TWO}, "done"), ("previous", None), "change", ONE, TWO),
        (TWO, Memory({"web": ONE}, {"web": TWO}, "done"), ("previous", TWO), "change", ONE, TWO),
        (TWO, Memory({"web": ONE}, {"web": TWO}, "done"), ("previous", SIX), "nothing", TWO, None),
        (ONE, Memory({"web": TWO}, {"web": ONE}, "returning"), ("previous", TWO), "wait", ONE, TWO),
        (ONE, Memory({"web": TWO}, {"web": ONE}, "returned"), ("previous", None), "nothing", ONE, None),
        (ONE, Memory({"web": TWO}, {"web": ONE}, "undone"), ("previous", None), "nothing", ONE, None),
        (ONE, None, ("previous", None), "refuse", ONE, None),
        (ONE, None, ("previous", TWO), "nothing", ONE, None),
        # What is watched is noted as proven once, and only what this or an earlier run has set.
        (TWO, Memory({"web": ONE}, {"web": TWO}, "rolling"), ("kept", None), "wait", TWO, ONE),
        (TWO, Memory({"web": ONE}, {"web": TWO}, "done"), ("kept", None), "nothing", TWO, None),
        (TWO, None, ("kept", None), "nothing", TWO, None),
    ],
)
def test_decisions(
    image: str, memory: Memory | None, wanted: tuple[str, str | None], verdict: str, after: str, safe: str | None
) -> None:
    step = decide("deployment", workload(image, memory), ["web"], {"state": wanted[0], "image": wanted[1]})
    assert (step.verdict, dict(step.after)) == (verdict, {"web": after})
    assert dict(step.safe) == ({"web": safe} if safe else {})


MIRRORED = TWO.replace("registry.example.com:5000", "mirror.example.com")


@pytest.mark.parametrize(
    ("image", "asked", "stored", "memory", "verdict"),
    [
        (ONE, TWO, TWO, None, ("change", TWO, None)),
        # A webhook sends it to a mirror, or puts the digest in the place of the tag.
        (ONE, TWO, MIRRORED, None, ("change", MIRRORED, TWO)),
        (ONE, "shop/web:v2", TWO, None, ("change", TWO, "shop/web:v2")),
        # What the server makes of it is there already: nothing to do, or to wait for.
        (MIRRORED, TWO, MIRRORED, None, ("nothing", MIRRORED, None)),
        (MIRRORED, TWO, MIRRORED, Memory({"web": ONE}, {"web": MIRRORED}, "rolling"), ("wait", MIRRORED, None)),
        # The same digest by another name is another image where no webhook says otherwise.
        (MIRRORED, TWO, TWO, None, ("change", TWO, None)),
    ],
)
def test_what_the_server_makes_of_an_image(
    image: str, asked: str, stored: str, memory: Memory | None, verdict: tuple[str, str, str | None]
) -> None:
    found = workload(image, memory)
    step = as_stored(decide("deployment", found, ["web"], {"state": "present", "image": asked}), {"web": stored}, found)
    assert (step.verdict, step.after["web"], step.asked.get("web")) == verdict


@pytest.mark.parametrize("named", [TWO, MIRRORED, "shop/web:v2"])
def test_going_back_from_an_image_by_the_name_that_was_asked_for(named: str) -> None:
    memory = Memory({"web": ONE}, {"web": MIRRORED}, "done", asked={"web": "shop/web:v2"})
    assert memory_of({"metadata": {"annotations": {MEMORY: memory.text()}}}) == memory
    step = decide("deployment", workload(MIRRORED, memory), ["web"], {"state": "previous", "image": named})
    assert (step.verdict, step.after) == ("change", {"web": ONE})


def test_a_container_that_is_not_there() -> None:
    step = decide("deployment", workload(), ["app"], {"state": "present", "image": TWO})
    assert (step.verdict, step.reason, step.remedy) == (
        "refuse",
        "it has no container app",
        "Name one of its containers: proxy, web.",
    )


def test_the_patch_is_about_the_named_containers() -> None:
    memory = Memory({"web": ONE}, {"web": TWO}, "rolling", "2026-01-31T00:15:00Z")
    patch = patch_of(workload(), {"web": TWO}, memory, "image 2")
    assert patch["spec"]["template"]["spec"] == {
        "containers": [{"name": "web", "image": TWO}],
        "$setElementOrder/containers": [{"name": "proxy"}, {"name": "web"}],
    }
    assert patch["metadata"]["resourceVersion"] == "41" and patch["metadata"]["annotations"][CHANGE_CAUSE] == "image 2"
    assert memory_of({"metadata": patch["metadata"]}) == memory


@pytest.mark.parametrize("text", ["", "[]", "no JSON", json.dumps({"from": 1, "to": {}, "state": "done"})])
def test_a_memory_that_cannot_be_read(text: str) -> None:
    assert memory_of({"metadata": {"annotations": {MEMORY: text}}}) is None


@pytest.mark.parametrize(
    ("ids", "proven", "count"),
    [
        ([ONE, ONE.replace("registry.example.com:5000/", "docker-pullable://")], True, 2),
        ([ONE, TWO], False, 2),
        ([ONE, ""], None, 2),
        # Docker's own id of an image that was built on the node is no digest of a registry.
        (["sha256:" + "1" * 64], None, 1),
        ([], None, 0),
    ],
)
def test_what_pods_run(ids: list[str], proven: bool | None, count: int) -> None:
    pods = [
        {
            "metadata": {"name": str(number)},
            "spec": {"containers": [{"name": "web", "image": ONE}]},
            "status": {"containerStatuses": [{"name": "web", "imageID": each}]},
        }
        for number, each in enumerate(ids)
    ]
    # One of the old ones, and one on its way out.
    pods += [
        {"metadata": {"name": "old"}, "spec": {"containers": [{"name": "web", "image": TWO}]}},
        {
            "metadata": {"name": "x", "deletionTimestamp": "2026"},
            "spec": {"containers": [{"name": "web", "image": ONE}]},
        },
    ]
    found = running_of(pods, "web", ONE)
    assert (found["proven"], found["pods_count"]) == (proven, count)
