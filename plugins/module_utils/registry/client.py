# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking registries by the Distribution API (https://github.com/opencontainers/distribution-spec).

Few requests, one connection to each server, logins, limits. Nothing is ever pushed, and no layer is fetched.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Optional
from urllib.parse import urlencode

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.masking import mask_secrets
from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text
from ansible_collections.runbook.ops.plugins.module_utils.http.client import ANY_HOST, HttpClient, Response
from ansible_collections.runbook.ops.plugins.module_utils.http.errors import TLS, HttpFailure
from ansible_collections.runbook.ops.plugins.module_utils.http.options import Settings
from ansible_collections.runbook.ops.plugins.module_utils.http.urls import display_url, parse_url, with_query
from ansible_collections.runbook.ops.plugins.module_utils.registry.answers import (
    ACCEPT,
    Challenge,
    parse_challenges,
    parse_refusal,
)
from ansible_collections.runbook.ops.plugins.module_utils.registry.credentials import Login, Logins
from ansible_collections.runbook.ops.plugins.module_utils.registry.reference import Reference

# The specification asks registries to take manifests of up to 4 MiB; configurations are of the same order.
_MAX_BYTES = 8 << 20
_AGAIN = (429, 503)
_CLIENT = "runbook.ops"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class NotKnown(RunbookError):
    """The registry did not tell; C(answered) says whether it is there at all."""

    def __init__(self, reason: str, remedy: str, *, answered: bool) -> None:
        super().__init__(reason)
        self.remedy = remedy
        self.answered = answered


