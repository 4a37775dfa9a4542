# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talking to a cluster with the official library: few requests, each with a timeout, failures a C(ClusterError).

Objects are the API server's own documents. Nothing is discovered: the kinds that are read are named here.
"""

from __future__ import annotations

import contextlib
import json
import os
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, MissingLibrary
from ansible_collections.runbook.ops.plugins.module_utils.common.masking import mask_secrets
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import (
    Attempt,
    ClusterError,
    silence_error,
    status_error,
    status_of,
)

IMPORT_ERROR: str | None = None
try:
    import urllib3
    import yaml
    from kubernetes import client, config
    from kubernetes.client.exceptions import ApiException
    from kubernetes.config.config_exception import ConfigException
    from urllib3.exceptions import HTTPError
except ImportError:
    IMPORT_ERROR = traceback.format_exc()

    class ApiException(Exception):  # type: ignore[no-redef]
        """Stands in so that the module can be imported and name what is missing."""

    class ConfigException(Exception):  # type: ignore[no-redef]
        """Stands in, too."""

    class HTTPError(Exception):  # type: ignore[no-redef]
        """Stands in, too."""


_PAGE = 500
_CHUNK_BYTES = 64 * 1024
_ADDRESS = "an address such as https://k8s.example.com:6443"
# kind -> API, method, resource.
_READS = {
    "claim": ("CoreV1Api", "read_namespaced_persistent_volume_claim", "persistentvolumeclaims"),
    "deployment": ("AppsV1Api", "read_namespaced_deployment", "deployments.apps"),
    "statefulset": ("AppsV1Api", "read_namespaced_stateful_set", "statefulsets.apps"),
    "daemonset": ("AppsV1Api", "read_namespaced_daemon_set", "daemonsets.apps"),
    "job": ("BatchV1Api", "read_namespaced_job", "jobs.batch"),
}
Document = dict[str, Any]


class Cluster:
    """One client for one cluster; safe to share between threads. Create it with C(connect)."""

    def __init__(
        self, api_client: Any, name: str, secrets: tuple[str | None, ...], timeouts: tuple[float, float]
    ) -> None:
        self._api_client = api_client
        self._secrets = secrets
        self._timeouts = timeouts
        self.name = name

    def read(self, kind: str, namespace: str, name: str) -> Document:
        """One object of a namespace; C(kind) is C(claim) or that of a workload."""
        api, method, resource = _READS[kind]
        attempt = Attempt("get", resource, namespace, name)
        return self._document(attempt, getattr(self._api(api), method), name=name, namespace=namespace)

    def storage_class(self, name: str) -> Document:
        """A StorageClass."""
        attempt = Attempt("get", "storageclasses.storage.k8s.io", None, name)
        return self._document(attempt, self._api("StorageV1Api").read_storage_class, name=name)

    def pods(self, namespace: str, selector: str | None = None) -> Iterator[Document]:
        """Pods of a namespace, page by page until the server says that there are no more."""
        attempt = Attempt("list", "pods", namespace)
        arguments: dict[str, Any] = {"namespace": namespace, "limit": _PAGE}
        if selector:
            arguments["label_selector"] = selector
        while True:
            page = self._document(attempt, self._api("CoreV1Api").list_namespaced_pod, **arguments)
            yield from page.get("items") or ()
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return
            arguments["_continue"] = token

    def patch_claim(self, namespace: str, name: str, body: Mapping[str, Any], *, dry_run: bool) -> Document:
        """Merge C(body) into a claim; with C(dry_run) the server only says whether it would."""
        attempt = Attempt("patch", "persistentvolumeclaims", namespace, name)
        method = self._api("CoreV1Api").patch_namespaced_persistent_volume_claim
        arguments = {"dry_run": "All"} if dry_run else {}
        return self._document(attempt, method, name=name, namespace=namespace, body=dict(body), **arguments)

    def log(self, namespace: str, pod: str, **arguments: Any) -> Generator[bytes, None, None]:
        """The bytes of a container's log as they come; arguments as C(read_namespaced_pod_log) has them."""
        attempt = Attempt("get", "pods/log", namespace, pod)
        method = self._api("CoreV1Api").read_namespaced_pod_log
        with self._translated(attempt):
            response = self._send(method, name=pod, namespace=namespace, **arguments)
            try:
                yield from response.stream(_CHUNK_BYTES)
            finally:
                # A log that is not read to its end must not keep its connection.
                response.close()

    def _api(self, name: str) -> Any:
        return getattr(client, name)(self._api_client)

    def _document(self, attempt: Attempt, method: Callable[..., Any], **arguments: Any) -> Document:
        with self._translated(attempt):
            response = self._send(method, **arguments)
            data = response.data
        try:
            document = json.loads(data)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            shown = f"{self.name} does not answer as an API server does. Correct host."
            raise ClusterError(shown, "other")
        return document

    def _send(self, method: Callable[..., Any], **arguments: Any) -> Any:
        # Not preloaded, so that the documents are the server's own, and no version of the library checks them.
        return method(**arguments, _preload_content=False, _request_timeout=self._timeouts)

    @contextlib.contextmanager
    def _translated(self, attempt: Attempt) -> Iterator[None]:
        try:
            yield
        except ApiException as error:
            if not error.status:
                names: tuple[str, ...] = ("SSLError",)
                raise silence_error(
                    attempt, cluster=self.name, names=names, detail=self._clean(str(error.reason))
                ) from None
            body = error.body.decode("utf-8", "replace") if isinstance(error.body, bytes) else str(error.body or "")
            message, reason = status_of(self._clean(body))
            raise status_error(
                attempt, cluster=self.name, status=int(error.status), message=message, reason=reason
            ) from None
        except HTTPError as error:
            cause = getattr(error, "reason", None) or error
            kinds = type(cause).__mro__ if isinstance(cause, Exception) else type(error).__mro__
            known = tuple(kind.__name__ for kind in kinds)
            detail = self._clean(str(cause).rpartition(">: ")[2] or str(cause))
            raise silence_error(attempt, cluster=self.name, names=known, detail=detail) from None

    def _clean(self, text: str) -> str:
        return mask_secrets(text, self._secrets)


