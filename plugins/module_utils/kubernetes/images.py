# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of containers: which are accepted, where they are in a template, what is remembered. Pure.

What is remembered of the last change is in one annotation of the workload, C(MEMORY): the images before and after it
by container, and how far it came (C(ROLLING) until it is proven, then C(DONE); C(RETURNING), C(RETURNED) for going
back on purpose, C(UNDONE) for going back because it did not work).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.kinds import shown
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import PREFIX, text_of, value_of

MEMORY = f"{PREFIX}previous-images"
CHANGE_CAUSE = "kubernetes.io/change-cause"
ROLLING, DONE, RETURNING, RETURNED, UNDONE = "rolling", "done", "returning", "returned", "undone"
UNDER_WAY = frozenset({ROLLING, RETURNING})

PRESENT, PREVIOUS, KEPT = "present", "previous", "kept"
CHANGE, WAIT, NOTHING, REFUSE = "change", "wait", "nothing", "refuse"

_SECTIONS = ("containers", "initContainers")
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_IMAGE = re.compile(
    # https://github.com/distribution/reference/blob/main/regexp.go
    r"^[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
    r"(?P<tag>:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?P<digest>@[A-Za-z0-9:]+)?$"
)


def digest_of(image: str) -> Optional[str]:
    """C(sha256:…) of an image that is named by its digest."""
    found = _DIGEST.search(image)
    return found.group()[1:] if found else None


def is_same(one: str, other: str) -> bool:
    """Whether two names are of the same image: a mirror has another name for it, and the same digest."""
    return one == other or (digest_of(one) is not None and digest_of(one) == digest_of(other))


def tag_of(image: str) -> Optional[str]:
    """The tag of an image; a port of the registry is none."""
    name = image.partition("@")[0].rpartition("/")[2]
    return name.partition(":")[2] or None


def check_image(option: str, image: str, *, allow_tags: bool) -> None:
    """Refuse an image that would not be the same one tomorrow.

    Raises:
        InvalidOption: it is none, or is not pinned as it must be.

    """
    accepted = "an image with its digest, such as registry.example.com/shop/web@sha256:<64 hex digits>"
    if not _IMAGE.match(image):
        raise InvalidOption(option, image, accepted)
    if digest_of(image):
        return
    tag = tag_of(image)
    if "@" in image:
        raise InvalidOption(option, image, accepted)
    if tag is None or tag == "latest":
        said = "without a tag it is latest, which" if tag is None else "the tag latest"
        raise InvalidOption(option, image, f"{accepted}; {said} is another image with every build")
    if not allow_tags:
        said = f"the tag {tag} can be given to another image at any time (allow_tags takes it nevertheless)"
        raise InvalidOption(option, image, f"{accepted}; {said}")


@dataclass(frozen=True)
class Memory:
    """The last change of a workload's images, by container."""

    before: Mapping[str, str]
    after: Mapping[str, str]
    state: str
    at: str = ""
    # What was asked for, where the server made something else of it.
    asked: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """As the annotation has it."""
        value = {"from": dict(self.before), "to": dict(self.after), "state": self.state, "at": self.at}
        if self.asked:
            value["asked"] = dict(self.asked)
        return text_of(value)

    def is_of(self, images: Mapping[str, str]) -> bool:
        """Whether it tells how these images came there."""
        return all(self.after.get(container) == image for container, image in images.items())


def memory_of(workload: Mapping[str, Any]) -> Optional[Memory]:
    """What is remembered; None when there is nothing, or nothing that can be read."""
    try:
        value = value_of(workload, MEMORY)
        sides, asked = (_texts(value["from"]), _texts(value["to"])), _texts(value.get("asked") or {})
        return Memory(*sides, str(value["state"]), str(value.get("at") or ""), asked)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _texts(value: Mapping[str, Any]) -> dict[str, str]:
    return {str(container): str(image) for container, image in value.items()}


def template_of(workload: Mapping[str, Any]) -> Mapping[str, Any]:
    """The spec of the pods that a workload makes."""
    found: Mapping[str, Any] = ((workload.get("spec") or {}).get("template") or {}).get("spec") or {}
    return found


