# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Closes an application and opens it again: look, rehearse at the server, change one object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal, check_refusals, outcome
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.change_mark import mark_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import Cluster, connect
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.closing import (
    Barrier,
    Setting,
    Switch,
    barrier_of,
    is_as_wanted,
    is_ours,
    service_refusal,
    switch_setting,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.ownership import ownership_verdict
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.persistence import anew
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.routes import barrier_refusal, rules_of, tls_of

CLOSED, OPEN = "closed", "open"
Document = dict[str, Any]


def switch_maintenance(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The whole result of the module.

    Raises:
        InvalidOption: before anything is touched.
        Refused: it would not work, or is not ours to change; nothing was touched.
        ClusterError: a request failed, that of an admission webhook among them.

    """
    run: Callable[[], dict[str, Any]]
    if params["flag"]:
        given = params["flag"]
        switch = Switch(given["config_map"], given["key"], given["value"], given["open_value"])
        if switch.value == switch.open_value:
            raise InvalidOption("flag.open_value", switch.open_value, "another value than that of flag.value")
        run = _ByFlag(connect(params), params, check_mode, switch).run
    else:
        run = _ByIngress(connect(params), params, check_mode, barrier_of(params["ingress"])).run
    # Ours was changed, or taken away, by somebody else meanwhile.
    return anew(run, kinds=("conflict", "missing"))


class _Run:
    def __init__(self, cluster: Cluster, params: Mapping[str, Any], check_mode: bool) -> None:
        self.cluster = cluster
        self.namespace: str = params["namespace"]
        self.gitops: str = params["gitops"]
        self.check_mode = check_mode
        self.closes = params["state"] == CLOSED
        self.notes: list[str] = []
        # The name of the last change of the flag, for restarts.
        self.mark: Optional[str] = None

    def result(
        self,
        shown: str,
        action: Optional[str],
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        refusal: Optional[Refusal] = None,
    ) -> dict[str, Any]:
        done = bool(action) and refusal is None
        found = outcome(
            changed=done,
            actions=[{"action": action, "object": shown, "from": before["value"], "to": after["value"]}]
            if done
            else [],
            refused=[refusal] if refusal else [],
            before=before,
            after=None if self.check_mode else (before if refusal else after),
            notes=self.notes,
            restart_id=self.mark,
            diff={"before": dict(before), "after": dict(before if refusal else after)},
        )
        check_refusals(found, "fail")
        return found


class _ByFlag(_Run):
    """A key of a ConfigMap that the application reads."""

    def __init__(self, cluster: Cluster, params: Mapping[str, Any], check_mode: bool, switch: Switch) -> None:
        super().__init__(cluster, params, check_mode)
        self.switch = switch

    def run(self) -> dict[str, Any]:
        """Look, decide, patch this one key."""
        self.notes = []
        switch = self.switch
        shown = f"ConfigMap {self.namespace}/{switch.config_map}"
        found = self.cluster.find("configmap", self.namespace, switch.config_map)
        if found is None:
            remedy = "Correct namespace and flag.config_map. A ConfigMap that nobody reads closes nothing."
            return self.result(
                shown, None, self._facts(None), self._facts(None), Refusal(shown, "it is not there", remedy)
            )
        now = (found.get("data") or {}).get(switch.key)
        self.mark = mark_of({**found, "kind": "ConfigMap"})
        setting = switch_setting(switch, {**found, "kind": "ConfigMap"}, shown, closes=self.closes)
        if setting is None:
            return self.result(shown, None, self._facts(now), self._facts(now))
        refusal = setting if isinstance(setting, Refusal) else self._refusal(found, shown)
        if refusal or not isinstance(setting, Setting):
            return self.result(shown, None, self._facts(now), self._facts(now), refusal)
        done = self.cluster.patch(
            "configmap", self.namespace, switch.config_map, setting.patch, dry_run=self.check_mode
        )
        self.mark = mark_of({**done, "kind": "ConfigMap"})
        return self.result(shown, "set", self._facts(setting.before), self._facts(setting.after))

    def _refusal(self, found: Mapping[str, Any], shown: str) -> Optional[Refusal]:
        if found.get("immutable"):
            return Refusal(shown, "it is immutable", "Let the application read the flag from another ConfigMap.")
        refusal, self.notes = ownership_verdict({**found, "kind": "ConfigMap"}, shown, self.gitops)
        return refusal

    def _facts(self, value: Optional[str]) -> dict[str, Any]:
        return {"closed": value == self.switch.value, "value": value}


class _ByIngress(_Run):
    """An Ingress of our own beside the application's, which is never touched."""

    def __init__(self, cluster: Cluster, params: Mapping[str, Any], check_mode: bool, barrier: Barrier) -> None:
        super().__init__(cluster, params, check_mode)
        self.barrier = barrier

    def run(self) -> dict[str, Any]:
        """Look, let the server and its webhooks say no by a dry run, and change our own object."""
        self.notes = []
        barrier = self.barrier
        shown = f"Ingress {self.namespace}/{barrier.name}"
        found = self.cluster.find("ingress", self.namespace, barrier.name)
        before = self._facts(found)
        if found is not None and not is_ours(found):
            remedy = "Give ours another name (ingress.name)."
            return self.result(shown, None, before, before, Refusal(shown, "it was not made by this module", remedy))
        if not self.closes:
            return self._opened(found, shown)
        ingresses = self._ingresses()
        wanted = barrier.manifest(self.namespace, tls_of(ingresses, barrier, self.namespace))
        refusal = self._refusal(shown) or barrier_refusal(barrier, shown, rules_of(ingresses))
        if refusal:
            return self.result(shown, None, before, before, refusal)
        if found is not None and is_as_wanted(found, wanted):
            return self.result(shown, None, before, before)
        if found is None:
            self.cluster.create("ingress", self.namespace, wanted, dry_run=True)
            if not self.check_mode:
                self.cluster.create("ingress", self.namespace, wanted)
            return self.result(shown, "create", before, self._facts(wanted))
        metadata = {
            "resourceVersion": found["metadata"]["resourceVersion"],
            "annotations": wanted["metadata"]["annotations"],
        }
        body = {"metadata": metadata, "spec": {"tls": None, **wanted["spec"]}}
        self.cluster.patch("ingress", self.namespace, barrier.name, body, dry_run=True)
        if not self.check_mode:
            self.cluster.patch("ingress", self.namespace, barrier.name, body)
        return self.result(shown, "change", before, self._facts(wanted))

    def _opened(self, found: Optional[Document], shown: str) -> dict[str, Any]:
        before = self._facts(found)
        if found is None:
            return self.result(shown, None, before, before)
        uid = found["metadata"]["uid"]
        self.cluster.delete("ingress", self.namespace, self.barrier.name, uid=uid, dry_run=self.check_mode)
        return self.result(shown, "delete", before, self._facts(None))

    def _refusal(self, shown: str) -> Optional[Refusal]:
        barrier = self.barrier
        service = self.cluster.find("service", self.namespace, barrier.service)
        selector = f"kubernetes.io/service-name={barrier.service}"
        slices = list(self.cluster.list("endpointslice", self.namespace, label_selector=selector)) if service else []
        return service_refusal(barrier, shown, service, slices)

    def _ingresses(self) -> list[Document]:
        try:
            return list(self.cluster.list("ingress"))
        except ClusterError as error:
            if error.kind != "forbidden":
                raise
            self.notes.append(
                "Only Ingresses of this namespace were looked at, because those of others must not be listed."
            )
            return list(self.cluster.list("ingress", self.namespace))

    def _facts(self, ingress: Optional[Mapping[str, Any]]) -> dict[str, Any]:
        paths = [f"{host}{path}" for host in self.barrier.hosts for path in self.barrier.paths]
        if ingress is not None:
            paths = [
                f"{rule.get('host') or ''}{each.get('path')}"
                for rule in ingress["spec"].get("rules") or ()
                for each in rule["http"]["paths"]
            ]
        return {"closed": ingress is not None, "value": ", ".join(paths) if ingress is not None else None}
