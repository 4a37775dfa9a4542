# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When to give up on a rollout before its time is over: the same new pod has had the same trouble for long. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_state import state_of

# How long a trouble must last, in seconds. A registry that is away for a moment, a Secret that is synchronized a little
# later, and a container that waits for another one by crashing two or three times, are over by then.
# What does not heal by itself, by kinds: a reason alternates with others of its kind.
_KINDS = {
    **dict.fromkeys(("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"), "image"),
    **dict.fromkeys(("ImageInspectError", "SignatureValidationFailed"), "image"),
    **dict.fromkeys(("CreateContainerConfigError", "CreateContainerError", "RunContainerError"), "container"),
    **dict.fromkeys(("CrashLoopBackOff", "OOMKilled", "Error", "ContainerCannotRun", "StartError"), "crash"),
}


def trouble_of(pods: Iterable[Mapping[str, Any]], newest: Optional[str], now: datetime) -> dict[str, str]:
    """The kind of trouble of each pod of the newest revision that is not ready; empty for what may pass.

    Pods of older revisions may have troubles of their own, which a rollout may be about to end.
    """
    found = {}
    for pod in pods:
        metadata = pod.get("metadata") or {}
        labels = metadata.get("labels") or {}
        mine = labels.get("pod-template-hash") or labels.get("controller-revision-hash")
        if not newest or mine != newest or metadata.get("deletionTimestamp"):
            continue
        state = state_of(pod, now=now)
        if not state.ready:
            found[state.name] = _KINDS.get(state.problem.reason, "") if state.problem else ""
    return found


@dataclass
class Patience:
    """Remembers since when which pod has which trouble."""

    # 0 for never giving up.
    seconds: float
    since: dict[tuple[str, str], float] = field(default_factory=dict)

    def is_over(self, troubles: Mapping[str, str], now: float) -> bool:
        """Whether a pod has had the same trouble for too long.

        One that runs for a moment between two crashes has not healed; one that is ready, or gone, has.
        """
        self.since = {(pod, kind): at for (pod, kind), at in self.since.items() if pod in troubles}
        for pod, kind in troubles.items():
            if kind:
                # Another trouble than before: something is being done about it.
                self.since = {key: at for key, at in self.since.items() if key[0] != pod or key[1] == kind}
                self.since.setdefault((pod, kind), now)
        return self.seconds > 0 and any(
            now - at >= self.seconds and troubles[pod] == kind for (pod, kind), at in self.since.items()
        )