def connect(options: Mapping[str, Any], *, connections: int = 8) -> Cluster:
    """A client; nothing is sent yet.

    Args:
        options: The module parameters of C(kubernetes_argument_spec); further keys are ignored, empty ones not given.
        connections: How many requests may be under way at once.

    Raises:
        InvalidOption: an option that cannot work.
        MissingLibrary: kubernetes is missing.

    """
    if IMPORT_ERROR is not None:
        raise MissingLibrary(missing_required_lib("kubernetes"), exception=IMPORT_ERROR)
    given = {name: value for name, value in options.items() if value not in (None, "")}
    _check(given)
    settings = client.Configuration()
    _load(settings, given)
    _overlay(settings, given)
    # A second attempt at most: the caller knows better how long it can wait.
    settings.retries = urllib3.Retry(total=1, respect_retry_after_header=False)
    settings.connection_pool_maxsize = connections
    if not settings.verify_ssl:
        warnings.filterwarnings("ignore", category=urllib3.exceptions.InsecureRequestWarning)
    timeouts = (float(given.get("connect_timeout", 5)), float(given.get("read_timeout", 20)))
    tokens = [text.rpartition(" ")[2] for text in (settings.api_key or {}).values() if text]
    secrets = (given.get("api_key"), settings.password, urlsplit(settings.proxy or "").password, *tokens)
    return Cluster(client.ApiClient(settings), _shown(settings.host), secrets, timeouts)


def _load(settings: Any, given: Mapping[str, Any]) -> None:
    wants_file = "kubeconfig" in given or "context" in given
    if "host" in given and not wants_file:
        return
    path = given.get("kubeconfig")
    try:
        if not wants_file and not _default_files() and os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
            return
        config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=path, context=given.get("context"), client_configuration=settings, persist_config=False
        )
    except yaml.YAMLError:
        # Its text shows the lines around, and logins are among them.
        raise InvalidOption("kubeconfig", path or "the file of kubectl", "a file in YAML") from None
    except (ConfigException, OSError, ValueError, TypeError) as error:
        option = "context" if "context" in given and "context" in str(error) else "kubeconfig"
        shown = given.get(option, "the file of kubectl")
        detail = " ".join(str(error).split()).rstrip(".")
        raise InvalidOption(option, shown, f"a kubeconfig that names the cluster and the login ({detail})") from None


def _default_files() -> list[Path]:
    places = os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
    return [Path(place) for place in places.split(os.pathsep) if place and Path(place).is_file()]


def _overlay(settings: Any, given: Mapping[str, Any]) -> None:
    for option, name in (
        ("host", "host"),
        ("ca_cert", "ssl_ca_cert"),
        ("client_cert", "cert_file"),
        ("client_key", "key_file"),
        ("validate_certs", "verify_ssl"),
        ("proxy", "proxy"),
    ):
        if option in given:
            setattr(settings, name, given[option])
    if "api_key" in given:
        settings.api_key = {"authorization": f"Bearer {given['api_key']}"}


def _check(given: Mapping[str, Any]) -> None:
    if ("client_cert" in given) != ("client_key" in given):
        missing = "client_key" if "client_cert" in given else "client_cert"
        raise InvalidOption(missing, "", "client_cert and client_key together, or neither of them")
    for option in ("host", "proxy"):
        if option in given and not _is_address(given[option]):
            # Not shown: what cannot be read cannot be cleared of a password either.
            raise InvalidOption(option, "(given)", _ADDRESS)
    for option in ("connect_timeout", "read_timeout"):
        if option in given and not 0 < float(given[option]) <= 3600:
            raise InvalidOption(option, given[option], "seconds above 0, at most 3600")
    for option in ("kubeconfig", "ca_cert", "client_cert", "client_key"):
        if option in given and not Path(given[option]).is_file():
            raise InvalidOption(option, given[option], "a file that exists on the host that executes the module")


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _shown(host: str) -> str:
    parts = urlsplit(host)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
