# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restart, an undo, a pause and a resumption change, and when they must not. Pure: documents in, patches out.

What was done is remembered by the same patch that does it, so that the same task knows its own work when it was
killed, and can take it back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.held_back import why_nothing_changes
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.history import (
    CHANGE_CAUSE,
    RESTARTED_AT,
    Revision,
    current_of,
    digest_of,
    images_of,
    listed,
    numbered,
    previous,
    template_of,
    without_restart,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.kinds import shown
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import PREFIX, memory_of, remembered
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.merge import difference
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.moments import moment_of

RESTARTED, UNDONE, PAUSED, RESUMED = "restarted", "undone", "paused", "resumed"
# An undo that soaks has proven itself, or is taken back.
KEPT, RETURNED = "kept", "returned"
STATES = (RESTARTED, UNDONE, KEPT, RETURNED, PAUSED, RESUMED)
CHANGE, NOTHING, REFUSE = "change", "nothing", "refuse"
RESTART = f"{PREFIX}restart"
UNDO = f"{PREFIX}undo"


@dataclass(frozen=True)
class Wish:
    """What is asked for."""

    state: str
    kind: str
    # By which this run, or the caller's restart_id, knows its own work.
    run_id: str
    now: datetime
    revision: int = 0
    schema_compatible: bool = False
    within_seconds: Optional[int] = None
    # Whether an undo has to prove itself.
    soak: bool = False
    # Whether it is waited for, so that it has to come about by itself.
    waits: bool = True


@dataclass(frozen=True)
class Plan:
    """What is to be done: a merge patch without the version, the action as it is reported, both sides of it."""

    step: str
    action: Mapping[str, Any] = field(default_factory=dict)
    patch: Mapping[str, Any] = field(default_factory=dict)
    refusal: Optional[Refusal] = None
    # The template afterwards.
    template: Mapping[str, Any] = field(default_factory=dict)


def plan_of(wish: Wish, workload: Mapping[str, Any], revisions: Sequence[Revision]) -> Plan:
    """What is to be done to the workload as it is now.

    Args:
        wish: What is asked for.
        workload: The document.
        revisions: Its history, for an undo only.

    Raises:
        RunbookError: there is no such revision, or a memory of ours was edited.

    """
    plans = {
        RESTARTED: _restart,
        UNDONE: _undo,
        KEPT: _keep,
        RETURNED: _return,
        PAUSED: _pause,
        RESUMED: _pause,
    }
    return plans[wish.state](wish, workload, revisions)


def is_paused(workload: Mapping[str, Any]) -> bool:
    """Whether changes of a Deployment are kept back."""
    return (workload.get("spec") or {}).get("paused") is True


def named(wish: Wish, workload: Mapping[str, Any]) -> str:
    """How messages name the workload."""
    metadata = workload["metadata"]
    return shown(wish.kind, metadata.get("namespace") or "default", metadata["name"])


def _refused(wish: Wish, workload: Mapping[str, Any], reason: str, remedy: str) -> Plan:
    return Plan(REFUSE, refusal=Refusal(named(wish, workload), reason, remedy), template=template_of(workload))


def _restart(wish: Wish, workload: Mapping[str, Any], _revisions: Sequence[Revision]) -> Plan:
    template = template_of(workload)
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    memory = memory_of(workload, RESTART) or {}
    if memory.get("id") == wish.run_id or _is_young(annotations.get(RESTARTED_AT), wish):
        return Plan(NOTHING, template=template)
    if is_paused(workload):
        return _refused(wish, workload, "it is paused, so that nothing would be restarted", "Resume it first.")
    why = why_nothing_changes(wish.kind, workload)
    if why:
        return _refused(wish, workload, f"{why[0]}, so that nothing would be restarted", why[1])
    at = iso(wish.now)
    if annotations.get(RESTARTED_AT) == at:
        # Two restarts within one second would be one.
        at = wish.now.strftime("%Y-%m-%dT%H:%M:%S.000001Z")
    after = _with_annotation(template, RESTARTED_AT, at)
    memory = {
        "id": wish.run_id,
        "at": at,
        "before": annotations.get(RESTARTED_AT),
        "template": digest_of(after),
    }
    return Plan(
        CHANGE,
        {"action": "restart", "object": named(wish, workload)},
        {
            "metadata": {"annotations": remembered(RESTART, memory)},
            "spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: at}}}},
        },
        template=after,
    )


def _with_annotation(template: Mapping[str, Any], name: str, value: Optional[str]) -> dict[str, Any]:
    metadata = dict(template.get("metadata") or {})
    annotations = {**(metadata.get("annotations") or {}), name: value}
    metadata["annotations"] = {key: each for key, each in annotations.items() if each is not None}
    return {**template, "metadata": metadata}


def _is_young(restarted_at: Any, wish: Wish) -> bool:
    if wish.within_seconds is None or not restarted_at:
        return False
    at = moment_of(str(restarted_at))
    # Written by hand, nobody knows how old it is.
    return at is not None and (wish.now - at).total_seconds() <= wish.within_seconds


def _undo(wish: Wish, workload: Mapping[str, Any], revisions: Sequence[Revision]) -> Plan:
    template, current = template_of(workload), current_of(revisions)
    if _is_undone(wish, memory_of(workload, UNDO), template, revisions):
        return Plan(NOTHING, template=template)
    target = numbered(revisions, wish.revision) if wish.revision else previous(revisions, template)
    if target is None:
        raise RunbookError(_no_revision(wish, workload, revisions))
    if target.current or target.template == template:
        return Plan(NOTHING, template=template)
    if is_paused(workload):
        return _refused(wish, workload, "it is paused, so that an undo would not be rolled out", "Resume it first.")
    why = why_nothing_changes(wish.kind, workload) if wish.waits else None
    if why:
        return _refused(wish, workload, f"{why[0]}, so that an undo would not be rolled out", why[1])
    if not wish.schema_compatible:
        reason = (
            f"nobody has said that revision {target.number} ({', '.join(images_of(target.template).values())}) works"
            " with the database as it is now, and an undo takes back no migration"
        )
        remedy = "Look at the migrations since then; if the revision works with them, set schema_compatible to true."
        return _refused(wish, workload, reason, remedy)
    memory = {
        "id": wish.run_id,
        "at": iso(wish.now),
        "revision": wish.revision,
        "to": target.name,
        "template": digest_of(target.template),
        "version": digest_of(without_restart(target.template)),
        # The number that its controller is going to give it.
        "number": max(each.number for each in revisions) + 1,
        "from": current.name if current else None,
        "from_cause": (workload["metadata"].get("annotations") or {}).get(CHANGE_CAUSE),
        **({"soaking": True} if wish.soak else {}),
    }
    if wish.soak:
        # One further back, before the first has proven itself: the way back is to what was there before both.
        memory.update({key: value for key, value in soaking(workload).items() if key in ("from", "from_cause")})
    annotations = {**remembered(UNDO, memory), **_cause(workload, target.change_cause)}
    return Plan(
        CHANGE,
        {
            "action": "undo",
            "object": named(wish, workload),
            "from_revision": current.number if current else None,
            "to_revision": target.number,
            "from_images": images_of(template),
            "to_images": images_of(target.template),
        },
        {
            "metadata": {"annotations": annotations},
            "spec": {"template": difference(template, target.template)},
        },
        template=target.template,
    )


def soaking(workload: Mapping[str, Any]) -> dict[str, Any]:
    """What is remembered of an undo that runs and has not proven itself; empty where there is none."""
    memory = memory_of(workload, UNDO) or {}
    is_so = memory.get("soaking") is True and memory.get("template") == digest_of(template_of(workload))
    return memory if is_so else {}


def _keep(wish: Wish, workload: Mapping[str, Any], _revisions: Sequence[Revision]) -> Plan:
    memory, template = soaking(workload), template_of(workload)
    if not memory:
        return Plan(NOTHING, template=template)
    proven = {key: value for key, value in memory.items() if key != "soaking"}
    action = {"action": "confirm", "object": named(wish, workload)}
    return Plan(CHANGE, action, {"metadata": {"annotations": remembered(UNDO, proven)}}, template=template)


def _return(wish: Wish, workload: Mapping[str, Any], revisions: Sequence[Revision]) -> Plan:
    """Forward again; what has proven itself stays, and so does what somebody has changed since."""
    template = template_of(workload)
    if not soaking(workload):
        return Plan(NOTHING, template=template)
    if is_paused(workload):
        return _refused(wish, workload, "it is paused, so that nothing would be rolled out", "Resume it first.")
    plan = revert_of(wish, workload, revisions)
    if isinstance(plan, str):
        return _refused(wish, workload, plan, "Set the image that is meant to run, with runbook.ops.k8s_image.")
    current = current_of(revisions)
    back = next(each for each in revisions if each.template == plan.template)
    action = {
        "action": "return",
        "object": named(wish, workload),
        "from_revision": current.number if current else None,
        "to_revision": back.number,
        "from_images": images_of(template),
        "to_images": images_of(plan.template),
    }
    return Plan(CHANGE, action, plan.patch, template=plan.template)


def _is_undone(
    wish: Wish, memory: Optional[Mapping[str, Any]], template: Mapping[str, Any], revisions: Sequence[Revision]
) -> bool:
    """Whether what is asked for was done by an earlier run, and nothing else was rolled out since.

    Without that, "the revision before" would lead back to the one that was left. A restart is nothing else.
    """
    if memory is None or wish.revision not in (0, memory.get("revision")):
        return False
    number, version = memory.get("number"), memory.get("version")
    later = [each for each in revisions if isinstance(number, int) and each.number > number]
    return version == digest_of(without_restart(template)) and all(
        version == digest_of(without_restart(each.template)) for each in later
    )


def _no_revision(wish: Wish, workload: Mapping[str, Any], revisions: Sequence[Revision]) -> str:
    who = named(wish, workload)
    if wish.revision == 0:
        is_forgetful = (workload.get("spec") or {}).get("revisionHistoryLimit") == 0
        kept = " It keeps none, because spec.revisionHistoryLimit is 0." if is_forgetful else ""
        missing = (
            f"{who} has no revision before the current one. There is nothing to go back to; deploy an older image."
        )
        return f"{missing}{kept}"
    there = listed(revisions) or "none"
    return (
        f"{who} has no revision {wish.revision}. There are: {there}. Numbers that are missing were used once more"
        " under a later number, or are older than spec.revisionHistoryLimit keeps."
    )


def _cause(workload: Mapping[str, Any], cause: Optional[str]) -> dict[str, Optional[str]]:
    """The one annotation that tells about a revision follows it; all others belong to the workload, and stay."""
    now = (workload["metadata"].get("annotations") or {}).get(CHANGE_CAUSE)
    return {} if now == cause else {CHANGE_CAUSE: cause}


def _pause(wish: Wish, workload: Mapping[str, Any], _revisions: Sequence[Revision]) -> Plan:
    wanted, template = wish.state == PAUSED, template_of(workload)
    if is_paused(workload) is wanted:
        return Plan(NOTHING, template=template)
    action = {"action": "pause" if wanted else "resume", "object": named(wish, workload)}
    # As kubectl does: no value is the same as false.
    return Plan(CHANGE, action, {"spec": {"paused": True if wanted else None}}, template=template)


def revert_of(wish: Wish, workload: Mapping[str, Any], revisions: Sequence[Revision]) -> Plan | str:
    """How what this run, or one like it, did is taken back; or why it cannot be.

    Only from what is remembered on the workload, so that it does not matter which run did it.
    """
    template = template_of(workload)
    name = RESTART if wish.state == RESTARTED else UNDO
    memory = memory_of(workload, name)
    if memory is None:
        return "nothing is remembered that could be taken back"
    action = {"action": "revert", "object": named(wish, workload)}
    if digest_of(template) != memory.get("template"):
        return "it was changed by somebody else since"
    if wish.state == RESTARTED:
        before = memory.get("before")
        patch: dict[str, Any] = {
            "metadata": {"annotations": remembered(name, None)},
            "spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: before}}}},
        }
        return Plan(CHANGE, action, patch, template=_with_annotation(template, RESTARTED_AT, before))
    target = next((each for each in revisions if each.name == memory.get("from")), None)
    if target is None:
        return "the revision that it came from is gone"
    annotations = {**remembered(name, None), **_cause(workload, memory.get("from_cause"))}
    spec = {"template": difference(template, target.template)}
    return Plan(CHANGE, action, {"metadata": {"annotations": annotations}, "spec": spec}, template=target.template)


def decided_on(workload: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a plan depends on; the rest, such as the status, may change without a new decision."""
    metadata = workload["metadata"]
    return metadata.get("uid"), workload.get("spec"), metadata.get("labels"), metadata.get("annotations")


def versioned(patch: Mapping[str, Any], workload: Mapping[str, Any]) -> dict[str, Any]:
    """The patch with the version that it was decided on, for the server to compare."""
    metadata = {**(patch.get("metadata") or {}), "resourceVersion": workload["metadata"]["resourceVersion"]}
    return {**patch, "metadata": metadata}
