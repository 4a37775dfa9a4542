# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only place that asks Loki."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.http.api import ApiError, JsonApi
from ansible_collections.runbook.ops.plugins.module_utils.http.options import Settings, checked_headers, settings_from
from ansible_collections.runbook.ops.plugins.module_utils.loki.model import (
    Line,
    WrongAnswer,
    query_facts,
    read_counts,
    read_lines,
    source_facts,
    total_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.loki.plan import (
    MAX_LINES,
    Query,
    Source,
    plan_queries,
    plan_sources,
)

# After that many requests in a row without an answer in time the rest is not tried.
_PATIENCE = 2
_REMEDY = "Run the query in Grafana's Explore page, then correct the selector, the pattern or the log shipper"


def measure(params: Mapping[str, Any], moment: dt.datetime) -> dict[str, Any]:
    """Everything C(loki_query_info) returns; windows end at C(moment) unless they say otherwise.

    Raises:
        InvalidOption: before anything is sent.

    """
    settings = _with_tenant(settings_from(params), params.get("tenant") or None)
    queries, sources = plan_queries(params, moment), plan_sources(params, moment)
    for option, lowest, highest in (("limit", 1, MAX_LINES), ("top", 1, 100)):
        if not lowest <= params[option] <= highest:
            raise InvalidOption(option, params[option], f"{lowest} to {highest}")
    if not queries and not sources:
        raise InvalidOption("queries", [], "at least one query, or one of sources")
    with JsonApi("Loki", params["url"], settings) as api:
        reader = _Reader(api, limit=params["limit"], top=params["top"])
        try:
            answers = [reader.query(query) for query in queries]
            streams = [reader.source(source) for source in sources]
        except Unavailable as error:
            return _result(error.message, [], [], [])
    return _result(None, reader.skipped, answers, streams)


def _with_tenant(settings: Settings, tenant: str | None) -> Settings:
    if tenant is None:
        return settings
    return dataclasses.replace(
        settings, headers={**settings.headers, **checked_headers({"X-Scope-OrgID": tenant}, "tenant")}
    )


class _Reader:
    def __init__(self, api: JsonApi, *, limit: int, top: int) -> None:
        self._api = api
        self._limit = limit
        self._top = top
        self._silent = 0
        self._lost = ""
        self._lines_of: dict[tuple[str, dt.datetime], int] = {}
        self.skipped: list[dict[str, str]] = []

    def query(self, query: Query) -> dict[str, Any]:
        try:
            counts = read_counts(self._get("query", query.count_expression, query.window.end))
            total = total_of(counts)
            # Nothing found in streams that do not exist is not the same as nothing found.
            stream_lines = self._lines(query.lines_expression, query.window.end) if total == 0 else None
        except (ApiError, WrongAnswer) as error:
            facts = query_facts(query, None, reason=str(error), top=self._top)
            self._skip(query.name, str(error))
            return facts
        lines = self._read(query) if total and (query.samples or self._top) else []
        facts = query_facts(query, counts, stream_lines=stream_lines, lines=lines, top=self._top)
        if facts["reason"]:
            self._skip(query.name, facts["reason"])
        return facts

    def source(self, source: Source) -> dict[str, Any]:
        try:
            return source_facts(source, self._lines(source.lines_expression, source.window.end))
        except (ApiError, WrongAnswer) as error:
            self._skip(source.name, str(error))
            return source_facts(source, None, str(error))

    def _read(self, query: Query) -> list[Line]:
        """The newest matching lines; the count stands even if they cannot be had."""
        more = {
            "start": _nanoseconds(query.window.start),
            "limit": str(self._limit),
            "direction": "backward",
        }
        try:
            return read_lines(self._get("query_range", query.expression, query.window.end, more))
        except (ApiError, WrongAnswer, TypeError, IndexError, ValueError) as error:
            self._skip(f"{query.name}.samples", str(error))
            return []

    def _lines(self, expression: str, end: dt.datetime) -> int:
        key = (expression, end)
        if key not in self._lines_of:
            self._lines_of[key] = total_of(read_counts(self._get("query", expression, end)))
        return self._lines_of[key]

    def _get(
        self, kind: str, expression: str, end: dt.datetime, more: Mapping[str, str] | None = None
    ) -> Mapping[str, Any]:
        if self._lost:
            raise ApiError(self._lost)
        if self._silent >= _PATIENCE:
            raise ApiError(f"not asked: {_PATIENCE} requests before got no answer in time")
        moment = {"end" if kind == "query_range" else "time": _nanoseconds(end)}
        try:
            document = self._api.get(f"/loki/api/v1/{kind}", {"query": expression, **moment, **(more or {})})
        except ApiError as error:
            self._silent = self._silent + 1 if error.timed_out else 0
            raise
        except Unavailable as error:
            if not self._api.has_answered:
                raise
            self._lost = error.message
            raise ApiError(error.message) from None
        self._silent = 0
        data: Mapping[str, Any] = document.get("data") or {}
        return data

    def _skip(self, section: str, reason: str) -> None:
        self.skipped.append({"section": section, "reason": reason, "remedy": _REMEDY})


def _nanoseconds(moment: dt.datetime) -> str:
    return f"{int(moment.timestamp())}000000000"


def _result(
    reason: str | None,
    skipped: list[dict[str, str]],
    answers: Sequence[dict[str, Any]],
    streams: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "available": reason is None,
        "reason": reason,
        "skipped_sections": skipped,
        "values": {facts["name"]: facts["count"] for facts in answers},
        "queries": list(answers),
        "sources": list(streams),
    }
