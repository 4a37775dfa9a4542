"""A Kubernetes API server for tests, in this process: no container, no binary, the standard library and PyYAML.

    with KubernetesApi() as api:
        api.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "shop"}})
        kubeconfig = api.kubeconfig(tmp_path / "kubeconfig")

It keeps what clients depend on: discovery, versions and conflicts, the four patches, selectors, pages of lists, dry
runs, Status objects as errors, and for persistent volume claims the server's rules and the resizer's stages. It knows
no schemas: a manifest with a wrong field is stored. Controllers of workloads can be added as reconcile hooks
(``controllers.py``); watches and exec are not served.
"""

from lab.kubernetes.api import CONTROLLERS, KubernetesApi
from lab.kubernetes.controllers import Controller
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import Key, Object
from lab.kubernetes.request import Request
from lab.kubernetes.store import Store

__all__ = ["CONTROLLERS", "ApiError", "Controller", "Key", "KubernetesApi", "Object", "Request", "Store"]
