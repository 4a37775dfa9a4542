# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking an HTTP API for JSON: one kept connection, and a sentence for every way of not getting an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.masking import mask_secrets
from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text
from ansible_collections.runbook.ops.plugins.module_utils.http.client import HttpClient, Response
from ansible_collections.runbook.ops.plugins.module_utils.http.errors import HttpFailure
from ansible_collections.runbook.ops.plugins.module_utils.http.options import Settings
from ansible_collections.runbook.ops.plugins.module_utils.http.urls import join, parse_url

# Servers and proxies in between commonly refuse request lines from 8 KiB.
_LONGEST_URL = 4000
_LONGEST_TEXT = 300


class ApiError(RunbookError):
    """One request was refused or not answered in time; others may fare better.

    C(status) is None when there was no answer. C(timed_out) is about our deadline, not the server's.
    """

    def __init__(self, message: str, *, status: int | None = None, timed_out: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.timed_out = timed_out


class NotTheApi(Unavailable):
    """Something answers, but not what was asked for."""


class JsonApi:
    """An API below C(url). C(product) is its name for people, as in C(Prometheus)."""

    def __init__(self, product: str, url: str, settings: Settings, *, max_body_bytes: int = 64 << 20) -> None:
        self._product = product
        self._url = url
        self._where = parse_url(url).display.rstrip("/")
        self._secrets = settings.secrets
        self._client = HttpClient(settings, max_body_bytes=max_body_bytes)
        # Whether it has ever answered as the API: what fails later fails for itself, not for the server.
        self.has_answered = False

    def __enter__(self) -> JsonApi:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, path: str, parameters: Mapping[str, str]) -> Any:
        """The JSON document that answers a read.

        Raises:
            ApiError: this request failed; the server is there.
            Unavailable: the server is not there or does not let us in; NotTheApi, a kind of it: it is something else.

        """
        try:
            response = self._request(join(self._url, path), urlencode(parameters))
        except HttpFailure as failure:
            if failure.timed_out and self.has_answered:
                raise ApiError(failure.message, timed_out=True) from None
            raise Unavailable(f"{self._product} at {self._where} is not available: {failure.message}") from None
        document = _document(response)
        if response.status == 200 and isinstance(document, dict) and document.get("status") == "success":
            self.has_answered = True
            return document
        raise self._refusal(response, document)

    def _request(self, url: str, query: str) -> Response:
        if len(url) + len(query) < _LONGEST_URL:
            return self._client.request("GET", f"{url}?{query}" if query else url)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._client.request("POST", url, headers=form, body=query.encode(), repeatable=True)

    def _refusal(self, response: Response, document: Any) -> RunbookError:
        status, whom = response.status, f"{self._product} at {self._where}"
        said = self._clean(_said(response, document))
        if status in (401, 403, 407):
            return Unavailable(
                f"{whom} does not let us in (status {status}{said and f', {said}'}). "
                "Correct bearer_token, or url_username and url_password."
            )
        if response.is_truncated:
            return ApiError("the answer is larger than 64 MiB: ask for less", status=status)
        if isinstance(document, dict) and document.get("status") == "error":
            self.has_answered = True
            kind = document.get("errorType")
            return ApiError(f"{said or 'refused without a reason'}{f' ({kind})' if kind else ''}", status=status)
        if status in (400, 422, 429) and said:
            self.has_answered = True
            return ApiError(said, status=status)
        if status >= 500:
            if self.has_answered:
                return ApiError(f"status {status}{said and f': {said}'}", status=status)
            return Unavailable(
                f"{whom} is not available (status {status}{said and f', {said}'}). Read its log, or that of the proxy."
            )
        if response.not_followed:
            return NotTheApi(f"{whom} is not there: {response.not_followed}. Correct url.")
        kind = response.headers.get("content-type", "").partition(";")[0] or "no content type"
        return NotTheApi(
            f"what answers at {self._where} is not {self._product}'s API (status {status}, {kind}). "
            "Correct url: it is the address without /api, with the path prefix if there is one."
        )

    def _clean(self, text: str) -> str:
        line = redact_text(mask_secrets(" ".join(text.split()), self._secrets))
        return line if len(line) <= _LONGEST_TEXT else f"{line[: _LONGEST_TEXT - 1]}…"


def _document(response: Response) -> Any:
    if response.is_truncated:
        return None
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError):
        return None


def _said(response: Response, document: Any) -> str:
    """What the server says about its refusal, if it is meant for reading."""
    if isinstance(document, dict):
        return str(document.get("error") or document.get("message") or "")
    text = response.body[:2000].decode("utf-8", errors="replace").strip()
    return "" if text.startswith(("<", "{", "[")) or (not text.isprintable() and "\n" not in text) else text
