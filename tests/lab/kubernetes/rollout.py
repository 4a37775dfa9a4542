"""Deployments: the way from the old ReplicaSets to the one of the template."""

from __future__ import annotations

from lab.kubernetes.controllers import Controller
from lab.kubernetes.deployment_sets import DESIRED, Rollout, counted, limits, revision_of, specified
from lab.kubernetes.kinds import Key, Object
from lab.kubernetes.rollout_status import report
from lab.kubernetes.store import Store
from lab.kubernetes.workloads import adopt, at_rest, key_of, owners_of

LAG = 0.05  # seconds until a changed spec is observed


def reconcile(store: Store, key: Key) -> float | None:
    """One look at one Deployment."""
    found = store.peek(key)
    if found is None or at_rest(store, found):
        return None
    rollout = Rollout(store, key, found, list(adopt(store, found, "replicasets")))
    rollout.sort()
    if rollout.spec.get("paused"):
        _resize(rollout)
    elif (rollout.spec.get("strategy") or {}).get("type") == "Recreate":
        _recreate(rollout)
    else:
        _roll(rollout)
    waits = (report(rollout), LAG if rollout.waits_for_pods else None)
    if _complete(store.peek(key) or found):
        _clean_up(rollout)
    return min((each for each in waits if each is not None), default=None)


def _resize(rollout: Rollout) -> None:
    """A paused Deployment is still scaled: all of the difference goes to its newest set that has pods."""
    running = [each for each in rollout.sets if specified(each)] or ([rollout.new] if rollout.new else [])
    if not running:
        return
    desired = (running[-1]["metadata"].get("annotations") or {}).get(DESIRED)
    if desired is not None and int(desired) != rollout.wanted:
        for each in running[:-1]:
            rollout.scale(each, specified(each))
        rollout.scale(running[-1], max(0, specified(running[-1]) + rollout.wanted - int(desired)))


def _recreate(rollout: Rollout) -> None:
    for each in rollout.old:
        if specified(each):
            rollout.scale(each, 0)
    left = [pod for each in rollout.old for pod in rollout.store.owned(each, "pods")]
    if any((pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed") for pod in left):
        rollout.waits_for_pods = True
        return
    new = rollout.make_new()
    if specified(new) != rollout.wanted:
        rollout.scale(new, rollout.wanted)


def _roll(rollout: Rollout) -> None:
    new = rollout.make_new()
    surge, unavailable = limits(rollout.spec)
    total = sum(specified(each) for each in rollout.sets)
    if specified(new) > rollout.wanted:
        rollout.scale(new, rollout.wanted)
    elif specified(new) < rollout.wanted and total < rollout.wanted + surge:
        more = min(rollout.wanted + surge - total, rollout.wanted - specified(new))
        rollout.scale(new, specified(new) + more)
    else:
        _shrink(rollout, new, rollout.wanted - unavailable)


def _shrink(rollout: Rollout, new: Object, least: int) -> None:
    """Take pods from the old sets: first those that do not work, then as many as are not needed."""
    total = sum(specified(each) for each in rollout.sets)
    room = total - least - (specified(new) - counted(new))
    for each in list(rollout.old):
        broken = min(room, specified(each) - counted(each))
        if broken > 0:
            rollout.scale(each, specified(each) - broken)
            room -= broken
    if room <= 0:
        return
    spare = sum(counted(each) for each in rollout.sets) - least
    for each in list(rollout.old):
        less = min(spare, specified(each))
        if less > 0:
            rollout.scale(each, specified(each) - less)
            spare -= less


def _complete(deployment: Object) -> bool:
    status, wanted = deployment.get("status") or {}, int(deployment["spec"].get("replicas", 1))
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return counts == [wanted] * 3


def _clean_up(rollout: Rollout) -> None:
    """Keep as many empty sets as the history may be long."""
    empty = [each for each in rollout.old if not specified(each) and not counted(each, "replicas")]
    over = len(empty) - int(rollout.spec.get("revisionHistoryLimit", 10))
    for each in sorted(empty, key=revision_of)[: max(0, over)]:
        rollout.store.delete(key_of(rollout.store, each))


DEPLOYMENTS = Controller("deployments", reconcile, {"replicasets": owners_of("deployments")}, LAG)
