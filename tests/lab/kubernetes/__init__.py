"""A Kubernetes API server for tests, in this process: no container, no binary, the standard library and PyYAML.

    with KubernetesApi() as api:
        api.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "shop"}})
        kubeconfig = api.kubeconfig(tmp_path / "kubeconfig")

It keeps what clients depend on: discovery, versions and conflicts, the patches and who manages which field, selectors,
pages of lists, watches, dry runs, Status objects as errors, defaults and the refusals that people run into, evictions,
exec, access reviews, metrics, and for persistent volume claims the server's rules and the resizer's stages.

What is created without a status is taken up by controllers: Deployments roll out by ReplicaSets (``rollout.py``),
StatefulSets and DaemonSets (``sets.py``), Jobs (``jobs.py``), autoscalers (``autoscaler.py``, ``api.load``), and pods,
which do what their images say (``images.py``): ``/crash``, ``/oom``, ``/unready``, ``/bad-image``, ``/pending``,
``/slow``, ``/errors``. What is created with a status is planted, and stays as it is until its spec changes. Services
have EndpointSlices, and ``api.serve(namespace, service)`` is where their clients reach them, answered by a pod that is
ready. CronJobs start nothing, and disruption budgets are asked only by evictions.
"""

from lab.kubernetes.api import CONTROLLERS, KubernetesApi
from lab.kubernetes.controllers import Controller
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import Key, Object
from lab.kubernetes.request import Request
from lab.kubernetes.store import Store

__all__ = ["CONTROLLERS", "ApiError", "Controller", "Key", "KubernetesApi", "Object", "Request", "Store"]
