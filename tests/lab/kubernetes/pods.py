"""Pods: scheduled on a node and running a moment after they were created, as on a cluster with room."""

from __future__ import annotations

from lab.kubernetes.controllers import Controller
from lab.kubernetes.kinds import Key, Object
from lab.kubernetes.store import Store, now

NODE = "lab-node-1"
NEW_POD: Object = {"phase": "Pending", "qosClass": "BestEffort"}


def reconcile(store: Store, key: Key) -> float | None:
    """A pod that nobody gave a status starts; one that was given a status keeps it."""
    pod = store.get(key)
    if pod.get("status") != NEW_POD:
        return None
    pod["spec"].setdefault("nodeName", NODE)
    pod["status"] = running(pod)
    store.replace(key, pod)
    return None


def running(pod: Object) -> Object:
    """The status of a pod whose containers all run and are ready."""
    moment = now()
    return {
        "phase": "Running",
        "startTime": moment,
        "hostIP": "192.0.2.1",
        "podIP": "192.0.2.101",
        "qosClass": "BestEffort",
        "conditions": [
            {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": moment}
            for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        ],
        "containerStatuses": [
            {
                "name": each["name"],
                "image": each.get("image", ""),
                "imageID": f"lab://{each.get('image', '')}",
                "containerID": f"lab://{pod['metadata']['uid']}/{each['name']}",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": moment}},
                "lastState": {},
            }
            for each in pod["spec"].get("containers") or []
        ],
    }


PODS = Controller("pods", reconcile)
