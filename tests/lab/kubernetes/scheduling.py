"""Where a pod may run, and the scheduler's sentence where it may not."""

from __future__ import annotations

from collections import Counter

from lab.kubernetes.kinds import Object
from lab.kubernetes.quantities import amount
from lab.kubernetes.store import Store


def place(store: Store, pod: Object, fits: bool = True) -> tuple[str | None, str]:
    """The node with the fewest pods that takes this one; or None and why. Without ``fits`` all nodes are full."""
    nodes = store.look("nodes")
    refusals: Counter[str] = Counter()
    open_nodes = []
    for node in nodes:
        why = _refusal(node, pod) or ("" if fits else "Insufficient cpu")
        if why:
            refusals[why] += 1
        else:
            open_nodes.append(str(node["metadata"]["name"]))
    if len(open_nodes) > 1:
        used = Counter((each.get("spec") or {}).get("nodeName") for each in store.look("pods"))
        return min(open_nodes, key=lambda name: used[name]), ""
    if open_nodes:
        return open_nodes[0], ""
    total = len(nodes)
    reasons = ", ".join(f"{count} {why}" for why, count in sorted(refusals.items())) or "no nodes"
    victims = f"0/{total} nodes are available: {total} Preemption is not helpful for scheduling."
    return None, f"0/{total} nodes are available: {reasons}. preemption: {victims}"


def accepts(node: Object, template: Object) -> bool:
    """Whether a DaemonSet puts a pod there; it does not mind that the node is cordoned."""
    wanted = (template.get("spec") or {}).get("nodeSelector") or {}
    return bool(wanted.items() <= (node["metadata"].get("labels") or {}).items())


def _refusal(node: Object, pod: Object) -> str:
    spec = node.get("spec") or {}
    labels = node["metadata"].get("labels") or {}
    if spec.get("unschedulable"):
        return "node(s) were unschedulable"
    for condition in (node.get("status") or {}).get("conditions") or []:
        if condition["type"] == "Ready" and condition["status"] != "True":
            return "node(s) had untolerated taint(s)"
    if not (pod["spec"].get("nodeSelector") or {}).items() <= labels.items():
        return "node(s) didn't match Pod's node affinity/selector"
    room = (node.get("status") or {}).get("allocatable") or {}
    for name in ("cpu", "memory"):
        if name in room and _requested(pod, name) > amount(room[name]):
            return f"Insufficient {name}"
    return ""


def _requested(pod: Object, name: str) -> float:
    requests = [(each.get("resources") or {}).get("requests") or {} for each in pod["spec"].get("containers") or []]
    return float(sum(amount(each[name]) for each in requests if name in each))
