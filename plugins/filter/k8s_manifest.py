# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests from live objects."""

from __future__ import annotations

DOCUMENTATION = r"""
name: k8s_manifest
short_description: An applicable manifest from an object that a cluster has
version_added: 0.7.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - Takes an object of Kubernetes as the server answers it and leaves what somebody wanted, so that it can be applied
    to this cluster or to another one. What the server, a controller or a node wrote is dropped - status, uid,
    resourceVersion, generation, times, managed fields, owner references, the annotations of C(kubectl apply), of
    rollouts and of volumes, the finalizers of Kubernetes, the cluster IP of a Service unless it is headless, and the
    C(controller-uid) of Jobs. Fields that the server filled in with a default are kept.
  - A C(nodePort) is kept in a Service of the type NodePort, because whoever sends traffic there has its number, and
    dropped in others. The volume of a PersistentVolumeClaim (C(volumeName)) is kept, so that a claim gets the volume
    with its data back; delete it for a cluster that does not have the volume.
  - Of a list, those objects are left out that something else makes, such as the pods of a ReplicaSet, the Jobs of a
    CronJob, tokens of ServiceAccounts, C(kube-root-ca.crt) and the ServiceAccount C(default). The rest comes in the
    order in which it can be applied. A single object of this kind is an error.
positional: secrets
options:
  _input:
    description: One object, or a list of them such as C(resources) of M(kubernetes.core.k8s_info).
    type: raw
    required: true
  secrets:
    description:
      - What becomes of Secrets. With V(refuse) a Secret is an error, because its values do not belong into a manifest.
      - With V(omit) Secrets are left out of a list.
      - With V(names) their values are left out, and the names of their keys are in the annotation
        C(runbook-ops.github.io/keys).
      - There is no way to have the values. M(runbook.ops.k8s_backup) keeps them, encrypted.
    type: str
    choices: [refuse, omit, names]
    default: refuse
seealso:
  - module: runbook.ops.k8s_backup
  - module: kubernetes.core.k8s
"""

EXAMPLES = r"""
- name: Look at the Deployments
  kubernetes.core.k8s_info:
    api_version: apps/v1
    kind: Deployment
    namespace: storebridge
  register: deployments

- name: Write what can be applied
  ansible.builtin.copy:
    dest: /var/backups/deployments.yaml
    content: "{{ deployments.resources | runbook.ops.k8s_manifest | to_nice_yaml }}"
    mode: "0600"
"""

RETURN = r"""
_value:
  description: The manifest, or the list of manifests in the order of applying.
  type: raw
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.manifest import (
    OMIT,
    SECRETS,
    check_document,
    manifest_of,
    manifests_of,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors


@filter_errors
def k8s_manifest(objects: Any, secrets: str = "refuse") -> Any:
    """A manifest, or manifests in the order of applying; see DOCUMENTATION."""
    if secrets not in SECRETS:
        raise InvalidOption("secrets", secrets, ", ".join(SECRETS))
    if isinstance(objects, Mapping):
        if secrets == OMIT:
            raise InvalidOption(
                "secrets", secrets, "refuse or names for a single object; there is no list to leave it out of"
            )
        return manifest_of(check_document(objects), secrets=secrets)
    if not isinstance(objects, (list, tuple)):
        raise InvalidOption("_input", type(objects).__name__, "an object of Kubernetes or a list of them")
    return manifests_of([check_document(each) for each in objects], secrets=secrets)[0]


class FilterModule:
    """The filter C(runbook.ops.k8s_manifest)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"k8s_manifest": k8s_manifest}
