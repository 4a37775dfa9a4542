# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talking to a cluster with the official library: few requests, each with a timeout, failures a C(ClusterError).

Objects are the API server's own documents. Nothing is discovered: the kinds that are read are those of C(kinds).
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, MissingLibrary
from ansible_collections.runbook.ops.plugins.module_utils.common.masking import mask_secrets
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import (
    Attempt,
    ClusterError,
    retry_seconds,
    silence_error,
    status_error,
    status_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.kinds import KINDS, Kind

IMPORT_ERROR: str | None = None
try:
    import urllib3
    import yaml
    from kubernetes import client, config
    from kubernetes.client.exceptions import ApiException
    from kubernetes.config.config_exception import ConfigException
    from kubernetes.dynamic.client import DynamicClient
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
# How often a listing that takes too long is begun.
_LISTINGS = 2
_CHUNK_BYTES = 64 * 1024
_ADDRESS = "an address such as https://k8s.example.com:6443"
# Under which name the API server keeps what was changed by us, in metadata.managedFields.
FIELD_MANAGER = "runbook.ops"
_PATCHES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
Document = dict[str, Any]


class Cluster:
    """One client for one cluster; safe to share between threads. Create it with C(connect)."""

    def __init__(
        self, api_client: Any, name: str, secrets: tuple[str | None, ...], timeouts: tuple[float, float]
    ) -> None:
        self._api_client = api_client
        # The library's untyped client, without its discovery.
        self._requests = DynamicClient(api_client, discoverer=lambda *_: None)  # type: ignore[no-untyped-call]
        self._secrets = secrets
        self._timeouts = timeouts
        self.name = name

    def within(self, seconds: float) -> Cluster:
        """The same cluster for requests that must not take longer than this, a second at least.

        Half of it each, because a request without an answer is sent a second time.
        """
        bounded = copy.copy(self)
        most = max(1.0, seconds) / 2
        bounded._timeouts = (min(self._timeouts[0], most), min(self._timeouts[1], most))
        return bounded

    # --- reading
    def read(self, kind: str | Kind, namespace: str | None, name: str) -> Document:
        """One object. C(kind) is a key of C(KINDS); the namespace of a kind of the whole cluster is ignored."""
        found = _kind_of(kind)
        return self._document(_attempt("get", found, namespace, name), "GET", found.path(namespace, name))

    def find(self, kind: str | Kind, namespace: str | None, name: str) -> Document | None:
        """The same; None where there is no such object."""
        try:
            return self.read(kind, namespace, name)
        except ClusterError as error:
            if error.kind == "missing":
                return None
            raise

    def list(
        self,
        kind: str,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        page_size: int | None = None,
    ) -> Iterator[Document]:
        """Objects of a namespace or of all, page by page until the server says that there are no more.

        A listing may outlast the state of the cluster that it began with, which is kept for some minutes. It is begun
        once more then, and what it has given already is left out.
        """
        found = _kind_of(kind)
        attempt = _attempt("list", found, namespace)
        query = {"limit": page_size or _PAGE, "labelSelector": label_selector, "fieldSelector": field_selector}
        given: set[tuple[str, str]] = set()
        begun = 1
        while True:
            try:
                page = self._document(attempt, "GET", found.path(namespace), query)
            except ClusterError as error:
                if error.kind != "gone" or "continue" not in query or begun == _LISTINGS:
                    raise
                begun += 1
                del query["continue"]
                continue
            for each in page.get("items") or ():
                place = (str(each["metadata"].get("namespace") or ""), str(each["metadata"]["name"]))
                if begun == 1 or place not in given:
                    yield each
                given.add(place)
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return
            query["continue"] = token

    def get(self, path: str, **query: Any) -> Document:
        """What the server answers at a path, such as C(/version)."""
        return self._document(Attempt("get", path), "GET", path, query)

    # --- changing; with dry_run the server checks everything and stores nothing
    def create(
        self, kind: str | Kind, namespace: str | None, body: Mapping[str, Any], *, dry_run: bool = False
    ) -> Document:
        """Create an object; one that exists already is a C(ClusterError) of kind C(conflict)."""
        found = _kind_of(kind)
        attempt = _attempt("create", found, namespace, (body.get("metadata") or {}).get("name"))
        return self._change(attempt, "POST", found.path(namespace), body, dry_run)

    def patch(
        self,
        kind: str | Kind,
        namespace: str | None,
        name: str,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        how: str = "merge",
        subresource: str = "",
        dry_run: bool = False,
        force: bool = False,
    ) -> Document:
        """Change an object.

        A C(metadata.resourceVersion) in a merge patch, or a C(test) in a JSON patch, makes it a C(conflict) when
        somebody else was faster.

        Args:
            kind: A key of C(KINDS).
            namespace: Where it is.
            name: Its name.
            body: The patch; a list for C(json).
            how: C(merge) (RFC 7386), C(strategic), C(json) (RFC 6902) or C(apply) (server-side apply).
            subresource: Such as C(scale).
            dry_run: Whether the server only says what would come out.
            force: With C(apply), whether fields that others own are taken over.

        """
        found = _kind_of(kind)
        attempt = _attempt("patch", found, namespace, name, subresource)
        # Types that are no JSON by name are sent as they are.
        content: Any = json.dumps(body) if how == "apply" else body
        query = {"force": "true"} if force else {}
        return self._change(
            attempt, "PATCH", found.path(namespace, name, subresource), content, dry_run, query, _PATCHES[how]
        )

    def delete(
        self,
        kind: str | Kind,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        propagation: str = "Background",
        dry_run: bool = False,
    ) -> Document:
        """Delete one object; with C(uid) only that very one, another of the same name is a C(conflict)."""
        found = _kind_of(kind)
        body: Document = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid:
            body["preconditions"] = {"uid": uid}
        return self._change(
            _attempt("delete", found, namespace, name), "DELETE", found.path(namespace, name), body, dry_run
        )

    def log(self, namespace: str, pod: str, **arguments: Any) -> Generator[bytes, None, None]:
        """The bytes of a container's log as they come; arguments as C(read_namespaced_pod_log) has them."""
        attempt = Attempt("get", "pods/log", namespace, pod)
        method = client.CoreV1Api(self._api_client).read_namespaced_pod_log
        with self._translated(attempt):
            response: Any = method(
                name=pod, namespace=namespace, **arguments, _preload_content=False, _request_timeout=self._timeouts
            )
            try:
                yield from response.stream(_CHUNK_BYTES)
            finally:
                # A log that is not read to its end must not keep its connection.
                response.close()

    def _change(
        self,
        attempt: Attempt,
        method: str,
        path: str,
        body: Any,
        dry_run: bool,
        query: Mapping[str, Any] | None = None,
        content_type: str | None = None,
    ) -> Document:
        given = {"dryRun": "All" if dry_run else None, **(query or {})}
        if method != "DELETE":
            given["fieldManager"] = FIELD_MANAGER
        return self._document(attempt, method, path, given, body, content_type)

    def _document(
        self,
        attempt: Attempt,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str | None = None,
    ) -> Document:
        parameters = [(name, value) for name, value in (query or {}).items() if value not in (None, "")]

        def ask() -> Any:
            with self._translated(attempt):
                # Not deserialized: the documents are the server's own, and no version of the library checks them.
                return self._requests.request(
                    method,
                    path,
                    body=body,
                    query_params=parameters,
                    content_type=content_type,
                    header_params={},
                    serialize=False,
                    _request_timeout=self._timeouts,
                ).data

        try:
            document = json.loads(self._patiently(ask))
        except ValueError:
            document = None
        if not isinstance(document, dict):
            shown = f"{self.name} does not answer as an API server does. Correct host."
            raise ClusterError(shown, "other")
        return document

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        """What is answered; a server that has too much to do is asked again when it says so.

        With status 429 nothing was begun, whatever was asked for. All that takes no longer than one answer may.
        """
        deadline = time.monotonic() + self._timeouts[1]
        while True:
            try:
                return ask()
            except ClusterError as error:
                if error.retry_after is None or time.monotonic() + error.retry_after > deadline:
                    raise
                time.sleep(error.retry_after)

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
            failure = status_error(attempt, cluster=self.name, status=int(error.status), message=message, reason=reason)
            failure.retry_after = retry_seconds(int(error.status), error.headers)
            raise failure from None
        except HTTPError as error:
            cause = getattr(error, "reason", None) or error
            kinds = type(cause).__mro__ if isinstance(cause, Exception) else type(error).__mro__
            known = tuple(kind.__name__ for kind in kinds)
            detail = self._clean(str(cause).rpartition(">: ")[2] or str(cause))
            raise silence_error(attempt, cluster=self.name, names=known, detail=detail) from None

    def _clean(self, text: str) -> str:
        return mask_secrets(text, self._secrets)


def _kind_of(kind: str | Kind) -> Kind:
    """A key of C(KINDS), or a kind that was found at the server."""
    return KINDS[kind] if isinstance(kind, str) else kind


def _attempt(verb: str, kind: Kind, namespace: str | None, name: str | None = None, subresource: str = "") -> Attempt:
    resource = f"{kind.plural}/{subresource}" + (f".{kind.group}" if kind.group else "") if subresource else ""
    return Attempt(verb, resource or kind.resource, namespace if kind.namespaced else None, name)


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
        raise MissingLibrary(
            missing_required_lib("kubernetes", reason="for clusters: pip install kubernetes"), exception=IMPORT_ERROR
        )
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