class Registries:
    """The registries of one run: one connection each, and one token for each repository."""

    def __init__(
        self,
        settings: Settings,
        logins: Logins,
        *,
        insecure: frozenset[str],
        patience: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = HttpClient(settings, max_body_bytes=_MAX_BYTES)
        self._logins = logins
        self._insecure = insecure
        self._patience = patience
        self._sleep = sleep
        self._authorization: dict[str, str] = {}
        self._silent: dict[str, NotKnown] = {}
        self._secrets = list(settings.secrets)
        self.requests_count = 0

    def __enter__(self) -> Registries:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def manifest(self, reference: Reference, wanted: str) -> Response:
        """The manifest or index of a tag or digest. Raises NotKnown where there is no answer, or no way in."""
        return self._get(reference, f"manifests/{wanted}", {"Accept": ACCEPT})

    def blob(self, reference: Reference, digest: str) -> Response:
        """A small object, such as the configuration of an image."""
        return self._get(reference, f"blobs/{digest}", {})

    def tags(self, reference: Reference) -> Response:
        """One tag of a repository, to tell whether there is such a repository."""
        return self._get(reference, "tags/list?n=1", {})

    def _get(self, reference: Reference, path: str, headers: Mapping[str, str]) -> Response:
        if reference.host in self._silent:
            raise self._silent[reference.host]
        scheme = "http" if reference.host in self._insecure else "https"
        url = f"{scheme}://{reference.host}/v2/{reference.repository}/{path}"
        response = self._authorized(reference, url, headers)
        if response.status == 401:
            self._log_in(reference, response)
            response = self._authorized(reference, url, headers)
        return response

    def _authorized(self, reference: Reference, url: str, headers: Mapping[str, str]) -> Response:
        known = self._authorization.get(reference.name)
        fields = {**headers, **({"Authorization": known} if known else {})}
        try:
            return self._send("GET", url, fields, reference.registry)
        except HttpFailure as failure:
            advice = _advice(failure, reference.registry)
            # The next image of a registry that does not answer would wait as long once more.
            self._silent[reference.host] = NotKnown(
                f"{reference.registry} cannot be asked: {failure.message.rstrip('.')}", advice, answered=False
            )
            raise self._silent[reference.host] from None

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], whom: str, body: Optional[bytes] = None
    ) -> Response:
        pause = 1.0
        while True:
            self.requests_count += 1
            response = self._client.request(
                method, url, headers=headers, body=body, follow_redirects=ANY_HOST, repeatable=True
            )
            if response.status not in _AGAIN:
                return response
            told = retry_after(response.headers.get("retry-after"), dt.datetime.now(dt.timezone.utc))
            wait = pause if told is None else told
            if wait > self._patience:
                raise self._too_many(whom, response, told)
            self._patience -= wait
            pause *= 2
            self._sleep(wait)

    def _too_many(self, whom: str, response: Response, told: Optional[float]) -> NotKnown:
        said = self.clean(parse_refusal(response.body).said)
        what = "asks for fewer requests" if response.status == 429 else "cannot answer now"
        when = f" and wants to be asked again in {told:.0f} s" if told is not None else ""
        reason = f"{whom} {what} (status {response.status}{said and f', {said}'}){when}"
        return NotKnown(reason, "Ask later, log in for a higher limit, or raise retry_seconds.", answered=True)

    # --- logging in
    def _log_in(self, reference: Reference, response: Response) -> None:
        """Find out how the registry wants to be asked; raises NotKnown where we cannot."""
        login = self._logins.of(reference)
        if login is not None:
            self._secrets += login.secrets
        challenges = parse_challenges(response.headers.get("www-authenticate", ""))
        said = self.clean(parse_refusal(response.body).said)
        for scheme, way in (("bearer", self._bearer), ("basic", self._basic)):
            offered = next((each for each in challenges if each.scheme == scheme), None)
            if offered is not None:
                self._authorization[reference.name] = way(reference, offered, login, said)
                return
        schemes = ", ".join(each.scheme for each in challenges) or "none that it names"
        reason = f"{reference.registry} asks for a login of a kind that is not known here ({schemes})"
        raise NotKnown(reason, "Ask its operators for Basic or Bearer authentication.", answered=True)

    def _basic(self, reference: Reference, _challenge: Challenge, login: Optional[Login], said: str) -> str:
        if login is not None and login.bearer:
            return f"Bearer {login.bearer}"
        if login is None or not login.user:
            raise self.no_entry(reference, said)
        return login.basic

    def _bearer(self, reference: Reference, challenge: Challenge, login: Optional[Login], said: str) -> str:
        if login is not None and login.bearer:
            return f"Bearer {login.bearer}"
        realm = challenge.parameters.get("realm", "")
        try:
            scheme = parse_url(realm, "realm").scheme
        except InvalidOption:
            scheme = ""
        if not scheme or (scheme == "http" and reference.host not in self._insecure):
            where = display_url(realm) or "nowhere"
            reason = f"{reference.registry} sends us for a token to {where!r}, which is no https address"
            raise NotKnown(reason, "Correct the realm in the registry's configuration.", answered=True)
        asked = {"scope": challenge.parameters.get("scope") or f"repository:{reference.repository}:pull"}
        if challenge.parameters.get("service"):
            asked["service"] = challenge.parameters["service"]
        try:
            response = self._token(reference, realm, asked, login)
        except HttpFailure as failure:
            reason = (
                f"the server that gives tokens for {reference.registry} cannot be asked: {failure.message.rstrip('.')}"
            )
            raise NotKnown(reason, "Ask from a host that reaches it.", answered=True) from None
        if response.status in (400, 401, 403):
            raise self.no_entry(reference, self.clean(parse_refusal(response.body).said) or said)
        token = _token_in(response)
        if not token:
            reason = f"the server that gives tokens for {reference.registry} gave none (status {response.status})"
            raise NotKnown(reason, f"Look at {parse_url(realm).display}.", answered=True)
        self._secrets.append(token)
        return f"Bearer {token}"

    def _token(self, reference: Reference, realm: str, asked: Mapping[str, str], login: Optional[Login]) -> Response:
        if login is not None and login.refresh_token:
            form = {"grant_type": "refresh_token", "client_id": _CLIENT, "refresh_token": login.refresh_token, **asked}
            return self._send("POST", realm, _FORM, reference.registry, urlencode(form).encode())
        headers = {"Authorization": login.basic} if login is not None and login.user else {}
        return self._send("GET", with_query(realm, asked), headers, reference.registry)

    def no_entry(self, reference: Reference, said: str) -> NotKnown:
        """It does not let us in, which says nothing about the image: many answer so for one that is missing."""
        login = self._logins.of(reference)
        whom = f"the login of {login.source}" if login else "anybody without a login"
        reason = (
            f"{reference.registry} does not show {reference.repository} to {whom}"
            f"{said and f' ({said})'}: it may be there, or not"
        )
        remedy = f"Log in with docker login {reference.registry}, or correct credentials or the name of the image."
        return NotKnown(reason, remedy, answered=True)

    def clean(self, text: str) -> str:
        """What a registry says, without secrets."""
        return redact_text(mask_secrets(text, self._secrets))


def _advice(failure: HttpFailure, registry: str) -> str:
    if failure.phase == TLS:
        return f"Name the authority of its certificate in ca_path; one without TLS in insecure_registries ({registry})."
    return "Ask from a host that reaches it, or correct the name of the image."


def _token_in(response: Response) -> str:
    try:
        document: Any = json.loads(response.body)
    except (ValueError, RecursionError):
        return ""
    if response.status != 200 or not isinstance(document, dict):
        return ""
    found = document.get("token") or document.get("access_token") or ""
    return found if isinstance(found, str) and found.isascii() and found.isprintable() else ""


def retry_after(text: Optional[str], now: dt.datetime) -> Optional[float]:
    """Seconds in the header C(Retry-After), which is a number or a date; None where it says nothing."""
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.timezone.utc)
    return max(0.0, (moment - now).total_seconds())