def containers_of(template: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Section, name and image of every container."""
    for section in _SECTIONS:
        for each in template.get(section) or ():
            yield section, each["name"], str(each.get("image") or "")


def images_of(workload: Mapping[str, Any], containers: Sequence[str]) -> dict[str, str]:
    """The images of named containers; those that are not there are missing."""
    found = {name: image for _section, name, image in containers_of(template_of(workload))}
    return {name: found[name] for name in containers if name in found}


@dataclass(frozen=True)
class Step:
    """What is to be done to one workload: C(CHANGE), C(WAIT) for a change under way, C(NOTHING) or C(REFUSE)."""

    verdict: str
    kind: str
    namespace: str
    name: str
    before: Mapping[str, str]
    after: Mapping[str, str]
    state: str = ROLLING
    # What to go back to if it does not work; empty when nobody knows.
    safe: Mapping[str, str] = field(default_factory=dict)
    # What was asked for, where the server makes something else of it; empty where it does not.
    asked: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    remedy: str = ""

    @property
    def shown(self) -> str:
        """How messages name the workload."""
        return shown(self.kind, self.namespace, self.name)

    def actions(self) -> list[dict[str, str]]:
        """One entry a container."""
        verb = "return_image" if self.state == RETURNING else "set_image"
        return [
            {
                "action": verb,
                "object": self.shown,
                "container": container,
                "image_before": self.before[container],
                "image_after": image,
            }
            for container, image in self.after.items()
            if self.before[container] != image
        ]


def decide(kind: str, workload: Mapping[str, Any], containers: Sequence[str], wanted: Mapping[str, Any]) -> Step:
    """What one workload needs.

    Args:
        kind: Its kind, in lower case.
        workload: Its document.
        containers: Whose images.
        wanted: C(state) (C(present) or C(previous)) and C(image); with C(previous) the image to go back from, or none.

    """
    metadata = workload["metadata"]
    where = (kind, metadata["namespace"], metadata["name"])
    now = images_of(workload, containers)
    missing = [each for each in containers if each not in now]
    if missing:
        known = ", ".join(name for _section, name, _image in containers_of(template_of(workload)))
        reason = f"it has no container {', '.join(missing)}"
        return Step(REFUSE, *where, now, now, reason=reason, remedy=f"Name one of its containers: {known}.")
    memory = memory_of(workload)
    known_memory = memory if memory is not None and memory.is_of(now) else None
    if wanted["state"] == KEPT:
        return _settled(where, now, known_memory)
    if wanted["state"] == PREVIOUS:
        return _decide_previous(where, now, known_memory, wanted["image"])
    after = dict.fromkeys(now, str(wanted["image"]))
    if now == after:
        return _settled(where, now, known_memory)
    # A change that never was proven is no place to go back to.
    unfinished = known_memory is not None and known_memory.state in UNDER_WAY
    safe = {**now, **known_memory.before} if known_memory is not None and unfinished else now
    return Step(CHANGE, *where, now, after, safe=safe)


def as_stored(step: Step, stored: Mapping[str, str], workload: Mapping[str, Any]) -> Step:
    """The step with the images that the server would store.

    Admission webhooks send images to a mirror, or put a digest in the place of a tag. What they make of the image that
    is asked for may be there already, and is what a later run finds.
    """
    if stored == dict(step.after) or set(stored) != set(step.after):
        return step
    if stored != dict(step.before):
        return replace(step, after=dict(stored), asked=dict(step.after))
    memory = memory_of(workload)
    known = memory if memory is not None and memory.is_of(step.before) else None
    return _settled((step.kind, step.namespace, step.name), step.before, known)


def _settled(where: tuple[str, str, str], now: Mapping[str, str], memory: Optional[Memory]) -> Step:
    if memory is not None and memory.state in UNDER_WAY:
        return Step(WAIT, *where, now, now, state=memory.state, safe=dict(memory.before))
    return Step(NOTHING, *where, now, now)


def _decide_previous(
    where: tuple[str, str, str], now: Mapping[str, str], memory: Optional[Memory], image: Optional[str]
) -> Step:
    if memory is not None and memory.state == RETURNING:
        return Step(WAIT, *where, now, now, state=RETURNING, safe=dict(memory.before))
    asked = memory.asked if memory is not None else {}
    if image and not all(is_same(each, image) or asked.get(name) == image for name, each in now.items()):
        return Step(NOTHING, *where, now, now)
    if memory is None:
        reason = "no image is remembered that it had before this one"
        remedy = "Name a revision to go back to with runbook.ops.k8s_rollout, or set the image that it shall have."
        return Step(REFUSE, *where, now, now, reason=reason, remedy=remedy)
    if memory.state in {RETURNED, UNDONE}:
        return Step(NOTHING, *where, now, now)
    after = {container: memory.before.get(container, now[container]) for container in now}
    return Step(CHANGE, *where, now, after, state=RETURNING, safe=dict(now))


def patch_of(
    workload: Mapping[str, Any], images: Mapping[str, str], memory: Memory, cause: Optional[str]
) -> dict[str, Any]:
    """The strategic merge patch for these containers alone; all others keep their place and everything they have."""
    template = template_of(workload)
    spec: dict[str, Any] = {}
    for section in _SECTIONS:
        names = [each["name"] for each in template.get(section) or ()]
        changed = [name for name in names if name in images]
        if changed:
            spec[section] = [{"name": name, "image": images[name]} for name in changed]
            # Without it the server may put what is named first.
            spec[f"$setElementOrder/{section}"] = [{"name": name} for name in names]
    annotations = {MEMORY: memory.text(), **({CHANGE_CAUSE: cause} if cause else {})}
    metadata = {"resourceVersion": workload["metadata"]["resourceVersion"], "annotations": annotations}
    return {"metadata": metadata, "spec": {"template": {"spec": spec}}}


def running_of(pods: Sequence[Mapping[str, Any]], container: str, image: str) -> dict[str, Any]:
    """What the pods say that they run: the digests that their nodes resolved the image to.

    C(proven) is true when every pod that has the image runs the digest that was asked for, false when one runs another,
    and None when a node does not say, or the image was named by a tag.
    """
    ids = []
    for pod in pods:
        spec = pod.get("spec") or {}
        if (pod.get("metadata") or {}).get("deletionTimestamp"):
            continue
        if not any(name == container and is_same(each, image) for _section, name, each in containers_of(spec)):
            continue
        status = pod.get("status") or {}
        found = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
        ids.append(next((str(each.get("imageID") or "") for each in found if each.get("name") == container), ""))
    digests = [digest_of(each) for each in ids]
    wanted = digest_of(image)
    proven: Optional[bool] = None
    if wanted and ids and all(digests):
        proven = all(each == wanted for each in digests)
    return {"pods_count": len(ids), "digests": sorted({each for each in digests if each}), "proven": proven}
