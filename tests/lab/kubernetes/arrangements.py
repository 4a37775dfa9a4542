"""What tests arrange behind the clients' backs, beside the objects themselves."""

from __future__ import annotations

from collections.abc import Callable

from lab.kubernetes.access import Access, Denial
from lab.kubernetes.definitions import follow_definitions
from lab.kubernetes.exec import Answer, Executions
from lab.kubernetes.kinds import Kinds
from lab.kubernetes.metrics import Metrics
from lab.kubernetes.store import Store
from lab.kubernetes.verbs import Verbs
from lab.kubernetes.watch import Watches
from lab.kubernetes.webhooks import Judge, Webhook


class Arrangements:
    """The part of ``KubernetesApi`` about access, usage, commands and watches."""

    def __init__(self, store: Store, kinds: Kinds) -> None:
        self._watches = Watches(store)
        follow_definitions(store)
        self._access = Access(kinds)
        self._metrics = Metrics(store, kinds)
        self._executions = Executions()
        self._verbs = Verbs(store)

    def admit(self, kind: str, judge: Judge, *, webhook: str = "validate.lab.example.com") -> Callable[[], None]:
        """Play an admission webhook: ``judge`` gets each new object of a kind and says why it is refused, or None.

        It may change the object. What is returned takes the webhook away. As ingress-nginx refuses snippets:
        ``admit("Ingress", lambda ingress: "…" if … else None, webhook="validate.nginx.ingress.kubernetes.io")``.
        """
        return self._verbs.webhooks.add(Webhook(kind, judge, webhook))

    def deny(self, verb: str, resource: str, namespace: str | None = None) -> None:
        """Refuse this, in access reviews and when it is tried; without a namespace, anywhere.

        Patterns with ``*``: ``deny("create", "pods/exec", "shop")``, ``deny("*", "deployments.apps")``.
        """
        self._access.deny(Denial(verb, resource, namespace))

    def allow(self, verb: str | None = None, resource: str = "", namespace: str | None = None) -> None:
        """Take a denial back; without a word all of them."""
        self._access.allow(None if verb is None else Denial(verb, resource, namespace))

    def metrics(self, namespace: str, pod: str, cpu: str, memory: str, *, container: str | None = None) -> None:
        """What a container (the first) uses, such as ``250m`` and ``128Mi``; from then on there are metrics."""
        self._metrics.set_pod(namespace, pod, container, {"cpu": cpu, "memory": memory})

    def node_metrics(self, node: str, cpu: str, memory: str) -> None:
        """What a node uses."""
        self._metrics.set_node(node, {"cpu": cpu, "memory": memory})

    def no_metrics(self) -> None:
        """Take the metrics server away."""
        self._metrics.remove()

    def execute(self, namespace: str, pod: str, answer: Answer, *, container: str = "*") -> None:
        """What commands in a pod do: text, an ``Executed`` or a function of the ``Session``; ``*`` in the names."""
        self._executions.add(namespace, pod, answer, container)

    def forget_versions(self) -> None:
        """A watch that would go on from before this moment gets 410."""
        self._watches.forget()
